//! The inventory: what is revoked is marked so, with the time and the reason of the CRL.

use time::OffsetDateTime;

use super::{Case, Report, Stand};
use crate::error::Failure;
use crate::plan::{Query, Step, Stop, World, Write, audit};
use crate::resources::ObjectRef;
use crate::resources::inventory::{Entry, EntryState, Revocation, reference};

/// Marks the entries that are not marked yet.
pub(super) fn make(
    case: &Case<'_>,
    world: &World,
    now: OffsetDateTime,
) -> Result<(), Stop<Report>> {
    let wanted: Vec<(ObjectRef, Revocation)> = case
        .each()
        .filter_map(|(target, stand)| {
            let entry = target.entry.as_ref()?;
            let revocation = match stand {
                Stand::Listed(revoked) => Revocation {
                    at: revoked.at,
                    reason: revoked.reason,
                },
                Stand::Dropped => Revocation {
                    at: now,
                    reason: case.request.reason,
                },
                Stand::Open | Stand::Expired => return None,
            };
            let is_marked = entry.state == EntryState::Revoked;
            let name = reference(&entry.authority, &entry.name.parse().ok()?, entry.number);
            (!is_marked).then_some((name, revocation))
        })
        .collect();
    world.need(wanted.iter().map(|(name, _)| Query::Get(name.clone())))?;
    for (name, revocation) in wanted {
        let Some(live) = world.required(&name)? else {
            // Somebody took it away; the CRL is what counts.
            continue;
        };
        let failed = |error: crate::resources::Unreadable| Failure::refused(error.to_string());
        let entry = Entry::read(live).map_err(failed)?;
        if entry.state != EntryState::Revoked {
            let marked = Entry {
                state: EntryState::Revoked,
                revocation: Some(revocation),
                ..entry
            };
            let object = marked.restated(live).map_err(failed)?;
            return Err(Step::Write(Write::Replace(object)).into());
        }
        if world.change_of(&name).is_some() {
            let what = format!("revoked {}: {}", entry.name, revocation.reason);
            let deed = audit::deed("Revoked", what, vec![entry.serial], world, now)?;
            audit::leave(deed.event(live, "revoked"), world)?;
        }
    }
    Ok(())
}
