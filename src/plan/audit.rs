//! Who did what: asked for before a change, told after it.

use time::OffsetDateTime;

use super::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::Object;
use crate::resources::audit::{AuditEntry, Transition};

/// The audit entry of a change of this run, in the name of its user.
pub fn entry(
    transition: impl Into<Transition>,
    what: impl Into<String>,
    ids: Vec<String>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<AuditEntry> {
    observed.prefetch([Query::WhoAmI])?;
    Ok(AuditEntry {
        transition: transition.into(),
        who: observed.who().unwrap_or_default().to_owned(),
        at: now,
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
