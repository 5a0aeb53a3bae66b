//! The cluster's authority: made keys first, then the state that names them; published as its state says.

pub mod choice;

use time::{Duration, OffsetDateTime};

use super::identity::CLIENT_TTL;
use super::{Query, Seen, Step, Stop, World, Write};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::resources::authority::{AuthorityState, Origin, keys_object};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames, FIELD_MANAGER,
    GatewayName, MANAGED_BY,
};
use crate::resources::{Kind, Object, ObjectRef};

/// How a new CA is made.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// The authority's name; part of the CA's subject together with a random part, since a subject is never used twice.
    pub name: String,
    /// How long the CA lives.
    pub ttl: Duration,
    /// The kind of its key.
    pub key_type: KeyType,
}

impl NewAuthority {
    /// P-256, five years.
    pub fn of_name(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ttl: Duration::days(5 * 365),
            key_type: KeyType::P256,
        }
    }
}

/// The two namespaces that hold all that the plugin remembers.
pub fn namespaces() -> [ObjectRef; 2] {
    [AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE].map(ObjectRef::namespace)
}

/// Creates the namespaces that are known to be missing. Where they may not be read they are taken to be there.
pub fn create_namespaces<R>(world: &World) -> Option<Step<R>> {
    let missing = namespaces()
        .into_iter()
        .find(|namespace| matches!(world.seen(namespace), Seen::Missing))?;
    let object = Object::new(missing).with_label(MANAGED_BY, FIELD_MANAGER);
    Some(Step::Write(Write::Create(object)))
}

/// The next step towards an authority where there is none; `serving` names its Gateway and its client-CA Secret.
///
/// Killed between keys and state, it leaves keys that no state names; the next run takes the next free name for its own.
pub fn establish<R>(
    names: &CredentialNames,
    new: &NewAuthority,
    serving: Option<(&GatewayName, &str)>,
    world: &World,
) -> Result<Step<R>, Failure> {
    let Some(minted) = &world.minted else {
        return Ok(Step::MakeAuthority(new.clone()));
    };
    let keys = match keep_key(names, minted, Origin::Made, world) {
        Ok(keys) => keys,
        Err(Stop::Do(step)) => return Ok(*step),
        Err(Stop::Fail(failure)) => return Err(failure),
    };
    let mut state = AuthorityState::new(&names.authority, minted.certificate().clone(), &keys.name);
    if let Some((gateway, secret)) = serving {
        state = state.serving(gateway, secret);
    }
    Ok(Step::Write(Write::Create(state.object())))
}

/// Puts the key of an authority's first CA into a Secret of its own, and tells which.
pub fn keep_key<R>(
    names: &CredentialNames,
    ca: &Authority,
    origin: Origin,
    world: &World,
) -> Result<ObjectRef, Stop<R>> {
    if let Some(step) = create_namespaces(world) {
        return Err(step.into());
    }
    let mut candidates = (1..=MOST_NAMES).map(|n| names.keys(n));
    let Some(keys) = candidates.find(|keys| !world.is_taken(keys)) else {
        return Err(Failure::refused(format!(
            "{MOST_NAMES} Secrets for the keys of `{}` exist, and no state",
            names.authority
        ))
        .hint(format!(
            "look at them with `kubectl -n {AUTHORITY_NAMESPACE} get secrets`"
        ))
        .into());
    };
    if world.change_of(&keys).is_none() {
        let object = keys_object(keys, &names.authority, ca.certificate(), ca.key(), origin);
        return Err(Step::Write(Write::Create(object)).into());
    }
    Ok(keys)
}

const MOST_NAMES: u32 = 100;

/// The authorities of the cluster.
pub fn others() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: true,
    }
}

/// The error on an authority that does not exist; it names those that do, as far as [`others`] may be listed.
pub fn unknown(authority: &str, world: &World) -> Failure {
    let failure = Failure::refused(format!("there is no authority `{authority}`"));
    match world.list(&others()).found() {
        Some([]) => failure.hint("there is none at all yet"),
        Some(objects) => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("`{}`", object.name()))
                .collect();
            failure.hint(format!("there are: {}", names.join(", ")))
        }
        None => failure.hint("which ones there are may not be listed"),
    }
}

/// What to know of a CA that ends before a certificate made now for the default time would: none outlives it.
pub fn ends_soon(ca: &Certificate, now: OffsetDateTime) -> Option<String> {
    let left = ca.not_after() - now;
    (left < CLIENT_TTL).then(|| {
        format!(
            "the client CA `{}` ends on {}, in {} days, and no certificate outlives it",
            ca.subject(),
            ca.not_after().date(),
            left.whole_days().max(0)
        )
    })
}

/// What gateways read of an authority.
#[derive(Debug, Clone)]
pub enum Publication {
    /// No Gateway reads it yet.
    None,
    /// The client-CA Secret that the state names, up to date.
    Shown(ClientCa),
    /// That Secret does not exist.
    Missing(ObjectRef),
    /// It may not be read: nothing is known of it.
    Unseen {
        /// The Secret.
        secret: ObjectRef,
        /// What is not allowed.
        denial: String,
    },
}

/// Reads what the authority's client-CA Secret shows, and first brings it up to the state where it lags behind: a run was
/// interrupted between the two writes.
///
/// A Secret that shows another authority's state, or none, is somebody else's and stays as it is.
pub fn publication<R>(
    state: &AuthorityState,
    world: &World,
    now: OffsetDateTime,
) -> Result<Publication, Stop<R>> {
    let Some(name) = &state.client_ca_secret else {
        return Ok(Publication::None);
    };
    let secret = client_ca::reference(name);
    world.need([Query::Get(secret.clone())])?;
    if let Seen::Denied(denial) = world.seen(&secret) {
        return Ok(Publication::Unseen { secret, denial });
    }
    let Some(object) = world.required(&secret)? else {
        return Ok(Publication::Missing(secret));
    };
    let shown = ClientCa::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    let is_ours = shown.authority.as_ref() == Some(&state.authority);
    let reference = CredentialNames::of_authority(&state.authority).state();
    let is_ahead = shown.revision.is_some_and(|shown| shown > state.revision);
    if is_ours && is_ahead && world.is_newer(&secret, &reference) {
        // Somebody changed both between the two reads; or the state is an old one, which a second look tells.
        return Err(Step::Read(vec![Query::Get(reference)]).into());
    }
    if !is_ours
        || shown
            .revision
            .is_none_or(|revision| revision >= state.revision)
    {
        return Ok(Publication::Shown(shown));
    }
    // The Secret first, then the state: so what is written is never older than what stood there.
    if !world.is_newer(&reference, &secret) {
        return Err(Step::Read(vec![Query::Get(reference)]).into());
    }
    let gateway = state.gateway.as_deref().and_then(|text| text.parse().ok());
    let projected =
        client_ca::project(name, state, gateway.as_ref(), Some(&shown), now).map_err(|error| {
            Failure::refused(format!("{secret} cannot be brought up to date")).caused_by(error)
        })?;
    Err(Step::Write(Write::Replace(projected.changing(object))).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::{NOW, authority};

    const SECRET: &str = "some-cacert";

    fn state() -> AuthorityState {
        let ca = authority().certificate().clone();
        AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
            .serving(&GatewayName::new("shop", "gateway"), SECRET)
    }

    fn secret_of(state: &AuthorityState) -> Object {
        client_ca::project(SECRET, state, None, None, NOW).unwrap()
    }

    fn seen(answer: Seen<Vec<Object>>) -> World {
        let mut world = World::default();
        world.fold_read(Query::Get(client_ca::reference(SECRET)), answer);
        world
    }

    fn answer(state: &AuthorityState, world: &World) -> Result<Publication, Stop<()>> {
        publication(state, world, NOW)
    }

    #[test]
    fn the_secret_that_the_state_names_is_read() {
        let Err(Stop::Do(step)) = answer(&state(), &World::default()) else {
            panic!("nothing was asked");
        };
        let wanted = vec![Query::Get(client_ca::reference(SECRET))];
        assert!(matches!(*step, Step::Read(queries) if queries == wanted));
    }

    #[test]
    fn a_secret_that_lags_is_brought_up_to_the_state_and_keeps_what_others_wrote() {
        let old = state();
        let mut new = old.clone();
        new.revision += 1;
        let mut world = seen(Seen::Found(vec![secret_of(&old).with_label("team", "a")]));
        // The state must have been read after the Secret.
        let Err(Stop::Do(step)) = answer(&new, &world) else {
            panic!("nothing is asked");
        };
        let again = Query::Get(CredentialNames::first().state());
        assert!(matches!(*step, Step::Read(queries) if queries == [again.clone()]));
        world.fold_read(again, Seen::Found(vec![new.object()]));
        let Err(Stop::Do(step)) = answer(&new, &world) else {
            panic!("nothing is written");
        };
        let Step::Write(Write::Replace(object)) = *step else {
            panic!("it is not replaced");
        };
        assert_eq!(ClientCa::read(&object).unwrap().revision, Some(2));
        assert_eq!(object.label("team"), Some("a"));
    }

    #[test]
    fn a_secret_of_another_authority_is_never_overwritten() {
        let mut new = state();
        new.revision = 7;
        let mut other = state();
        other.authority = "other".to_owned();
        let world = seen(Seen::Found(vec![secret_of(&other)]));
        assert!(matches!(answer(&new, &world), Ok(Publication::Shown(_))));
    }

    #[test]
    fn a_denied_read_is_told_apart_from_a_missing_secret() {
        let denied = seen(Seen::Denied("`get` `secrets`".to_owned()));
        assert!(matches!(
            answer(&state(), &denied),
            Ok(Publication::Unseen { .. })
        ));
        assert!(matches!(
            answer(&state(), &seen(Seen::Missing)),
            Ok(Publication::Missing(_))
        ));
        assert!(matches!(
            answer(&state(), &seen(Seen::Failed("HTTP 500".to_owned()))),
            Err(Stop::Fail(_))
        ));
    }
}
