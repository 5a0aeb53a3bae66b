//! The audit trail: the user is read before a change, and an Event is written after it.

use time::OffsetDateTime;

use super::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::Object;
use crate::resources::audit::{AuditEntry, Transition};

/// The audit entry of a change in this run, with its user.
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

/// Writes an Event, once in a run. If that is not permitted, nothing is lost: the changed object names the user too.
pub fn leave(event: Object, observed: &Observed) -> Reconciled<()> {
    if observed.was_attempted(event.reference()) {
        return Ok(());
    }
    Err(Effect::Attempt(Write::Create(event)).into())
}
