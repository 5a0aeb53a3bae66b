//! The authority in the cluster: its keys are stored first, then the state that names them, which is also the object that gateways read.

pub mod choice;
mod earlier;

pub use earlier::{earlier_secrets, earlier_secrets_unknown};
use time::{Duration, OffsetDateTime};

use super::identity::CLIENT_TTL;
use super::witness::{self, Fault};
use super::{Blocked, Effect, Generate, Observed, Query, Reconciled, Seen, Write};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::names::Subject;
use crate::pki::when;
use crate::resources::authority::{AuthorityState, Origin, keys_object};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::fail_closed::{self, Standing};
use crate::resources::field_managers::keeper;
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames, FIELD_MANAGER,
    GatewayName, MANAGED_BY,
};
use crate::resources::witness::reference;
use crate::resources::{Kind, Object, ObjectRef};

/// The parameters of a new CA.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// The authority's name; part of the CA's subject together with a random part, since a subject is never used twice.
    pub name: String,
    /// The CA's lifetime.
    pub ttl: Duration,
    /// The type of the CA's key.
    pub key_type: KeyType,
    /// The CA's subject, which no CA of the authority had before; `None` for the default.
    pub subject: Option<Subject>,
}

impl NewAuthority {
    /// The default parameters: P-256, five years.
    pub fn of_name(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ttl: Duration::days(5 * 365),
            key_type: KeyType::P256,
            subject: None,
        }
    }
}

/// The two namespaces of all objects that the plugin needs to remember.
pub fn namespaces() -> [ObjectRef; 2] {
    [AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE].map(ObjectRef::namespace)
}

/// Creates the namespaces that this run has found missing. Those that were not read, or may not be, are assumed to exist.
pub fn create_namespaces(observed: &Observed) -> Option<Effect> {
    let missing = namespaces()
        .into_iter()
        .find(|namespace| matches!(observed.already_read(namespace), Some(Seen::Missing)))?;
    let object = Object::new(missing).with_label(MANAGED_BY, FIELD_MANAGER);
    Some(Effect::Write(Write::Create(object)))
}

/// The place of a new authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// The cluster, with a witness beside the inventory; for this Gateway, if there is one, with a note of its mesh configurations.
    Cluster(Option<(&'a GatewayName, Option<&'a str>)>),
    /// A directory.
    Directory,
}

/// Creates a missing authority.
///
/// A run that is killed between keys and state leaves keys that no state names; the next run uses the next free name for its own, and the
/// next rotation removes the keys that were left.
pub fn establish(
    names: &CredentialNames,
    new: &NewAuthority,
    home: Home<'_>,
    observed: &Observed,
) -> Blocked {
    match established(names, new, home, observed) {
        Ok(state) => Write::Create(state.object()).into(),
        Err(blocked) => blocked,
    }
}

/// The state of a new authority, once the objects that must precede it exist.
fn established(
    names: &CredentialNames,
    new: &NewAuthority,
    home: Home<'_>,
    observed: &Observed,
) -> Reconciled<AuthorityState> {
    let inventory = match home {
        Home::Cluster(_) => Some(prepare(&names.authority, None, observed)?),
        Home::Directory => None,
    };
    let Some(ca) = observed.generated_authority() else {
        return Err(Generate::Authority(new.clone()).into());
    };
    let keys = keep_key(names, ca, Origin::Made, observed)?;
    let mut state = AuthorityState::new(&names.authority, ca.certificate().clone(), &keys.name);
    state.inventory = inventory;
    if let Home::Cluster(Some((gateway, mesh_configs))) = home {
        state = state.serving(gateway);
        state.mesh_configs = mesh_configs.map(str::to_owned);
    }
    Ok(state)
}

/// Creates the objects that must precede a new authority of the cluster, or its binding to an inventory: the namespaces, and the witness,
/// which holds the inventory's id.
pub fn prepare(
    authority: &str,
    state: Option<&AuthorityState>,
    observed: &Observed,
) -> Reconciled<String> {
    observed.prefetch([Query::Get(reference(authority))])?;
    if let Some(step) = create_namespaces(observed) {
        return Err(step.into());
    }
    witness::lay(authority, state, observed)
}

/// Stores the key of an authority's first CA in a new Secret; returns the Secret's name.
pub fn keep_key(
    names: &CredentialNames,
    ca: &Authority,
    origin: Origin,
    observed: &Observed,
) -> Reconciled<ObjectRef> {
    if let Some(step) = create_namespaces(observed) {
        return Err(step.into());
    }
    let mut candidates = (1..=MOST_NAMES).map(|n| names.keys(n));
    let Some(keys) = candidates.find(|keys| !observed.is_taken(keys)) else {
        return Err(Failure::refused(format!(
            "{MOST_NAMES} Secrets for the keys of `{}` exist, but not the state of the authority",
            names.authority
        ))
        .hint(format!(
            "list them with `kubectl -n {AUTHORITY_NAMESPACE} get secrets`"
        ))
        .into());
    };
    if observed.change_of(&keys).is_none() {
        let object = keys_object(keys, &names.authority, ca.certificate(), ca.key(), origin);
        return Err(Effect::Write(Write::Create(object)).into());
    }
    Ok(keys)
}

/// How many names are tried for the Secret of the keys.
pub const MOST_NAMES: u32 = 100;

/// The query for the authorities of the cluster.
pub fn others() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: true,
    }
}

/// The error about an authority that does not exist; it names the existing ones, if [`others`] may be listed.
pub fn unknown(authority: &str, observed: &Observed) -> Reconciled<Failure> {
    let failure = Failure::refused(format!("there is no authority `{authority}`"));
    Ok(match observed.try_list(&others())?.found() {
        Some([]) => failure.hint("no authority exists yet"),
        Some(objects) => {
            let names: Vec<String> = objects
                .iter()
                .map(|object| format!("`{}`", object.name()))
                .collect();
            failure.hint(format!("existing authorities: {}", names.join(", ")))
        }
        None => failure.hint("the existing authorities may not be listed"),
    })
}

/// The error about an authority of the cluster that does not exist: lost, if its witness exists, else unknown, with the commands that
/// create one.
pub fn absent(authority: &str, makes_one: &[&str], observed: &Observed) -> Reconciled<Failure> {
    observed.prefetch([others(), Query::Get(reference(authority))])?;
    let heard = witness::hear(authority, None, observed)?;
    Ok(match Fault::of(None, heard.as_ref()) {
        Some(fault) => fault.refusal(authority),
        None => makes_one
            .iter()
            .fold(unknown(authority, observed)?, |failure, hint| {
                failure.hint(*hint)
            }),
    })
}

/// The note on a CA that ends before a certificate with the default lifetime would: no certificate outlives its CA.
pub fn ends_soon(ca: &Certificate, now: OffsetDateTime) -> Option<String> {
    let left = ca.not_after() - now;
    (left < CLIENT_TTL).then(|| {
        format!(
            "the client CA `{}` ends on {}, in {}, and no certificate outlives it",
            ca.subject(),
            when::end(ca.not_after(), now),
            when::span(left)
        )
    })
}

/// The Secret that a Gateway reads instead of its authority, until the Gateway is moved.
#[derive(Debug, Clone)]
pub enum Unmoved {
    /// There is no such Secret: gateways read the authority itself.
    None,
    /// The Secret has the authority's content.
    Following(ObjectRef, ClientCa),
    /// The Secret does not exist.
    Missing(ObjectRef),
    /// The Secret may not be read, so its content is not known.
    Unseen {
        /// The Secret.
        secret: ObjectRef,
        /// The denied access.
        denial: String,
    },
}

/// The Secret that must have the content of a state, because a Gateway may read it instead of the
/// authority.
pub fn follower(state: &AuthorityState) -> Option<ObjectRef> {
    state.client_ca_secret.as_deref().map(client_ca::of_note)
}

/// Reads the Secret that a Gateway reads instead of the authority, and first updates it if it differs from the state: a run was interrupted
/// between the two writes.
///
/// A Secret of another authority, or of none, belongs to somebody else and stays as it is; so does one that a tool such as Argo CD manages,
/// unless `force` is set.
pub fn unmoved(
    state: &AuthorityState,
    force: bool,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Unmoved> {
    let Some(secret) = follower(state) else {
        return Ok(Unmoved::None);
    };
    if let Seen::Denied(denial) = observed.try_get(&secret)? {
        return Ok(Unmoved::Unseen { secret, denial });
    }
    let Some(object) = observed.get(&secret)? else {
        return Ok(Unmoved::Missing(secret));
    };
    let shown = ClientCa::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    if fail_closed::standing(object) == Standing::Closed {
        // The move is all but over: nobody reads it any more.
        return Ok(Unmoved::None);
    }
    let is_kept = keeper(object).is_some() && !force;
    if is_kept || shown.authority.as_ref() != Some(&state.authority) {
        return Ok(Unmoved::Following(secret, shown));
    }
    let followed = client_ca::follow(object, state, now);
    if matches!(&followed, Ok(followed) if followed.is_contained_in(object)) {
        return Ok(Unmoved::Following(secret, shown));
    }
    // The Secret first, then the state: so what is written is never older than what stood there.
    let own = CredentialNames::of_authority(&state.authority).state();
    if !observed.is_newer(&own, &secret) {
        return Err(Effect::Read(vec![Query::Get(own)]).into());
    }
    let followed = followed.map_err(|error| {
        Failure::refused(format!(
            "{secret}, which a Gateway reads in the place of the authority `{}`, cannot be updated",
            state.authority
        ))
        .caused_by(error)
    })?;
    Err(Effect::Write(Write::Replace(followed)).into())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde_json::json;

    use super::*;
    use crate::pki::tests::{NOW, authority};

    const SECRET: &str = "some-cacert";

    fn state() -> AuthorityState {
        let ca = authority().certificate().clone();
        let mut state = AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
            .serving(&GatewayName::new("shop", "gateway"));
        state.client_ca_secret = Some(SECRET.to_owned());
        state
    }

    fn secret_of(state: &AuthorityState) -> Object {
        let bundle = ClientCa::of(state).unwrap().bundle.to_pem();
        let data = json!({"cacert": BASE64.encode(bundle)});
        Object::new(client_ca::secret("istio-system", SECRET))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(AUTHORITY_LABEL, &state.authority)
            .with("data", data)
    }

    fn seen(answer: Seen<Vec<Object>>) -> Observed {
        let mut observed = Observed::default();
        observed.saw(
            Query::Get(client_ca::secret("istio-system", SECRET)),
            answer,
        );
        observed
    }

    fn answer(state: &AuthorityState, observed: &Observed) -> Reconciled<Unmoved> {
        unmoved(state, false, observed, NOW)
    }

    #[test]
    fn the_secret_that_the_state_names_is_read_and_no_other() {
        let Err(Blocked::On(step)) = answer(&state(), &Observed::default()) else {
            panic!("nothing was asked");
        };
        let wanted = vec![Query::Get(client_ca::secret("istio-system", SECRET))];
        assert!(matches!(*step, Effect::Read(queries) if queries == wanted));
        let mut moved = state();
        moved.client_ca_secret = None;
        let answer = answer(&moved, &Observed::default());
        assert!(matches!(answer, Ok(Unmoved::None)));
    }

    #[test]
    fn a_secret_that_lags_is_brought_up_to_the_state_and_keeps_what_others_wrote() {
        let old = state();
        let mut new = old.clone();
        new.revision += 1;
        new.trusted.push(authority().certificate().clone());
        let mut observed = seen(Seen::Found(vec![secret_of(&old).with_label("team", "a")]));
        // The state must have been read after the Secret.
        let Err(Blocked::On(step)) = answer(&new, &observed) else {
            panic!("nothing is asked");
        };
        let again = Query::Get(CredentialNames::first().state());
        assert!(matches!(*step, Effect::Read(queries) if queries == [again.clone()]));
        observed.saw(again, Seen::Found(vec![new.object()]));
        let Err(Blocked::On(step)) = answer(&new, &observed) else {
            panic!("nothing is written");
        };
        let Effect::Write(Write::Replace(object)) = *step else {
            panic!("it is not replaced");
        };
        let shown = ClientCa::read(&object).unwrap();
        assert_eq!(shown.bundle.certificates().len(), 2);
        assert_eq!(object.label("team"), Some("a"));
    }

    #[test]
    fn a_secret_of_another_authority_is_never_overwritten() {
        let mut new = state();
        new.revision = 7;
        let mut other = state();
        other.authority = "other".to_owned();
        let observed = seen(Seen::Found(vec![secret_of(&other)]));
        let answer = answer(&new, &observed);
        assert!(matches!(answer, Ok(Unmoved::Following(..))));
    }

    #[test]
    fn a_denied_read_is_told_apart_from_a_missing_secret() {
        let denied = seen(Seen::Denied("`get` `secrets`".to_owned()));
        assert!(matches!(
            answer(&state(), &denied),
            Ok(Unmoved::Unseen { .. })
        ));
        assert!(matches!(
            answer(&state(), &seen(Seen::Missing)),
            Ok(Unmoved::Missing(_))
        ));
        assert!(matches!(
            answer(&state(), &seen(Seen::Failed("HTTP 500".to_owned()))),
            Err(Blocked::Failed(_))
        ));
    }
}
