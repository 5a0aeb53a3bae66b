//! The facts about the Pods behind a host.

use std::collections::BTreeMap;

use super::hosts::Host;
use super::routes::{Backend, Route};
use crate::plan::external_routes::{self, labels_of};
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::access_policy::has_sidecar;
use crate::resources::listing::label_selector;
use crate::resources::service::{Port, Service};
use crate::resources::workload_access::Labels;
use crate::resources::{Kind, Object, ObjectRef, ingress};

/// A Service as its namespace lists it, which external routes are found in too.
pub(super) fn read_service<'a>(
    service: &ObjectRef,
    observed: &'a Observed,
) -> Reconciled<Seen<&'a Object>> {
    let list = Query::within(Kind::Service, &service.namespace);
    observed.try_get_listed(&list, service)
}

/// The Service behind a host, if it was found.
pub(super) fn service(
    host: &Host,
    observed: &Observed,
) -> Reconciled<Option<(ObjectRef, Service)>> {
    let Some(Backend { service, .. }) = host.backend() else {
        return Ok(None);
    };
    let found = read_service(&service, observed)?
        .read_as(|object| Service::read(object))
        .found()
        .cloned();
    Ok(found.map(|found| (service, found)))
}

/// The command that shows the Pods with these labels.
pub(super) fn show_pods(service: &ObjectRef, labels: &BTreeMap<String, String>) -> String {
    let (namespace, labels) = (&service.namespace, label_selector(labels));
    format!("kubectl get pods -n {namespace} -l {labels}")
}

/// The port of a Service that a host's route names, or its only one.
pub(super) fn port<'a>(host: &Host, service: &'a Service) -> Option<&'a Port> {
    let mut ports = service.tcp_ports();
    match host.backend()?.port {
        Some(number) => ports.find(|port| port.port == number),
        None => ports.next().filter(|_| ports.next().is_none()),
    }
}

/// The Pods behind a host, represented by one of them.
pub(super) struct Workload<'a> {
    /// The Service of these Pods.
    pub service: ObjectRef,
    /// The port of the Service that the route names.
    pub port: Option<u16>,
    /// The Pods' port behind the Service's port, if it is known.
    pub target: Option<u16>,
    /// One of the Pods, if they were read.
    pub pod: Option<&'a Object>,
    /// Whether a sidecar terminates the mesh's connections, if that is known: Kyma refuses Pods without one.
    pub has_sidecar: Option<bool>,
    labels: Vec<(String, String)>,
}

impl<'a> Workload<'a> {
    /// The workload of a host whose Service was read and selects Pods.
    pub fn of(host: &Host, observed: &'a Observed) -> Reconciled<Option<Self>> {
        let Some(route) = &host.route else {
            return Ok(None);
        };
        let Some((service, found)) = service(host, observed)? else {
            return Ok(None);
        };
        let Some(query) = external_routes::pods(&service, &found.selector) else {
            return Ok(None);
        };
        let listed = observed.already_listed(&query);
        let pods = listed.and_then(|seen| seen.found().copied());
        let stays = |pod: &&Object| pod.at(&["metadata", "deletionTimestamp"]).is_none();
        let pod = pods.unwrap_or_default().iter().find(stays);
        let port = port(host, &found);
        let is_kyma = Route::reference(route).kind == Kind::ApiRule;
        Ok(Some(Self {
            port: port.map(|port| port.port),
            target: port.and_then(|port| target(port, pod)),
            pod,
            has_sidecar: pod.map(has_sidecar).or(is_kyma.then_some(true)),
            labels: match pod {
                Some(pod) => labels_of(pod),
                None => found.selector.clone().into_iter().collect(),
            },
            service,
        }))
    }

    /// Whether a Service with this selector leads to the Pods, as far as their labels are known.
    pub fn is_selected_by(&self, selector: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): (&String, &String)| {
            let mut known = self.labels.iter();
            known.any(|(label, said)| (label, said) == (key, value))
        };
        !selector.is_empty() && selector.iter().all(has)
    }

    /// The Pods' labels, as far as they are known.
    pub fn labels(&self) -> Labels<'_> {
        Labels {
            known: &self.labels,
            are_complete: self.pod.is_some(),
        }
    }
}

/// The port of the Pods; `None` for a port name without a Pod.
fn target(port: &Port, pod: Option<&Object>) -> Option<u16> {
    match (pod, &port.target_port) {
        (Some(pod), _) => ingress::target(pod, port),
        (None, name) if name.is_string() => None,
        (None, number) => match number.as_u64() {
            Some(number) => number.try_into().ok(),
            None => Some(port.port),
        },
    }
}
