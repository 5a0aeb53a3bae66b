//! The `DestinationRules` of a route's Services, and the subsets that they define.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::facts::{Facts, blind, remedy};
use super::hosts::Host;
use super::routes::{self, Route};
use super::{Finding, Link, check, workload};
use crate::plan::external_routes::labels_of;
use crate::plan::ingress;
use crate::plan::{Observed, Query, Reconciled, command_line, control_plane, external_routes};
use crate::resources::destination_rule::{
    closest, exports_with, for_proxies, is_exported_to, is_local, is_private, subset,
};
use crate::resources::environment::default_exports;
use crate::resources::http_routes::subsets;
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::listing::label_selector;
use crate::resources::pod::is_ready;
use crate::resources::service::Service;
use crate::resources::workload_access::Labels;
use crate::resources::{Kind, Object, ObjectRef};

/// The labels that istiod adds to those of a Pod (<https://github.com/istio/istio>,
/// `pilot/pkg/serviceregistry/util/label/label.go`, `AugmentLabels`).
const OF_PLACE: [&str; 3] = [
    "topology.istio.io/",
    "topology.kubernetes.io/",
    "kubernetes.io/hostname",
];

/// The proxies for whose connections istiod looks up `DestinationRules`.
pub(super) struct Reader {
    /// Their namespace.
    proxies: String,
    /// The mesh's root namespaces.
    roots: BTreeSet<String>,
    /// The revisions of their istiods; none if no Pod was read.
    revisions: BTreeSet<String>,
    /// Their labels, if a Pod was read.
    labels: Option<Vec<(String, String)>>,
    /// Whether a mesh exports rules without `exportTo` to their own namespace only.
    are_private: bool,
}

impl Reader {
    /// The proxies of an ingress gateway in one of its namespaces.
    pub fn of(ingress: &IngressGateway, proxies: &str, observed: &Observed) -> Reconciled<Self> {
        let planes = control_plane::named(ingress, observed)?;
        let pods = ingress::all_pods(ingress, observed)?;
        let mut configs = control_plane::read_configs(ingress, observed)?.into_iter();
        Ok(Self {
            proxies: proxies.to_owned(),
            roots: control_plane::root_namespaces(ingress, observed)?,
            revisions: planes.into_iter().map(|plane| plane.revision).collect(),
            labels: pods.first().map(|pod| labels_of(pod)),
            are_private: configs.any(|config| {
                default_exports(config, Kind::DestinationRule).contains(&".".to_owned())
            }),
        })
    }

    /// The reads of the gateway's protocol to the Services of a route: the `DestinationRules` that may act.
    pub fn queries(&self, route: &Route, facts: &Facts<'_>) -> Vec<Query> {
        let object = routes::object(route, facts);
        let named = object.map(subsets).unwrap_or_default();
        let named = named.into_iter().map(|(service, _)| service);
        let services = named.chain(route.backend().map(|behind| behind.service));
        let lists = services.flat_map(|service| {
            let others = self.lists(&service);
            self.own().into_iter().chain(others)
        });
        lists.collect()
    }

    /// The query for the rules in the proxies' own namespace.
    fn own(&self) -> Option<Query> {
        let is_root = self.roots.contains(&self.proxies);
        (!is_root).then(|| Query::within(Kind::DestinationRule, &self.proxies))
    }

    /// The queries for the rules of others on a Service.
    fn lists(&self, service: &ObjectRef) -> Vec<Query> {
        let roots = self.roots.iter();
        let others = roots.filter(|root| **root != service.namespace);
        std::iter::once(&service.namespace)
            .chain(others)
            .map(|namespace| Query::within(Kind::DestinationRule, namespace))
            .collect()
    }

    /// Whether an istiod of the proxies reads a rule.
    fn reads(&self, rule: &Object) -> bool {
        let label = rule.label(REVISION);
        label.is_none_or(|label| self.revisions.is_empty() || self.revisions.contains(label))
    }

    /// Whether only proxies of a rule's own namespace see it.
    fn is_private(&self, rule: &Object) -> bool {
        is_private(rule, self.are_private)
    }

    fn labels(&self) -> Labels<'_> {
        Labels {
            known: self.labels.as_deref().unwrap_or_default(),
            are_complete: self.labels.is_some(),
        }
    }

    /// The rule that defines a subset of a Service for proxies elsewhere only.
    fn hidden<'a>(
        &self,
        service: &ObjectRef,
        name: &str,
        observed: &'a Observed,
    ) -> Reconciled<Option<&'a Object>> {
        for query in self.lists(service) {
            let rules = self.listed(&query, observed)?.unwrap_or_default();
            let rules = rules.into_iter();
            let for_all = rules.filter(|rule| rule.at(&["spec", "workloadSelector"]).is_none());
            let found = closest(for_all, service).into_iter();
            let mut defining = found.filter(|rule| subset(&[*rule], name).is_some());
            let is_hidden =
                |rule: &&Object| self.is_private(rule) || !is_exported_to(rule, &self.proxies);
            if let Some(rule) = defining.find(is_hidden) {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    /// The rules in a list that an istiod of the proxies reads; a finding if they could not be listed.
    fn listed<'a>(
        &self,
        query: &Query,
        observed: &'a Observed,
    ) -> Reconciled<Result<Vec<&'a Object>, Finding>> {
        let listed = observed.try_list(query)?;
        if let Some(reason) = blind(&listed) {
            let seen = format!("the DestinationRules could not be listed: {reason}");
            let unseen = Finding::new(&check::ROUTE_NOT_CHECKED, seen, remedy(&listed));
            return Ok(Err(unseen));
        }
        let all = listed.found().copied().unwrap_or_default().iter();
        Ok(Ok(all.filter(|rule| self.reads(rule)).collect()))
    }

    /// The `DestinationRules` that act on the proxies' connections to a Service, which istiod merges, the oldest first; a finding if they
    /// could not be listed.
    ///
    /// The rules of the proxies' namespace come first, and of the root namespace only private ones for proxies there; then those of the
    /// Service's namespace, then those of the root namespace; the first namespace with any counts (istiod,
    /// `pilot/pkg/model/push_context.go`, `destinationRule`).
    pub fn rules<'a>(
        &self,
        service: &ObjectRef,
        observed: &'a Observed,
    ) -> Reconciled<Result<Vec<&'a Object>, Finding>> {
        let proxies = self.proxies.as_str();
        let own = Query::within(Kind::DestinationRule, proxies);
        let is_root = self.roots.contains(proxies);
        match self.listed(&own, observed)? {
            Err(unseen) if !is_root => return Ok(Err(unseen)),
            Err(_) => {}
            Ok(rules) => {
                let is_own = |rule: &&Object| is_local(rule) && (!is_root || self.is_private(rule));
                let found = closest(rules.into_iter().filter(is_own), service);
                if !found.is_empty() {
                    return Ok(Ok(for_proxies(&found, self.labels())));
                }
            }
        }
        for query in self.lists(service) {
            let rules = match self.listed(&query, observed)? {
                Ok(rules) => rules.into_iter(),
                Err(unseen) => return Ok(Err(unseen)),
            };
            let seen = rules.filter(|rule| !self.is_private(rule));
            let mut found = closest(seen, service);
            found.retain(|rule| is_exported_to(rule, proxies));
            if !found.is_empty() {
                return Ok(Ok(found));
            }
        }
        Ok(Ok(Vec::new()))
    }

    /// The finding on a subset that is not defined for the proxies, or by this rule for others only.
    fn undefined(&self, seen: &str, hidden: Option<&Object>, route: &ObjectRef) -> Finding {
        let Some(rule) = hidden else {
            let seen = format!("{seen}, which no DestinationRule defines");
            return Finding::new(&check::ROUTE_SUBSET, seen, command_line::edit(route));
        };
        let (name, proxies) = (rule.reference(), &self.proxies);
        let patch = json!({"spec": {"exportTo": exports_with(rule, proxies)}});
        Finding::new(
            &check::ROUTE_SUBSET,
            format!(
                "{seen}; the {name} defines it and is not exported to the namespace `{proxies}` of the ingress gateway"
            ),
            command_line::patch(name, "merge", &patch),
        )
    }
}

/// Adds the findings on subsets that no `DestinationRule` defines for these proxies.
pub(super) fn undefined(
    object: &Object,
    reader: &Reader,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<()> {
    for (service, name) in subsets(object) {
        match reader.rules(&service, facts.observed)? {
            Err(unseen) => {
                link.add(unseen);
                return Ok(());
            }
            Ok(rules) if subset(&rules, &name).is_some() => {}
            Ok(_) => {
                let hidden = reader.hidden(&service, &name, facts.observed)?;
                let reference = object.reference();
                let seen = format!("{reference} leads to the subset `{name}` of {service}");
                link.add(reader.undefined(&seen, hidden, reference));
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
    let ingress = &host.gateway.ingress;
    let reader = Reader::of(ingress, &ingress.namespace, facts.observed)?;
    for (own, name) in object.map(subsets).unwrap_or_default() {
        let rules = reader.rules(reference, facts.observed)?;
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
