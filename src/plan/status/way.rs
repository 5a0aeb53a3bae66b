//! The way to the gateway: DNS, and what handshakes showed.

use super::hosts::Host;
use super::{Link, Mark, Request};
use crate::plan::gateway_look::{self, Ways, ingress_service};
use crate::plan::look::{Client, Sighting, Via};
use crate::plan::{Query, Seen, World};
use crate::resources::service::Service;

/// Handshakes without certificate, one list per way.
pub(super) struct Looked<'a> {
    pub ways: Ways,
    pub sightings: Vec<(Via, &'a [Sighting])>,
}

impl Looked<'_> {
    /// Every handshake with the way it took.
    pub fn each(&self) -> impl Iterator<Item = (&Via, &Sighting)> {
        self.sightings
            .iter()
            .flat_map(|(via, sightings)| sightings.iter().map(move |sighting| (via, sighting)))
    }
}

pub(super) fn look<'a>(host: &Host, request: &Request, world: &'a World) -> Looked<'a> {
    let ways = gateway_look::ways(world, &host.gateway.selector, request.connect_to.as_deref());
    let looks = gateway_look::looks(&ways, &host.probe, Client::Nobody);
    let sightings = looks
        .map(|look| (look.via.clone(), world.sightings(&look)))
        .collect();
    Looked { ways, sightings }
}

/// The load balancer's host names, which must be looked up to compare.
pub(super) fn balancer_names(_: &Host, world: &World) -> Vec<Query> {
    let balancer = balancer(world);
    let names = balancer
        .into_iter()
        .filter(|address| address.parse::<std::net::IpAddr>().is_err());
    names.map(Query::Resolve).collect()
}

fn balancer(world: &World) -> Vec<String> {
    let service = world
        .seen(&ingress_service())
        .read_as(|object| Service::read(object));
    service
        .found()
        .map(|service| service.load_balancer.clone())
        .unwrap_or_default()
}

/// Whether the host's name leads to the load balancer.
pub(super) fn dns(host: &Host, world: &World) -> Link {
    let name = &host.probe;
    let addresses = match world.resolved(name) {
        Seen::Found(addresses) => addresses,
        Seen::Missing => {
            return Link::new("DNS", "no address").with(
                Mark::Error,
                format!("`{name}` has no address in DNS"),
                "make a record for it that leads to the gateway's load balancer",
            );
        }
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Link::new("DNS", "not looked up").with(
                Mark::Unknown,
                format!("`{name}` could not be looked up: {reason}"),
                "`--resolver` names a DNS server to ask",
            );
        }
    };
    let link = Link::new("DNS", addresses.join(", "));
    let balancer: Vec<String> = balancer(world)
        .into_iter()
        .flat_map(|address| match world.resolved(&address) {
            Seen::Found(found) => found.to_vec(),
            _ => vec![address],
        })
        .collect();
    if balancer.is_empty() {
        return link.with(
            Mark::Unknown,
            format!("{} has no address to compare with", ingress_service()),
            "without a load balancer, see that the name leads to the gateway",
        );
    }
    if addresses.iter().any(|address| balancer.contains(address)) {
        return link;
    }
    link.with(
        Mark::Warning,
        format!(
            "`{name}` leads to {}, the load balancer is at {}",
            addresses.join(", "),
            balancer.join(", ")
        ),
        "change the DNS record, unless a proxy that passes TLS on stands there",
    )
}
