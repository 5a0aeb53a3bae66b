//! Hosts whose Gateway may not be read, so that only a client's view can be checked.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::facts::Facts;
use super::hosts::Host;
use super::probes::Handshakes;
use super::routes::all;
use super::{CLIENT_CA, Link, Request, dns, refusal, server};
use crate::plan::Reconciled;
use crate::resources::gateway::{Gateway, MutualGateway};
use crate::resources::ingress::IngressGateway;
use crate::resources::names::GatewayName;

/// The requested host; else those of this plugin's routes, as far as they may be read.
pub(super) fn hosts(request: &Request, facts: &Facts<'_>) -> Vec<Host> {
    let routed = all(facts);
    let of_routes = routed
        .iter()
        .filter(|routed| routed.is_ours)
        .filter(|routed| {
            let service = routed.route.backend().map(|behind| behind.service.name);
            let is_meant = |only: &String| routed.host == *only || service.as_ref() == Some(only);
            request.only.as_ref().is_none_or(is_meant)
        });
    let mut names: Vec<String> = of_routes.map(|routed| routed.host.clone()).collect();
    if let Some(only) = &request.only
        && only.contains('.')
    {
        names.push(only.clone());
    }
    names.sort();
    names.dedup();
    names
        .iter()
        .filter(|name| name.contains('.'))
        .filter_map(|name| from_outside(name))
        .collect()
}

/// The links that a client can observe.
pub(super) fn links(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Vec<Link>> {
    // What may not be read is a finding on the Gateways.
    let mut client_ca = Link::new(CLIENT_CA, "not read");
    client_ca.was_not_seen();
    refusal::faults(host, handshakes, (None, &BTreeSet::new()), &mut client_ca);
    Ok(vec![
        dns::examine(host, facts)?,
        server::examine(host, handshakes, facts, now)?,
        client_ca,
    ])
}

/// The host behind a Gateway as `expose` would create it on the default ingress gateway.
fn from_outside(name: &str) -> Option<Host> {
    let object = MutualGateway {
        name: &GatewayName::new("", ""),
        host: name,
        ingress: &IngressGateway::default(),
        credential: "",
        client_ca: "",
    }
    .object();
    let mut gateway = Gateway::read(&object).ok()?;
    gateway.is_ours = false;
    let server = gateway.servers.first()?.clone();
    Some(Host {
        name: name.to_owned(),
        probe: name.to_owned(),
        proxies: gateway.ingress.clone(),
        gateway,
        server,
        route: None,
        candidate: None,
        is_from_outside: true,
    })
}
