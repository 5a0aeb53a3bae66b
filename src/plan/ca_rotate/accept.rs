//! `--accept-inventory`: after an inventory was lost or replaced, the existing one becomes the authority's inventory.

use std::collections::BTreeMap;

use super::{Report, Run};
use crate::error::Failure;
use crate::plan::authority::prepare;
use crate::plan::{Effect, Query, Reconciled, Write, list_clients, witness};
use crate::resources::ObjectRef;
use crate::resources::audit::RotationStep;
use crate::resources::inventory::EntryState;
use crate::resources::names::CLIENTS_NAMESPACE;
use crate::resources::witness::{Witness, reference};

impl Run<'_> {
    /// Records the id of the existing inventory; an inventory without an id gets one.
    pub(super) fn accept_inventory(&self) -> Reconciled<Report> {
        let state = &self.standing.state;
        match witness::hear(&state.authority, Some(state), self.observed)? {
            Some(heard) if state.inventory.as_ref() == Some(&heard.inventory) => {
                if heard.revision < state.revision || heard.is_copy {
                    return Err(self.witness_of(heard)?.into());
                }
                let mut report = self.done()?;
                report.notes.extend(self.entries_by_ca()?);
                Ok(report)
            }
            Some(heard) => {
                let mut next = state.clone();
                next.inventory = Some(heard.inventory);
                Err(self.commit(next, RotationStep::InventoryAccepted)?)
            }
            None => {
                // The next step changes the authority.
                self.standing.may_change(self.request.force_conflicts)?;
                let namespace = ObjectRef::namespace(CLIENTS_NAMESPACE);
                self.observed.prefetch([Query::Get(namespace)])?;
                prepare(&state.authority, Some(state), self.observed)?;
                Ok(self.done()?)
            }
        }
    }

    /// Updates the witness: the existing inventory counts as complete from now on.
    fn witness_of(&self, heard: Witness) -> Reconciled<Effect> {
        let state = &self.standing.state;
        let live = self.observed.get(&reference(&state.authority))?;
        let live = live.ok_or_else(|| Failure::failed("the witness was deleted again"))?;
        let object = heard.raised_to(state).of_object(live).object();
        Ok(Effect::Write(Write::Replace(object.changing(live))))
    }

    /// The number of inventory entries per CA: finishing a rotation and revoking by name rely on them.
    pub(super) fn entries_by_ca(&self) -> Reconciled<Vec<String>> {
        let objects = self.observed.list(&self.inventory())?;
        let (entries, unreadable) = list_clients::entries(objects);
        let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for entry in &entries {
            let [live, revoked] = counts.entry(&entry.issuer_ski).or_default();
            *live += usize::from(entry.is_live(self.now));
            *revoked += usize::from(entry.state == EntryState::Revoked);
        }
        let trusted = &self.standing.state.trusted;
        let mut lines: Vec<String> = trusted
            .iter()
            .map(|ca| {
                let [live, revoked] = counts.remove(&*ca.key_id_hex()).unwrap_or_default();
                format!(
                    "of the CA `{}` the inventory holds {live} live and {revoked} revoked certificates",
                    ca.subject()
                )
            })
            .collect();
        lines.extend(counts.into_iter().map(|(ski, [live, revoked])| {
            format!("of the CA with the key identifier {ski}, which is not trusted, the inventory holds {live} live and {revoked} revoked certificates")
        }));
        lines.extend(unreadable);
        Ok(lines)
    }
}
