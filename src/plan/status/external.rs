//! Other ways to the Service behind a host, in the Service's link.

use super::Link;
use super::facts::Facts;
use super::hosts::Host;
use super::routes::Route;
use crate::plan::external_routes::{self, Exposed};
use crate::plan::{Observed, Query};
use crate::resources::service::Service;
use crate::resources::{Kind, ObjectRef};

/// The Service behind a host, where it was found.
fn service(host: &Host, observed: &Observed) -> Option<(ObjectRef, Service)> {
    let reference = host.backend()?.service;
    let object = observed.seen(&reference).found().copied()?;
    let service = Service::read(object).ok()?;
    Some((reference, service))
}

/// The Pods behind a host whose route is a `VirtualService`: Kyma itself takes no Pods without a sidecar.
pub(super) fn pods(host: &Host, observed: &Observed) -> Option<Query> {
    let route = host.route.as_ref()?.reference();
    let (reference, service) = service(host, observed)?;
    let is_plain = route.kind == Kind::VirtualService;
    external_routes::pods(&reference, &service.selector).filter(|_| is_plain)
}

/// Adds what leads to the Service without a client certificate.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, link: &mut Link) {
    let route = host.route.as_ref().map(Route::reference);
    let (Some(route), Some((reference, service))) = (route, service(host, facts.observed)) else {
        return;
    };
    let exposed = Exposed {
        service: &reference,
        selector: &service.selector,
        route,
        gateway: &host.gateway.name,
        proxies: &host.gateway.selector,
        command: "status",
    };
    let gateways = facts.gateways.readable.iter().map(|(_, gateway)| gateway);
    for check in external_routes::checks(&exposed, gateways, facts.observed) {
        link.add(check);
    }
}
