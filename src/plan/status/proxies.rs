//! The proxies: whether each of them is Ready, and has loaded the client CA that is in the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::hosts::Host;
use super::rejected::{has_rejected_client_ca, has_rejected_server};
use super::{Finding, Link, Request, Severity, check};
use crate::plan::ingress::all_pods;
use crate::plan::probe::{self, Load, Via, Ways, load};
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, Wait, control_plane};
use crate::resources::ingress::pod_name;
use crate::resources::pod::unready;
use crate::resources::proxy_config::{Part, STREAM_CLOSED};
use crate::resources::{Object, ObjectRef, ingress};

/// The time within which istiod sends a change to the proxies, except for a burst of changes.
pub(super) const SETTLED: Duration = Duration::from_secs(1);
/// The time within which a proxy has another connection to istiod, where that restarts (Envoy backs off up to a few seconds).
const RECONNECTED: Duration = Duration::from_secs(5);
/// How long a starting Pod may take to become Ready.
const STARTING: time::Duration = time::Duration::minutes(2);

/// Whether a way leads to a proxy that gets no clients, since its Pod is not Ready and others are.
pub(super) fn is_idle(host: &Host, via: &Via, observed: &Observed) -> Reconciled<bool> {
    let pods = all_pods(&host.gateway.ingress, observed)?;
    let Via::Proxy(proxy) = via else {
        return Ok(false);
    };
    let mut named = pods.iter().filter(|pod| *pod.reference() == proxy.pod);
    let is_unready = named.next().is_some_and(|pod| unready(pod).is_some());
    Ok(is_unready && pods.iter().any(|pod| unready(pod).is_none()))
}

/// The finding on Pods of the gateway that get no clients.
fn not_ready(host: &Host, observed: &Observed, now: OffsetDateTime) -> Reconciled<Option<Finding>> {
    let listed = observed.try_list(&probe::pods(&host.gateway.ingress))?;
    let pods = listed.found().copied().unwrap_or_default();
    let is_starting = |condition: &Value| {
        let since = condition.get("lastTransitionTime").and_then(Value::as_str);
        let since = since.and_then(|since| OffsetDateTime::parse(since, &Rfc3339).ok());
        since.is_some_and(|since| now - since < STARTING)
    };
    let late = |pod: &&Object| unready(pod).is_some_and(|condition| !is_starting(condition));
    let late: Vec<&Object> = pods.iter().filter(late).collect();
    let Some(first) = late.first() else {
        return Ok(None);
    };
    let names: Vec<&str> = late.iter().map(|pod| pod.name()).collect();
    let remedy = format!(
        "kubectl describe pods -n {} {}",
        first.namespace(),
        names.join(" ")
    );
    let verb = if late.len() == 1 {
        "Pod is"
    } else {
        "Pods are"
    };
    let seen = format!("the gateway's {verb} not Ready: {}", names.join(", "));
    let finding = Finding::new(&check::PROXY_NOT_READY, seen, remedy);
    Ok(Some(if late.len() == pods.len() {
        finding
            .graded(Severity::Error)
            .because("no client reaches any host of the gateway")
    } else {
        finding
    }))
}

/// The command that lets proxies of one namespace load everything anew: `all` of the host's, or some of them.
pub(super) fn restart(
    host: &Host,
    pods: &[&ObjectRef],
    all: bool,
    observed: &Observed,
) -> Reconciled<String> {
    if all {
        // New ones would load nothing either.
        return restart_of_istiod(host, observed);
    }
    let namespace = pods.first().map(|pod| pod.namespace.as_str());
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    Ok(format!(
        "kubectl delete pods -n {} {}",
        namespace.unwrap_or_default(),
        names.join(" ")
    ))
}

/// The command that restarts the control plane of a host's proxies: they go on with what they have, and then load all of it anew.
pub(super) fn restart_of_istiod(host: &Host, observed: &Observed) -> Reconciled<String> {
    let planes = control_plane::named(&host.gateway.ingress, observed)?;
    let plane = planes.into_iter().next().unwrap_or_default();
    Ok(format!(
        "kubectl rollout restart deployments -n {} -l app=istiod",
        plane.namespace
    ))
}

/// The reads of the proxies' own configuration.
pub(super) fn queries(
    hosts: &[Host],
    request: &Request,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    let mut queries = Vec::new();
    for host in hosts {
        let ways = probe::ways(
            observed,
            &host.gateway.ingress,
            request.connect_to.as_deref(),
        )?;
        for pod in ways.pods() {
            queries.push(Query::Proxy(pod.clone(), Part::ClientCas));
            queries.push(Query::Proxy(pod.clone(), Part::RejectedUpdates));
            queries.push(Query::Proxy(pod.clone(), Part::AcceptedSecrets));
            queries.push(Query::Proxy(pod.clone(), Part::Policies));
            queries.push(Query::Proxy(pod.clone(), Part::Stream));
        }
        queries.extend(probe::rejections(&ways));
    }
    queries.sort();
    queries.dedup();
    Ok(queries)
}

/// Whether a proxy says that it has no stream of configuration from istiod. False where it cannot be asked.
pub(super) fn is_cut_off(pod: &ObjectRef, observed: &Observed) -> Reconciled<bool> {
    let said = observed.proxy_config(pod, &Part::Stream)?;
    Ok(said
        .found()
        .is_some_and(|said| said.contains(STREAM_CLOSED)))
}

/// Reads again for a moment if a proxy has loaded something else: somebody may just have changed the client CA.
pub(super) fn settle(hosts: &[Host], request: &Request, observed: &Observed) -> Reconciled<()> {
    if observed.waited() >= RECONNECTED {
        return Ok(());
    }
    let is_settled = observed.waited() >= SETTLED;
    let mut reread = BTreeSet::new();
    let mut progress = BTreeSet::new();
    for host in hosts {
        let source = host.server.client_ca_source();
        for pod in probe::ways(
            observed,
            &host.gateway.ingress,
            request.connect_to.as_deref(),
        )?
        .pods()
        {
            if !is_settled
                && load(&source, pod, observed)?.is_some_and(|load| load != Load::Current)
            {
                progress.insert(format!("{} has not loaded {source} yet", pod_name(pod)));
                reread.insert(Query::Get(source.clone()));
                reread.insert(Query::Proxy(pod.clone(), Part::ClientCas));
            }
            if !is_settled
                && (has_rejected_server(pod, host, observed)?
                    || has_rejected_client_ca(pod, &source, observed)?)
            {
                progress.insert(format!(
                    "{} has not accepted the newest Secrets yet",
                    pod_name(pod)
                ));
                reread.insert(Query::Proxy(pod.clone(), Part::AcceptedSecrets));
            }
            // istiod ends each connection now and then, and the proxy opens another one at once.
            if is_cut_off(pod, observed)? {
                progress.insert(format!("{} has no connection to istiod", pod_name(pod)));
                reread.insert(Query::Proxy(pod.clone(), Part::Stream));
            }
        }
    }
    wait_for(progress, reread)
}

/// Waits until the proxies may have loaded a change; does nothing if there is nothing to read again.
pub(super) fn wait_for(progress: BTreeSet<String>, reread: BTreeSet<Query>) -> Reconciled<()> {
    if reread.is_empty() {
        return Ok(());
    }
    Err(Effect::Wait(Wait {
        progress: progress.into_iter().collect(),
        reread: reread.into_iter().collect(),
    })
    .into())
}

/// Adds the findings on the proxies of a host; returns the names of those that have not loaded the trust bundle.
pub(super) fn faults(
    host: &Host,
    ways: &Ways,
    observed: &Observed,
    now: OffsetDateTime,
    link: &mut Link,
) -> Reconciled<BTreeSet<String>> {
    let source = host.server.client_ca_source();
    let mut outdated: Vec<(&ObjectRef, Load)> = Vec::new();
    let mut rejecting = BTreeSet::new();
    let mut count = 0;
    for via in &ways.ways {
        let Via::Proxy(ingress::Proxy { pod, .. }) = via else {
            continue;
        };
        if is_idle(host, via, observed)? {
            continue;
        }
        count += 1;
        // A port-forward that is not permitted is told where the proxies are looked at.
        let asked = [
            (Part::ClientCas, format!("has loaded {source}")),
            (Part::AcceptedSecrets, "rejected a Secret".to_owned()),
            (Part::RejectedUpdates, "rejected an update".to_owned()),
            (Part::RejectedListeners, "rejects a listener".to_owned()),
            (Part::Stream, "has a connection to istiod".to_owned()),
        ];
        for (part, what) in asked {
            if let Seen::Failed(reason) = observed.proxy_config(pod, &part)? {
                link.find(
                    &check::PROXY_NOT_CHECKED,
                    format!("whether {pod} {what} could not be read: {reason}"),
                    "kubectl mtls status -v 6",
                );
                break;
            }
        }
        // A proxy shows what it was sent, also where it goes on with what it had.
        let has_rejected = has_rejected_client_ca(pod, &source, observed)?;
        let load = load(&source, pod, observed)?;
        let load = load.filter(|load| has_rejected || *load != Load::Current);
        outdated.extend(load.map(|load| (pod, load)));
        if has_rejected {
            rejecting.insert(pod);
        }
        let counted = observed.proxy_config(pod, &Part::RejectedUpdates)?;
        if counted.found().is_some_and(|counters| !counters.is_empty()) {
            rejecting.insert(pod);
        }
    }
    let is_everywhere = outdated.len() == count;
    let (rejected, late): (Vec<_>, Vec<_>) = outdated
        .iter()
        .partition(|(pod, _)| rejecting.contains(pod));
    let of = |load: Load| {
        let pods = late.iter().filter(move |(_, of)| *of == load);
        pods.map(|(pod, _)| *pod).collect::<Vec<_>>()
    };
    let all = rejected.iter().map(|(pod, _)| *pod).collect();
    let groups = [
        (
            &check::PROXY_UPDATE_REJECTED,
            all,
            "rejected an update, and has not loaded",
        ),
        (
            &check::PROXY_OUTDATED_BUNDLE,
            of(Load::OtherBundle),
            "has not loaded the trust bundle of",
        ),
        (
            &check::PROXY_OUTDATED_CRL,
            of(Load::OtherCrl),
            "has not loaded the revocation lists of",
        ),
    ];
    for (check, pods, says) in groups {
        if let Some(first) = pods.first() {
            let shown: Vec<String> = pods.iter().map(|pod| pod_name(pod)).collect();
            // A proxy that is sent again what it has rejected calls it accepted, and does not use it.
            let remedy = if check.id == check::PROXY_UPDATE_REJECTED.id {
                format!(
                    "repair what the proxies reject, which `kubectl logs -n {} {}` shows: often the key or certificate of another Gateway's server; \
                     then run the command again that changed the client CA, which sends it anew",
                    first.namespace, first.name
                )
            } else {
                restart(host, &pods, is_everywhere, observed)?
            };
            link.find(
                check,
                format!("{} {says} {source}", shown.join(", ")),
                remedy,
            );
        }
    }
    link.extend(not_ready(host, observed, now)?);
    Ok(outdated.iter().map(|(pod, _)| pod_name(pod)).collect())
}
