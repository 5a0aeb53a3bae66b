//! The DNS of the host: who keeps the domain, the record that leads to the load balancer, and whether it is seen.

use std::collections::BTreeSet;

use super::target::Target;
use super::{Answer, Request, get};
use crate::error::Failure;
use crate::plan::{DryRun, Query, Seen, Step, Wait, World, gateway_look};
use crate::resources::dns_entry::{self, DEFAULT_TTL, DnsEntry, EntryFor, is_address};
use crate::resources::dns_provider::{DnsProvider, is_looked_at, is_within};
use crate::resources::domain::Domain;
use crate::resources::names::{FIRST_AUTHORITY, GATEWAY, GATEWAY_ANNOTATION, GatewayName};
use crate::resources::service::IpStack;
use crate::resources::{Kind, Object, environment};

/// What is said of the host's DNS.
#[derive(Debug, Clone, Default)]
pub struct DnsChoice {
    /// The custom domain under which the host lies.
    pub domain: Option<Domain>,
    /// Whether a record is wanted on the default domain too.
    pub entry: bool,
    /// The record's seconds to live; without, what an earlier run chose, else 600.
    pub ttl: Option<u32>,
}

impl DnsChoice {
    /// The record is asked for; else one that an earlier run made stays as it must be.
    fn is_asked(&self) -> bool {
        self.entry || self.domain.is_some()
    }
}

/// The record that must stand in the end.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub object: Object,
    pub live: Option<Object>,
    pub targets: Vec<String>,
    /// Why it was not seen whether a provider keeps the domain.
    pub provider_unseen: Option<String>,
}

fn providers() -> Query {
    Query::everywhere(Kind::DnsProvider)
}

/// The Service whose load balancer a record leads to; its Pods tell it, where it is not Istio's default ingress.
fn front(target: &Target) -> Vec<Query> {
    let [pods, service] = gateway_look::queries(&target.selector);
    let is_default = gateway_look::is_default(&target.selector);
    (!is_default)
        .then_some(pods)
        .into_iter()
        .chain([service])
        .collect()
}

/// What can be read at once, on the guess that this is the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let gateway = GatewayName::new(&request.namespace, GATEWAY);
    let mut queries = vec![get(dns_entry::reference(&gateway, FIRST_AUTHORITY))];
    if request.dns.is_asked() {
        queries.push(get(gateway_look::ingress_service()));
    }
    queries
}

/// `<service>.mtls.<domain>`, where a domain is given.
pub(super) fn host(request: &Request) -> Option<String> {
    let domain = request.dns.domain.as_ref()?;
    Some(format!("{}.mtls.{domain}", request.service))
}

/// Decides on the record before anything is written; nothing where none is asked for and none of ours is there.
pub(super) fn decide(request: &Request, target: &Target, world: &World) -> Answer<Option<Record>> {
    let reference = dns_entry::reference(&target.gateway, &target.names.authority);
    world.need([get(reference.clone())])?;
    let live = if request.dns.is_asked() {
        world.required(&reference)?
    } else {
        world
            .seen(&reference)
            .found()
            .copied()
            .filter(|live| is_ours(live, target))
    };
    if live.is_none() && !request.dns.is_asked() {
        return Ok(None);
    }
    world.need(front(target))?;
    world.need([get(environment::shoot_info())])?;
    let shoot = world.required(&environment::shoot_info())?;
    let mut provider_unseen = None;
    if request.dns.is_asked() {
        refuse_host_elsewhere(request, target)?;
        provider_unseen = check_provider(target, shoot, world)?;
    }
    let existing = live.map(DnsEntry::read).transpose();
    let existing = existing.map_err(|error| Failure::refused(error.to_string()))?;
    if let (Some(live), Some(entry)) = (live, &existing) {
        refuse_other_entry(target, live, entry)?;
    }
    let (targets, ip_stack) = load_balancer(request, target, world)?;
    let kept_ttl = existing.and_then(|entry| entry.ttl);
    let object = EntryFor {
        reference: &reference,
        gateway: &target.gateway,
        host: &target.gateway_host,
        targets: &targets,
        ip_stack: dns_entry::said_of(ip_stack, live),
        ttl: request.dns.ttl.or(kept_ttl).unwrap_or(DEFAULT_TTL),
        in_shoot: shoot.is_some(),
    }
    .object();
    Ok(Some(Record {
        object,
        live: live.cloned(),
        targets,
        provider_unseen,
    }))
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

/// Somebody must keep the domain: a DNSProvider, or in a shoot Gardener for the shoot's own. Tells why that was not seen.
fn check_provider(
    target: &Target,
    shoot: Option<&Object>,
    world: &World,
) -> Answer<Option<String>> {
    let own = shoot
        .map(|shoot| shoot.text(&["data", "domain"]))
        .unwrap_or_default();
    if !own.is_empty() && is_within(&target.host, own) {
        return Ok(None);
    }
    world.need([providers()])?;
    let listed = match world.list(&providers()) {
        Seen::Found(listed) => listed,
        Seen::NotServed => {
            world.required_list(Kind::DnsProvider, &providers())?;
            &[]
        }
        other => return Ok(other.unknown()),
    };
    let keeps = |object: &&Object| {
        is_looked_at(object, shoot.is_some())
            && DnsProvider::read(object).is_ok_and(|provider| provider.covers(&target.gateway_host))
    };
    if listed.iter().any(|object| keeps(&object)) {
        return Ok(None);
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

fn refuse_other_entry(target: &Target, live: &Object, entry: &DnsEntry) -> Result<(), Failure> {
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

/// Where the record leads; the cloud may take minutes to give the load balancer an address.
fn load_balancer(
    request: &Request,
    target: &Target,
    world: &World,
) -> Answer<(Vec<String>, IpStack)> {
    let (reference, seen) = gateway_look::service(world, &target.selector);
    let service = match seen {
        Seen::Found(service) => service,
        Seen::Missing => {
            return Err(Failure::refused(format!("{reference} does not exist"))
                .hint("a record must lead to its load balancer")
                .into());
        }
        Seen::Denied(denial) => {
            return Err(Failure::refused(format!(
                "{reference} must be read first, and may not be: {denial}"
            ))
            .for_want_of_rights()
            .into());
        }
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Err(Failure::failed(format!("could not read {reference}: {reason}")).into());
        }
    };
    let refused = |why: String| Failure::refused(format!("{reference}: {why}"));
    if !service.load_balancer.is_empty() {
        let targets = dns_entry::targets(&service.load_balancer).map_err(refused)?;
        return Ok((targets, service.ip_stack));
    }
    let line = format!("{reference}: its load balancer has no address yet");
    if request.dry_run != DryRun::None {
        return Err(Failure::refused(line)
            .hint("a record can be shown once there is one")
            .into());
    }
    if !request.wait {
        return Err(Failure::refused(line)
            .hint("a record must lead to it: without `--no-wait` it is waited for")
            .into());
    }
    if world.waited >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint("the cloud gives it one; nothing was written, run the same command again")
        .into());
    }
    Err(Step::Wait(Wait {
        reread: vec![Query::Get(reference)],
        progress: vec![line],
    })
    .into())
}

/// Waits until the host's name leads where its record does; tells why it was not looked up, where it could not be.
pub(super) fn until_resolved(
    request: &Request,
    target: &Target,
    record: &Record,
    world: &World,
) -> Answer<Option<String>> {
    let asked = asked(target, record);
    world.need(asked.iter().cloned())?;
    let Some(why) = misses(target, record, world) else {
        return Ok(None);
    };
    if let Seen::Failed(reason) = world.resolved(&target.host) {
        return Ok(Some(reason));
    }
    let line = format!("DNS of {}: {why}", target.host);
    if world.waited >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint("resolvers may keep what they knew before; `--resolver` asks another one")
        .hint("the objects stay; run the same command again to continue")
        .into());
    }
    Err(Step::Wait(Wait {
        reread: asked,
        progress: vec![line],
    })
    .into())
}

/// The host, and the load balancer where that has a name.
fn asked(target: &Target, record: &Record) -> Vec<Query> {
    let named = record.targets.iter().filter(|target| !is_address(target));
    [&target.host]
        .into_iter()
        .chain(named)
        .cloned()
        .map(Query::Resolve)
        .collect()
}

fn misses(target: &Target, record: &Record, world: &World) -> Option<String> {
    let found: BTreeSet<&String> = match world.resolved(&target.host) {
        Seen::Found(found) => found.iter().collect(),
        Seen::Missing => return Some("it does not resolve yet".to_owned()),
        other => return Some(other.unknown().unwrap_or_default()),
    };
    let mut wanted = BTreeSet::new();
    for target in &record.targets {
        if is_address(target) {
            wanted.insert(target);
        } else {
            wanted.extend(world.resolved(target).found().copied().unwrap_or_default());
        }
    }
    // A load balancer's name may lead to a few of many addresses, others each time.
    if !found.is_disjoint(&wanted) {
        return None;
    }
    let found: Vec<&str> = found.into_iter().map(String::as_str).collect();
    Some(format!(
        "it leads to {}, not to {}",
        found.join(", "),
        record.targets.join(", ")
    ))
}
