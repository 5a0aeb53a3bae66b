//! Changes of an authority: first its state, under the version that was read, then the Secret that shows it.

use time::{Duration, OffsetDateTime};

use super::authority::{Publication, others, publication, unknown};
use super::{Query, Step, Stop, World, Write};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::pki::crl::{Crl, succession};
use crate::resources::audit::{self, Deed};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::CredentialNames;
use crate::resources::{Object, capacity};

/// A clock that is further off than this is told.
const TOLERATED: Duration = Duration::minutes(5);
const CLOCK: &str = "this machine's clock is";

/// An authority as whoever changes it finds it.
#[derive(Debug)]
pub struct Standing<'a> {
    /// The object of its state.
    pub object: &'a Object,
    /// Its state.
    pub state: AuthorityState,
    /// What gateways read, up to date with the state; none where no Gateway reads it yet.
    pub published: Option<ClientCa>,
}

/// Reads an authority that is to be changed, and first completes what an interrupted run left.
///
/// Refuses whatever a change could not be published by: a client-CA Secret that is missing, that may not be read, that shows
/// another authority, or that is newer than the state.
pub fn standing<'a, R>(
    authority: &str,
    world: &'a World,
    now: OffsetDateTime,
) -> Result<Standing<'a>, Stop<R>> {
    let reference = CredentialNames::of_authority(authority).state();
    world.need([Query::Get(reference.clone())])?;
    tell_clock(world)?;
    let Some(object) = world.required(&reference)? else {
        world.need([others()])?;
        return Err(unknown(authority, world).hint("nothing was changed").into());
    };
    let state = AuthorityState::read(object).map_err(|error| {
        Failure::refused(error.to_string()).hint("nothing was changed; restore it from a backup")
    })?;
    let published = match publication(&state, world, now)? {
        Publication::None => None,
        Publication::Shown(shown) => {
            check_shown(&shown, &state)?;
            Some(shown)
        }
        Publication::Missing(secret) => {
            return Err(Failure::refused(format!(
                "{secret}, from which the gateway reads whom it trusts, does not exist"
            ))
            .hint("`kubectl mtls expose SERVICE` makes it anew; nothing was changed")
            .into());
        }
        Publication::Unseen { secret, denial } => {
            return Err(Failure::refused(format!(
                "{secret} must be read first, and may not be: {denial}"
            ))
            .for_want_of_rights()
            .into());
        }
    };
    Ok(Standing {
        object,
        state,
        published,
    })
}

fn check_shown(shown: &ClientCa, state: &AuthorityState) -> Result<(), Failure> {
    let secret = client_ca::reference(state.client_ca_secret.as_deref().unwrap_or_default());
    if shown.authority.as_ref() != Some(&state.authority) {
        let whose = match &shown.authority {
            Some(authority) => format!("the authority `{authority}`"),
            None => "no authority: somebody else wrote it".to_owned(),
        };
        return Err(Failure::refused(format!(
            "{secret}, from which the gateway reads whom it trusts, shows {whose}"
        ))
        .hint("nothing was changed"));
    }
    match shown.revision {
        Some(revision) if revision <= state.revision => Ok(()),
        Some(revision) => Err(Failure::refused(format!(
            "{secret} shows revision {revision} of the authority `{}`, whose state is at {}: an old state was put back",
            state.authority, state.revision
        ))
        .hint("restore the newest state: this one lacks what was trusted and revoked since; nothing was changed")),
        None => Err(Failure::refused(format!(
            "{secret} does not say which revision of the authority `{}` it shows: it was edited by hand",
            state.authority
        ))
        .hint("restore it from a backup; nothing was changed")),
    }
}

/// Commits a change: the state's next revision, with a line in its history. What gateways read follows in [`standing`].
///
/// Refuses a state that could not be published: see [`succession::check`] and [`fits`].
pub fn commit<R>(
    standing: &Standing<'_>,
    next: AuthorityState,
    deed: &Deed,
    now: OffsetDateTime,
) -> Result<Step<R>, Failure> {
    let object = changed(standing, next, deed, now)?;
    fits(&object, 0)?;
    Ok(Step::Write(Write::Replace(object)))
}

/// Refuses the object of a state that the API server would not take, or in which less than `room` bytes stay free.
pub fn fits(state: &Object, room: usize) -> Result<(), Failure> {
    capacity::check(state, room).map_err(|error| {
        refused(state.name(), error).hint(
            "`kubectl mtls ca-rotate` starts a CA with an empty revocation list; once it is finished, the old list goes",
        )
    })
}

fn refused(authority: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::refused(format!("the authority `{authority}` cannot be changed so"))
        .caused_by(error.into())
        .hint("nothing was changed")
}

/// The state's object with a change, ready to be written or tried out.
pub fn changed(
    standing: &Standing<'_>,
    mut next: AuthorityState,
    deed: &Deed,
    now: OffsetDateTime,
) -> Result<Object, Failure> {
    next.revision = standing.state.revision + 1;
    audit::add(&mut next.history, deed);
    let authority = &next.authority;
    let before = crls(&standing.state).map_err(|error| refused(authority, error))?;
    let after = crls(&next).map_err(|error| refused(authority, error))?;
    let bundle = Bundle::compose(next.trusted.iter().cloned(), now)
        .map_err(|error| refused(authority, error))?;
    succession::check(bundle.certificates(), &before, &after, now)
        .map_err(|error| refused(authority, error))?;
    Ok(next.object().changing(standing.object))
}

/// The CRLs of a state.
pub fn crls(state: &AuthorityState) -> Result<Vec<Crl>, crate::pki::crl::Error> {
    let mut all = Vec::new();
    for pem in &state.crls {
        all.extend(Crl::many_from_pem(pem)?);
    }
    Ok(all)
}

/// Tells of a clock that is off: the API server's time is what counts.
fn tell_clock<R>(world: &World) -> Result<(), Stop<R>> {
    let Some(ahead) = world.clock_ahead.filter(|ahead| ahead.abs() > TOLERATED) else {
        return Ok(());
    };
    if world.told.iter().any(|told| told.starts_with(CLOCK)) {
        return Ok(());
    }
    let direction = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    Err(Step::Tell(format!(
        "{CLOCK} {} minutes {direction} the API server's: the server's time is used",
        ahead.abs().whole_minutes()
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::{NOW, authority};
    use crate::plan::Seen;
    use crate::resources::names::GatewayName;

    const SECRET: &str = "kyma-mtls-clients-cacert";

    fn state() -> AuthorityState {
        let ca = authority().certificate().clone();
        AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
            .serving(&GatewayName::new("shop", "gateway"), SECRET)
    }

    fn world(state: &AuthorityState, secret: Object) -> World {
        let mut world = World::default();
        let secret_name = client_ca::reference(SECRET);
        world.fold_read(Query::Get(secret_name), Seen::Found(vec![secret]));
        let reference = CredentialNames::first().state();
        let object = state.object().with_resource_version(Some("7"));
        world.fold_read(Query::Get(reference), Seen::Found(vec![object]));
        world
    }

    fn shown(state: &AuthorityState) -> Object {
        client_ca::project(SECRET, state, None, None, NOW).unwrap()
    }

    fn deed() -> Deed {
        Deed {
            who: "ada".to_owned(),
            at: NOW,
            reason: "Tested",
            what: "did something".to_owned(),
            ids: Vec::new(),
        }
    }

    #[test]
    fn a_change_is_the_next_revision_under_the_version_that_was_read_with_a_line_of_history() {
        let state = state();
        let world = world(&state, shown(&state));
        let found: Standing<'_> = standing::<()>("kyma-mtls", &world, NOW).unwrap();
        let object = changed(&found, state, &deed(), NOW).unwrap();
        let next = AuthorityState::read(&object).unwrap();
        assert_eq!((next.revision, object.resource_version()), (2, "7"));
        assert!(next.history.last().unwrap().contains("ada did something"));
    }

    #[test]
    fn an_old_state_that_was_put_back_is_never_changed() {
        let mut newer = state();
        let old = newer.clone();
        newer.revision = 5;
        let world = world(&old, shown(&newer));
        let Err(Stop::Fail(failure)) = standing::<()>("kyma-mtls", &world, NOW) else {
            panic!("it is used");
        };
        assert!(failure.to_string().contains("an old state was put back"));
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_before_it_is_written() {
        let state = state();
        let world = world(&state, shown(&state));
        let found: Standing<'_> = standing::<()>("kyma-mtls", &world, NOW).unwrap();
        let mut next = state.clone();
        next.dropped = (0..20_000).map(|n| format!("{n:064x}")).collect();
        let failure = commit::<()>(&found, next, &deed(), NOW).unwrap_err();
        assert!(
            failure.to_string().contains("can hold 1048576"),
            "{failure}"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_told_once() {
        let state = state();
        let mut world = world(&state, shown(&state));
        world.clock_ahead = Some(Duration::minutes(-11));
        let Err(Stop::Do(step)) = standing::<()>("kyma-mtls", &world, NOW) else {
            panic!("nothing is told");
        };
        let Step::Tell(text) = *step else {
            panic!("nothing is told");
        };
        assert!(text.contains("11 minutes behind"), "{text}");
        world.told.insert(text);
        assert!(standing::<()>("kyma-mtls", &world, NOW).is_ok());
    }
}
