//! Whether anything behind a Service takes the requests of a route: a Ready Pod that has the Service's port, and is of the route's subset.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::facts::{Facts, blind, remedy};
use super::hosts::Host;
use super::{Finding, Link, check, subsets, workload};
use crate::plan::{Observed, Query, Reconciled, Seen, command_line, external_routes};
use crate::resources::pod::is_ready;
use crate::resources::service::{Port, Service};
use crate::resources::{Kind, Object, ObjectRef, endpoint_slices};

/// The kind of Services that stand for a name outside of the cluster.
const EXTERNAL_NAME: &str = "ExternalName";

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
    let port = workload::port(host, &found);
    Ok(match state(&service, port, observed)? {
        Seen::Found(Endpoints { serving: 0, .. }) => vec![entries(&service)],
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
    /// Those of the Ready ones that have the port of the route, if it is known.
    serving: usize,
}

impl Endpoints {
    fn of(all: usize, ready: usize) -> Self {
        Self {
            all,
            ready,
            serving: ready,
        }
    }
}

/// The endpoints in the Service's `EndpointSlices`; `Missing` if it has none.
fn state(
    service: &ObjectRef,
    port: Option<&Port>,
    observed: &Observed,
) -> Reconciled<Seen<Endpoints>> {
    let listed = observed.try_list(&slices(service))?;
    let Seen::Found(objects) = listed else {
        return Ok(listed.map(|_| Endpoints::of(0, 0)));
    };
    let Some(all) = endpoint_slices::endpoints(objects, service) else {
        return Ok(Seen::Missing);
    };
    // Without a word it counts as Ready, as the API says.
    let is_ready = |endpoint: &&Value| {
        let said = endpoint.pointer("/conditions/ready");
        said.and_then(Value::as_bool) != Some(false)
    };
    let mut counted = Endpoints::of(all.len(), all.iter().copied().filter(is_ready).count());
    if let Some(port) = port {
        let serving = endpoint_slices::endpoints_with_port(objects, service, &port.name);
        counted.serving = serving.filter(is_ready).count();
    }
    Ok(Seen::Found(counted))
}

/// Adds the finding that nothing takes the requests of the route.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    let observed = facts.observed;
    let Some((service, found)) = workload::service(host, observed)? else {
        return Ok(());
    };
    // Its name is resolved instead.
    if found.kind == EXTERNAL_NAME {
        return Ok(());
    }
    let port = workload::port(host, &found);
    let counted = match state(&service, port, observed)? {
        Seen::Found(counted) => counted,
        Seen::Missing if found.selector.is_empty() => Endpoints::of(0, 0),
        Seen::Missing => {
            let query = external_routes::pods(&service, &found.selector);
            let pods = match query {
                Some(query) => observed.try_list(&query)?,
                None => Seen::Missing,
            };
            let pods = pods.found().copied().unwrap_or_default();
            // Nothing counts endpoints here: without Pods, whatever serves is not of this cluster.
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            Endpoints::of(pods.len(), ready + usize::from(pods.is_empty()))
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
    let finding = match without_endpoint(&service, &found, port, &counted, observed)? {
        Some(finding) => Some((found.selector.clone(), finding)),
        None => subsets::without_pods(host, &service, &found, facts)?,
    };
    if let Some((labels, finding)) = finding {
        if labels.is_empty() {
            link.add(finding);
            return Ok(());
        }
        link.extend(unless_outside(&service, &labels, finding, observed)?);
    }
    Ok(())
}

/// The finding on a Service without an endpoint that is Ready and has the port of the route.
fn without_endpoint(
    reference: &ObjectRef,
    service: &Service,
    port: Option<&Port>,
    counted: &Endpoints,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let seen = match (counted.ready, port) {
        (1.., Some(port)) if counted.serving == 0 => {
            let number = port.describe();
            let seen = match port.target_port.as_str() {
                Some(name) => format!(
                    "port {number} of {reference} leads to the port `{name}`, which no Ready Pod behind it names"
                ),
                None => format!("no Ready endpoint of {reference} has its port {number}"),
            };
            let remedy = led_to_the_only_port(reference, service, port, observed)?
                .unwrap_or_else(|| command_line::edit(reference));
            return Ok(Some(Finding::new(
                &check::SERVICE_TARGET_PORT,
                seen,
                remedy,
            )));
        }
        (1.., _) => return Ok(None),
        (0, _) if service.selector.is_empty() => {
            let seen = format!("{reference} has no selector, and none of its endpoints is Ready");
            let remedy = command_line::edit(reference);
            return Ok(Some(Finding::new(
                &check::SERVICE_NO_ENDPOINTS,
                seen,
                remedy,
            )));
        }
        (0, _) => match counted.all {
            0 => format!("no Pod has the labels that {reference} selects"),
            1 => format!("the only Pod behind {reference} is not Ready"),
            all => format!("none of the {all} Pods behind {reference} is Ready"),
        },
    };
    let remedy = workload::show_pods(reference, &service.selector);
    Ok(Some(Finding::new(
        &check::SERVICE_NO_ENDPOINTS,
        seen,
        remedy,
    )))
}

/// The command that lets a port with a name lead to the one port that the containers of all Pods have, the sidecar's aside.
fn led_to_the_only_port(
    reference: &ObjectRef,
    service: &Service,
    port: &Port,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let query = external_routes::pods(reference, &service.selector);
    let (Some(query), Some(_)) = (query, port.target_port.as_str()) else {
        return Ok(None);
    };
    let listed = observed.try_list(&query)?;
    let pods = listed.found().copied().unwrap_or_default().iter();
    let containers = pods.filter_map(|pod| pod.at(&["spec", "containers"])?.as_array());
    let own = containers
        .flatten()
        .filter(|container| container["name"] != "istio-proxy");
    let ports = own.filter_map(|container| container.get("ports")?.as_array());
    let tcp = ports
        .flatten()
        .filter(|port| port.get("protocol").is_none_or(|said| said == "TCP"));
    let numbers: BTreeSet<u64> = tcp
        .filter_map(|port| port.get("containerPort")?.as_u64())
        .collect();
    let place = service.ports.iter().position(|known| known == port);
    let ([number], Some(place)) = (&numbers.iter().collect::<Vec<_>>()[..], place) else {
        return Ok(None);
    };
    let path = format!("/spec/ports/{place}/targetPort");
    let patch = json!([
        {"op": "test", "path": path, "value": port.target_port},
        {"op": "replace", "path": path, "value": number},
    ]);
    Ok(Some(command_line::patch(reference, "json", &patch)))
}

/// The finding that no Pod takes the requests of a Service, unless a workload outside the cluster with these labels does.
fn unless_outside(
    service: &ObjectRef,
    labels: &BTreeMap<String, String>,
    finding: Finding,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let entries = observed.try_list(&entries(service))?;
    if let Some(reason) = blind(&entries) {
        let seen = finding.seen;
        let unseen = format!(
            "{seen}, and the WorkloadEntries, which may take its requests instead, could not be listed: {reason}"
        );
        let unknown = Finding::new(&check::SERVICE_NOT_CHECKED, unseen, remedy(&entries));
        return Ok(Some(unknown));
    }
    let entries = entries.found().copied().unwrap_or_default();
    let is_outside = entries.iter().any(|entry| is_selected(entry, labels));
    Ok((!is_outside).then_some(finding))
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
