//! The DNS of the host: the provider of its domain, the record for the load balancer, and whether it resolves.
//!
//! A record for exactly this host is written by default wherever a provider manages the host's domain: a wildcard record above covers the
//! host too, but not while an issuer's DNS challenge exists beside it (RFC 4592, 2.2.2).

mod balancer;
mod default;
mod resolution;
mod untaken;

use std::time::Duration;

pub(super) use resolution::{Resolution, patience, until_resolved};
pub(super) use untaken::settle;

use super::pending::Pending;
use super::target::Target;
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

/// Value of a Gateway's annotation: its host has no record of its own, because the user asked for that, or no provider accepted it.
const WITHOUT: &str = "none";
/// Value of the annotation of a Gateway that once had the other value.
const WITH: &str = "kept";
/// How long a default record is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user's choices for the host's DNS.
#[derive(Debug, Clone, Default)]
pub struct DnsChoice {
    /// The custom domain of the host.
    pub domain: Option<Domain>,
    /// Whether a record is wanted; by default, if a provider manages the domain.
    pub entry: Option<bool>,
    /// The record's TTL in seconds; by default that of an earlier run, else 600.
    pub ttl: Option<u32>,
}

impl DnsChoice {
    /// Whether the user asked for the record; else an existing record is kept up to date.
    fn is_asked(&self) -> bool {
        self.entry
            .unwrap_or(self.domain.is_some() || self.ttl.is_some())
    }

    /// Whether the user asked for a record of DNS, and not only for a host of a domain.
    fn is_explicit(&self) -> bool {
        self.entry == Some(true) || self.ttl.is_some()
    }

    fn is_left_out(&self) -> bool {
        self.entry == Some(false)
    }
}

/// The decision on the host's DNS.
#[derive(Debug, Default)]
pub(super) struct Dns {
    /// The record to write.
    pub record: Option<Record>,
    /// The record of an earlier run to delete.
    pub lifted: Option<Wanted>,
    /// The value of the Gateway's annotation about its record, if this plugin made the Gateway.
    pub mark: Option<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The record to write.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub object: Object,
    pub live: Option<Object>,
    pub targets: Vec<String>,
    /// Whether the user asked for the record; else nothing depends on it.
    pub is_asked: bool,
    /// Why it is not known whether a provider manages the domain.
    pub provider_unseen: Option<String>,
}

impl Dns {
    /// The DNSEntry to write.
    pub fn wanted(&self) -> Option<Wanted> {
        let record = self.record.as_ref()?;
        Some(applied(record.object.clone(), record.live.as_ref(), None))
    }

    /// Whether the run waits for this object like for all others.
    pub fn is_waited_for(&self, object: &Object) -> bool {
        let by_default = self.record.as_ref().filter(|record| !record.is_asked);
        by_default.is_none_or(|record| record.object.reference() != object.reference())
    }
}

fn providers() -> Query {
    Query::everywhere(Kind::DnsProvider)
}

/// The reads that find the Service whose load balancer is the record's target: for another gateway than Istio's default one, its Pods.
fn front(target: &Target) -> Vec<Query> {
    let others = target.ingress.parts().filter(|part| !part.is_default());
    let pods = others.map(|part| probe::pods(&part));
    pods.chain(service_queries(&target.ingress)).collect()
}

/// The reads of the first round, for the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let gateway = GatewayName::new(&request.namespace, GATEWAY);
    let mut queries = vec![get(dns_entry::reference(&gateway, FIRST_CERTIFICATE))];
    if !request.dns.is_left_out() {
        queries.push(get(probe::ingress_service()));
    }
    queries
}

/// The host `<service>.mtls.<domain>`, if a domain is given.
pub(super) fn host(request: &Request) -> Option<String> {
    let domain = request.dns.domain.as_ref()?;
    Some(format!("{}.mtls.{domain}", request.service))
}

/// The DNSEntry with the name that this plugin uses; `None` if the cluster does not serve DNSEntries.
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
            "the host `{}` leads to 127.0.0.1: no other machine than this one reaches it; `--host` or `--domain` chooses another host",
            target.host
        ));
    }
    Ok(dns)
}

/// Whether a new host has the domain of local clusters by default.
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
    // A cluster without DNSEntries serves hosts of any domain: somebody else makes the record.
    let is_unserved = matches!(seen, Seen::NotServed) && !request.dns.is_explicit();
    if request.dns.is_asked() && !is_unserved {
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

/// The value of the Gateway's annotation about its record, including a change in this run.
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

/// A record that the user asked for: any obstacle is a refusal.
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

/// A record of an earlier run, kept up to date.
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

/// Refuses a host outside of the given domain, whose DNSProvider manages no other records.
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

/// Whether somebody manages the domain: a DNSProvider, or in a shoot Gardener itself for the
/// shoot's domain.
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

/// Refuses a domain without a provider. Returns the reason if that could not be read.
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
        "no DNSProvider manages the domain of `{}`",
        target.gateway_host
    ))
    .hint(format!(
        "`kubectl mtls register-domain {domain} --provider TYPE` creates a DNSProvider"
    ));
    Err(failure.into())
}

/// Refuses a DNSEntry with the expected name that belongs to another Gateway or host.
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
        .hint("rename or remove the existing object, or choose another Gateway with `--gateway`"));
    }
    Ok(())
}

/// The state of a record that no provider has accepted yet.
pub(super) fn pending(live: &Object) -> Result<Option<Pending>, Unreadable> {
    let progress = Progress::read(live)?;
    Ok((!progress.is_ready()).then(|| Pending::of(live, progress)))
}
