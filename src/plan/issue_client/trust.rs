//! The authority: its state, created if it is missing, and whether gateways trust the issuing CA.

use time::OffsetDateTime;

use super::{Issuer, Place};
use crate::error::Failure;
use crate::plan::authority::{Unmoved, absent, earlier_secrets, earlier_secrets_unknown, unmoved};
use crate::plan::{Observed, Query, Reconciled, Seen, witness};
use crate::resources::ObjectRef;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CredentialNames, FIRST_AUTHORITY, INGRESS_NAMESPACE,
};

/// The authority's state, if it exists.
pub(super) fn state(
    names: &CredentialNames,
    observed: &Observed,
) -> Reconciled<Option<AuthorityState>> {
    let Some(object) = observed.get(&names.state())? else {
        return Ok(None);
    };
    let state = AuthorityState::read(object)
        .map_err(|error| witness::unreadable(&names.authority, &error))?;
    Ok(Some(state))
}

/// Refuses to create an authority that nobody asked for: with a name that may be mistyped, or beside external CAs.
pub(super) fn may_be_made(
    issuer: &Issuer,
    names: &CredentialNames,
    observed: &Observed,
) -> Reconciled<()> {
    if matches!(issuer.place, Place::Directory(_)) {
        return Ok(());
    }
    if issuer.authority != FIRST_AUTHORITY {
        let makes_one = ["`kubectl mtls expose SERVICE` creates the authority of a Gateway"];
        return Err(absent(&issuer.authority, &makes_one, observed)?.into());
    }
    let secrets = earlier_secrets(names, observed)?;
    observed.prefetch(secrets.iter().cloned().map(Query::Get))?;
    for secret in &secrets {
        if observed.try_get(secret)?.found().is_none() {
            continue;
        }
        return Err(Failure::refused(format!(
            "{secret} holds CAs whose keys are not in this cluster"
        ))
        .hint("`kubectl mtls expose SERVICE --fail-closed` moves the Gateway from the Secret to an authority, and `kubectl mtls ca-rotate` then adds a CA of kubectl-mtls, which can issue")
        .hint("`--ca-dir DIR` issues with a CA of your own")
        .into());
    }
    Ok(())
}

/// The note on checks that [`may_be_made`] could not make, if this run created the authority.
pub(super) fn others_unknown(
    names: &CredentialNames,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    if observed.change_of(&names.state()).is_none() {
        return Ok(None);
    }
    let unchecked = "whether gateways already trust external CAs was not checked";
    if let Some(reason) = earlier_secrets_unknown(observed) {
        return Ok(Some(format!(
            "{unchecked} outside of `{INGRESS_NAMESPACE}`: the Gateways of all namespaces could not be listed ({reason})"
        )));
    }
    let denied = |secret| match observed.already_read(&secret) {
        Some(Seen::Denied(reason)) => {
            Some(format!("{unchecked}: {secret} may not be read ({reason})"))
        }
        _ => None,
    };
    let secrets = earlier_secrets(names, observed)?;
    Ok(secrets.into_iter().find_map(denied))
}

/// Whether gateways accept the certificate, as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The Secret that gateways read holds the CA, or there is no such Secret yet.
    Fine,
    /// The gateways' Secrets could not be read, or not all: a note for the user.
    Told(String),
}

/// Refuses to sign with a CA that is not in the Secret which a Gateway reads instead of the authority: the gateway would reject the
/// certificate.
pub(super) fn check_published(
    state: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Admission> {
    match unmoved(state, false, observed, now)? {
        Unmoved::None => Ok(Admission::Fine),
        Unmoved::Following(secret, shown) => {
            check_holds(&secret, &shown, state)?;
            Ok(Admission::Fine)
        }
        Unmoved::Missing(secret) => Ok(Admission::Told(format!(
            "{secret}, from which the gateway reads its client CA, does not exist; let the Gateway read the authority: kubectl mtls expose SERVICE --fail-closed"
        ))),
        Unmoved::Unseen { secret, denial } => Ok(unseen(&secret, &denial)),
    }
}

fn unseen(secret: &ObjectRef, denial: &str) -> Admission {
    Admission::Told(format!(
        "whether the gateway trusts the signing CA was not checked: {secret} may not be read ({denial})"
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
        "{secret}, from which the gateway reads its client CA, does not hold the CA `{}` that signs for `{}`: the gateway would reject the certificate",
        ca.subject(),
        state.authority
    ))
    .hint(format!("the Secret holds {}", subjects.join(", ")))
    .hint(format!(
        "add the CA to its bundle (`kubectl -n {AUTHORITY_NAMESPACE} get configmap {} -o jsonpath='{{.data.ca\\.crt}}'` prints it), or issue with a CA that is trusted, with `--ca-dir DIR`",
        state.authority
    )))
}
