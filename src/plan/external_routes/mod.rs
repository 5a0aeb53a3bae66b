//! External routes: every way to an exposed Service other than its mutual-TLS host, which asks for no client certificate.
//!
//! They are reported only where the `AuthorizationPolicies` of the workload let their requests through.

mod entrances;
mod rejection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::check::{self, Finding};
use super::{Observed, Query, Reconciled, Seen, ingress};
use crate::plan::command_line;
use crate::resources::access_policy::is_enforced_at;
use crate::resources::gateway::Gateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::listing::{label_selector, shortened};
use crate::resources::names::{GatewayName, INGRESS_NAMESPACE};
use crate::resources::workload_access::{Access, Arrival, Labels, Principal, access};
use crate::resources::{Kind, Object, ObjectRef};

use entrances::Entrance;
pub use rejection::{needs_identity, rejection};

/// What a caller who comes by an external route can do.
const FORGED: &str =
    "can choose the identity headers X-CLIENT-SSL-CN, X-CLIENT-SSL-SAN and X-CLIENT-SSL-ISSUER";
/// How many Pods a message names.
const PODS_SHOWN: usize = 3;

/// A Service behind a mutual-TLS host.
#[derive(Debug, Clone, Copy)]
pub struct Exposed<'a> {
    /// The Service.
    pub service: &'a ObjectRef,
    /// The labels of its Pods.
    pub selector: &'a BTreeMap<String, String>,
    /// Its route through the mutual-TLS Gateway.
    pub route: &'a ObjectRef,
    /// That Gateway.
    pub gateway: &'a GatewayName,
    /// The Gateway's proxies.
    pub proxies: &'a IngressGateway,
    /// The policy of its Pods that this run writes.
    pub policy: Option<&'a Object>,
    /// The command that asks, whose Role allows the lists.
    pub command: &'static str,
}

impl Exposed<'_> {
    fn rbac(&self) -> String {
        format!("kubectl mtls rbac {}", self.command)
    }
}

/// What is read to find them, beside all Gateways and `VirtualServices`.
pub fn queries(service: &ObjectRef) -> Vec<Query> {
    let namespace = service.namespace.as_str();
    let mut queries = lists(namespace).to_vec();
    queries.push(Query::within(Kind::AuthorizationPolicy, namespace));
    queries.push(root_policies());
    queries
}

/// The lists in which an external route may stand; each of them may be refused.
fn lists(namespace: &str) -> [Query; 3] {
    [
        Query::everywhere(Kind::HttpRoute),
        Query::within(Kind::Ingress, namespace),
        Query::within(Kind::Service, namespace),
    ]
}

/// Policies in the mesh's root namespace act on the workloads of all namespaces.
fn root_policies() -> Query {
    Query::within(Kind::AuthorizationPolicy, INGRESS_NAMESPACE)
}

/// The Pods of the Service, which are read where no Kyma sees to their sidecars; none where it selects none.
pub fn pods(service: &ObjectRef, selector: &BTreeMap<String, String>) -> Option<Query> {
    (!selector.is_empty()).then(|| Query::List {
        kind: Kind::Pod,
        namespace: Some(service.namespace.clone()),
        selector: Some(label_selector(selector)),
        metadata_only: false,
    })
}

/// Every external route that lets somebody in, and what could not be checked.
pub fn checks<'a>(
    exposed: &Exposed<'_>,
    gateways: impl IntoIterator<Item = &'a Gateway>,
    observed: &Observed,
) -> Reconciled<Vec<Finding>> {
    let gateways: Vec<&Gateway> = gateways.into_iter().collect();
    let workload = Workload::of(exposed, observed)?;
    let entrances = entrances::all(exposed, &gateways, &workload, observed)?;
    let mut checks: Vec<Finding> = entrances
        .iter()
        .filter_map(|entrance| workload.check(entrance, exposed))
        .collect();
    checks.extend(workload.sidecar_check(exposed));
    for query in lists(&exposed.service.namespace) {
        checks.extend(unlisted(&query, exposed, observed)?);
    }
    Ok(checks)
}

/// A list that was refused, or failed; a kind that is not served has no objects.
fn unlisted(
    query: &Query,
    exposed: &Exposed<'_>,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let Query::List {
        kind, namespace, ..
    } = query
    else {
        return Ok(None);
    };
    let seen = observed.try_list(query)?;
    let reason = match seen {
        Seen::NotServed => None,
        seen => seen.unknown(),
    };
    let Some(reason) = reason else {
        return Ok(None);
    };
    let place = namespace.as_ref().map_or_else(
        || "of all namespaces".to_owned(),
        |name| format!("in the namespace `{name}`"),
    );
    Ok(Some(
        Finding::new(
            &check::EXTERNAL_ROUTE_NOT_CHECKED,
            format!(
                "the {} {place} could not be listed: {reason}",
                kind.resource()
            ),
            exposed.rbac(),
        )
        .because(format!(
            "one of them may lead to the {} without a client certificate",
            exposed.service
        )),
    ))
}

/// The Pods behind the Service, and the policies that may act on them.
struct Workload<'w> {
    pods: Vec<&'w Object>,
    /// The labels that every Pod of the Service has.
    selector: Vec<(String, String)>,
    policies: Result<Vec<&'w Object>, String>,
    /// Whether no Kyma sees to the sidecars.
    is_plain: bool,
    /// Why the Pods could not be listed, where they were to be.
    pods_unseen: Option<String>,
}

impl<'w> Workload<'w> {
    fn of(exposed: &Exposed<'w>, observed: &'w Observed) -> Reconciled<Self> {
        let is_plain = exposed.route.kind == Kind::VirtualService;
        let listed = match pods(exposed.service, exposed.selector) {
            Some(query) if is_plain => Some(observed.try_list(&query)?),
            // With Kyma they are not read for this, but another part of the command may have listed them.
            Some(query) => observed.already_listed(&query),
            None => None,
        };
        let pods_unseen = listed.as_ref().and_then(Seen::unknown);
        let runs = |pod: &&Object| {
            let is_leaving = pod.at(&["metadata", "deletionTimestamp"]).is_some();
            let phase = pod.text(&["status", "phase"]);
            !is_leaving && !matches!(phase, "Succeeded" | "Failed")
        };
        let found = listed.and_then(|seen| seen.found().copied());
        let own = Query::within(Kind::AuthorizationPolicy, &exposed.service.namespace);
        Ok(Self {
            pods: found.unwrap_or_default().iter().filter(runs).collect(),
            selector: pairs(exposed.selector),
            policies: policies(&own, exposed, observed)?,
            is_plain,
            pods_unseen: pods_unseen.filter(|_| is_plain),
        })
    }

    /// Who gets in by an arrival.
    fn access(&self, arrival: &Arrival) -> Access {
        let Ok(policies) = &self.policies else {
            return Access::Unknown;
        };
        self.access_by(policies, arrival)
    }

    /// The same, where only some of the policies count.
    fn access_by(&self, policies: &[&Object], arrival: &Arrival) -> Access {
        let judge = |known: &[(String, String)], are_complete: bool| {
            let labels = Labels {
                known,
                are_complete,
            };
            access(policies.iter().copied(), labels, arrival)
        };
        let of_pod = |pod: &&Object| {
            if is_enforced_at(pod) {
                judge(&labels_of(pod), true)
            } else {
                Access::Open
            }
        };
        let of_pods = self.pods.iter().map(of_pod).max();
        of_pods.unwrap_or_else(|| judge(&self.selector, false))
    }

    fn check(&self, entrance: &Entrance, exposed: &Exposed<'_>) -> Option<Finding> {
        let access = self.access(&entrance.arrival);
        let remedy = entrance.remedy.clone();
        let (check, why) = match access {
            Access::Shut => return None,
            Access::Open => (
                &check::EXTERNAL_ROUTE_OPEN,
                format!("callers need no client certificate there, and each {FORGED}"),
            ),
            Access::Checked => (
                &check::EXTERNAL_ROUTE_OTHER_CHECK,
                format!("whoever passes the check of a token or an external authorizer there needs no client certificate, and {FORGED}"),
            ),
            Access::Unknown => (
                &check::EXTERNAL_ROUTE_NOT_CHECKED,
                match &self.policies {
                    Err(reason) => format!("the AuthorizationPolicies of the workload could not be listed, so it may let callers without a client certificate in: {reason}"),
                    Ok(_) => "the AuthorizationPolicies of the workload could not be evaluated for it, so it may let callers without a client certificate in".to_owned(),
                },
            ),
        };
        let remedy = match (access, &self.policies) {
            (Access::Unknown, Err(_)) => exposed.rbac(),
            (Access::Unknown, Ok(_)) => format!(
                "kubectl get authorizationpolicies.security.istio.io -n {} -o yaml",
                exposed.service.namespace
            ),
            _ => remedy,
        };
        Some(Finding::new(check, entrance.seen.clone(), remedy).because(why))
    }

    /// Where no Kyma sees to it, workloads of the cluster must be kept out by a sidecar and a policy.
    fn sidecar_check(&self, exposed: &Exposed<'_>) -> Option<Finding> {
        let service = exposed.service;
        let expose = command_line::expose(service);
        if let Some(reason) = &self.pods_unseen {
            return Some(
                Finding::new(
                    &check::WORKLOAD_NOT_CHECKED,
                    format!("the Pods of the {service} could not be listed: {reason}"),
                    exposed.rbac(),
                )
                .because(
                    "whether their sidecars keep other workloads of the cluster out is not known",
                ),
            );
        }
        if !self.is_plain || self.pods.is_empty() {
            return None;
        }
        let bare: Vec<&str> = self
            .pods
            .iter()
            .filter(|pod| !is_enforced_at(pod))
            .map(|pod| pod.name())
            .collect();
        if !bare.is_empty() {
            return Some(Finding::new(&check::WORKLOAD_NO_SIDECAR, format!(
                    "{} of {} Pods of the {service} have no sidecar: {}",
                    bare.len(),
                    self.pods.len(),
                    shortened(&bare, PODS_SHOWN)
                ), format!("{expose} --inject")).because(format!(
                    "no AuthorizationPolicy acts on them: every workload of the cluster reaches them without a client certificate, and {FORGED}"
                )));
        }
        let neighbour = Arrival {
            principal: Principal::Nobody,
            hosts: None,
            ports: None,
        };
        match (self.access(&neighbour), &self.policies) {
            (Access::Open, _) => Some(
                Finding::new(
                    &check::WORKLOAD_OPEN,
                    format!("no AuthorizationPolicy keeps other workloads from the {service}"),
                    expose,
                )
                .because(format!(
                    "every workload of the cluster reaches it without a client certificate, and {FORGED}"
                )),
            ),
            (Access::Unknown, Err(reason)) => Some(
                Finding::new(
                    &check::WORKLOAD_NOT_CHECKED,
                    format!("the AuthorizationPolicies of the {service} could not be listed: {reason}"),
                    exposed.rbac(),
                )
                .because("whether they keep other workloads of the cluster out is not known"),
            ),
            _ => None,
        }
    }
}

/// The policies that may act on the workload; else why they could not be listed.
fn policies<'w>(
    own: &Query,
    exposed: &Exposed<'w>,
    observed: &'w Observed,
) -> Reconciled<Result<Vec<&'w Object>, String>> {
    let mut all: Vec<&Object> = Vec::new();
    let root = root_policies();
    let mut queries = vec![own, &root];
    queries.dedup();
    for query in queries {
        match observed.try_list(query)? {
            Seen::Found(objects) => all.extend(objects),
            Seen::NotServed | Seen::Missing => {}
            other => return Ok(Err(other.unknown().unwrap_or_default())),
        }
    }
    let proxies = proxies(exposed, observed)?;
    all.retain(|policy| !is_for(policy, &proxies));
    if let Some(written) = exposed.policy {
        all.retain(|policy| policy.reference() != written.reference());
        all.push(written);
    }
    Ok(Ok(all))
}

/// The labels of the mutual-TLS Gateway's proxies.
fn proxies(exposed: &Exposed<'_>, observed: &Observed) -> Reconciled<Vec<Vec<(String, String)>>> {
    let pods = ingress::all_pods(exposed.proxies, observed)?;
    let mut labels: Vec<_> = pods.into_iter().map(labels_of).collect();
    labels.push(pairs(&exposed.proxies.selector));
    Ok(labels)
}

/// Whether a policy selects these proxies, as guards do, and so no workload behind them.
fn is_for(policy: &Object, proxies: &[Vec<(String, String)>]) -> bool {
    let selector = policy.at(&["spec", "selector", "matchLabels"]);
    let selector = selector.and_then(serde_json::Value::as_object);
    let is_meant = |labels: &Vec<(String, String)>| {
        let mut selector = selector.into_iter().flatten();
        selector.all(|(key, value)| {
            let is_pair =
                |(known, is): &(String, String)| known == key && value.as_str() == Some(is);
            labels.iter().any(is_pair)
        })
    };
    selector.is_some_and(|selector| !selector.is_empty()) && proxies.iter().any(is_meant)
}

fn pairs(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The labels of a Pod, as pairs.
pub(super) fn labels_of(pod: &Object) -> Vec<(String, String)> {
    let labels = pod.at(&["metadata", "labels"]);
    let labels = labels.and_then(serde_json::Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
