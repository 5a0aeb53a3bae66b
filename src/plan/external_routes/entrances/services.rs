//! Services as entrances: those that lead to the Pods of the exposed one, and can be reached from outside the cluster.

use serde_json::Value;

use super::{Callers, Entrance, Found, listed};
use crate::plan::external_routes::{Exposed, Workload, labels_of, pairs};
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::endpoint_slices;
use crate::resources::service::{Port, Service};
use crate::resources::workload_access::Principal;
use crate::resources::{Kind, Object};

/// The Services beside the exposed one.
pub(in super::super) fn services<'w>(
    exposed: &Exposed<'_>,
    observed: &'w Observed,
) -> Reconciled<&'w [Object]> {
    listed(
        &Query::within(Kind::Service, &exposed.service.namespace),
        observed,
    )
}

/// The query for the namespace's `EndpointSlices`; `None` unless a Service without a selector stands there.
pub(in super::super) fn slices(exposed: &Exposed<'_>, services: &[Object]) -> Option<Query> {
    let is_chosen = |object: &Object| {
        let selects = Service::read(object).is_ok_and(|service| !service.selector.is_empty());
        let has_endpoints = object.text(&["spec", "type"]) != "ExternalName";
        object.reference() != exposed.service && !selects && has_endpoints
    };
    let namespace = &exposed.service.namespace;
    let query = || Query::within(Kind::EndpointSlice, namespace);
    services.iter().any(is_chosen).then(query)
}

/// The Services that lead to the same Pods, the exposed one included.
pub(super) fn sharing<'w>(
    exposed: &Exposed<'_>,
    services: &'w [Object],
    workload: &Workload<'_>,
    slices: &[Object],
) -> Vec<&'w Object> {
    let mut addresses = endpoint_slices::addresses(slices, exposed.service);
    let pods = workload.pods.iter();
    let lists = pods.filter_map(|pod| pod.at(&["status", "podIPs"])?.as_array());
    addresses.extend(lists.flatten().filter_map(|one| one.get("ip")?.as_str()));
    let shares = |object: &&Object| {
        if object.reference() == exposed.service {
            return true;
        }
        let Ok(service) = Service::read(object) else {
            return false;
        };
        let selector = pairs(&service.selector);
        if selector.is_empty() {
            let chosen = endpoint_slices::addresses(slices, object.reference());
            return !chosen.is_disjoint(&addresses);
        }
        let is_within = |part: &[(String, String)], whole: &[(String, String)]| {
            part.iter().all(|pair| whole.contains(pair))
        };
        if workload.pods.is_empty() {
            return is_within(&selector, &workload.selector)
                || is_within(&workload.selector, &selector);
        }
        workload
            .pods
            .iter()
            .any(|pod| is_within(&selector, &labels_of(pod)))
    };
    services.iter().filter(shares).collect()
}

/// The Pods' ports behind these Services; `None` if a target port is a name.
pub(super) fn ports(services: &[&Object]) -> Option<Vec<u16>> {
    let number = |port: &Port| match &port.target_port {
        Value::Null => Some(port.port),
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        _ => None,
    };
    let services = services
        .iter()
        .filter_map(|object| Service::read(object).ok());
    services
        .flat_map(|service| service.ports)
        .map(|port| number(&port))
        .collect()
}

impl Found<'_> {
    /// The entrance through a Service whose Pods can be reached from outside the cluster.
    pub(super) fn service(&self, object: &Object) -> Option<Entrance> {
        let how = public(object)?;
        let reference = object.reference();
        let seen = if reference == self.exposed.service {
            format!("the {reference} is itself {how}")
        } else {
            format!(
                "the {reference} {how} leads to the Pods of the {}",
                self.exposed.service
            )
        };
        let change = match object.text(&["spec", "type"]) {
            "LoadBalancer" | "NodePort" => r#"{"spec":{"type":"ClusterIP"}}"#,
            _ => r#"{"spec":{"externalIPs":null}}"#,
        };
        Some(Entrance {
            seen,
            callers: Callers::Anybody,
            arrival: self.arrival(Principal::Nobody, Vec::new()),
            remedy: format!(
                "kubectl patch service -n {} {} --type=merge -p '{change}'",
                reference.namespace, reference.name
            ),
        })
    }
}

/// How a Service can be reached from outside the cluster: `of type NodePort`.
fn public(service: &Object) -> Option<String> {
    let addresses = service
        .at(&["spec", "externalIPs"])
        .and_then(Value::as_array);
    match service.text(&["spec", "type"]) {
        kind @ ("LoadBalancer" | "NodePort") => Some(format!("of type {kind}")),
        _ if addresses.is_some_and(|addresses| !addresses.is_empty()) => {
            Some("with externalIPs".to_owned())
        }
        _ => None,
    }
}
