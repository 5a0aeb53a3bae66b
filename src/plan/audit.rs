//! Who did what: asked for before a change, told after it.

use time::OffsetDateTime;

use super::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::Object;
use crate::resources::audit::Deed;

/// Something that this run does, by whoever runs it.
pub fn deed(
    reason: &'static str,
    what: impl Into<String>,
    ids: Vec<String>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Deed> {
    observed.prefetch([Query::WhoAmI])?;
    Ok(Deed {
        who: observed.who().unwrap_or_default().to_owned(),
        at: now,
        reason,
        what: what.into(),
        ids,
    })
}

/// Leaves an Event, once in a run. Where that is not permitted, nothing is lost: the change itself tells who made it.
pub fn leave(event: Object, observed: &Observed) -> Reconciled<()> {
    if observed.was_attempted(event.reference()) {
        return Ok(());
    }
    Err(Effect::Attempt(Write::Create(event)).into())
}
