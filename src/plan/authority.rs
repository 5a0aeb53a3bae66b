//! Making the cluster's authority: keys first, then the state that names them.

use time::Duration;

use super::{Step, World, Write};
use crate::error::Failure;
use crate::pki::key::KeyType;
use crate::resources::authority::{AuthorityState, keys_object};
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames, FIELD_MANAGER, GatewayName, MANAGED_BY,
};
use crate::resources::{Object, ObjectRef};

/// How a new CA is made.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        .find(|namespace| matches!(world.seen(namespace), super::Seen::Missing))?;
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
    if let Some(step) = create_namespaces(world) {
        return Ok(step);
    }
    let mut candidates = (1..=MOST_NAMES).map(|n| names.keys(n));
    let Some(keys) = candidates.find(|keys| !world.is_taken(keys)) else {
        return Err(Failure::refused(format!(
            "{MOST_NAMES} Secrets for the keys of `{}` exist, and no state",
            names.authority
        ))
        .hint(format!(
            "look at them with `kubectl -n {AUTHORITY_NAMESPACE} get secrets`"
        )));
    };
    if world.change_of(&keys).is_none() {
        let object = keys_object(keys, &names.authority, minted.certificate(), minted.key());
        return Ok(Step::Write(Write::Create(object)));
    }
    let mut state = AuthorityState::new(&names.authority, minted.certificate().clone(), &keys.name);
    if let Some((gateway, secret)) = serving {
        state = state.serving(gateway, secret);
    }
    Ok(Step::Write(Write::Create(state.object())))
}

const MOST_NAMES: u32 = 100;
