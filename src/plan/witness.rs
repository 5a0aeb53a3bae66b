//! What the witness of an authority tells: whether the authority, or its inventory, is not what it was.

use std::fmt;

use super::{Query, Step, Stop, World, Write};
use crate::error::Failure;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames};
use crate::resources::witness::{Dropped, Witness, reference};

/// What was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The authority is gone, and had been there.
    AuthorityLost,
    /// An older authority was put back.
    RolledBack {
        /// Where it is.
        at: u64,
        /// Where it was once.
        was: u64,
    },
    /// The inventory has no witness any more: its namespace was deleted, or this object of it.
    InventoryLost,
    /// Another inventory took its place.
    InventoryReplaced,
}

impl Fault {
    /// What a state and its witness say together; `None` where nothing is lost.
    pub fn of(state: Option<&AuthorityState>, witness: Option<&Witness>) -> Option<Self> {
        let Some(state) = state else {
            return witness
                .is_some_and(|witness| witness.revision > 0)
                .then_some(Self::AuthorityLost);
        };
        match (&state.inventory, witness) {
            (_, Some(witness)) if witness.revision > state.revision => Some(Self::RolledBack {
                at: state.revision,
                was: witness.revision,
            }),
            (Some(_), None) => Some(Self::InventoryLost),
            (Some(own), Some(witness)) if *own != witness.inventory => {
                Some(Self::InventoryReplaced)
            }
            _ => None,
        }
    }

    /// The stable name of the check of `status`.
    pub fn id(&self) -> &'static str {
        match self {
            Self::AuthorityLost => "authority/lost",
            Self::RolledBack { .. } => "authority/rolled-back",
            Self::InventoryLost => "inventory/lost",
            Self::InventoryReplaced => "inventory/replaced",
        }
    }

    /// What follows from it.
    pub fn why(&self) -> &'static str {
        match self {
            Self::AuthorityLost => {
                "proxies keep whom they trust, and a restarted one refuses everybody; nothing can be issued or revoked"
            }
            Self::RolledBack { .. } => {
                "revoked clients may be let in again, and CAs that were dropped; new ones may be refused"
            }
            Self::InventoryLost | Self::InventoryReplaced => {
                "who has a certificate is not known any more: revoking by name and the end of a rotation cannot be relied on"
            }
        }
    }

    /// The flag of `ca-rotate` that mends it.
    pub fn mended_by(&self) -> &'static str {
        match self {
            Self::AuthorityLost | Self::RolledBack { .. } => "--restore",
            Self::InventoryLost | Self::InventoryReplaced => "--accept-inventory",
        }
    }

    /// The refusal of a command that cannot go on so.
    pub fn refusal(&self, authority: &str) -> Failure {
        Failure::refused(self.says(authority))
            .hint(self.why())
            .hint(format!(
                "`kubectl mtls ca-rotate {} --authority {authority}` mends it, and tells first what it will do with `--dry-run`; nothing was changed",
                self.mended_by()
            ))
    }

    /// What is the matter.
    pub fn says(&self, authority: &str) -> String {
        Said {
            fault: self,
            authority,
        }
        .to_string()
    }
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
                "an older authority `{authority}` was put back: it is at revision {at}, and was at {was}"
            ),
            Fault::InventoryLost => write!(
                f,
                "the inventory of the authority `{authority}` is lost: {CLIENTS_NAMESPACE} lacks its witness"
            ),
            Fault::InventoryReplaced => write!(
                f,
                "another inventory took the place of that of the authority `{authority}`"
            ),
        }
    }
}

/// What the witness says, in a look that is no older than the one at the state.
pub fn hear<R>(
    authority: &str,
    state: Option<&AuthorityState>,
    world: &World,
) -> Result<Option<Witness>, Stop<R>> {
    let witness = reference(authority);
    world.need([Query::Get(witness.clone())])?;
    let heard = world.required(&witness)?.map(Witness::read).transpose();
    let heard = heard.map_err(|error| {
        Failure::refused(error.to_string()).hint("nothing was changed; restore it from a backup")
    })?;
    let own = CredentialNames::of_authority(authority).state();
    // Somebody may have changed both between the two looks, which a second look at the older one tells.
    let older = match Fault::of(state, heard.as_ref()) {
        None => None,
        Some(Fault::AuthorityLost | Fault::RolledBack { .. }) => {
            world.is_newer(&witness, &own).then_some(own)
        }
        Some(Fault::InventoryLost | Fault::InventoryReplaced) => {
            world.is_newer(&own, &witness).then_some(witness)
        }
    };
    match older {
        Some(older) => Err(Step::Read(vec![Query::Get(older)]).into()),
        None => Ok(heard),
    }
}

/// Brings the witness up to an authority that this run has changed, so that what it was is known later. It never says more than what
/// was written: a change that still is to come may fail.
pub fn follow<R>(authority: &str, world: &World) -> Result<(), Stop<R>> {
    let own = CredentialNames::of_authority(authority).state();
    if world.change_of(&own).is_none() {
        return Ok(());
    }
    let written = world.required(&own)?.map(AuthorityState::read);
    let Some(Ok(state)) = written else {
        return Ok(());
    };
    let wanted = |inventory: String, dropped: Option<Dropped>| Witness {
        authority: state.authority.clone(),
        inventory,
        revision: state.revision,
        dropped: Some(dropped.unwrap_or_default().with(&state)),
    };
    match hear(authority, Some(&state), world)? {
        Some(heard) if heard.revision < state.revision => {
            let object = wanted(heard.inventory, heard.dropped).object();
            let live = world.required(&reference(authority))?;
            let Some(live) = live else { return Ok(()) };
            Err(Step::Write(Write::Replace(object.changing(live))).into())
        }
        None if state.inventory.is_none() => {
            let object = wanted(world.random_id(), None).object();
            Err(Step::Write(Write::Create(object)).into())
        }
        _ => Ok(()),
    }
}

/// The id of the inventory of a new authority, whose witness is laid before the authority itself. Refuses where there was an
/// authority of this name before: a new CA in its place would shut all of its clients out.
pub fn lay<R>(authority: &str, world: &World) -> Result<String, Stop<R>> {
    match hear(authority, None, world)? {
        Some(heard) => match Fault::of(None, Some(&heard)) {
            Some(fault) => Err(fault.refusal(authority).into()),
            None => Ok(heard.inventory),
        },
        None => {
            let witness = Witness {
                authority: authority.to_owned(),
                inventory: world.random_id(),
                revision: 0,
                dropped: Some(Dropped::default()),
            };
            Err(Step::Write(Write::Create(witness.object())).into())
        }
    }
}

/// Refuses while the authority is not what it was; where `inventory` counts, while that is not.
pub fn check<R>(state: &AuthorityState, inventory: bool, world: &World) -> Result<(), Stop<R>> {
    let heard = hear(&state.authority, Some(state), world)?;
    let fault = Fault::of(Some(state), heard.as_ref());
    let counts = |fault: &Fault| match fault {
        Fault::InventoryLost | Fault::InventoryReplaced => inventory,
        Fault::AuthorityLost | Fault::RolledBack { .. } => true,
    };
    match fault.filter(counts) {
        Some(fault) => Err(fault.refusal(&state.authority).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::authority;

    fn state(revision: u64, inventory: Option<&str>) -> AuthorityState {
        let ca = authority().certificate().clone();
        AuthorityState {
            revision,
            inventory: inventory.map(str::to_owned),
            ..AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
        }
    }

    fn witness(revision: u64, inventory: &str) -> Witness {
        Witness {
            authority: "kyma-mtls".to_owned(),
            inventory: inventory.to_owned(),
            revision,
            dropped: None,
        }
    }

    #[test]
    fn a_witness_that_lags_proves_nothing_and_one_that_leads_does() {
        let now = state(5, Some("a"));
        for seen in [0, 4, 5] {
            assert_eq!(Fault::of(Some(&now), Some(&witness(seen, "a"))), None);
        }
        let fault = Fault::of(Some(&now), Some(&witness(6, "a")));
        assert_eq!(fault, Some(Fault::RolledBack { at: 5, was: 6 }));
    }

    #[test]
    fn an_inventory_is_known_by_its_id() {
        let now = state(5, Some("a"));
        assert_eq!(Fault::of(Some(&now), None), Some(Fault::InventoryLost));
        let other = witness(1, "b");
        let fault = Fault::of(Some(&now), Some(&other));
        assert_eq!(fault, Some(Fault::InventoryReplaced));
        // An authority of before there were witnesses.
        let before = state(5, None);
        assert_eq!(Fault::of(Some(&before), None), None);
        assert_eq!(Fault::of(Some(&before), Some(&other)), None);
    }

    #[test]
    fn an_authority_that_never_was_is_not_lost() {
        assert_eq!(Fault::of(None, None), None);
        assert_eq!(Fault::of(None, Some(&witness(0, "a"))), None);
        let fault = Fault::of(None, Some(&witness(1, "a")));
        assert_eq!(fault, Some(Fault::AuthorityLost));
    }
}
