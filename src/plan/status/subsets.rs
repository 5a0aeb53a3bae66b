//! The `DestinationRules` of a route's Services, and the subsets that they define.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, blind, remedy};
use super::hosts::Host;
use super::routes::{self, Route};
use super::{Finding, Link, check, workload};
use crate::plan::{Observed, Query, Reconciled, command_line, external_routes};
use crate::resources::destination_rule::{closest, is_exported_to, is_private, subset};
use crate::resources::http_routes::subsets;
use crate::resources::listing::label_selector;
use crate::resources::pod::is_ready;
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef};

/// The labels that istiod adds to those of a Pod (<https://github.com/istio/istio>,
/// `pilot/pkg/serviceregistry/util/label/label.go`, `AugmentLabels`).
const OF_PLACE: [&str; 3] = [
    "topology.istio.io/",
    "topology.kubernetes.io/",
    "kubernetes.io/hostname",
];

/// The reads of the gateway's protocol to the Services of a route: their `DestinationRules`, and those of the mesh's root namespaces.
pub(super) fn queries(route: &Route, roots: &BTreeSet<String>, facts: &Facts<'_>) -> Vec<Query> {
    let object = routes::object(route, facts);
    let named = object.map(subsets).unwrap_or_default();
    let named = named.into_iter().map(|(service, _)| service);
    let services = named.chain(route.backend().map(|behind| behind.service));
    services
        .flat_map(|service| lists(&service, roots))
        .collect()
}

/// The queries for the `DestinationRules` of a Service.
fn lists(service: &ObjectRef, roots: &BTreeSet<String>) -> Vec<Query> {
    let others = roots.iter().filter(|root| **root != service.namespace);
    std::iter::once(&service.namespace)
        .chain(others)
        .map(|namespace| Query::within(Kind::DestinationRule, namespace))
        .collect()
}

/// The `DestinationRules` that act on connections to a Service from proxies in a namespace, which istiod merges, the oldest first; a finding
/// if they could not be listed.
///
/// Private rules of the root namespace come first for proxies there, then the rules of the Service's namespace, then those of the root
/// namespace; those of one namespace count (istiod, `pilot/pkg/model/push_context.go`, `destinationRule`). Rules in the namespace of a
/// gateway that is in neither are not read.
pub(super) fn rules<'a>(
    service: &ObjectRef,
    proxies: &str,
    roots: &BTreeSet<String>,
    observed: &'a Observed,
) -> Reconciled<Result<Vec<&'a Object>, Finding>> {
    if roots.contains(proxies) {
        let listed = observed.try_list(&Query::within(Kind::DestinationRule, proxies))?;
        let all = listed.found().copied().unwrap_or_default().iter();
        let found = closest(all.filter(|rule| is_private(rule)), service);
        if !found.is_empty() {
            return Ok(Ok(found));
        }
    }
    for query in lists(service, roots) {
        let listed = observed.try_list(&query)?;
        if let Some(reason) = blind(&listed) {
            let seen = format!("the DestinationRules could not be listed: {reason}");
            let unseen = Finding::new(&check::ROUTE_NOT_CHECKED, seen, remedy(&listed));
            return Ok(Err(unseen));
        }
        let all = listed.found().copied().unwrap_or_default().iter();
        let seen = all.filter(|rule| rule.namespace() == proxies || !is_private(rule));
        let mut found = closest(seen, service);
        found.retain(|rule| is_exported_to(rule, proxies));
        if !found.is_empty() {
            return Ok(Ok(found));
        }
    }
    Ok(Ok(Vec::new()))
}

/// Adds the findings on subsets that no `DestinationRule` defines for proxies in a namespace.
pub(super) fn undefined(
    object: &Object,
    proxies: &str,
    roots: &BTreeSet<String>,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<()> {
    for (service, name) in subsets(object) {
        match rules(&service, proxies, roots, facts.observed)? {
            Err(unseen) => {
                link.add(unseen);
                return Ok(());
            }
            Ok(rules) if subset(&rules, &name).is_some() => {}
            Ok(_) => {
                let reference = object.reference();
                link.find(
                    &check::ROUTE_SUBSET,
                    format!("{reference} leads to the subset `{name}` of {service}, which no DestinationRule defines"),
                    command_line::edit(reference),
                );
            }
        }
    }
    Ok(())
}

/// The finding on a subset of the Service whose labels no Ready Pod has, with the labels of such a Pod.
pub(super) fn without_pods(
    host: &Host,
    reference: &ObjectRef,
    service: &Service,
    facts: &Facts<'_>,
) -> Reconciled<Option<(BTreeMap<String, String>, Finding)>> {
    let object = host
        .route
        .as_ref()
        .and_then(|route| routes::object(route, facts));
    let Some(query) = external_routes::pods(reference, &service.selector) else {
        return Ok(None);
    };
    let roots = facts.roots(&host.gateway.name)?;
    let proxies = &host.gateway.ingress.namespace;
    for (own, name) in object.map(subsets).unwrap_or_default() {
        let rules = rules(reference, proxies, &roots, facts.observed)?;
        let Some(labels) = rules.ok().and_then(|rules| subset(&rules, &name)) else {
            continue;
        };
        let listed = facts.observed.try_list(&query)?;
        let pods = listed.found().copied().unwrap_or_default();
        let is_in = |pod: &Object| {
            let mut labels = labels.iter();
            is_ready(pod)
                && labels.all(|(key, value)| {
                    OF_PLACE.iter().any(|place| key.starts_with(place))
                        || pod.label(key) == Some(value)
                })
        };
        if own != *reference || pods.is_empty() || pods.iter().any(is_in) {
            continue;
        }
        let seen = format!(
            "no Ready Pod behind {reference} has the labels of the subset `{name}`, {}",
            label_selector(&labels)
        );
        let mut all = service.selector.clone();
        all.extend(labels);
        let remedy = workload::show_pods(reference, &all);
        let finding = Finding::new(&check::SERVICE_NO_ENDPOINTS, seen, remedy)
            .because("every request for this subset is answered with 503");
        return Ok(Some((all, finding)));
    }
    Ok(None)
}
