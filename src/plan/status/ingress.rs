//! The Service in front of the gateway's proxies, and its load balancer.

use serde_json::{Map, Value, json};

use super::facts::{Facts, remedy};
use super::hosts::Host;
use super::probes::Handshakes;
use super::records::is_local;
use super::{Finding, Link, NAMES_SHOWN, Severity, check};
use crate::plan::command_line;
use crate::plan::external_routes::labels_of;
use crate::plan::probe::{HTTPS, Observation, Via};
use crate::plan::{Observed, Query, Reconciled, Seen, probe};
use crate::resources::listing::shortened;
use crate::resources::service::Service;
use crate::resources::workload_access::Labels;
use crate::resources::{Kind, Object, ObjectRef, envoy_filter, ingress};

const NAME: &str = "ingress";

/// The Service in front of the gateway that serves a host.
pub(super) fn service(host: &Host, observed: &Observed) -> Reconciled<(ObjectRef, Seen<Service>)> {
    probe::service(observed, &host.gateway.ingress)
}

pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
) -> Reconciled<Link> {
    let observed = facts.observed;
    let (reference, seen) = service(host, observed)?;
    // Of proxies in several namespaces, those behind this Service.
    let mut parts = host.parts();
    let behind = parts.find(|part| part.gateway.ingress.namespace == reference.namespace);
    let host = behind.as_ref().unwrap_or(host);
    let pods = observed.try_list(&probe::pods(&host.gateway.ingress))?;
    let pods = pods.found().copied().unwrap_or_default();
    Ok(match &seen {
        Seen::Found(service) => {
            let mut link = there(host, &reference, service, pods, observed)?;
            link.extend(proxy_protocol(
                host,
                handshakes,
                (&reference, service),
                pods,
                facts,
            )?);
            link.extend(source_ranges(&reference, service));
            link
        }
        Seen::Missing => missing(host, &reference, pods, observed)?,
        other => Link::new(NAME, "not read").with(
            &check::INGRESS_NOT_CHECKED,
            format!(
                "{reference} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        ),
    })
}

fn there(
    host: &Host,
    reference: &ObjectRef,
    service: &Service,
    pods: &[Object],
    observed: &Observed,
) -> Reconciled<Link> {
    let at = service.addresses().collect::<Vec<_>>().join(", ");
    let says = format!("{}/{} {at}", reference.namespace, reference.name);
    let mut link = Link::new(NAME, says.trim_end());
    let has_port = service.tcp_ports().any(|port| port.port == HTTPS);
    if !has_port && host.server.port == HTTPS {
        link.add(without_port(reference));
    }
    if host.server.port == HTTPS {
        link.extend(nameless(reference, service, pods));
    }
    if !pods.is_empty() && !service.selector.is_empty() && !probe::selects(service, pods) {
        link.find(
            &check::INGRESS_SELECTOR,
            format!("the selector of {reference} matches none of the gateway's Pods"),
            patch(reference, &json!({"selector": selector(host, service)})),
        );
    }
    // The name of such a host leads to the machine of a local cluster, whatever stands in front of it.
    if !is_local(&host.probe) {
        let resolves = observed.addresses_of(&host.probe)?.found().is_some();
        if let Some(finding) = unreachable(reference, service, pods, resolves) {
            link.add(finding);
        }
    }
    Ok(link)
}

/// The finding on a load balancer that sends headers of the PROXY protocol to proxies that do not expect them: a proxy took a handshake
/// without, and no filter is there that takes either.
fn proxy_protocol(
    host: &Host,
    handshakes: &Handshakes<'_>,
    (reference, service): (&ObjectRef, &Service),
    pods: &[Object],
    facts: &Facts<'_>,
) -> Reconciled<Option<Finding>> {
    let (Some((annotation, value)), Some(pod)) = (&service.proxy_protocol, pods.first()) else {
        return Ok(None);
    };
    let is_without = |(via, seen): (&Via, &Observation)| {
        matches!(via, Via::Proxy(_)) && seen.server.is_some() && !seen.proxy_protocol
    };
    let ingress = &host.gateway.ingress;
    let (filters, unseen) = facts.acting_on(Kind::EnvoyFilter, ingress)?;
    let known = labels_of(pod);
    let labels = Labels {
        known: &known,
        are_complete: true,
    };
    let takes_either = |filter: &&Object| {
        envoy_filter::acts_on(filter, labels) && envoy_filter::expects_proxy_protocol(filter)
    };
    let is_certain = unseen.is_empty() && !filters.iter().any(takes_either);
    Ok((is_certain && handshakes.each().any(is_without)).then(|| {
        let annotate = command_line::kubectl("annotate", reference);
        Finding::new(
            &check::INGRESS_PROXY_PROTOCOL,
            format!("{reference} has the annotation `{annotation}: {value}`, and the gateway's proxies expect no header of the PROXY protocol"),
            format!("{annotate} {annotation}-"),
        )
    }))
}

/// The finding on a load balancer that rejects some client addresses.
fn source_ranges(reference: &ObjectRef, service: &Service) -> Option<Finding> {
    let ranges = &service.source_ranges;
    (!ranges.is_empty()).then(|| {
        let shown = shortened(ranges, NAMES_SHOWN);
        Finding::new(
            &check::INGRESS_SOURCE_RANGES,
            format!("the load balancer of {reference} accepts connections from {shown} only"),
            command_line::edit(reference),
        )
    })
}

/// The finding on a Service that no client outside the cluster reaches.
fn unreachable(
    reference: &ObjectRef,
    service: &Service,
    pods: &[Object],
    resolves: bool,
) -> Option<Finding> {
    if service.addresses().next().is_some() || pods.iter().any(ingress::is_on_node) {
        return None;
    }
    let kind = service.kind.as_str();
    let typed = |severity| {
        let seen = format!("{reference} is of type {kind} and has no address");
        let remedy = patch(reference, &json!({"type": "LoadBalancer"}));
        Finding::new(&check::INGRESS_TYPE, seen, remedy).graded(severity)
    };
    match kind {
        "ClusterIP" | "ExternalName" => Some(typed(Severity::Error)),
        // Something else leads to the nodes, which is not known here.
        "NodePort" => resolves.then(|| {
            typed(Severity::Note)
                .because("whether the host's name leads to the cluster's nodes is not known")
        }),
        _ => Some(Finding::new(
            &check::INGRESS_NO_ADDRESS,
            format!("the load balancer of {reference} has no address"),
            command_line::kubectl("describe", reference),
        )),
    }
}

/// The finding on a missing Service in front of the proxies: Istio's own does not exist, or no other one selects the Pods.
fn missing(
    host: &Host,
    reference: &ObjectRef,
    pods: &[Object],
    observed: &Observed,
) -> Reconciled<Link> {
    let link = Link::new(NAME, "no Service");
    let ingress = &host.gateway.ingress;
    if ingress.is_default() {
        return Ok(link.with(
            &check::INGRESS_SERVICE_MISSING,
            format!("{reference} does not exist"),
            "restore the Service of the ingress gateway: install Istio's ingress gateway again",
        ));
    }
    if pods.is_empty() {
        // The Gateway's own link tells that there is no proxy.
        let mut link = Link::new(NAME, "not known: the Gateway has no proxy");
        link.was_not_seen();
        return Ok(link);
    }
    let services = observed.try_list(&Query::within(Kind::Service, &ingress.namespace))?;
    let services: &[Object] = services.found().copied().unwrap_or_default();
    let in_front = services
        .iter()
        .find(|object| Service::read(object).is_ok_and(|service| probe::selects(&service, pods)));
    let (namespace, labels) = (&ingress.namespace, ingress.labels());
    Ok(match in_front {
        Some(object) => {
            let mut link = link;
            link.add(without_port(object.reference()));
            link
        }
        None => link.with(
            &check::INGRESS_SERVICE_MISSING,
            format!("no Service in `{namespace}` selects the gateway's Pods (`{labels}`)"),
            format!("kubectl get services,pods -n {namespace} -o wide --show-labels"),
        ),
    })
}

/// The port on which Istio's proxies listen for the Service's port 443 (its chart
/// `gateways/istio-ingress`).
const LISTENER: u16 = 8443;

/// The finding on a target port with a name that no Pod has.
fn nameless(reference: &ObjectRef, service: &Service, pods: &[Object]) -> Option<Finding> {
    let port = service.tcp_ports().find(|port| port.port == HTTPS)?;
    let name = port.target_port.as_str()?;
    let names_it = |pod: &Object| {
        let containers = ["containers", "initContainers"];
        let containers = containers
            .iter()
            .filter_map(|field| pod.at(&["spec", field])?.as_array())
            .flatten();
        let mut ports = containers
            .filter_map(|container| container.get("ports")?.as_array())
            .flatten();
        ports.any(|port| port.get("name").and_then(Value::as_str) == Some(name))
    };
    if pods.is_empty() || pods.iter().any(names_it) {
        return None;
    }
    let place = service.ports.iter().position(|known| known == port)?;
    let path = format!("/spec/ports/{place}/targetPort");
    let patch = json!([{"op": "replace", "path": path, "value": LISTENER}]);
    Some(Finding::new(
        &check::INGRESS_TARGET_PORT,
        format!(
            "port {HTTPS} of {reference} leads to the port `{name}`, which no Pod of the gateway names"
        ),
        command_line::patch(reference, "json", &patch),
    ))
}

fn without_port(reference: &ObjectRef) -> Finding {
    let port =
        json!({"name": "https-443", "port": HTTPS, "protocol": "TCP", "targetPort": LISTENER});
    let added = json!([{"op": "add", "path": "/spec/ports/-", "value": port}]);
    Finding::new(
        &check::INGRESS_NO_PORT,
        format!("{reference} has no port {HTTPS}"),
        command_line::patch(reference, "json", &added),
    )
}

/// A patch of the selector: the Gateway's labels, without those that no Pod has.
fn selector(host: &Host, service: &Service) -> Value {
    let former = service.selector.keys();
    let mut wanted: Map<String, Value> = former.map(|key| (key.clone(), Value::Null)).collect();
    let own = host.gateway.ingress.selector.iter();
    wanted.extend(own.map(|(key, value)| (key.clone(), value.clone().into())));
    wanted.into()
}

fn patch(reference: &ObjectRef, spec: &Value) -> String {
    command_line::patch(reference, "merge", &json!({"spec": spec}))
}
