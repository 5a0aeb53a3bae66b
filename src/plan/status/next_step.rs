//! The next step of a rotation.

use time::OffsetDateTime;

use super::NAMES_SHOWN;
use super::entries::Entries;
use crate::pki::inspect::Certificate;
use crate::plan::command_line;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::rotation::Phase;

/// The command that continues a rotation; if clients still need a new certificate, the one that
/// renews theirs.
pub(super) fn of(
    state: &AuthorityState,
    inventory: Entries<'_>,
    now: OffsetDateTime,
) -> Option<String> {
    let authority = &state.authority;
    let is_inventory_read = inventory.unread().is_none();
    let entries = inventory.of(authority).iter();
    let live: Vec<&Entry> = entries.filter(|entry| entry.is_live(now)).collect();
    let rotate = |flags| command_line::ca_rotate(flags, authority);
    match state.phase() {
        Phase::Settled => None,
        Phase::Spreading | Phase::Stopped => Some(rotate("")),
        Phase::Overlap => {
            let retired: Vec<String> = state.leaving().map(Certificate::key_id_hex).collect();
            let is_old = |entry: &&&Entry| retired.contains(&entry.issuer_ski);
            let has_new = |old: &Entry| {
                let mut issued = live
                    .iter()
                    .filter(|entry| entry.state == EntryState::Issued);
                issued.any(|entry| entry.name == old.name && !is_old(&entry))
            };
            let old: Vec<&Entry> = live.iter().filter(is_old).copied().collect();
            let waiting = old.iter().filter(|entry| !has_new(entry));
            let waiting: Vec<&Entry> = waiting.copied().collect();
            let mut names: Vec<&str> = waiting.iter().map(|entry| entry.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            // The command for all leaves out what was perhaps never delivered.
            let are_issued = waiting
                .iter()
                .all(|entry| entry.state == EntryState::Issued);
            Some(if !is_inventory_read {
                rotate(" --status")
            } else if old.is_empty() {
                rotate(" --finish")
            } else if names.is_empty() {
                format!("kubectl mtls revoke-client --superseded --authority {authority}")
            } else if names.len() > NAMES_SHOWN && are_issued {
                format!("kubectl mtls renew-client --retired-ca --authority {authority}")
            } else {
                command_line::on_clients("renew-client", &names, authority)
            })
        }
    }
}
