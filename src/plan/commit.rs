//! Changes of an authority, under the resourceVersion that was read; a single write commits the change and publishes it to gateways.

use time::{Duration, OffsetDateTime};

use super::authority::{Unmoved, absent, follower, unmoved};
use super::{Effect, Observed, Query, Reconciled, Write, Written, witness};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::pki::crl::{Crl, succession};
use crate::resources::audit::{self, AuditEntry};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::field_managers::keeper;
use crate::resources::names::CredentialNames;
use crate::resources::{Object, ObjectRef, capacity};

/// The largest clock difference without a note.
const TOLERATED: Duration = Duration::minutes(5);
const CLOCK: &str = "this machine's clock is";

/// An authority as read, before a change.
#[derive(Debug)]
pub struct Standing<'a> {
    /// The ConfigMap with the state.
    pub object: &'a Object,
    /// The authority's state.
    pub state: AuthorityState,
    /// The trust bundle and revocation lists that gateways read: those of the state, or of the
    /// Secret that one of them reads instead.
    pub published: ClientCa,
    /// The Secret that must have the state's content, as it was read.
    pub follower: Option<&'a Object>,
    /// The inventory id in the witness, if it was read.
    pub inventory: Option<String>,
}

impl<'a> Standing<'a> {
    /// An authority for a report only, which is not changed.
    pub fn preview(object: &'a Object, state: AuthorityState, published: ClientCa) -> Self {
        Self {
            object,
            state,
            published,
            follower: None,
            inventory: None,
        }
    }

    /// Refuses to change an authority, or the Secret that has its content, if a tool such as Argo
    /// CD manages it.
    pub fn may_change(&self, force: bool) -> Result<(), Failure> {
        refuse_kept(self.object, force)?;
        self.follower
            .map_or(Ok(()), |secret| refuse_kept(secret, force))
    }

    /// The last change in this run of the objects that gateways read.
    pub fn last_publication<'w>(&self, observed: &'w Observed) -> Option<&'w Written> {
        let secret = follower(&self.state).and_then(|secret| observed.change_of(&secret));
        secret.or_else(|| observed.change_of(self.object.reference()))
    }
}

/// Refuses to change an object that a tool such as Argo CD manages: the tool would undo the change, and revoked clients would be accepted
/// again.
pub fn refuse_kept(object: &Object, force: bool) -> Result<(), Failure> {
    match keeper(object).filter(|_| !force) {
        Some(keeper) => Err(Failure::refused(format!(
            "{keeper} manages {}, and would undo the change",
            object.reference()
        ))
        .hint(
            "remove the object from what the tool manages, or change it anyway with `--force-conflicts`",
        )),
        None => Ok(()),
    }
}

/// Reads an authority that is to be changed, and first completes an interrupted run.
///
/// Refuses an authority whose change could not be published: a Gateway reads a Secret instead that is missing, may not be read, or does not
/// belong to the authority.
pub fn standing<'a>(
    authority: &str,
    force: bool,
    observed: &'a Observed,
    now: OffsetDateTime,
) -> Reconciled<Standing<'a>> {
    let reference = CredentialNames::of_authority(authority).state();
    observed.prefetch([Query::Get(reference.clone())])?;
    tell_clock(observed)?;
    let Some(object) = observed.get(&reference)? else {
        return Err(absent(authority, &[], observed)?.into());
    };
    let state =
        AuthorityState::read(object).map_err(|error| witness::unreadable(authority, &error))?;
    let published = match unmoved(&state, force, observed, now)? {
        // Whether a Gateway waits for the Secret is seen when it is looked at; a revocation must not wait.
        Unmoved::None | Unmoved::Missing(_) => ClientCa::of(&state).map_err(|error| {
            Failure::refused(format!("the authority `{authority}` trusts nobody"))
                .caused_by(error)
                .hint("restore the authority from a backup")
        })?,
        Unmoved::Following(secret, shown) => {
            check_own(&secret, &shown, &state)?;
            shown
        }
        Unmoved::Unseen { secret, denial } => {
            return Err(
                Failure::refused(format!("forbidden: cannot read {secret}: {denial}"))
                    .for_want_of_rights()
                    .into(),
            );
        }
    };
    let follower = match follower(&state) {
        Some(secret) => observed.try_get(&secret)?.found().copied(),
        None => None,
    };
    Ok(Standing {
        object,
        state,
        published,
        follower,
        inventory: None,
    })
}

/// Continues with an intact authority of the cluster and an updated witness. `inventory`: whether the inventory must be intact, too.
pub fn witnessed<'a>(
    mut found: Standing<'a>,
    inventory: bool,
    observed: &Observed,
) -> Reconciled<Standing<'a>> {
    let authority = found.state.authority.clone();
    witness::check(&found.state, inventory, observed)?;
    witness::follow(&authority, observed)?;
    let heard = witness::hear(&authority, Some(&found.state), observed)?;
    found.inventory = heard.map(|heard| heard.inventory);
    Ok(found)
}

fn check_own(secret: &ObjectRef, shown: &ClientCa, state: &AuthorityState) -> Result<(), Failure> {
    if shown.authority.as_ref() == Some(&state.authority) {
        return Ok(());
    }
    let whose = match &shown.authority {
        Some(authority) => format!("the authority `{authority}`"),
        None => "no authority: kubectl-mtls did not write it".to_owned(),
    };
    Err(Failure::refused(format!(
        "{secret}, from which the gateway reads its client CA, belongs to {whose}"
    )))
}

/// Commits a change: the state's next revision, with a history entry. A Secret that a Gateway reads instead is updated in [`standing`].
///
/// Refuses a state that could not be published: see [`succession::check`] and [`fits`].
pub fn commit(
    standing: &Standing<'_>,
    next: AuthorityState,
    entry: &AuditEntry,
    now: OffsetDateTime,
) -> Result<Write, Failure> {
    let object = changed(standing, next, entry, now)?;
    fits(&object, 0)?;
    Ok(Write::Replace(object))
}

/// Refuses the object of a state that the API server would not accept, or in which less than `room` bytes stay free.
pub fn fits(state: &Object, room: usize) -> Result<(), Failure> {
    capacity::check(state, room).map_err(|error| {
        refused(state.name(), error).hint(
            "`kubectl mtls ca-rotate` starts a CA with an empty revocation list; once the rotation is finished, the old list is removed",
        )
    })
}

fn refused(authority: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::refused(format!(
        "this change of the authority `{authority}` is not possible"
    ))
    .caused_by(error.into())
}

/// The object with a changed state, to be written or tried in a dry run.
pub fn changed(
    standing: &Standing<'_>,
    mut next: AuthorityState,
    entry: &AuditEntry,
    now: OffsetDateTime,
) -> Result<Object, Failure> {
    next.revision = standing.state.revision + 1;
    audit::add(&mut next.history, entry);
    next.inventory = next.inventory.or_else(|| standing.inventory.clone());
    // Beside a renewed one of its subject, a CA that has expired would have everybody refused.
    next.external.retain(|ca| !ca.is_expired(now));
    next.readmitted.clear();
    let authority = &next.authority;
    let before = crls(&standing.state).map_err(|error| refused(authority, error))?;
    let after = crls(&next).map_err(|error| refused(authority, error))?;
    let bundle =
        Bundle::compose(next.admitted(), now).map_err(|error| refused(authority, error))?;
    succession::check(bundle.certificates(), &before, &after, now)
        .map_err(|error| refused(authority, error))?;
    Ok(next.changing(standing.object))
}

/// The CRLs of a state.
pub fn crls(state: &AuthorityState) -> Result<Vec<Crl>, crate::pki::crl::Error> {
    let mut all = Vec::new();
    for pem in &state.crls {
        all.extend(Crl::many_from_pem(pem)?);
    }
    Ok(all)
}

/// Adds a note if this machine's clock is wrong: the API server's time is used.
fn tell_clock(observed: &Observed) -> Reconciled<()> {
    let Some(ahead) = observed
        .clock_ahead()
        .filter(|ahead| ahead.abs() > TOLERATED)
    else {
        return Ok(());
    };
    if observed
        .notified()
        .iter()
        .any(|told| told.starts_with(CLOCK))
    {
        return Ok(());
    }
    let direction = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    Err(Effect::Notify(format!(
        "{CLOCK} {} minutes {direction} the API server's: the server's time is used",
        ahead.abs().whole_minutes()
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::{NOW, authority};
    use crate::plan::Blocked;
    use crate::plan::Event;
    use crate::plan::Seen;
    use crate::resources::audit::Transition;
    use crate::resources::names::GatewayName;

    fn state() -> AuthorityState {
        let ca = authority().certificate().clone();
        AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
            .serving(&GatewayName::new("shop", "gateway"))
    }

    fn observed(state: &AuthorityState) -> Observed {
        let mut observed = Observed::default();
        let reference = CredentialNames::first().state();
        let object = state.object().with_resource_version(Some("7"));
        observed.saw(Query::Get(reference), Seen::Found(vec![object]));
        observed
    }

    fn entry() -> AuditEntry {
        AuditEntry {
            transition: Transition::ClientsRevoked,
            who: "ada".to_owned(),
            at: NOW,
            what: "did something".to_owned(),
            ids: Vec::new(),
        }
    }

    #[test]
    fn a_change_is_the_next_revision_under_the_version_that_was_read_with_a_line_of_history() {
        let state = state();
        let observed = observed(&state);
        let found: Standing<'_> = standing("kyma-mtls", false, &observed, NOW).unwrap();
        let object = changed(&found, state, &entry(), NOW).unwrap();
        let next = AuthorityState::read(&object).unwrap();
        assert_eq!((next.revision, object.resource_version()), (2, "7"));
        assert!(next.history.last().unwrap().contains("ada did something"));
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_before_it_is_written() {
        let state = state();
        let observed = observed(&state);
        let found: Standing<'_> = standing("kyma-mtls", false, &observed, NOW).unwrap();
        let mut next = state.clone();
        next.dropped = (0..20_000).map(|n| format!("{n:064x}")).collect();
        let failure = commit(&found, next, &entry(), NOW).unwrap_err();
        assert!(
            failure.to_string().contains("can hold 1048576"),
            "{failure}"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_told_once() {
        let state = state();
        let mut observed = observed(&state);
        observed.apply(Event::ClockAhead(Duration::minutes(-11)));
        let Err(Blocked::On(step)) = standing("kyma-mtls", false, &observed, NOW) else {
            panic!("nothing is told");
        };
        let Effect::Notify(text) = *step else {
            panic!("nothing is told");
        };
        assert!(text.contains("11 minutes behind"), "{text}");
        observed.apply(Event::Notified(text));
        assert!(standing("kyma-mtls", false, &observed, NOW).is_ok());
    }
}
