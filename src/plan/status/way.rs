//! The way to the gateway: DNS, and what handshakes showed.

use std::net::IpAddr;

use super::facts::{Facts, blind, readable, remedy};
use super::hosts::Host;
use super::{Finding, Link, Request, Severity, check, proxies};
use crate::plan::probe::{self, Ways};
use crate::plan::probe::{Client, Observation, Via};
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::certificate::Certificate;
use crate::resources::dns_entry::DnsEntry;
use crate::resources::dns_provider::is_within;
use crate::resources::environment::LOCAL_DOMAIN;
use crate::resources::gateway::{covers, specificity};
use crate::resources::names::DNS_CLASS;
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef};

/// Handshakes without certificate, one list per way.
pub(super) struct Looked<'a> {
    pub ways: Ways,
    pub observations: Vec<(Via, &'a [Observation])>,
}

impl Looked<'_> {
    /// Every handshake with the way it took.
    pub fn each(&self) -> impl Iterator<Item = (&Via, &Observation)> {
        self.observations.iter().flat_map(|(via, observations)| {
            observations
                .iter()
                .map(move |observation| (via, observation))
        })
    }

    /// What was symptom, each once with all the ways on which it was, in the order of the first.
    pub fn group<T: PartialEq>(
        &self,
        observe: impl Fn(&Observation) -> Option<T>,
    ) -> Vec<(T, String)> {
        let mut groups: Vec<(T, Vec<String>)> = Vec::new();
        for (via, observation) in self.each() {
            let Some(symptom) = observe(observation) else {
                continue;
            };
            let via = via.to_string();
            match groups.iter_mut().find(|(known, _)| *known == symptom) {
                Some((_, vias)) if vias.contains(&via) => {}
                Some((_, vias)) => vias.push(via),
                None => groups.push((symptom, vec![via])),
            }
        }
        let joined = groups.into_iter();
        joined
            .map(|(symptom, vias)| (symptom, vias.join(", ")))
            .collect()
    }
}

/// The ways to the gateway of a host.
pub(super) fn ways(host: &Host, request: &Request, observed: &Observed) -> Reconciled<Ways> {
    let connect_to = request.connect_to.as_deref();
    probe::ways(observed, &host.gateway.selector, connect_to)
}

/// What the probes of a host showed.
pub(super) fn looked<'a>(
    host: &Host,
    request: &Request,
    observed: &'a Observed,
) -> Reconciled<Looked<'a>> {
    let ways = ways(host, request, observed)?;
    let mut observations = Vec::new();
    for probe in probe::probes(&ways, &host.probe, &Client::Nobody) {
        if !proxies::is_idle(host, &probe.via, observed)? {
            observations.push((probe.via.clone(), observed.observations(&probe)));
        }
    }
    Ok(Looked { ways, observations })
}

/// What tells where the hosts must lead, and why they do not: the DNSEntries, and the load balancer's host names.
pub(super) fn queries(hosts: &[Host], observed: &Observed) -> Reconciled<Vec<Query>> {
    let mut queries = Vec::new();
    for host in hosts {
        let (_, service) = balancer(host, observed)?;
        let addresses = service.found().into_iter();
        let names = addresses
            .flat_map(|service| &service.load_balancer)
            .filter(|address| address.parse::<IpAddr>().is_err());
        queries.extend(names.cloned().map(Query::Resolve));
    }
    queries.push(entries());
    Ok(queries)
}

fn entries() -> Query {
    Query::everywhere(Kind::DnsEntry)
}

fn balancer(host: &Host, observed: &Observed) -> Reconciled<(ObjectRef, Seen<Service>)> {
    probe::service(observed, &host.gateway.selector)
}

/// Whether the host's name leads to the load balancer.
pub(super) fn dns(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let observed = facts.observed;
    let name = &host.probe;
    let addresses = match observed.addresses_of(name)? {
        Seen::Found(addresses) => addresses,
        Seen::Missing => return without_address(host, facts),
        other => {
            let reason = other.unknown().unwrap_or_default();
            let mut link = Link::new("DNS", "not looked up").with(
                &check::DNS_NOT_CHECKED,
                format!("`{name}` could not be looked up: {reason}"),
                "`--resolver` names a DNS server to ask",
            );
            faulty_record(host, observed, &mut link)?;
            return Ok(link);
        }
    };
    let mut link = Link::new("DNS", addresses.join(", "));
    faulty_record(host, observed, &mut link)?;
    let is_loopback = |address: &String| address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    // That domain leads to the machine on which a local cluster runs, wherever its load balancer is.
    if is_within(name, LOCAL_DOMAIN) && addresses.iter().all(is_loopback) {
        return Ok(link);
    }
    compare(host, addresses, observed, link)
}

/// The DNSEntry of the host, the most specific one: its own, or that of a wildcard above.
fn record<'a>(host: &Host, observed: &'a Observed) -> Reconciled<Option<(&'a Object, DnsEntry)>> {
    let listed = observed.try_list(&entries())?;
    let listed = listed.found().copied().unwrap_or_default();
    let known = listed
        .iter()
        .filter_map(|object| Some((object, DnsEntry::read(object).ok()?)));
    Ok(known
        .filter(|(_, entry)| covers(&entry.host, &host.probe))
        .max_by_key(|(_, entry)| specificity(&entry.host)))
}

/// A finding on a DNSEntry that is not in effect; what it published before may still be answered.
fn faulty_record(host: &Host, observed: &Observed, link: &mut Link) -> Reconciled<()> {
    if let Some((object, entry)) = record(host, observed)?
        && !entry.progress.is_ready()
    {
        link.add(
            Finding::new(
                &check::DNS_ENTRY_FAILED,
                format!(
                    "{} is not in effect: {}",
                    object.reference(),
                    entry.progress.said()
                ),
                look_at(object.reference()),
            )
            .graded(Severity::Warning),
        );
    }
    Ok(())
}

fn look_at(object: &ObjectRef) -> String {
    format!(
        "`kubectl -n {} describe {} {}`",
        object.namespace,
        object.kind.resource(),
        object.name
    )
}

/// Why the host has no address: its DNSEntry, else a challenge that hides it, else nobody made a record.
fn without_address(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let name = &host.probe;
    let link = Link::new("DNS", "no address");
    let says = format!("`{name}` has no address in DNS");
    if let Some((object, entry)) = record(host, facts.observed)? {
        let reference = object.reference();
        if entry.progress.is_ready() {
            return Ok(link.with(
                &check::DNS_RECORD_NOT_SERVED,
                format!("{says}, although {reference} is Ready"),
                "resolvers may keep what they knew before; `--resolver` asks another one",
            ));
        }
        let remedy = if entry.progress.state.is_empty() {
            // In a shoot an entry without its class is ignored without any status (external-dns-management).
            let (class, value) = DNS_CLASS;
            format!(
                "in a Gardener shoot it needs its class: `kubectl -n {} annotate {} {} {class}={value}`",
                reference.namespace,
                reference.kind.resource(),
                reference.name
            )
        } else {
            look_at(reference)
        };
        return Ok(link.with(
            &check::DNS_ENTRY_FAILED,
            format!(
                "{says}: {reference} is not in effect: {}",
                entry.progress.said()
            ),
            remedy,
        ));
    }
    let hiding = readable(&facts.certificates)
        .iter()
        .find(|(_, certificate)| hides(certificate, name));
    if let Some((certificate, _)) = hiding {
        return Ok(link.with(
            &check::DNS_CHALLENGE_HIDES_HOST,
            format!(
                "{says} while the DNS challenge of {} is pending: the name `_acme-challenge` beside it hides what a wildcard record above covers",
                certificate.reference()
            ),
            "wait until the Certificate is Ready; with a record of its own the host is never hidden: `kubectl mtls expose SERVICE --dns-entry`",
        ));
    }
    let unseen = blind(&facts.observed.try_list(&entries())?);
    let mut link = link.with(
        &check::DNS_NO_RECORD,
        says,
        "make a record for it that leads to the gateway's load balancer",
    );
    link.details
        .extend(unseen.map(|reason| format!("the DNSEntries could not be listed: {reason}")));
    Ok(link)
}

/// Whether the challenge of a pending Certificate keeps a wildcard record from covering a name. The challenge makes its domain
/// exist, and all between it and the wildcard: what lies directly below one of these is not covered any more (RFC 4592, 3.3.1).
fn hides(certificate: &Certificate, name: &str) -> bool {
    let parent = name.split_once('.').map_or(name, |(_, parent)| parent);
    let is_beside = |host: &String| is_within(host.strip_prefix("*.").unwrap_or(host), parent);
    certificate.progress.state == "Pending" && certificate.hosts.iter().any(is_beside)
}

fn compare(host: &Host, addresses: &[String], observed: &Observed, link: Link) -> Reconciled<Link> {
    let name = &host.probe;
    let (reference, seen) = balancer(host, observed)?;
    let service = match &seen {
        Seen::Found(service) => service,
        Seen::Missing => {
            return Ok(link.with(
                &check::INGRESS_SERVICE_MISSING,
                format!("{reference} does not exist: where the name must lead is not known"),
                "without that Service, see that the name leads to the gateway",
            ));
        }
        other => {
            return Ok(link.with(
                &check::INGRESS_NOT_CHECKED,
                format!(
                    "{reference} could not be read, where the name must lead is not known: {}",
                    other.unknown().unwrap_or_default()
                ),
                remedy(other),
            ));
        }
    };
    let mut wanted = Vec::new();
    for address in &service.load_balancer {
        if address.parse::<IpAddr>().is_ok() {
            wanted.push(address.clone());
            continue;
        }
        match observed.addresses_of(address)? {
            Seen::Found(found) => wanted.extend(found.iter().cloned()),
            other => {
                let reason = other.unknown().unwrap_or("it has no address".to_owned());
                return Ok(link.with(
                    &check::DNS_NOT_CHECKED,
                    format!(
                        "the load balancer's own name `{address}` could not be looked up: {reason}"
                    ),
                    "`--resolver` names a DNS server to ask",
                ));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(link.with(
            &check::INGRESS_NO_ADDRESS,
            format!("{reference} has no address to compare with"),
            "without a load balancer, see that the name leads to the gateway",
        ));
    }
    if addresses.iter().any(|address| wanted.contains(address)) {
        return Ok(link);
    }
    Ok(link.with(
        &check::DNS_OTHER_ADDRESS,
        format!(
            "`{name}` leads to {}, the load balancer is at {}",
            addresses.join(", "),
            wanted.join(", ")
        ),
        "change the DNS record, unless a proxy that passes TLS on stands there",
    ))
}
