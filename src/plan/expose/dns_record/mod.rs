//! The DNS of the host: who keeps the domain, the record that leads to the load balancer, and whether it is seen.
//!
//! A record of its own is written by default wherever somebody keeps the host's domain: a wildcard record above covers the host
//! too, but not while an issuer's challenge stands beside it (RFC 4592, 2.2.2).

mod balancer;
mod default;
mod resolution;
mod untaken;

use std::time::Duration;

pub(super) use resolution::{Resolution, until_resolved};
pub(super) use untaken::settle;

use super::target::Target;
use super::waiting::Pending;
use super::wanted::{Wanted, applied};
use super::{Request, get};
use crate::error::Failure;
use crate::plan::ingress::service_queries;
use crate::plan::{Observed, Query, Reconciled, Seen, Write, probe};
use crate::resources::dns_entry::{self, DEFAULT_TTL, DnsEntry, EntryFor};
use crate::resources::dns_provider::{DnsProvider, is_looked_at, is_within};
use crate::resources::domain::Domain;
use crate::resources::names::{
    DNS_ANNOTATION, FIRST_CERTIFICATE, GATEWAY, GATEWAY_ANNOTATION, GatewayName,
};
use crate::resources::progress::Progress;
use crate::resources::route::Routing;
use crate::resources::service::IpStack;
use crate::resources::{Kind, Object, Unreadable, environment};

/// On a Gateway: its host has no record of its own, because that was asked for, or no provider took it.
const WITHOUT: &str = "none";
/// On a Gateway that once had the other mark.
const WITH: &str = "kept";
/// How long a record that nobody asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is said of the host's DNS.
#[derive(Debug, Clone, Default)]
pub struct DnsChoice {
    /// The custom domain under which the host lies.
    pub domain: Option<Domain>,
    /// Whether a record is wanted; where nothing is said, it is kept where somebody keeps the domain.
    pub entry: Option<bool>,
    /// The record's seconds to live; without, what an earlier run chose, else 600.
    pub ttl: Option<u32>,
}

impl DnsChoice {
    /// The record is asked for; else one that an earlier run made stays as it must be.
    fn is_asked(&self) -> bool {
        self.entry
            .unwrap_or(self.domain.is_some() || self.ttl.is_some())
    }

    fn is_left_out(&self) -> bool {
        self.entry == Some(false)
    }
}

/// What is decided on the host's DNS.
#[derive(Debug, Default)]
pub(super) struct Dns {
    /// The record that must stand in the end.
    pub record: Option<Record>,
    /// The record of an earlier run that goes.
    pub lifted: Option<Wanted>,
    /// What the Gateway says of its record, where it is ours.
    pub mark: Option<String>,
    /// What the user must know.
    pub notes: Vec<String>,
}

/// The record that must stand in the end.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub object: Object,
    pub live: Option<Object>,
    pub targets: Vec<String>,
    /// Whether the user asked for it; else nothing depends on it.
    pub is_asked: bool,
    /// Why it was not seen whether a provider keeps the domain.
    pub provider_unseen: Option<String>,
}

impl Dns {
    /// The record that is written.
    pub fn wanted(&self) -> Option<Wanted> {
        let record = self.record.as_ref()?;
        Some(applied(record.object.clone(), record.live.as_ref(), None))
    }

    /// Whether this object is waited for like all others.
    pub fn is_waited_for(&self, object: &Object) -> bool {
        let by_default = self.record.as_ref().filter(|record| !record.is_asked);
        by_default.is_none_or(|record| record.object.reference() != object.reference())
    }
}

fn providers() -> Query {
    Query::everywhere(Kind::DnsProvider)
}

/// The Service whose load balancer a record leads to; its Pods tell it, where it is not Istio's default ingress.
fn front(target: &Target) -> Vec<Query> {
    let others = target.ingress.parts().filter(|part| !part.is_default());
    let pods = others.map(|part| probe::pods(&part));
    pods.chain(service_queries(&target.ingress)).collect()
}

/// What can be read at once, on the guess that this is the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let gateway = GatewayName::new(&request.namespace, GATEWAY);
    let mut queries = vec![get(dns_entry::reference(&gateway, FIRST_CERTIFICATE))];
    if !request.dns.is_left_out() {
        queries.push(get(probe::ingress_service()));
    }
    queries
}

/// `<service>.mtls.<domain>`, where a domain is given.
pub(super) fn host(request: &Request) -> Option<String> {
    let domain = request.dns.domain.as_ref()?;
    Some(format!("{}.mtls.{domain}", request.service))
}

/// The DNSEntry of the name that ours has or would have; none where the cluster does not serve DNSEntries.
fn observe<'a>(target: &Target, observed: &'a Observed) -> Reconciled<Seen<&'a Object>> {
    observed.try_get(&dns_entry::reference(
        &target.gateway,
        &target.names.certificate,
    ))
}

/// Decides on the record before anything is written.
pub(super) fn desired(request: &Request, target: &Target, observed: &Observed) -> Reconciled<Dns> {
    refuse_host_elsewhere(request, target)?;
    let mut dns = decided(request, target, observed)?;
    if is_only_local(request, target) {
        dns.notes.push(format!(
            "the host `{}` leads to 127.0.0.1: no other machine than this one reaches it; `--host` or `--domain` chooses another one",
            target.host
        ));
    }
    Ok(dns)
}

/// Whether a new host has the domain of local clusters, which nobody has chosen.
fn is_only_local(request: &Request, target: &Target) -> bool {
    let is_said = request.host.is_some() || request.dns.domain.is_some();
    let is_kymas = target.environment.routing == Routing::ApiRule;
    let is_known = is_said || is_kymas || target.existing.is_some();
    !is_known && is_within(&target.host, environment::LOCAL_DOMAIN)
}

fn decided(request: &Request, target: &Target, observed: &Observed) -> Reconciled<Dns> {
    let reference = dns_entry::reference(&target.gateway, &target.names.certificate);
    let said = mark(target, observed);
    let seen = observe(target, observed)?;
    let own = seen.found().filter(|live| is_ours(live, target)).copied();
    if request.dns.is_left_out() {
        return Ok(Dns {
            lifted: own.map(lifted),
            mark: Some(WITHOUT.to_owned()),
            ..Dns::default()
        });
    }
    if request.dns.is_asked() {
        return Ok(Dns {
            record: Some(asked_for(request, target, observed)?),
            mark: said.map(|_| WITH.to_owned()),
            ..Dns::default()
        });
    }
    let kept = Dns {
        mark: said.map(str::to_owned),
        ..Dns::default()
    };
    if let Some(own) = own {
        return Ok(Dns {
            record: Some(kept_one(request, target, own, observed)?),
            ..kept
        });
    }
    if said == Some(WITHOUT) {
        return Ok(Dns {
            notes: untaken::removed(target, &reference, observed)
                .into_iter()
                .collect(),
            ..kept
        });
    }
    default::desired(request, target, kept, observed)
}

/// What our Gateway says of its record, also where this run has made it.
fn mark<'a>(target: &'a Target, observed: &'a Observed) -> Option<&'a str> {
    let written = observed.change_of(&target.gateway.reference());
    let known = target.existing.as_ref().map(|existing| &existing.object);
    let gateway = written.map(|written| &written.answer).or(known);
    gateway
        .filter(|gateway| gateway.is_ours())
        .and_then(|gateway| gateway.annotation(DNS_ANNOTATION))
}

fn lifted(live: &Object) -> Wanted {
    Wanted {
        object: live.clone().manifest(),
        write: Some(Write::Delete(live.clone())),
        exists: true,
    }
}

/// A record that the user asked for: whatever keeps it from being made is a refusal.
fn asked_for(request: &Request, target: &Target, observed: &Observed) -> Reconciled<Record> {
    let reference = dns_entry::reference(&target.gateway, &target.names.certificate);
    let live = observed.get(&reference)?;
    observed.prefetch(front(target))?;
    let shoot = observed.get(&environment::shoot_info())?;
    let provider_unseen = check_provider(target, shoot, observed)?;
    if let Some(live) = live {
        conflicts(target, live)?;
    }
    let (targets, ip_stack) = balancer::awaited(request, target, observed)?;
    Ok(Record {
        provider_unseen,
        is_asked: true,
        ..record(request, target, live, targets, ip_stack, shoot.is_some())?
    })
}

/// A record that an earlier run made stays as it must be.
fn kept_one(
    request: &Request,
    target: &Target,
    own: &Object,
    observed: &Observed,
) -> Reconciled<Record> {
    observed.prefetch(front(target))?;
    let shoot = observed.get(&environment::shoot_info())?;
    conflicts(target, own)?;
    let (targets, ip_stack) = balancer::awaited(request, target, observed)?;
    record(
        request,
        target,
        Some(own),
        targets,
        ip_stack,
        shoot.is_some(),
    )
    .map_err(Into::into)
}

fn record(
    request: &Request,
    target: &Target,
    live: Option<&Object>,
    targets: Vec<String>,
    ip_stack: IpStack,
    in_shoot: bool,
) -> Result<Record, Failure> {
    let existing = live.map(DnsEntry::read).transpose();
    let existing = existing.map_err(|error| Failure::refused(error.to_string()))?;
    let kept_ttl = existing.and_then(|entry| entry.ttl);
    let object = EntryFor {
        reference: &dns_entry::reference(&target.gateway, &target.names.certificate),
        gateway: &target.gateway,
        host: &target.gateway_host,
        targets: &targets,
        ip_stack: dns_entry::said_of(ip_stack, live),
        ttl: request.dns.ttl.or(kept_ttl).unwrap_or(DEFAULT_TTL),
        in_shoot,
    }
    .object();
    Ok(Record {
        object,
        live: live.cloned(),
        targets,
        is_asked: false,
        provider_unseen: None,
    })
}

fn is_ours(live: &Object, target: &Target) -> bool {
    live.is_ours() && live.annotation(GATEWAY_ANNOTATION) == Some(&target.gateway.to_string())
}

/// The DNSProvider of one domain keeps no records of another.
fn refuse_host_elsewhere(request: &Request, target: &Target) -> Result<(), Failure> {
    match &request.dns.domain {
        Some(domain) if !is_within(&target.host, domain.as_str()) => Err(Failure::usage(format!(
            "the host `{}` does not lie below `{domain}`",
            target.host
        ))
        .hint("leave out `--host`, or give one below the domain")),
        _ => Ok(()),
    }
}

/// Whether somebody keeps the domain: a DNSProvider, or in a shoot Gardener for the shoot's own.
fn is_kept(target: &Target, shoot: Option<&Object>, observed: &Observed) -> Reconciled<Seen<bool>> {
    let own = shoot
        .map(|shoot| shoot.text(&["data", "domain"]))
        .unwrap_or_default();
    if !own.is_empty() && is_within(&target.host, own) {
        return Ok(Seen::Found(true));
    }
    observed.prefetch([providers()])?;
    let keeps = |object: &Object| {
        is_looked_at(object, shoot.is_some())
            && DnsProvider::read(object).is_ok_and(|provider| provider.covers(&target.gateway_host))
    };
    let listed = observed.try_list(&providers())?;
    Ok(listed.map(|listed| listed.iter().any(keeps)))
}

/// Refuses a domain that nobody keeps. Tells why that was not seen.
fn check_provider(
    target: &Target,
    shoot: Option<&Object>,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    match is_kept(target, shoot, observed)? {
        Seen::Found(true) => return Ok(None),
        Seen::Found(false) => {}
        Seen::NotServed => {
            observed.list(&providers())?;
        }
        other => return Ok(other.unknown()),
    }
    let domain = target
        .gateway_host
        .trim_start_matches("*.mtls.")
        .trim_start_matches("*.");
    let failure = Failure::refused(format!(
        "no DNSProvider keeps the domain of `{}`",
        target.gateway_host
    ))
    .hint(format!(
        "`kubectl mtls register-domain {domain} --provider TYPE` makes one"
    ));
    Err(failure.into())
}

/// Refuses a DNSEntry by our name that is of another Gateway, or for another host.
fn conflicts(target: &Target, live: &Object) -> Result<(), Failure> {
    let entry = DnsEntry::read(live).map_err(|error| Failure::refused(error.to_string()))?;
    let ours = target.gateway.to_string();
    let reference = live.reference();
    if let Some(other) = live
        .annotation(GATEWAY_ANNOTATION)
        .filter(|other| *other != ours)
    {
        return Err(Failure::refused(format!(
            "{reference} belongs to the Gateway `{other}`, not to `{ours}`"
        ))
        .hint("choose another Gateway with `--gateway`"));
    }
    if entry.host != target.gateway_host {
        return Err(Failure::refused(format!(
            "{reference} is for `{}`, not for `{}`",
            entry.host, target.gateway_host
        ))
        .hint("rename or remove it, or choose another Gateway with `--gateway`"));
    }
    Ok(())
}

/// A record that no provider has taken yet.
pub(super) fn pending(live: &Object) -> Result<Option<Pending>, Unreadable> {
    let progress = Progress::read(live)?;
    Ok((!progress.is_ready()).then(|| Pending::of(live, progress)))
}
