//! The witness of an authority: whether the authority, or its inventory, was lost or rolled back.

#[cfg(test)]
mod tests;

use std::fmt;

use super::check::{self, Check};
use super::{Effect, Observed, Query, Reconciled, Write};
use crate::error::Failure;
use crate::resources::Unreadable;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames};
use crate::resources::witness::{Witness, reference};

/// The loss that a witness shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The authority was deleted.
    AuthorityLost,
    /// An older copy of the authority was restored.
    RolledBack {
        /// The present revision.
        at: u64,
        /// The recorded revision.
        was: u64,
    },
    /// Somebody changed or removed the authority's revocation lists.
    ListsEdited,
    /// The inventory has no witness any more: its namespace was deleted, or only this object of it.
    InventoryLost,
    /// Another inventory took the place of the authority's.
    InventoryReplaced,
    /// An older copy of the inventory was restored: it lacks later entries.
    InventoryRolledBack {
        /// The revision that the witness recorded.
        at: u64,
        /// The authority's revision.
        is: u64,
    },
    /// The inventory was created again from a backup: it lacks what was issued, renewed and revoked since.
    InventoryRestored,
}

impl Fault {
    /// Compares a state with its witness; `None` if nothing is lost.
    pub fn of(state: Option<&AuthorityState>, witness: Option<&Witness>) -> Option<Self> {
        let Some(state) = state else {
            return witness
                .is_some_and(|witness| witness.revision > 0)
                .then_some(Self::AuthorityLost);
        };
        match (&state.inventory, witness) {
            _ if state.has_edited_lists() => Some(Self::ListsEdited),
            (_, Some(witness)) if witness.revision > state.revision => Some(Self::RolledBack {
                at: state.revision,
                was: witness.revision,
            }),
            (Some(_), None) => Some(Self::InventoryLost),
            (Some(own), Some(witness)) if *own != witness.inventory => {
                Some(Self::InventoryReplaced)
            }
            (Some(_), Some(witness)) if witness.is_copy => Some(Self::InventoryRestored),
            (Some(_), Some(witness)) if !may_lag(witness, state) => {
                Some(Self::InventoryRolledBack {
                    at: witness.revision,
                    is: state.revision,
                })
            }
            _ => None,
        }
    }

    /// The check of `status` for this loss, which says why it matters.
    pub fn check(&self) -> &'static Check {
        match self {
            Self::AuthorityLost => &check::AUTHORITY_LOST,
            Self::RolledBack { .. } => &check::AUTHORITY_ROLLED_BACK,
            Self::ListsEdited => &check::AUTHORITY_LISTS_EDITED,
            Self::InventoryLost => &check::INVENTORY_LOST,
            Self::InventoryReplaced => &check::INVENTORY_REPLACED,
            Self::InventoryRolledBack { .. } | Self::InventoryRestored => {
                &check::INVENTORY_ROLLED_BACK
            }
        }
    }

    /// The flag of `ca-rotate` that repairs this loss.
    pub fn remedy(&self) -> &'static str {
        if self.is_of_inventory() {
            "--accept-inventory"
        } else {
            "--restore"
        }
    }

    /// Whether the inventory was lost, and not the authority.
    pub fn is_of_inventory(&self) -> bool {
        match self {
            Self::AuthorityLost | Self::RolledBack { .. } | Self::ListsEdited => false,
            Self::InventoryLost
            | Self::InventoryReplaced
            | Self::InventoryRolledBack { .. }
            | Self::InventoryRestored => true,
        }
    }

    /// The refusal of a command that cannot continue after this loss.
    pub fn refusal(&self, authority: &str) -> Failure {
        Failure::refused(self.says(authority))
            .hint(self.check().why)
            .hint(remedy_hint(self.remedy(), authority))
    }

    /// A line on the loss with the command that repairs it.
    pub fn note(&self, authority: &str) -> String {
        let remedy = remedy_hint(self.remedy(), authority);
        format!("{}; {remedy}", self.says(authority))
    }

    /// A sentence that describes the loss.
    pub fn says(&self, authority: &str) -> String {
        Said {
            fault: self,
            authority,
        }
        .to_string()
    }
}

/// A sentence with the command that repairs an authority.
pub(super) fn remedy_hint(flag: &str, authority: &str) -> String {
    format!(
        "`kubectl mtls ca-rotate {flag} --authority {authority}` repairs it; with `--dry-run` it only shows what it would do"
    )
}

/// The refusal because of an authority that was lost; `None` if there never was one.
pub fn lost(authority: &str, observed: &Observed) -> Reconciled<Option<Failure>> {
    let heard = hear(authority, None, observed)?;
    let fault = Fault::of(None, heard.as_ref());
    Ok(fault.map(|fault| fault.refusal(authority)))
}

/// The refusal of a command that cannot read the authority.
pub fn unreadable(authority: &str, error: &Unreadable) -> Failure {
    Failure::refused(error.to_string()).hint(remedy_hint("--restore", authority))
}

struct Said<'a> {
    fault: &'a Fault,
    authority: &'a str,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority;
        match self.fault {
            Fault::AuthorityLost => write!(
                f,
                "the authority `{authority}` is lost: the ConfigMap {AUTHORITY_NAMESPACE}/{authority} does not exist"
            ),
            Fault::RolledBack { at, was } => write!(
                f,
                "an older copy of the authority `{authority}` was restored: the revision is {at}, and was {was}"
            ),
            Fault::ListsEdited => write!(
                f,
                "the revocation lists in the ConfigMap {AUTHORITY_NAMESPACE}/{authority} were edited or removed by hand"
            ),
            Fault::InventoryLost => write!(
                f,
                "the inventory of the authority `{authority}` is lost: {CLIENTS_NAMESPACE} lacks its witness"
            ),
            Fault::InventoryReplaced => write!(
                f,
                "the inventory of the authority `{authority}` was replaced by another one"
            ),
            Fault::InventoryRolledBack { at, is } => write!(
                f,
                "the inventory of the authority `{authority}` was rolled back: its witness recorded revision {at}, and the authority is at revision {is}"
            ),
            Fault::InventoryRestored => write!(
                f,
                "the inventory of the authority `{authority}` was restored from a backup: it may lack what was issued, renewed and revoked since"
            ),
        }
    }
}

/// The witness, read after the state.
pub fn hear(
    authority: &str,
    state: Option<&AuthorityState>,
    observed: &Observed,
) -> Reconciled<Option<Witness>> {
    let witness = reference(authority);
    let heard = observed.get(&witness)?.map(Witness::read).transpose();
    let heard = heard.map_err(|error| {
        Failure::refused(error.to_string()).hint("restore the authority from a backup")
    })?;
    let own = CredentialNames::of_authority(authority).state();
    // Somebody may have changed both between the two looks, which a second look at what seems behind tells.
    let behind = match Fault::of(state, heard.as_ref()) {
        None | Some(Fault::ListsEdited) => None,
        Some(Fault::AuthorityLost | Fault::RolledBack { .. }) => {
            (!observed.is_newer(&own, &witness)).then_some(own)
        }
        Some(_) => (!observed.is_newer(&witness, &own)).then_some(witness),
    };
    match behind {
        Some(behind) => Err(Effect::Read(vec![Query::Get(behind)]).into()),
        None => Ok(heard),
    }
}

/// Updates the witness after a change of the authority in this run.
pub fn follow(authority: &str, observed: &Observed) -> Reconciled<()> {
    let own = CredentialNames::of_authority(authority).state();
    match observed.change_of(&own) {
        Some(_) => catch_up_unless_unproven(authority, observed),
        None => Ok(()),
    }
}

/// Updates the witness to the authority, which a killed run may have changed: before the next change, and once a restoration was verified.
///
/// The witness never records more than what was read or written, and is not updated if it is further behind than a killed run leaves it:
/// that shows an older inventory.
pub fn catch_up(authority: &str, observed: &Observed) -> Reconciled<()> {
    raise(authority, observed, may_lag)
}

/// As [`catch_up`], for a command that does not probe the revocation lists. Leaves the witness as it is while a restoration is not
/// verified, so that `ca-rotate --restore` can still be continued.
pub fn catch_up_unless_unproven(authority: &str, observed: &Observed) -> Reconciled<()> {
    raise(authority, observed, |heard, state| {
        may_lag(heard, state) && state.unproven != Some(heard.revision)
    })
}

fn raise(
    authority: &str,
    observed: &Observed,
    may: impl Fn(&Witness, &AuthorityState) -> bool,
) -> Reconciled<()> {
    let own = CredentialNames::of_authority(authority).state();
    let live = observed.get(&own)?.map(AuthorityState::read);
    let Some(Ok(state)) = live else {
        return Ok(());
    };
    let own = reference(authority);
    match hear(authority, Some(&state), observed)? {
        Some(heard) if heard.revision < state.revision && may(&heard, &state) => {
            let Some(live) = observed.get(&own)? else {
                return Ok(());
            };
            // The uid that a copy recorded stays, until somebody accepts the inventory.
            let object = match &heard.uid {
                Some(_) => heard.raised_to(&state),
                None => heard.raised_to(&state).of_object(live),
            }
            .object();
            Err(Effect::Write(Write::Replace(object.changing(live))).into())
        }
        // Who may change the inventory may not always lay the witness; the next `expose` does.
        None if state.inventory.is_none() && !observed.was_attempted(&own) => {
            let object =
                Witness::new(&state.authority, observed.random_id(), Some(&state)).object();
            Err(Effect::Attempt(Write::Create(object)).into())
        }
        _ => Ok(()),
    }
}

/// Whether interrupted runs explain that the witness is behind the authority.
///
/// Every change updates the witness first, so an interrupted one leaves it behind by one revision. It may be further behind if a
/// restoration is not verified, and if the authority does not record an inventory yet.
fn may_lag(heard: &Witness, state: &AuthorityState) -> bool {
    heard.revision + 1 >= state.revision
        || state.inventory.is_none()
        || state.unproven == Some(heard.revision)
}

/// The id of an authority's inventory; creates the witness before the authority is bound to it. Refuses to create it for a new authority if
/// there was one with this name before: a new CA instead would reject all of its clients.
pub fn lay(
    authority: &str,
    state: Option<&AuthorityState>,
    observed: &Observed,
) -> Reconciled<String> {
    match hear(authority, state, observed)? {
        Some(heard) => match Fault::of(state, Some(&heard)) {
            Some(fault) => Err(fault.refusal(authority).into()),
            None => Ok(heard.inventory),
        },
        None => {
            let witness = Witness::new(authority, observed.random_id(), state);
            Err(Effect::Write(Write::Create(witness.object())).into())
        }
    }
}

/// Refuses while the authority is not intact; if `inventory` is set, also while its inventory is
/// not.
pub fn check(state: &AuthorityState, inventory: bool, observed: &Observed) -> Reconciled<()> {
    let found = fault(state, observed)?;
    match found.filter(|fault| inventory || !fault.is_of_inventory()) {
        Some(fault) => Err(fault.refusal(&state.authority).into()),
        None => Ok(()),
    }
}

/// What was lost of an authority or of its inventory, if anything was.
pub fn fault(state: &AuthorityState, observed: &Observed) -> Reconciled<Option<Fault>> {
    let heard = hear(&state.authority, Some(state), observed)?;
    Ok(Fault::of(Some(state), heard.as_ref()))
}

/// What was lost of an inventory, if anything was.
pub fn fault_of_inventory(
    state: &AuthorityState,
    observed: &Observed,
) -> Reconciled<Option<Fault>> {
    Ok(fault(state, observed)?.filter(Fault::is_of_inventory))
}

/// As [`fault`], also for an authority that does not exist, as far as the witness was read; else the reason why not.
pub fn known_fault(
    authority: &str,
    state: Option<&AuthorityState>,
    observed: &Observed,
) -> Reconciled<Result<Option<Fault>, String>> {
    let seen = observed.try_get(&reference(authority))?;
    if let Some(reason) = seen.unknown() {
        return Ok(Err(reason));
    }
    if let Some(Err(error)) = seen.found().map(|object| Witness::read(object)) {
        return Ok(Err(error.to_string()));
    }
    let heard = hear(authority, state, observed)?;
    Ok(Ok(Fault::of(state, heard.as_ref())))
}
