//! Whether the proxies enforce the guards as they are in the cluster: a proxy that istiod does not reach, or that rejects what it is sent,
//! goes on with what it had.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::hosts::Host;
use super::probes::Handshakes;
use super::proxies::{SETTLED, restart_of_istiod};
use super::{Link, Request, check, guards};
use crate::plan::probe::{self, Ways};
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, Wait};
use crate::resources::guard::traces;
use crate::resources::ingress::pod_name;
use crate::resources::proxy_config::Part;
use crate::resources::{Object, ObjectRef};

/// The reads of what the proxies enforce.
pub(super) fn queries(
    hosts: &[Host],
    request: &Request,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    let mut queries = Vec::new();
    for host in hosts.iter().filter(|host| !host.is_from_outside) {
        let connect_to = request.connect_to.as_deref();
        let ways = probe::ways(observed, &host.gateway.ingress, connect_to)?;
        let asked = ways.pods().cloned();
        queries.extend(asked.map(|pod| Query::Proxy(pod, Part::Policies)));
    }
    Ok(queries)
}

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
    if reread.is_empty() {
        return Ok(());
    }
    Err(Effect::Wait(Wait {
        progress: progress.into_iter().collect(),
        reread: reread.into_iter().collect(),
    })
    .into())
}

/// Adds the finding on proxies that do not enforce a guard of the host, at the proxies of one namespace.
pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<()> {
    let ways = &handshakes.ways;
    for pod in ways.pods() {
        if let Seen::Failed(reason) = facts.observed.proxy_config(pod, &Part::Policies)? {
            link.find(
                &check::PROXY_NOT_CHECKED,
                format!("whether {pod} enforces the guards could not be read: {reason}"),
                "kubectl mtls status -v 6",
            );
        }
    }
    let lagging = lagging(host, ways, facts)?;
    let guards: BTreeSet<&ObjectRef> = lagging.iter().map(|(_, guard)| *guard).collect();
    for guard in guards {
        let pods = lagging.iter().filter(|(_, of)| *of == guard);
        let pods: Vec<String> = pods.map(|(pod, _)| pod_name(pod)).collect();
        let verb = if pods.len() == 1 { "does" } else { "do" };
        link.find(
            &check::GUARD_NOT_ENFORCED,
            format!("{} {verb} not enforce {guard} as it is", pods.join(", ")),
            restart_of_istiod(host, facts.observed)?,
        );
    }
    Ok(())
}

/// The proxies in the namespace of a host's ingress gateway that enforce something else than a guard of the host says, each with the guard.
fn lagging<'a>(
    host: &Host,
    ways: &'a Ways,
    facts: &Facts<'a>,
) -> Reconciled<Vec<(&'a ObjectRef, &'a ObjectRef)>> {
    let namespace = &host.gateway.ingress.namespace;
    let guards = [
        guards::of_host(host, facts)?,
        guards::of_headers(namespace, &host.gateway.name, facts)?,
    ];
    let guards: Vec<&Object> = guards.into_iter().flatten().collect();
    let mut lagging = Vec::new();
    for pod in ways.pods().filter(|pod| pod.namespace == *namespace) {
        let enforced = facts.observed.proxy_config(pod, &Part::Policies)?;
        let Some(enforced) = enforced.found() else {
            continue;
        };
        for guard in &guards {
            let of_guard = |line: &&String| line.split(' ').next() == Some(guard.name());
            if !enforced.iter().filter(of_guard).eq(&traces(guard)) {
                lagging.push((pod, guard.reference()));
            }
        }
    }
    Ok(lagging)
}
