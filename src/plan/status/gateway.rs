//! Checks of the Gateway's own fields.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::probes::Handshakes;
use super::{Finding, Link, Severity, allowed, check, guards, rivals, visibility};
use crate::plan::command_line;
use crate::plan::{Reconciled, Seen, probe};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::inventory::Entry;
use crate::resources::names::{CredentialNames, SERVER_SECRET_ANNOTATION};

const NAME: &str = "Gateway";

pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Link> {
    let gateway = &host.gateway;
    let is_unseen = handshakes.ways.ways.is_empty();
    let mut link = Link::new(NAME, says(host, handshakes));
    let checks = [
        visibility::of_gateway(&gateway.name, facts)?,
        trust_check(host, facts),
        credential_check(host, facts),
        verification_check(host),
        pins_check(host, facts, now)?,
        protocol_check(host),
        bind_check(host),
        namespace_check(host),
        limits_check(host, handshakes),
    ];
    let checks = checks.into_iter().flatten();
    for check in checks.chain(rivals::checks(host, facts)?) {
        link.add(check);
    }
    let pods = facts.observed.try_list(&probe::pods(&gateway.ingress))?;
    if let Seen::Found([]) = pods {
        link.add(without_proxy(host, facts)?);
    } else if let (Some(reason), false) = (&handshakes.ways.replicas_unknown, is_unseen) {
        link.find(
            &check::PROXY_REPLICAS_NOT_TOLD_APART,
            format!("the gateway's replicas could not be checked one by one: {reason}"),
            reason.remedy(),
        );
    }
    if is_unseen {
        link.was_not_seen();
    }
    Ok(link)
}

/// Which Gateway it is, and through which proxies it was looked at.
pub(super) fn says(host: &Host, handshakes: &Handshakes<'_>) -> String {
    let through: Vec<String> = handshakes
        .ways
        .ways
        .iter()
        .map(ToString::to_string)
        .collect();
    let seen = if through.is_empty() {
        ", not probed".to_owned()
    } else {
        let header = handshakes
            .each()
            .any(|(_, observation)| observation.proxy_protocol);
        let how = if header {
            " with a header of the PROXY protocol"
        } else {
            ""
        };
        format!(", probed through {}{how}", through.join(", "))
    };
    format!("{}, MUTUAL{seen}", host.gateway.name)
}

/// The finding on a Gateway of this plugin that does not read the client CA of its authority.
fn trust_check(host: &Host, facts: &Facts<'_>) -> Option<Finding> {
    let name = host.gateway.name.to_string();
    let (_, state) = readable(&facts.states)
        .iter()
        .find(|(_, state)| state.gateway.as_deref() == Some(name.as_str()))?;
    let wanted = CredentialNames::of_authority(&state.authority).state();
    let named = host.server.client_ca_source();
    let mut servers = host.gateway.tls_servers();
    let reads_it = |server: &Server| probe::reads(server, state);
    if !host.gateway.is_ours || servers.any(reads_it) {
        return None;
    }
    Some(Finding::new(&check::GATEWAY_CLIENT_CA_CHANGED, format!(
            "the Gateway {name} checks client certificates by {named}, not by {wanted}, its authority"
        ), host.expose_command()).because("clients of the authority may be rejected, and others accepted"))
}

/// The finding on a Gateway of this plugin that names another server Secret than its annotation.
fn credential_check(host: &Host, facts: &Facts<'_>) -> Option<Finding> {
    let reference = host.gateway.name.reference();
    let mut gateways = facts.gateways.readable.iter().map(|(object, _)| object);
    let object = gateways.find(|object| *object.reference() == reference)?;
    let noted = object.annotation(SERVER_SECRET_ANNOTATION)?;
    let named = &host.server.credential;
    let mut servers = host.gateway.tls_servers();
    let names_it = |server: &Server| server.is_mutual() && server.credential == noted;
    if !host.gateway.is_ours || servers.any(names_it) {
        return None;
    }
    Some(
        Finding::new(
            &check::GATEWAY_CREDENTIAL_CHANGED,
            format!(
                "the Gateway {} names the server Secret `{named}`, not `{noted}` as `expose` wrote",
                host.gateway.name
            ),
            host.expose_command(),
        )
        .because(
            "clients may see another server certificate, and istiod may use another client CA",
        ),
    )
}

/// The finding on `tls.insecureSkipVerify`, which accepts any client certificate.
fn verification_check(host: &Host) -> Option<Finding> {
    let seen = || {
        format!(
            "the Gateway {} serves `{}` with `insecureSkipVerify`",
            host.gateway.name, host.name
        )
    };
    let is_open = host.server.skips_verification;
    is_open.then(|| Finding::new(&check::GATEWAY_SKIPS_VERIFICATION, seen(), restore(host)))
}

/// The finding on fields that accept only some certificates of the client CA: an error where they accept no live one. Which certificates
/// have a hash is not known, and names are compared as Envoy does, exactly; what is no URI is no name that kubectl-mtls gives.
fn pins_check(host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> Reconciled<Option<Finding>> {
    let Server {
        pins, client_names, ..
    } = &host.server;
    if pins.is_empty() {
        return Ok(None);
    }
    let seen = format!(
        "the Gateway {} serves `{}` with `{}`",
        host.gateway.name,
        host.name,
        pins.join("`, `")
    );
    let finding = Finding::new(&check::GATEWAY_PINS, seen, restore(host));
    let are_uris = client_names.iter().all(|name| name.contains("://"));
    if client_names.is_empty() || !are_uris {
        return Ok(Some(finding));
    }
    let is_named = |entry: &Entry| entry.has_uri_of(client_names);
    let has_clients = allowed::without(|_| true, host, facts, now)?.is_none();
    let accepts_nobody = allowed::without(is_named, host, facts, now)?.is_some();
    Ok(Some(if has_clients && accepts_nobody {
        Finding {
            seen: format!(
                "{}, and no live client certificate has one of these names",
                finding.seen
            ),
            ..finding
        }
        .graded(Severity::Error)
        .because("every client is rejected")
    } else {
        finding
    }))
}

/// The finding on a TCP server, for which istiod creates no HTTP routes, whatever its mode (`pilot/pkg/networking/core/gateway.go`).
fn protocol_check(host: &Host) -> Option<Finding> {
    if !host.server.forwards_tcp() {
        return None;
    }
    let seen = format!(
        "the Gateway {} serves `{}` with the protocol {}, not HTTPS",
        host.gateway.name, host.name, host.server.protocol
    );
    let remedy = patch_server(
        host,
        |server| json!([{"op": "replace", "path": format!("{server}/port/protocol"), "value": "HTTPS"}]),
    )?;
    Some(Finding::new(&check::GATEWAY_FORWARDS_TCP, seen, remedy))
}

/// The command that patches the host's server in its Gateway; `patch` makes a JSON patch of the server's path.
fn patch_server(host: &Host, patch: impl FnOnce(&str) -> Value) -> Option<String> {
    let Gateway { name, servers, .. } = &host.gateway;
    let place = servers.iter().position(|one| *one == host.server)?;
    let patch = patch(&format!("/spec/servers/{place}"));
    Some(command_line::patch(&name.reference(), "json", &patch))
}

/// The finding on a server with `bind`: it listens at that address only, to which the load balancer
/// does not lead.
fn bind_check(host: &Host) -> Option<Finding> {
    let bind = host.server.bind.as_str();
    let seen = || {
        format!(
            "the Gateway {} serves `{}` at the address {bind} only",
            host.gateway.name, host.name
        )
    };
    (!host.server.listens_everywhere())
        .then(|| Finding::new(&check::GATEWAY_BIND, seen(), restore(host)))
}

/// The finding on a host string `NAMESPACE/HOST`, which accepts routes of that namespace only.
fn namespace_check(host: &Host) -> Option<Finding> {
    let route = host.route.as_ref()?.reference();
    let pattern = host.server.pattern_for(&host.probe)?;
    let name = &host.gateway.name;
    let takes = |namespace: &str| match namespace {
        "." => route.namespace == name.namespace,
        named => route.namespace == named,
    };
    let reserved = host.server.reserved.iter();
    let named: Vec<&str> = reserved
        .filter(|(known, _)| known == pattern)
        .map(|(_, namespace)| namespace.as_str())
        .collect();
    let has_free = host.server.hosts.iter().filter(|known| *known == pattern);
    if named.is_empty() || has_free.count() > named.len() || named.iter().any(|one| takes(one)) {
        return None;
    }
    let remedy = patch_server(
        host,
        |server| json!([{"op": "replace", "path": format!("{server}/hosts"), "value": host.server.hosts}]),
    )?;
    Some(Finding::new(
        &check::GATEWAY_HOST_NAMESPACE,
        format!(
            "the host `{}/{pattern}` of the Gateway {name} accepts routes of the namespace `{}` only, and {route} is of another",
            named.join(", "),
            named.join("`, `")
        ),
        remedy,
    ))
}

/// The finding on restricted TLS versions and ciphers; harmless if a handshake succeeds.
fn limits_check(host: &Host, handshakes: &Handshakes<'_>) -> Option<Finding> {
    if host.server.limits.is_empty() {
        return None;
    }
    let seen = format!(
        "the Gateway {} serves `{}` with `{}`",
        host.gateway.name,
        host.name,
        host.server.limits.join("`, `")
    );
    let remedy = patch_server(host, |server| {
        let limits = host.server.limits.iter();
        let remove = |field| json!({"op": "remove", "path": format!("{server}/tls/{field}")});
        limits.map(remove).collect()
    })?;
    let finding = Finding::new(&check::GATEWAY_TLS_LIMITS, seen, remedy);
    let mut all = handshakes.each();
    let is_shown = all.any(|(_, observation)| observation.server.is_some());
    let was_probed = handshakes.each().next().is_some();
    Some(if is_shown || !was_probed {
        finding
    } else {
        let why = "no client that speaks TLS 1.2 or 1.3 can connect";
        finding.graded(Severity::Error).because(why)
    })
}

/// The command that restores the Gateway; `expose` does not change Gateways of others.
fn restore(host: &Host) -> String {
    if host.gateway.is_ours {
        return host.expose_command();
    }
    command_line::edit(&host.gateway.name.reference())
}

/// The finding on a selector that matches no Pod: either it was changed, as the header guard of the same proxies shows, or there is no Pod.
fn without_proxy(host: &Host, facts: &Facts<'_>) -> Reconciled<Finding> {
    let Gateway { name, ingress, .. } = &host.gateway;
    let (namespace, labels) = (&ingress.namespace, ingress.labels());
    let guarded = guards::of_headers(namespace, name, facts)?;
    let guarded = guarded.and_then(|guard| guard.at(&["spec", "selector", "matchLabels"]));
    let remedy = match guarded {
        Some(known) if host.gateway.is_ours && *known != json!(ingress.selector) => {
            let patch = json!([{"op": "replace", "path": "/spec/selector", "value": known}]);
            command_line::patch(&name.reference(), "json", &patch)
        }
        _ => format!("kubectl get pods -n {namespace} -l {labels}"),
    };
    Ok(Finding::new(
        &check::GATEWAY_NO_PROXY,
        format!(
            "no Pod in `{namespace}` has the labels `{labels}` that the Gateway {name} selects"
        ),
        remedy,
    ))
}
