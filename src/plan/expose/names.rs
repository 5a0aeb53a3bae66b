//! The names of the authority, the Secrets and the Certificate that belong to a Gateway.

use super::existing::{self, Existing};
use super::{Request, ServerChoice};
use crate::error::Failure;
use crate::plan::{Observed, Reconciled};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::{
    CredentialNames, FIRST_AUTHORITY, GATEWAY_ANNOTATION, GatewayName, SERVER_SECRET_ANNOTATION,
};

/// The names of all objects that belong to the Gateway.
pub(super) fn of(
    request: &Request,
    gateway: &GatewayName,
    proxy_namespace: &str,
    host: &str,
    existing: Option<&Existing>,
    gateways: &[Gateway],
    observed: &Observed,
) -> Reconciled<CredentialNames> {
    let names = match existing {
        Some(existing) if existing.server.credential.is_empty() => {
            return Err(Failure::refused(format!("the Gateway `{gateway}` has no `credentialName` for `{host}`"))
                .hint("the certificates of this Gateway are files in the proxy, which cannot be changed from here; choose another Gateway with `--gateway`")
                .into());
        }
        Some(existing) => {
            let server = &existing.server;
            let names = existing.gateway.names(server);
            may_change_authority(request, existing, &names)?;
            let ours = existing.object.annotation(SERVER_SECRET_ANNOTATION);
            match ours.filter(|_| existing.gateway.is_ours) {
                Some(credential) => names.with_credential(credential),
                None => names,
            }
        }
        // A Gateway that is gone while its route is there gets its former names.
        None => {
            let own = existing::of_authority(gateway, observed);
            let former = || existing::of_fallback(proxy_namespace, gateway, observed);
            let names = match own.or_else(former) {
                Some(names) => names,
                None => free_names(gateway, gateways, observed)?,
            };
            match &request.authority {
                Some(authority)
                    if names.authority != *authority
                        || is_of_another(authority, gateway, observed)? =>
                {
                    CredentialNames::sharing(gateway, authority)
                }
                _ => names,
            }
        }
    };
    Ok(match &request.server {
        ServerChoice::Secret(secret) => {
            may_change_credential(existing, secret)?;
            names.with_credential(secret)
        }
        _ => names,
    })
}

/// Whether an authority belongs to another Gateway.
fn is_of_another(authority: &str, gateway: &GatewayName, observed: &Observed) -> Reconciled<bool> {
    let owner = owner(authority, observed)?;
    Ok(owner.is_some_and(|owner| owner != gateway.to_string()))
}

/// The Gateway to which an authority belongs.
fn owner<'a>(authority: &str, observed: &'a Observed) -> Reconciled<Option<&'a str>> {
    let state = CredentialNames::of_authority(authority).state();
    let state = observed.try_get(&state)?.found().copied();
    Ok(state.and_then(|state| state.annotation(GATEWAY_ANNOTATION)))
}

/// Refuses another authority for an existing Gateway: its clients would be rejected.
fn may_change_authority(
    request: &Request,
    existing: &Existing,
    names: &CredentialNames,
) -> Result<(), Failure> {
    match &request.authority {
        Some(authority) if *authority != names.authority => Err(Failure::refused(format!(
            "the Gateway `{}` has another authority than `{authority}`: `{}`",
            existing.gateway.name, names.authority
        ))
        .hint(
            "the clients of that authority would be rejected; leave `--authority` out to keep them",
        )
        .hint("`--host` and `--gateway` make another Gateway, which can read `--authority`")),
        _ => Ok(()),
    }
}

/// Refuses another server Secret for a Gateway of somebody else, or one with further servers.
fn may_change_credential(existing: Option<&Existing>, secret: &str) -> Result<(), Failure> {
    match existing {
        Some(Existing {
            gateway, server, ..
        }) if server.credential != secret && (!gateway.is_ours || gateway.servers.len() > 1) => {
            Err(Failure::refused(format!(
                "the Gateway `{}` reads its server certificate from the Secret `{}`, and kubectl-mtls does not change this Gateway",
                gateway.name, server.credential
            ))
            .hint("name the other Secret in `credentialName` of the Gateway, or choose another Gateway with `--gateway`"))
        }
        _ => Ok(()),
    }
}

/// Names for a new Gateway: the tutorial's names for the first one, unique names for a further one.
fn free_names(
    gateway: &GatewayName,
    gateways: &[Gateway],
    observed: &Observed,
) -> Reconciled<CredentialNames> {
    let first = CredentialNames::first();
    let uses_first = |server: &Server| server.credential == first.credential();
    let owner = owner(FIRST_AUTHORITY, observed)?;
    let is_taken = gateways.iter().any(|other| {
        &other.name != gateway
            && (other.servers.iter().any(uses_first) || owner == Some(&*other.name.to_string()))
    });
    Ok(if is_taken {
        CredentialNames::further(gateway)
    } else {
        first
    })
}
