//! The existing Gateway, and how a Gateway of this plugin is restored that somebody changed.

use serde_json::Value;

use crate::error::Failure;
use crate::plan::{Observed, command_line};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::{
    CredentialNames, GATEWAY_ANNOTATION, GatewayName, SERVER_SECRET_ANNOTATION,
};
use crate::resources::{Object, client_ca, fail_closed};

/// An existing Gateway, and its server for the host.
#[derive(Debug, Clone)]
pub(super) struct Existing {
    /// The Gateway; if it is restored, with the restored server.
    pub gateway: Gateway,
    /// The mutual-TLS server for the host; another server if the Gateway serves the host in another
    /// mode.
    pub server: Server,
    /// The object as it was read.
    pub object: Object,
    /// What somebody changed, if the Gateway is restored.
    pub weakened: Option<Weakened>,
}

/// A Gateway of this plugin that serves its host without mutual TLS, with other checks than that of its client CA, or not at all.
#[derive(Debug, Clone)]
pub(super) struct Weakened {
    /// The servers that somebody wrote instead, for a message.
    pub found: String,
    /// The manifests of servers for other hosts, which are kept.
    pub kept: Vec<Value>,
}

/// The Gateway of this name with its server for the host; restored if this plugin made it and somebody changed that server.
pub(super) fn find(
    name: &GatewayName,
    host: &str,
    new_gateway_host: &str,
    gateways: &[Gateway],
    object: Option<&Object>,
    observed: &Observed,
) -> Result<Option<Existing>, Failure> {
    let Some(gateway) = gateways.iter().find(|known| known.name == *name) else {
        return Ok(None);
    };
    let Some(object) = object else {
        return Ok(None);
    };
    let is_sound = |server: &Server| server.is_sound() && server.serves(host);
    if gateway.is_ours && !gateway.tls_servers().any(is_sound) {
        let serves = |server: &Server| server.serves(host);
        if gateway.servers.iter().any(serves) || !gateway.servers.iter().any(Server::is_mutual) {
            return Ok(Some(restored(
                gateway,
                host,
                new_gateway_host,
                object,
                observed,
            )));
        }
    }
    match gateway.server_for(host) {
        Some(server) => Ok(Some(Existing {
            gateway: gateway.clone(),
            server: server.clone(),
            object: object.clone(),
            weakened: None,
        })),
        None => Err(serves_other_hosts(gateway, host)),
    }
}

/// Refuses a server that names Secrets or a client CA as no object can be named, before they are read.
pub(super) fn check_names(existing: &Existing) -> Result<(), Failure> {
    let Existing {
        gateway, server, ..
    } = existing;
    let credential = server.secret(&server.credential);
    let credential = (!server.credential.is_empty()).then_some(("credentialName", credential));
    let client_ca = ("caCertCredentialName", server.client_ca_source());
    let client_ca = (!server.client_ca.is_empty()).then_some(client_ca);
    for (field, object) in credential.into_iter().chain(client_ca) {
        object.check().map_err(|error| {
            Failure::refused(format!(
                "`{field}` of the Gateway `{}` names the {object}: {error}",
                gateway.name
            ))
            .hint("correct the field:")
            .hint(command_line::edit(&gateway.name.reference()))
        })?;
    }
    Ok(())
}

fn restored(
    gateway: &Gateway,
    host: &str,
    new_gateway_host: &str,
    object: &Object,
    observed: &Observed,
) -> Existing {
    let names = names(gateway, object, observed);
    let mut patterns = gateway.servers.iter().flat_map(|server| &server.hosts);
    let is_exact = patterns.any(|pattern| pattern == host);
    let server = Server::mutual(
        if is_exact { host } else { new_gateway_host },
        names.credential(),
        &names.client_ca_field(),
        &gateway.ingress.namespace,
    );
    let manifests = object.at(&["spec", "servers"]).and_then(Value::as_array);
    let manifests = manifests.map(Vec::as_slice).unwrap_or_default();
    let (found, kept): (Vec<_>, Vec<_>) = gateway
        .servers
        .iter()
        .zip(manifests)
        .partition(|(server, _)| server.serves(host));
    let found: Vec<String> = found.iter().map(|(server, _)| server.describe()).collect();
    let mut gateway = gateway.clone();
    gateway.servers = std::iter::once(server.clone())
        .chain(kept.iter().map(|(server, _)| (*server).clone()))
        .collect();
    Existing {
        gateway,
        server,
        object: object.clone(),
        weakened: Some(Weakened {
            found: found.join(", "),
            kept: kept
                .into_iter()
                .map(|(_, manifest)| manifest.clone())
                .collect(),
        }),
    }
}

/// The names that a Gateway of this plugin was created with: its annotation has the server Secret, and its authority the rest.
fn names(gateway: &Gateway, object: &Object, observed: &Observed) -> CredentialNames {
    let names = gateway
        .shared_names()
        .or_else(|| of_authority(&gateway.name, observed))
        .unwrap_or_else(|| CredentialNames::further(&gateway.name));
    match object.annotation(SERVER_SECRET_ANNOTATION) {
        Some(credential) => names.with_credential(credential),
        None => names,
    }
}

/// The names in the authority that belongs to a Gateway, if it was read.
pub(super) fn of_authority(gateway: &GatewayName, observed: &Observed) -> Option<CredentialNames> {
    let belongs = |names: &CredentialNames| {
        let state = observed.already_read(&names.state());
        let state = state.and_then(|seen| seen.found().copied());
        let owner = state.and_then(|state| state.annotation(GATEWAY_ANNOTATION));
        owner == Some(&*gateway.to_string())
    };
    [CredentialNames::first(), CredentialNames::further(gateway)]
        .into_iter()
        .find(belongs)
}

/// The names of a Gateway that reads the authority of another one, from its fail-closed Secret.
pub(super) fn of_fallback(
    proxy_namespace: &str,
    gateway: &GatewayName,
    observed: &Observed,
) -> Option<CredentialNames> {
    let further = CredentialNames::further(gateway);
    let secret = client_ca::secret(proxy_namespace, &further.derived_client_ca());
    let secret = observed.already_read(&secret)?.found().copied()?;
    let is_its =
        secret.is_ours() && secret.annotation(GATEWAY_ANNOTATION) == Some(&*gateway.to_string());
    let authority = fail_closed::client_ca_in(secret).filter(|_| is_its)?;
    (authority != further.authority).then(|| CredentialNames::sharing(gateway, authority))
}

fn serves_other_hosts(gateway: &Gateway, host: &str) -> Failure {
    let hosts: Vec<&str> = gateway
        .servers
        .iter()
        .flat_map(|server| &server.hosts)
        .map(String::as_str)
        .collect();
    Failure::refused(format!(
        "the Gateway `{}` exists and does not serve `{host}`",
        gateway.name
    ))
    .hint(format!(
        "the Gateway serves {}; choose one of these hosts with `--host`, or another Gateway with `--gateway`",
        hosts.join(", ")
    ))
}
