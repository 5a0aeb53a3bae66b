//! Whether any Pod behind a Service is Ready.

use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::{blind, remedy};
use super::hosts::Host;
use super::workload;
use super::{Link, check};
use crate::plan::{Observed, Query, Reconciled, Seen, external_routes};
use crate::resources::listing::label_selector;
use crate::resources::pod::unready;
use crate::resources::{Kind, Object, ObjectRef, endpoint_slices};

/// The endpoints of all Services of a namespace.
pub(super) fn slices(service: &ObjectRef) -> Query {
    Query::within(Kind::EndpointSlice, &service.namespace)
}

/// The reads for other endpoints, if no endpoint of the Service is Ready: workloads outside the cluster, and Pods in a cluster without
/// `EndpointSlices`.
pub(super) fn queries(host: &Host, observed: &Observed) -> Reconciled<Vec<Query>> {
    let Some((service, found)) = workload::service(host, observed)? else {
        return Ok(Vec::new());
    };
    if found.selector.is_empty() {
        return Ok(Vec::new());
    }
    Ok(match state(&service, observed)? {
        Seen::Found(Endpoints { ready: 0, .. }) => vec![entries(&service)],
        Seen::Missing => external_routes::pods(&service, &found.selector)
            .into_iter()
            .chain([entries(&service)])
            .collect(),
        _ => Vec::new(),
    })
}

fn entries(service: &ObjectRef) -> Query {
    Query::within(Kind::WorkloadEntry, &service.namespace)
}

/// The number of endpoints of a Service.
struct Endpoints {
    all: usize,
    ready: usize,
}

/// The endpoints in the Service's `EndpointSlices`; `Missing` if it has none.
fn state(service: &ObjectRef, observed: &Observed) -> Reconciled<Seen<Endpoints>> {
    let listed = observed.try_list(&slices(service))?;
    let Seen::Found(objects) = listed else {
        return Ok(listed.map(|_| Endpoints { all: 0, ready: 0 }));
    };
    let Some(endpoints) = endpoint_slices::endpoints(objects, service) else {
        return Ok(Seen::Missing);
    };
    let mut counted = Endpoints { all: 0, ready: 0 };
    for endpoint in endpoints {
        counted.all += 1;
        // Without a word it counts as Ready, as the API says.
        let is_ready = endpoint
            .pointer("/conditions/ready")
            .and_then(Value::as_bool);
        counted.ready += usize::from(is_ready != Some(false));
    }
    Ok(Seen::Found(counted))
}

/// Adds the finding that no Pod is Ready.
pub(super) fn tell(host: &Host, observed: &Observed, link: &mut Link) -> Reconciled<()> {
    let Some((service, found)) = workload::service(host, observed)? else {
        return Ok(());
    };
    if found.selector.is_empty() {
        return Ok(());
    }
    let counted = match state(&service, observed)? {
        Seen::Found(counted) => counted,
        Seen::Missing => {
            let query = external_routes::pods(&service, &found.selector);
            let pods = match query {
                Some(query) => observed.try_list(&query)?,
                None => Seen::Missing,
            };
            let pods = pods.found().copied().unwrap_or_default();
            Endpoints {
                all: pods.len(),
                // Nothing counts endpoints here: without Pods, whatever serves is not of this cluster.
                ready: pods.iter().filter(|pod| is_ready(pod)).count()
                    + usize::from(pods.is_empty()),
            }
        }
        Seen::NotServed => return Ok(()),
        other => {
            let reason = other.unknown().unwrap_or_default();
            link.find(
                &check::SERVICE_NOT_CHECKED,
                format!("the EndpointSlices of {service} could not be listed: {reason}"),
                remedy(&other),
            );
            return Ok(());
        }
    };
    if counted.ready > 0 {
        return Ok(());
    }
    let seen = match counted.all {
        0 => format!("no Pod has the labels that {service} selects"),
        1 => format!("the only Pod behind {service} is not Ready"),
        all => format!("none of the {all} Pods behind {service} is Ready"),
    };
    let entries = observed.try_list(&entries(&service))?;
    if let Some(reason) = blind(&entries) {
        link.find(
            &check::SERVICE_NOT_CHECKED,
            format!("{seen}, and the WorkloadEntries, which may take its requests instead, could not be listed: {reason}"),
            remedy(&entries),
        );
        return Ok(());
    }
    let entries = entries.found().copied().unwrap_or_default();
    if entries
        .iter()
        .any(|entry| is_selected(entry, &found.selector))
    {
        return Ok(());
    }
    link.find(
        &check::SERVICE_NO_ENDPOINTS,
        seen,
        format!(
            "kubectl get pods -n {} -l {}",
            service.namespace,
            label_selector(&found.selector)
        ),
    );
    Ok(())
}

/// Whether a Pod has the condition Ready.
fn is_ready(pod: &Object) -> bool {
    let phase = pod.text(&["status", "phase"]);
    unready(pod).is_none() && !["Pending", "Failed", "Succeeded"].contains(&phase)
}

/// Whether a workload outside the cluster has the labels of a selector.
fn is_selected(entry: &Object, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| {
        let said = entry
            .at(&["spec", "labels"])
            .and_then(|labels| labels.get(key));
        said.and_then(Value::as_str).or(entry.label(key)) == Some(value)
    })
}
