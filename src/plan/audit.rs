//! Who did what: asked for before a change, told after it.

use time::OffsetDateTime;

use super::{Query, Step, Stop, World, Write};
use crate::resources::Object;
use crate::resources::audit::Deed;

/// Something that this run does, by whoever runs it.
pub fn deed<R>(
    reason: &'static str,
    what: impl Into<String>,
    ids: Vec<String>,
    world: &World,
    now: OffsetDateTime,
) -> Result<Deed, Stop<R>> {
    world.need([Query::WhoAmI])?;
    Ok(Deed {
        who: world.who().unwrap_or_default().to_owned(),
        at: now,
        reason,
        what: what.into(),
        ids,
    })
}

/// Leaves an Event, once in a run. Where that is not permitted, nothing is lost: the change itself tells who made it.
pub fn leave<R>(event: Object, world: &World) -> Result<(), Stop<R>> {
    if world.was_attempted(event.reference()) {
        return Ok(());
    }
    Err(Step::Attempt(Write::Create(event)).into())
}
