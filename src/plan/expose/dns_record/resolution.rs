//! Whether the host's name leads to the gateway.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Request;
use super::super::target::Target;
use super::{Dns, PATIENCE, Record};
use crate::error::Failure;
use crate::plan::probe::HTTPS;
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, Wait, probe};
use crate::resources::ObjectRef;
use crate::resources::dns_entry::is_address;
use crate::resources::service::Service;

/// The final DNS answer for the host.
#[derive(Debug, Default)]
pub(in crate::plan::expose) struct Resolution {
    /// Whether the host resolves to the record's targets.
    pub resolves: bool,
    /// A note for the user.
    pub note: Option<String>,
}

/// How long the host's address is waited for: not at all for a record of which its controller says that it is not in effect.
pub(in crate::plan::expose) fn patience(
    request: &Request,
    dns: &Dns,
    is_ineffective: bool,
) -> Duration {
    let is_asked = dns.record.as_ref().is_some_and(|record| record.is_asked);
    match (is_asked, is_ineffective) {
        (true, _) => request.timeout,
        (false, true) => Duration::ZERO,
        (false, false) => PATIENCE.min(request.timeout),
    }
}

/// Waits until the host resolves to the record's targets. If the user did not ask for a record, a wrong answer is only a note.
pub(in crate::plan::expose) fn until_resolved(
    target: &Target,
    record: Option<&Record>,
    patience: Duration,
    observed: &Observed,
) -> Reconciled<Resolution> {
    let Some(record) = record else {
        observed.prefetch([Query::Resolve(target.host.clone())])?;
        let note = match observed.addresses_of(&target.host)? {
            Seen::Found(found) if !found.is_empty() => None,
            Seen::Found(_) | Seen::Missing => Some(no_address(target, observed)?),
            other => Some(unasked(target, &other.unknown().unwrap_or_default())),
        };
        return Ok(Resolution {
            resolves: false,
            note,
        });
    };
    let asked = asked(target, record);
    observed.prefetch(asked.iter().cloned())?;
    let Some(why) = misses(target, record, observed)? else {
        return Ok(Resolution {
            resolves: true,
            note: None,
        });
    };
    let told = |note: String| {
        Ok(Resolution {
            resolves: false,
            note: Some(note),
        })
    };
    if let Seen::Failed(reason) = observed.addresses_of(&target.host)? {
        return told(unasked(target, &reason));
    }
    let line = format!("DNS of {}: {why}", target.host);
    if observed.waited() < patience {
        return Err(Effect::Wait(Wait {
            reread: asked,
            progress: vec![line],
        })
        .into());
    }
    match observed.addresses_of(&target.host)? {
        _ if record.is_asked => Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            patience.as_secs()
        ))
        .hint("resolvers may have cached an earlier answer; `--resolver` asks another resolver")
        .hint("the objects stay; run the same command again to continue")
        .into()),
        Seen::Missing => told(no_address(target, observed)?),
        _ => told(format!(
            "the host `{}` does not lead to the gateway: {why}",
            target.host
        )),
    }
}

fn unasked(target: &Target, reason: &str) -> String {
    format!(
        "the host `{}` was not looked up in DNS: {reason}",
        target.host
    )
}

/// The note on a host without an address, with the target if it is known.
fn no_address(target: &Target, observed: &Observed) -> Reconciled<String> {
    let (reference, service) = probe::service(observed, &target.ingress)?;
    let place = match service.found() {
        Some(service) if service.load_balancer.is_empty() => outside(service, &reference),
        Some(service) => format!("the load balancer at {}", service.load_balancer.join(", ")),
        None => format!("the load balancer of {reference}"),
    };
    Ok(format!(
        "the host `{}` has no address in DNS, so no client can reach it by its name: make a record for it that leads to {place}",
        target.host
    ))
}

/// Where clients outside the cluster reach a Service that has no load balancer with an address.
fn outside(service: &Service, reference: &ObjectRef) -> String {
    let https = service.tcp_ports().find(|port| port.port == HTTPS);
    let node_port = https.and_then(|port| port.node_port);
    match (service.external.as_slice(), node_port) {
        ([], Some(port)) if service.kind == "NodePort" => {
            format!(
                "the nodes of the cluster; clients connect to their port {port}, which is that of {reference}"
            )
        }
        ([], _) => format!("the load balancer of {reference}"),
        (addresses, _) => format!("the nodes at {}", addresses.join(", ")),
    }
}

/// The DNS lookups: the host, and the load balancer if it has a name.
fn asked(target: &Target, record: &Record) -> Vec<Query> {
    let named = record.targets.iter().filter(|target| !is_address(target));
    [&target.host]
        .into_iter()
        .chain(named)
        .cloned()
        .map(Query::Resolve)
        .collect()
}

fn misses(target: &Target, record: &Record, observed: &Observed) -> Reconciled<Option<String>> {
    let found: BTreeSet<&String> = match observed.addresses_of(&target.host)? {
        Seen::Found(found) => found.iter().collect(),
        Seen::Missing => return Ok(Some("does not resolve yet".to_owned())),
        other => return Ok(Some(other.unknown().unwrap_or_default())),
    };
    let mut wanted = BTreeSet::new();
    for target in &record.targets {
        if is_address(target) {
            wanted.insert(target);
        } else {
            let addresses = observed.addresses_of(target)?;
            wanted.extend(addresses.found().copied().unwrap_or_default());
        }
    }
    // A load balancer's name may lead to a few of many addresses, others each time.
    if !found.is_disjoint(&wanted) {
        return Ok(None);
    }
    let found: Vec<&str> = found.into_iter().map(String::as_str).collect();
    Ok(Some(format!(
        "resolves to {}, not to {}",
        found.join(", "),
        record.targets.join(", ")
    )))
}
