//! The Gateway itself.

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::probes::Looked;
use super::{Finding, Link, check};
use crate::plan::{Reconciled, Seen, probe};
use crate::resources::gateway::Server;
use crate::resources::names::{CredentialNames, SERVER_SECRET_ANNOTATION};

const NAME: &str = "Gateway";

pub(super) fn examine(host: &Host, looked: &Looked<'_>, facts: &Facts<'_>) -> Reconciled<Link> {
    let gateway = &host.gateway;
    let through: Vec<String> = looked.ways.ways.iter().map(ToString::to_string).collect();
    let seen = if through.is_empty() {
        ", not looked at".to_owned()
    } else {
        let header = looked
            .each()
            .any(|(_, observation)| observation.proxy_protocol);
        let how = if header {
            " with a header of the PROXY protocol"
        } else {
            ""
        };
        format!(", looked at through {}{how}", through.join(", "))
    };
    let mut link = Link::new(NAME, format!("{}, MUTUAL{seen}", gateway.name));
    for rival in rivals(host, facts) {
        link.find(
            &check::GATEWAY_DUPLICATE_HOST,
            format!(
                "the Gateways `{}` and `{rival}` have the same host: Istio drops the younger one",
                gateway.name
            ),
            "give one of them another host",
        );
    }
    let checks = [
        trust_check(host, facts),
        credential_check(host, facts),
        verification_check(host),
    ];
    for check in checks.into_iter().flatten() {
        link.add(check);
    }
    let pods = facts.observed.try_list(&probe::pods(&gateway.selector))?;
    if let Seen::Found([]) = pods {
        link.find(
            &check::GATEWAY_NO_PROXY,
            format!(
                "the selector of the Gateway `{}` matches no Pod",
                gateway.name
            ),
            "compare it with the labels of the ingress gateway's Pods",
        );
    } else if let (Some(reason), false) = (&looked.ways.replicas_unknown, through.is_empty()) {
        link.find(
            &check::PROXY_REPLICAS_NOT_TOLD_APART,
            format!("the gateway's replicas could not be told apart: {reason}"),
            reason.remedy(),
        );
    }
    if through.is_empty() {
        link.was_not_seen();
    }
    Ok(link)
}

/// A Gateway of ours must read the client CA of the authority that serves it.
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
        ), host.expose_command()).because("clients of the authority may be refused, and others let in"))
}

/// A Gateway of ours notes which server Secret it is to name.
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
    Some(Finding::new(&check::GATEWAY_CREDENTIAL_CHANGED, format!(
            "the Gateway {} names the server Secret `{named}`, not `{noted}` as `expose` wrote",
            host.gateway.name
        ), host.expose_command()).because("clients may see another server certificate, and istiod may take another client CA beside it"))
}

/// `tls.insecureSkipVerify` takes whatever certificate a client shows.
fn verification_check(host: &Host) -> Option<Finding> {
    host.server.skips_verification.then(|| Finding::new(&check::GATEWAY_WEAKENED, format!(
            "the Gateway {} serves `{}` with `insecureSkipVerify`",
            host.gateway.name, host.name
        ), host.expose_command()).because("anybody with a certificate of any CA reaches it, and is taken for whom the certificate names"))
}

/// Other Gateways that hand the same host string to the same proxies (istiod, `MergeGateways`).
fn rivals(host: &Host, facts: &Facts<'_>) -> Vec<String> {
    let gateway = &host.gateway;
    let others = facts.gateways.readable.iter().map(|(_, other)| other);
    others
        .filter(|other| other.name != gateway.name && other.shares_proxies_with(&gateway.selector))
        .filter(|other| {
            let mut hosts = host.server.hosts.iter();
            hosts.any(|host| other.server_with_host(host).is_some())
        })
        .map(|other| other.name.to_string())
        .collect()
}
