//! What a rotation does to the authority's state, each with its line of history and its Event.

use super::Run;
use crate::pki::inspect::Certificate;
use crate::plan::{Blocked, Observed, Reconciled, audit, commit, witness};
use crate::resources::audit::Deed;
use crate::resources::authority::AuthorityState;
use time::OffsetDateTime;

/// One change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The key of a CA that was trusted already is ours.
    TakenIn,
    /// A new CA is trusted.
    Started,
    /// A CA that was taken back is to issue after all.
    Resumed,
    /// The new CA issues.
    Moved,
    /// The old CA issues again.
    Aborted,
    /// CAs are trusted no longer.
    Dropped,
    /// What is left of the inventory counts.
    InventoryAccepted,
    /// The authority was made again of what was left.
    Restored,
}

impl Act {
    const ALL: [Self; 8] = [
        Self::TakenIn,
        Self::Started,
        Self::Resumed,
        Self::Moved,
        Self::Aborted,
        Self::Dropped,
        Self::InventoryAccepted,
        Self::Restored,
    ];

    pub fn reason(self) -> &'static str {
        match self {
            Self::TakenIn => "CATakenIn",
            Self::Started => "RotationStarted",
            Self::Resumed => "RotationResumed",
            Self::Moved => "IssuingMoved",
            Self::Aborted => "RotationAborted",
            Self::Dropped => "CADropped",
            Self::InventoryAccepted => "InventoryAccepted",
            Self::Restored => "AuthorityRestored",
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Self::TakenIn => "took in the key of a CA that was trusted already",
            Self::Started => "started a rotation: a new CA is trusted",
            Self::Resumed => "resumed a rotation",
            Self::Moved => "let the new CA issue",
            Self::Aborted => "aborted a rotation: the CA before issues",
            Self::Dropped => "dropped CAs: their clients are refused",
            Self::InventoryAccepted => "accepted the inventory as it is",
            Self::Restored => "restored the authority of its keys and its inventory",
        }
    }
}

/// The fingerprints that a change is about: of CAs that came or left, else of the one that issues, or is to.
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

/// What is done now, by whoever runs the command.
pub(super) fn deed(
    act: Act,
    before: Option<&AuthorityState>,
    after: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Deed> {
    audit::deed(
        act.reason(),
        act.what(),
        about(before, after),
        observed,
        now,
    )
}

impl Run<'_> {
    /// Commits a change.
    pub(super) fn commit(&self, mut next: AuthorityState, act: Act) -> Reconciled<Blocked> {
        self.standing.may_change(self.request.force_conflicts)?;
        // The key of a CA that leaves goes with it.
        if next.retired.len() > self.standing.state.retired.len()
            && let Some(keys) = self.keys_object()?
        {
            commit::refuse_kept(keys, self.request.force_conflicts)?;
        }
        // What this run proves takes the place of a restoration that was not proven yet.
        if act != Act::Restored {
            witness::catch_up(&next.authority, self.observed)?;
            next.unproven = None;
        }
        let deed = deed(
            act,
            Some(&self.standing.state),
            &next,
            self.observed,
            self.now,
        )?;
        Ok(commit::commit(&self.standing, next, &deed, self.now)?.into())
    }

    /// The state's object with a change, to be tried out.
    pub(super) fn tried(
        &self,
        next: AuthorityState,
        act: Act,
    ) -> Reconciled<crate::resources::Object> {
        let deed = deed(
            act,
            Some(&self.standing.state),
            &next,
            self.observed,
            self.now,
        )?;
        let object = commit::changed(&self.standing, next, &deed, self.now)?;
        commit::fits(&object, 0)?;
        Ok(object)
    }

    /// Leaves an Event for every change of the state in this run.
    pub(super) fn leave_events(&self) -> Reconciled<()> {
        let reference = self.names.state();
        let changes = self.observed.changes().iter();
        for change in changes.filter(|change| change.object == reference) {
            let Ok(state) = AuthorityState::read(&change.answer) else {
                continue;
            };
            let Some(line) = state.history.last() else {
                continue;
            };
            let Some((act, (_, told))) = Act::ALL
                .into_iter()
                .find_map(|act| Some((act, line.split_once(act.what())?)))
            else {
                continue;
            };
            let deed = Deed {
                who: self.observed.who().unwrap_or_default().to_owned(),
                at: change.at,
                reason: act.reason(),
                what: format!("{}{told}", act.what()),
                ids: Vec::new(),
            };
            let event = deed.event(&change.answer, &format!("r{}", state.revision));
            audit::leave(event, self.observed)?;
        }
        Ok(())
    }

    /// What this run did to the state, in order.
    pub(super) fn acts(&self) -> Vec<Act> {
        let reference = self.names.state();
        let changes = self.observed.changes().iter();
        let states = changes
            .filter(|change| change.object == reference)
            .filter_map(|change| AuthorityState::read(&change.answer).ok());
        states
            .filter_map(|state| {
                let line = state.history.last()?.clone();
                Act::ALL.into_iter().find(|act| line.contains(act.what()))
            })
            .collect()
    }
}
