//! The way to the gateway: DNS, and what handshakes showed.

use std::net::IpAddr;

use super::facts::remedy;
use super::hosts::Host;
use super::{Link, Mark, Request};
use crate::plan::gateway_look::{self, Ways};
use crate::plan::look::{Client, Sighting, Via};
use crate::plan::{Query, Seen, World};
use crate::resources::ObjectRef;
use crate::resources::dns_provider::is_within;
use crate::resources::environment::LOCAL_DOMAIN;
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

    /// What was observed, each once with all the ways on which it was, in the order of the first.
    pub fn group<T: PartialEq>(
        &self,
        observe: impl Fn(&Sighting) -> Option<T>,
    ) -> Vec<(T, String)> {
        let mut groups: Vec<(T, Vec<String>)> = Vec::new();
        for (via, sighting) in self.each() {
            let Some(observed) = observe(sighting) else {
                continue;
            };
            let via = via.to_string();
            match groups.iter_mut().find(|(known, _)| *known == observed) {
                Some((_, vias)) if vias.contains(&via) => {}
                Some((_, vias)) => vias.push(via),
                None => groups.push((observed, vec![via])),
            }
        }
        let joined = groups.into_iter();
        joined
            .map(|(observed, vias)| (observed, vias.join(", ")))
            .collect()
    }
}

pub(super) fn look<'a>(host: &Host, request: &Request, world: &'a World) -> Looked<'a> {
    let ways = gateway_look::ways(world, &host.gateway.selector, request.connect_to.as_deref());
    let looks = gateway_look::looks(&ways, &host.probe, &Client::Nobody);
    let sightings = looks
        .map(|look| (look.via.clone(), world.sightings(&look)))
        .collect();
    Looked { ways, sightings }
}

/// The load balancer's host names, which must be looked up to compare.
pub(super) fn balancer_names(hosts: &[Host], world: &World) -> Vec<Query> {
    let services = hosts
        .iter()
        .filter_map(|host| balancer(host, world).1.found().cloned());
    let names = services
        .flat_map(|service| service.load_balancer)
        .filter(|address| address.parse::<IpAddr>().is_err());
    names.map(Query::Resolve).collect()
}

fn balancer(host: &Host, world: &World) -> (ObjectRef, Seen<Service>) {
    gateway_look::service(world, &host.gateway.selector)
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
    let is_loopback = |address: &String| address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    // That domain leads to the machine on which a local cluster runs, wherever its load balancer is.
    if is_within(name, LOCAL_DOMAIN) && addresses.iter().all(is_loopback) {
        return link;
    }
    compare(host, addresses, world, link)
}

fn compare(host: &Host, addresses: &[String], world: &World, link: Link) -> Link {
    let name = &host.probe;
    let (reference, seen) = balancer(host, world);
    let service = match &seen {
        Seen::Found(service) => service,
        Seen::Missing => {
            return link.with(
                Mark::Unknown,
                format!("{reference} does not exist: where the name must lead is not known"),
                "without that Service, see that the name leads to the gateway",
            );
        }
        other => {
            return link.with(
                Mark::Unknown,
                format!(
                    "{reference} could not be read, where the name must lead is not known: {}",
                    other.unknown().unwrap_or_default()
                ),
                remedy(other),
            );
        }
    };
    let mut wanted = Vec::new();
    for address in &service.load_balancer {
        match world.resolved(address) {
            _ if address.parse::<IpAddr>().is_ok() => wanted.push(address.clone()),
            Seen::Found(found) => wanted.extend(found.iter().cloned()),
            other => {
                let reason = other.unknown().unwrap_or("it has no address".to_owned());
                return link.with(
                    Mark::Unknown,
                    format!(
                        "the load balancer's own name `{address}` could not be looked up: {reason}"
                    ),
                    "`--resolver` names a DNS server to ask",
                );
            }
        }
    }
    if wanted.is_empty() {
        return link.with(
            Mark::Unknown,
            format!("{reference} has no address to compare with"),
            "without a load balancer, see that the name leads to the gateway",
        );
    }
    if addresses.iter().any(|address| wanted.contains(address)) {
        return link;
    }
    link.with(
        Mark::Warning,
        format!(
            "`{name}` leads to {}, the load balancer is at {}",
            addresses.join(", "),
            wanted.join(", ")
        ),
        "change the DNS record, unless a proxy that passes TLS on stands there",
    )
}
