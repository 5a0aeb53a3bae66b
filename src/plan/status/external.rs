//! External routes to the Service behind a host, in the Service's link.

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::routes::Route;
use super::workload::service;
use super::{Link, allowed, destination, protocol};
use crate::plan::external_routes::{self, Exposed};
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::Kind;

/// The query for the Pods behind a host whose route is a `VirtualService`: Kyma itself refuses Pods without a sidecar.
pub(super) fn pods(host: &Host, observed: &Observed) -> Reconciled<Option<Query>> {
    let route = host.route.as_ref().map(Route::reference);
    if route.is_none_or(|route| route.kind != Kind::VirtualService) {
        return Ok(None);
    }
    let found = service(host, observed)?;
    Ok(found.and_then(|(reference, service)| external_routes::pods(&reference, &service.selector)))
}

/// Adds the routes to the Service that need no client certificate.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    let route = host.route.as_ref().map(Route::reference);
    let (Some(route), Some((reference, service))) = (route, service(host, facts.observed)?) else {
        return Ok(());
    };
    let exposed = Exposed {
        service: &reference,
        selector: &service.selector,
        route,
        gateway: &host.gateway.name,
        host: &host.name,
        server: &host.server,
        is_listed: allowed::identities(host, facts)?.is_some(),
        proxies: &host.gateway.ingress,
        policy: None,
        command: "status",
    };
    let gateways = facts.gateways.readable.iter().map(|(_, gateway)| gateway);
    destination::tell(&exposed, host, facts.observed, link)?;
    link.extend(protocol::check(&exposed, host, facts.observed)?);
    link.extend(external_routes::rejection(
        &exposed,
        &host.name,
        facts.observed,
    )?);
    for check in external_routes::checks(&exposed, gateways, facts.observed)? {
        link.add(check);
    }
    let mut rules = readable(&facts.rules).iter();
    if rules.any(|(object, rule)| object.reference() == route && rule.state == "Ready") {
        link.extend(external_routes::unguarded(&exposed, facts.observed)?);
    }
    Ok(())
}
