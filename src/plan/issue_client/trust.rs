//! The authority: its state, made when there is none, and whether gateways trust who signs.

use time::OffsetDateTime;

use super::{Answer, Issuer, Place};
use crate::error::Failure;
use crate::plan::authority::{Publication, others, publication, unknown};
use crate::plan::{Seen, World};
use crate::resources::ObjectRef;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames, FIRST_AUTHORITY};

/// The Secrets that gateways read by the authority's names.
pub(super) fn secrets(names: &CredentialNames) -> [String; 2] {
    [names.fail_closed_client_ca(), names.derived_client_ca()]
}

/// The authority's state, where there is one.
pub(super) fn state(names: &CredentialNames, world: &World) -> Answer<Option<AuthorityState>> {
    let Some(object) = world.required(&names.state())? else {
        return Ok(None);
    };
    let state = AuthorityState::read(object)
        .map_err(|error| Failure::refused(error.to_string()).hint("nothing was changed"))?;
    Ok(Some(state))
}

/// Refuses to make an authority that nobody asked for: of a name that may be mistyped, or beside CAs of others.
pub(super) fn may_be_made(issuer: &Issuer, names: &CredentialNames, world: &World) -> Answer<()> {
    if matches!(issuer.place, Place::Directory(_)) {
        return Ok(());
    }
    if issuer.authority != FIRST_AUTHORITY {
        world.need([others()])?;
        return Err(unknown(&issuer.authority, world)
            .hint("`kubectl mtls expose SERVICE` makes the authority of a Gateway; nothing was issued")
            .into());
    }
    for name in secrets(names) {
        let secret = client_ca::reference(&name);
        if world.required(&secret)?.is_some() {
            return Err(Failure::refused(format!(
                "{secret} holds CAs whose keys are not in this cluster"
            ))
            .hint("`kubectl mtls ca-rotate` adds a CA of ours beside them, which can then issue")
            .hint("`--ca-dir DIR` issues with a CA of your own")
            .into());
        }
    }
    Ok(())
}

/// What is known of how gateways take the certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The Secret that they read holds the CA, or there is no such Secret yet.
    Fine,
    /// They could not be asked, or not all: in a user's words.
    Told(String),
}

/// Refuses to sign with a CA that the published bundle does not hold: every gateway would refuse the certificate.
pub(super) fn check_published(
    state: &AuthorityState,
    names: &CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Admission> {
    match publication(state, world, now)? {
        Publication::Shown(shown) => {
            let name = state.client_ca_secret.as_deref().unwrap_or_default();
            check_holds(&client_ca::reference(name), &shown, state)?;
            Ok(Admission::Fine)
        }
        Publication::Missing(secret) => Ok(Admission::Told(format!(
            "{secret}, from which the gateway reads whom it trusts, does not exist: `kubectl mtls expose SERVICE` makes it anew"
        ))),
        Publication::Unseen { secret, denial } => Ok(unseen(&secret, &denial)),
        Publication::None => beside(state, names, world),
    }
}

/// An authority that no Gateway serves yet: a Secret of its name is of somebody else, unless it holds the CA.
fn beside(state: &AuthorityState, names: &CredentialNames, world: &World) -> Answer<Admission> {
    for name in secrets(names) {
        let secret = client_ca::reference(&name);
        if let Seen::Denied(denial) = world.seen(&secret) {
            return Ok(unseen(&secret, &denial));
        }
        if let Some(object) = world.required(&secret)? {
            let shown =
                ClientCa::read(object).map_err(|error| Failure::refused(error.to_string()))?;
            check_holds(&secret, &shown, state)?;
        }
    }
    Ok(Admission::Fine)
}

fn unseen(secret: &ObjectRef, denial: &str) -> Admission {
    Admission::Told(format!(
        "whether the gateway trusts the CA that signed was not checked: {secret} may not be read ({denial})"
    ))
}

fn check_holds(
    secret: &ObjectRef,
    shown: &ClientCa,
    state: &AuthorityState,
) -> Result<(), Failure> {
    let Some(ca) = state.issuing_ca() else {
        return Ok(());
    };
    if shown.bundle.contains(ca) {
        return Ok(());
    }
    let subjects: Vec<String> = shown
        .bundle
        .certificates()
        .iter()
        .map(|ca| format!("`{}`", ca.subject()))
        .collect();
    Err(Failure::refused(format!(
        "{secret}, from which the gateway reads whom it trusts, does not hold the CA `{}` that signs for `{}`: the certificate would be refused",
        ca.subject(),
        state.authority
    ))
    .hint(format!("it holds {}", subjects.join(", ")))
    .hint(format!(
        "add the CA to its bundle (`kubectl -n {AUTHORITY_NAMESPACE} get configmap {} -o jsonpath='{{.data.ca\\.crt}}'` prints it), or issue with a CA that is trusted, with `--ca-dir DIR`; nothing was issued",
        state.authority
    )))
}
