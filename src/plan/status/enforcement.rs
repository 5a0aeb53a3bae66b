//! Whether the proxies enforce the guards as they are in the cluster: a proxy that istiod does not reach, or that rejects what it is sent,
//! uses its earlier configuration.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::hosts::Host;
use super::probes::Handshakes;
use super::proxies::{SETTLED, is_idle, restart, wait_for};
use super::{Finding, Link, Request, check, guards};
use crate::plan::probe::{self, Via, Ways};
use crate::plan::{Query, Reconciled, Seen};
use crate::resources::guard::{is_enforced, traces};
use crate::resources::ingress::pod_name;
use crate::resources::proxy_config::Part;
use crate::resources::{Object, ObjectRef};

/// Reads again for a moment if a proxy enforces something else: somebody may just have changed a guard.
pub(super) fn settle(hosts: &[Host], request: &Request, facts: &Facts<'_>) -> Reconciled<()> {
    if facts.observed.waited() >= SETTLED {
        return Ok(());
    }
    let mut reread = BTreeSet::new();
    let mut progress = BTreeSet::new();
    for host in hosts.iter().filter(|host| !host.is_from_outside) {
        for part in host.parts() {
            let connect_to = request.connect_to.as_deref();
            let ways = probe::ways(facts.observed, &part.gateway.ingress, connect_to)?;
            for (pod, guard) in lagging(&part, &ways, facts)? {
                progress.insert(format!("{} does not enforce {guard} yet", pod_name(pod)));
                reread.insert(Query::within(guard.kind, &guard.namespace));
                reread.insert(Query::Proxy(pod.clone(), Part::Policies));
            }
        }
    }
    wait_for(progress, reread)
}

/// Adds the finding on proxies that do not enforce a guard of the host, at the proxies of one namespace.
pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<()> {
    let pods = pods(host, &handshakes.ways, facts)?;
    for pod in &pods {
        // A proxy that cannot be asked at all is reported with its client CA.
        let can_be_asked = facts.observed.proxy_config(pod, &Part::ClientCas)?;
        if let (Seen::Failed(reason), Some(_)) = (
            facts.observed.proxy_config(pod, &Part::Policies)?,
            can_be_asked.found(),
        ) {
            let seen = format!("whether {pod} enforces the guards could not be read: {reason}");
            let finding = Finding::new(&check::GUARD_NOT_CHECKED, seen, "kubectl mtls status -v 6");
            link.add(finding.because("whether the proxy enforces the guards is not known"));
        }
    }
    let lagging = lagging(host, &handshakes.ways, facts)?;
    let guards: BTreeSet<&ObjectRef> = lagging.iter().map(|(_, guard)| *guard).collect();
    for guard in guards {
        let of = lagging.iter().filter(|(_, of)| *of == guard);
        let of: Vec<&ObjectRef> = of.map(|(pod, _)| *pod).collect();
        let shown: Vec<String> = of.iter().map(|pod| pod_name(pod)).collect();
        let verb = if of.len() == 1 { "does" } else { "do" };
        let remedy = restart(host, &of, of.len() == pods.len(), facts.observed)?;
        link.find(
            &check::GUARD_NOT_ENFORCED,
            format!(
                "{} {verb} not enforce the current {guard}",
                shown.join(", ")
            ),
            remedy,
        );
    }
    Ok(())
}

/// The proxies in the namespace of a host's ingress gateway that get clients.
fn pods<'a>(host: &Host, ways: &'a Ways, facts: &Facts<'_>) -> Reconciled<Vec<&'a ObjectRef>> {
    let mut pods = Vec::new();
    for via in &ways.ways {
        if let Via::Proxy(proxy) = via
            && proxy.pod.namespace == host.gateway.ingress.namespace
            && !is_idle(host, via, facts.observed)?
        {
            pods.push(&proxy.pod);
        }
    }
    Ok(pods)
}

/// The proxies of a host's ingress gateway that enforce something else than a guard of the host says, each with the guard.
pub(super) fn lagging<'a>(
    host: &Host,
    ways: &'a Ways,
    facts: &Facts<'a>,
) -> Reconciled<Vec<(&'a ObjectRef, &'a ObjectRef)>> {
    let namespace = &host.gateway.ingress.namespace;
    let guards = [
        guards::of_host(host, facts)?,
        guards::of_headers(namespace, &host.gateway.name, facts)?,
    ];
    let guards = guards.into_iter().flatten();
    let guards: Vec<(&Object, BTreeSet<String>)> =
        guards.map(|guard| (guard, traces(guard))).collect();
    let mut lagging = Vec::new();
    for pod in pods(host, ways, facts)? {
        let enforced = facts.observed.proxy_config(pod, &Part::Policies)?;
        let Some(enforced) = enforced.found() else {
            continue;
        };
        for (guard, traces) in &guards {
            if !is_enforced(guard.reference(), traces, enforced) {
                lagging.push((pod, guard.reference()));
            }
        }
    }
    Ok(lagging)
}
