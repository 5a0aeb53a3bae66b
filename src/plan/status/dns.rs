//! Whether the host's name resolves to the gateway's load balancer.

use std::net::IpAddr;

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::records::{self, Records};
use super::{Finding, Link, Severity, check, ingress};
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::Kind;
use crate::resources::certificate::Certificate;
use crate::resources::dns_provider::is_within;
use crate::resources::service::Service;

const NAME: &str = "DNS";
const ASK_ANOTHER: &str = "name a DNS server to ask: `kubectl mtls status --resolver HOST`";

/// The reads of the hosts' DNS: the DNSEntries and their providers, and the load balancer's host names.
pub(super) fn queries(hosts: &[Host], observed: &Observed) -> Reconciled<Vec<Query>> {
    let mut queries = Vec::new();
    for host in hosts {
        let (_, service) = ingress::service(host, observed)?;
        let addresses = service.found().into_iter().flat_map(Service::addresses);
        let names = addresses.filter(|address| address.parse::<IpAddr>().is_err());
        queries.extend(names.map(|name| Query::Resolve(name.to_owned())));
    }
    queries.extend(records::queries());
    Ok(queries)
}

/// The addresses of a name, compared with the load balancer's.
enum Leads {
    Here,
    Nowhere,
    /// The load balancer, and these further addresses.
    Partly(Vec<String>),
    /// Other addresses than the load balancer's, which are these.
    Elsewhere(Vec<String>),
    /// The addresses, or the load balancer's, are not known.
    Unknown,
}

/// Whether the host's name resolves to the load balancer.
pub(super) fn examine(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let name = &host.probe;
    let seen = facts.observed.addresses_of(name)?;
    let found = seen.found().copied().unwrap_or_default();
    let mut link = match &seen {
        Seen::Found([]) | Seen::Missing => Link::new(NAME, "no address"),
        Seen::Found(addresses) => Link::new(NAME, addresses.join(", ")),
        other => {
            let reason = other.unknown().unwrap_or_default();
            Link::new(NAME, "not looked up").with(
                &check::DNS_NOT_CHECKED,
                format!("`{name}` could not be looked up: {reason}"),
                ASK_ANOTHER,
            )
        }
    };
    let leads = match &seen {
        Seen::Found([]) | Seen::Missing => Leads::Nowhere,
        Seen::Found(addresses) => leads(host, addresses, facts.observed, &mut link)?,
        _ => Leads::Unknown,
    };
    let (_, service) = ingress::service(host, facts.observed)?;
    let addresses = service.found().into_iter().flat_map(Service::addresses);
    let mut balancer: Vec<String> = addresses.map(str::to_owned).collect();
    let records = Records::of(host, facts.observed)?;
    if let Leads::Partly(others) = &leads {
        let says = format!(
            "`{name}` leads to {} too, which is not an address of the load balancer ({})",
            others.join(", "),
            balancer.join(", ")
        );
        link.add(records.partly(host, says, &balancer, others));
    } else if matches!(leads, Leads::Here | Leads::Unknown) {
        let standing = records
            .fault()
            .or_else(|| records.unmaintained())
            .or_else(|| records.provider_fault());
        if let Some(finding) = standing {
            // What was published before is still answered, or a wildcard record above answers.
            link.add(finding.graded(Severity::Warning));
        }
    } else {
        let says = match leads {
            Leads::Elsewhere(wanted) => {
                let to = wanted.join(", ");
                balancer.extend(wanted);
                balancer.sort_unstable();
                balancer.dedup();
                let found = found.join(", ");
                format!("`{name}` leads to {found}, and the load balancer is at {to}")
            }
            _ => format!("`{name}` has no address in DNS"),
        };
        let fault = records.unclassed().or_else(|| records.fault());
        link.add(
            match fault.or_else(|| records.wrong_target(host, &balancer)) {
                Some(fault) => Finding {
                    seen: format!("{says}: {}", fault.seen),
                    ..fault
                },
                None if found.is_empty() => nowhere(says, host, &balancer, &records, facts),
                None => records.other_address(host, says, &balancer),
            },
        );
    }
    for finding in records.unseen() {
        link.add(finding);
    }
    Ok(link)
}

fn leads(
    host: &Host,
    addresses: &[String],
    observed: &Observed,
    link: &mut Link,
) -> Reconciled<Leads> {
    let is_loopback = |address: &String| address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if records::is_local(&host.probe) && addresses.iter().all(is_loopback) {
        return Ok(Leads::Here);
    }
    let (_, seen) = ingress::service(host, observed)?;
    let Some(service) = seen.found() else {
        return Ok(Leads::Unknown);
    };
    let mut wanted = Vec::new();
    for address in service.addresses() {
        if address.parse::<IpAddr>().is_ok() {
            wanted.push(address.to_owned());
            continue;
        }
        match observed.addresses_of(address)? {
            Seen::Found(found) => wanted.extend(found.iter().cloned()),
            other => {
                let reason = other
                    .unknown()
                    .unwrap_or("the name has no address".to_owned());
                link.find(
                    &check::DNS_NOT_CHECKED,
                    format!(
                        "the load balancer's own name `{address}` could not be looked up: {reason}"
                    ),
                    ASK_ANOTHER,
                );
                return Ok(Leads::Unknown);
            }
        }
    }
    let others = strays(addresses, &wanted, service);
    Ok(if wanted.is_empty() {
        Leads::Unknown
    } else if !others.is_empty() && others.len() < addresses.len() {
        Leads::Partly(others)
    } else if addresses.iter().any(|address| wanted.contains(address)) {
        Leads::Here
    } else {
        Leads::Elsewhere(wanted)
    })
}

/// The addresses that do not belong to the load balancer, if all of its own are known: a host name returns some of them at a time, and may
/// have more of another address family.
fn strays(addresses: &[String], wanted: &[String], service: &Service) -> Vec<String> {
    let kind = |address: &String| address.parse().map(|ip: IpAddr| ip.is_ipv4()).ok();
    if service
        .addresses()
        .any(|address| address.parse::<IpAddr>().is_err())
    {
        return Vec::new();
    }
    let is_stray = |address: &&String| {
        let mut alike = wanted
            .iter()
            .filter(|own| kind(own) == kind(address))
            .peekable();
        alike.peek().is_some() && !wanted.contains(address)
    };
    addresses.iter().filter(is_stray).cloned().collect()
}

/// Why the host has no address although no record is at fault: a resolver that does not know it yet, a DNS challenge that hides it, or a
/// record that nobody created.
fn nowhere(
    says: String,
    host: &Host,
    balancer: &[String],
    records: &Records<'_>,
    facts: &Facts<'_>,
) -> Finding {
    let record = records.first();
    let hiding = highest(&host.probe, record.map(|(_, name)| name)).and_then(|highest| {
        let namespaces = host.proxies.namespaces();
        namespaces
            .flat_map(|namespace| facts.certificates(namespace))
            .flat_map(readable)
            .find(|(_, certificate)| hides(certificate, highest))
    });
    if let Some((certificate, _)) = hiding {
        return Finding::new(
            &check::DNS_CHALLENGE_HIDES_HOST,
            format!(
                "{says} while the DNS challenge of {} is pending: the name `_acme-challenge` beside the host hides it from a wildcard record above",
                certificate.reference()
            ),
            format!("{} --dns-entry", host.expose_command()),
        );
    }
    match record {
        Some((entry, _)) => Finding::new(
            &check::DNS_RECORD_NOT_SERVED,
            format!("{says}, although {entry} is Ready"),
            "wait until resolvers forget that the name did not exist; `kubectl mtls status --resolver HOST` asks another resolver",
        ),
        None => records.none(host, says, balancer),
    }
}

/// The highest name, at or above the host's, that must not exist if a wildcard record is to cover the host: one label below the wildcard,
/// or the parent of the host's name where no record is known. `None` if the record is for exactly this host.
fn highest<'a>(name: &'a str, record: Option<&str>) -> Option<&'a str> {
    let Some(record) = record else {
        return Some(name.split_once('.').map_or(name, |(_, parent)| parent));
    };
    let below = name.strip_suffix(record.strip_prefix('*')?)?;
    let label = below.rsplit('.').next()?;
    name.get(below.len() - label.len()..)
}

/// Whether the DNS challenge of a pending Certificate keeps a wildcard record from covering what is at or below the `highest` name. The
/// challenge makes its domain exist, and all names between it and the wildcard: names below one of these are not covered any more (RFC 4592,
/// 3.3.1).
fn hides(certificate: &Certificate, highest: &str) -> bool {
    let is_at = |host: &String| is_within(host.strip_prefix("*.").unwrap_or(host), highest);
    // Whether an issuer of cert-manager's needs a challenge in the DNS is not known.
    certificate.kind == Kind::Certificate
        && certificate.progress.state == "Pending"
        && certificate.hosts.iter().any(is_at)
}
