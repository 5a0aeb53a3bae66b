//! Whether `NetworkPolicies` admit clients to the gateway, and the gateway to the Service's Pods.

use super::facts::{Facts, unlisted};
use super::hosts::Host;
use super::workload::{Workload, service};
use super::{Finding, check, ingress};
use crate::plan::command_line;
use crate::plan::external_routes::{self, labels_of};
use crate::plan::{Query, Reconciled, probe};
use crate::resources::access_policy::is_ambient;
use crate::resources::listing::shortened;
use crate::resources::network_policy::{Destination, Peer, blocking, blocking_out, isolate_out};
use crate::resources::workload_access::Labels;
use crate::resources::{Kind, Object, ingress::target};

/// The label of the policies that Kyma's Istio module keeps, and that of Pods which its ingress gateway may reach
/// (<https://github.com/kyma-project/istio>, `docs/user/00-50-network-policies.md`).
const KYMA_MANAGED: (&str, &str) = ("kyma-project.io/managed-by", "kyma");
const KYMA_REACHABLE: (&str, &str) = ("networking.kyma-project.io/from-ingressgateway", "allowed");
/// How many policies a message names.
const POLICIES_SHOWN: usize = 3;

/// The policies in the namespaces of the gateway and of the Service.
pub(super) fn queries(host: &Host) -> impl Iterator<Item = Query> {
    let ingress = host.gateway.ingress.namespace.clone();
    let service = host.backend().map(|behind| behind.service.namespace);
    let namespaces = std::iter::once(ingress).chain(service);
    namespaces.map(|namespace| list(&namespace))
}

fn list(namespace: &str) -> Query {
    Query::within(Kind::NetworkPolicy, namespace)
}

/// The finding on policies that reject clients at the gateway.
pub(super) fn in_front(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let ingress = &host.gateway.ingress;
    let listed = facts.observed.try_list(&list(&ingress.namespace))?;
    if let Some(finding) = unlisted(
        &check::INGRESS_POLICY_NOT_CHECKED,
        Kind::NetworkPolicy,
        &listed,
    ) {
        return Ok(Some(finding));
    }
    let Some(pod) = proxy(host, facts)? else {
        return Ok(None);
    };
    let (_, service) = ingress::service(host, facts.observed)?;
    let port = service.found().and_then(|service| {
        let mut ports = service.tcp_ports();
        target(pod, ports.find(|port| port.port == host.server.port)?)
    });
    let known = labels_of(pod);
    let destination = Destination {
        labels: complete(&known),
        pod: Some(pod),
        port,
    };
    let policies = listed.found().copied().unwrap_or_default();
    let found = blocking(policies, &destination, &Peer::Outside);
    Ok(named(&found).map(|(names, first)| {
        let port = port.map_or_else(String::new, |port| format!(" on port {port}"));
        Finding::new(
            &check::INGRESS_NETWORK_POLICY,
            format!("{names} isolates the gateway's Pods, and no NetworkPolicy admits clients from outside the cluster{port}"),
            command_line::edit(first.reference()),
        )
    }))
}

/// The query for the Pods of the Service, if policies act on what the gateway sends: such policies go by the Pods' labels.
pub(super) fn pods(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Query>> {
    let Some(proxy) = proxy(host, facts)? else {
        return Ok(None);
    };
    let listed = facts.observed.try_list(&list(proxy.namespace()))?;
    let policies = listed.found().copied().unwrap_or_default();
    if !isolate_out(policies, &complete(&labels_of(proxy))) {
        return Ok(None);
    }
    let found = service(host, facts.observed)?;
    Ok(found.and_then(|(reference, found)| external_routes::pods(&reference, &found.selector)))
}

/// The finding on policies that keep the gateway's requests from the Service's Pods.
pub(super) fn behind(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let Some(workload) = Workload::of(host, facts.observed)? else {
        return Ok(None);
    };
    Ok(match at_pods(host, &workload, facts)? {
        Some(finding) => Some(finding),
        None => at_gateway(host, &workload, facts)?,
    })
}

/// The finding on policies that keep the requests in the gateway's Pods.
fn at_gateway(
    host: &Host,
    workload: &Workload<'_>,
    facts: &Facts<'_>,
) -> Reconciled<Option<Finding>> {
    let (Some(proxy), false) = (proxy(host, facts)?, workload.pod.is_some_and(is_ambient)) else {
        return Ok(None);
    };
    let listed = facts.observed.try_list(&list(proxy.namespace()))?;
    let policies = listed.found().copied().unwrap_or_default();
    let service = &workload.service;
    let destination = Destination {
        labels: workload.labels(),
        pod: workload.pod,
        port: workload.target,
    };
    let known = labels_of(proxy);
    let found = blocking_out(
        policies,
        &complete(&known),
        &service.namespace,
        &destination,
    );
    let Some((names, first)) = named(&found) else {
        return Ok(None);
    };
    let is_of_kyma = |policy: &&&Object| policy.label(KYMA_MANAGED.0) == Some(KYMA_MANAGED.1);
    let remedy = if found.iter().any(|policy| is_of_kyma(&policy)) {
        // Kyma's module overwrites what is edited, and has this label for Pods that the gateway is to reach.
        let (key, value) = KYMA_REACHABLE;
        format!(
            "add the label `{key}: {value}` to the Pod template of the workload behind {service}"
        )
    } else {
        command_line::edit(first.reference())
    };
    let seen = format!(
        "{names} isolates the Pods of the ingress gateway, and no NetworkPolicy lets them reach the Pods of {service}"
    );
    Ok(Some(Finding::new(
        &check::WORKLOAD_NETWORK_POLICY,
        seen,
        remedy,
    )))
}

/// The finding on policies that reject the gateway at the Service's Pods.
fn at_pods(host: &Host, workload: &Workload<'_>, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let observed = facts.observed;
    let service = &workload.service;
    let listed = observed.try_list(&list(&service.namespace))?;
    let unseen = unlisted(&check::WORKLOAD_NOT_CHECKED, Kind::NetworkPolicy, &listed);
    if let Some(finding) = unseen {
        let why =
            "whether NetworkPolicies admit the ingress gateway to the Service's Pods is not known";
        return Ok(Some(finding.because(why)));
    }
    // What comes to a Pod of the ambient mesh comes to another port of it.
    let (Some(proxy), false) = (proxy(host, facts)?, workload.pod.is_some_and(is_ambient)) else {
        return Ok(None);
    };
    let known = labels_of(proxy);
    let origin = Peer::Pod {
        namespace: proxy.namespace(),
        labels: complete(&known),
    };
    let destination = Destination {
        labels: workload.labels(),
        pod: workload.pod,
        port: workload.target,
    };
    let policies = listed.found().copied().unwrap_or_default();
    let found = blocking(policies, &destination, &origin);
    Ok(named(&found).map(|(names, first)| {
        Finding::new(
            &check::WORKLOAD_NETWORK_POLICY,
            format!(
                "{names} isolates the Pods of {service}, and no NetworkPolicy admits the Pods of the ingress gateway in `{}`",
                proxy.namespace()
            ),
            command_line::edit(first.reference()),
        )
    }))
}

/// A Pod of the gateway on which policies act: not one with `hostNetwork`.
fn proxy<'a>(host: &Host, facts: &Facts<'a>) -> Reconciled<Option<&'a Object>> {
    let pods = facts
        .observed
        .try_list(&probe::pods(&host.gateway.ingress))?;
    let mut pods = pods.found().copied().unwrap_or_default().iter();
    let is_on_node = |pod: &Object| pod.at(&["spec", "hostNetwork"]) == Some(&true.into());
    Ok(pods.find(|pod| !is_on_node(pod)))
}

fn complete(known: &[(String, String)]) -> Labels<'_> {
    Labels {
        known,
        are_complete: true,
    }
}

/// The names of some policies as text, and the first policy.
fn named<'a>(policies: &[&'a Object]) -> Option<(String, &'a Object)> {
    let names: Vec<String> = policies
        .iter()
        .map(|policy| policy.reference().to_string())
        .collect();
    Some((shortened(&names, POLICIES_SHOWN), *policies.first()?))
}
