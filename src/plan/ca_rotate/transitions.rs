//! The changes of an authority's state in a rotation, each with a history entry and an Event.

use super::Run;
use crate::pki::inspect::Certificate;
use crate::plan::{Blocked, Observed, Reconciled, Written, audit, commit, witness};
use crate::resources::audit::{AuditEntry, RotationStep, Transition};
use crate::resources::authority::{AuthorityState, keys_without};
use time::OffsetDateTime;

/// The fingerprints in an audit entry: of CAs that were added or removed, else of the issuing CA or the target.
fn about(before: Option<&AuthorityState>, after: &AuthorityState) -> Vec<String> {
    let came = after.trusted.iter().map(Certificate::fingerprint);
    let came = came.filter(|ca| before.is_none_or(|before| !before.knows(ca)));
    let left = after.dropped.iter().cloned();
    let left = left.filter(|ca| before.is_some_and(|before| !before.dropped.contains(ca)));
    let changed: Vec<String> = came.chain(left).collect();
    if changed.is_empty() {
        return after
            .issuing
            .iter()
            .chain(&after.target)
            .take(1)
            .cloned()
            .collect();
    }
    changed
}

/// The audit entry of a rotation step of this run, in the name of its user.
pub(super) fn entry(
    step: RotationStep,
    before: Option<&AuthorityState>,
    after: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<AuditEntry> {
    audit::entry(step, step.what(), about(before, after), observed, now)
}

impl Run<'_> {
    fn entry(&self, step: RotationStep, next: &AuthorityState) -> Reconciled<AuditEntry> {
        let before = Some(&self.standing.state);
        entry(step, before, next, self.observed, self.now)
    }

    /// Commits a change.
    pub(super) fn commit(
        &self,
        mut next: AuthorityState,
        step: RotationStep,
    ) -> Reconciled<Blocked> {
        self.standing.may_change(self.request.force_conflicts)?;
        // The key of a CA that leaves goes with it; that of an external CA is not there.
        let gone = &next.retired - &self.standing.state.retired;
        if !gone.is_empty()
            && let Some(keys) = self.keys_object()?
            && keys_without(keys, &gone).is_some()
        {
            commit::refuse_kept(keys, self.request.force_conflicts)?;
        }
        // What this run proves takes the place of a restoration that was not proven yet.
        if step != RotationStep::AuthorityRestored {
            witness::catch_up(&next.authority, self.observed)?;
            next.unproven = None;
        }
        let entry = self.entry(step, &next)?;
        Ok(commit::commit(&self.standing, next, &entry, self.now)?.into())
    }

    /// The object with a changed state, for a dry run of the API server.
    pub(super) fn tried(
        &self,
        next: AuthorityState,
        step: RotationStep,
    ) -> Reconciled<crate::resources::Object> {
        let entry = self.entry(step, &next)?;
        let object = commit::changed(&self.standing, next, &entry, self.now)?;
        commit::fits(&object, 0)?;
        Ok(object)
    }

    /// Writes an Event for every step of this run.
    pub(super) fn leave_events(&self) -> Reconciled<()> {
        for own in self.own_changes() {
            let entry = AuditEntry {
                at: own.written.at,
                ..own.entry
            };
            let event = entry.event(&own.written.answer, &format!("r{}", own.revision));
            audit::leave(event, self.observed)?;
        }
        Ok(())
    }

    /// The steps of this run, in order.
    pub(super) fn steps(&self) -> Vec<RotationStep> {
        self.own_changes().map(|own| own.step).collect()
    }

    /// The changes of the state in this run, in order, with the history entry of each written state.
    fn own_changes(&self) -> impl Iterator<Item = OwnChange<'_>> {
        let reference = self.names.state();
        let who = self.observed.who().unwrap_or_default();
        let changes = self.observed.changes().iter();
        changes
            .filter(move |change| change.object == reference)
            .filter_map(move |written| {
                let state = AuthorityState::read(&written.answer).ok()?;
                let entry = AuditEntry::read(state.history.last()?, who)?;
                let Transition::Rotation(step) = entry.transition else {
                    return None;
                };
                Some(OwnChange {
                    written,
                    revision: state.revision,
                    step,
                    entry,
                })
            })
    }
}

/// A change of the state in this run.
struct OwnChange<'a> {
    written: &'a Written,
    revision: u64,
    step: RotationStep,
    entry: AuditEntry,
}
