//! External routes: every route to an exposed Service past the certificate check or the allow-list of its mutual-TLS host.
//!
//! They are reported only if the `AuthorizationPolicies` of the workload admit their requests.

mod callers;
mod entrances;
mod neighbours;
mod rejection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::check::{self, Finding};
use super::{Observed, Query, Reconciled, Seen, control_plane, ingress};
use crate::resources::access_policy::is_enforced_at;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::ingress::IngressGateway;
use crate::resources::listing::label_selector;
use crate::resources::names::GatewayName;
use crate::resources::workload_access::{Access, Arrival, Labels, access};
use crate::resources::{Kind, Object, ObjectRef};

use entrances::Entrance;
pub use neighbours::unguarded;
pub use rejection::{needs_http, needs_identity, rejection};

/// What a caller on an external route can do.
const FORGED: &str =
    "can choose the identity headers X-CLIENT-SSL-CN, X-CLIENT-SSL-SAN and X-CLIENT-SSL-ISSUER";

/// A Service behind a mutual-TLS host.
#[derive(Debug, Clone, Copy)]
pub struct Exposed<'a> {
    /// The Service.
    pub service: &'a ObjectRef,
    /// The labels of the Service's Pods.
    pub selector: &'a BTreeMap<String, String>,
    /// The Service's route through the mutual-TLS Gateway.
    pub route: &'a ObjectRef,
    /// The mutual-TLS Gateway of the route.
    pub gateway: &'a GatewayName,
    /// The host.
    pub host: &'a str,
    /// The Gateway's server for the host.
    pub server: &'a Server,
    /// Whether only the clients of an allow-list may call the host.
    pub is_listed: bool,
    /// The Gateway's proxies.
    pub proxies: &'a IngressGateway,
    /// The policy for the Pods that this run writes.
    pub policy: Option<&'a Object>,
    /// The command that runs the checks, whose Role allows the lists.
    pub command: &'static str,
}

/// Something that could not be read.
struct Unread {
    /// Why it could not be read.
    reason: String,
    /// The command that prints the missing Roles, or looks for the cause.
    remedy: String,
}

impl Exposed<'_> {
    /// What could not be read, if its presence is not known.
    fn unread<T>(&self, seen: &Seen<T>) -> Option<Unread> {
        Some(Unread {
            reason: seen.unknown()?,
            remedy: seen.remedy(self.command),
        })
    }
}

/// The reads that find external routes, beside all Gateways and `VirtualServices`; policies in the mesh's root namespaces act on the
/// workloads of all namespaces.
pub fn queries<'a>(service: &'a ObjectRef, roots: impl IntoIterator<Item = &'a str>) -> Vec<Query> {
    let namespace = service.namespace.as_str();
    let mut queries = lists(namespace).to_vec();
    let namespaces = std::iter::once(namespace).chain(roots);
    queries.extend(namespaces.map(policies_in));
    queries
}

/// The lists of objects that may be external routes; each list may be denied.
fn lists(namespace: &str) -> [Query; 3] {
    [
        Query::everywhere(Kind::HttpRoute),
        Query::within(Kind::Ingress, namespace),
        Query::within(Kind::Service, namespace),
    ]
}

fn policies_in(namespace: &str) -> Query {
    Query::within(Kind::AuthorizationPolicy, namespace)
}

/// The Pods of the Service, read in a cluster without Kyma, which checks sidecars itself; none if it selects none.
pub fn pods(service: &ObjectRef, selector: &BTreeMap<String, String>) -> Option<Query> {
    (!selector.is_empty()).then(|| Query::List {
        kind: Kind::Pod,
        namespace: Some(service.namespace.clone()),
        selector: Some(label_selector(selector)),
        metadata_only: false,
    })
}

/// Every external route that admits somebody, and the checks that could not be made.
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
    let services = entrances::services(exposed, observed)?;
    let slices = entrances::slices(exposed, services);
    for query in lists(&exposed.service.namespace).into_iter().chain(slices) {
        checks.extend(unlisted(&query, exposed, observed)?);
    }
    Ok(checks)
}

/// The finding on a list that was denied, or failed; a kind that is not served has no objects.
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
    let unread = match observed.try_list(query)? {
        Seen::NotServed => None,
        seen => exposed.unread(&seen),
    };
    let Some(Unread { reason, remedy }) = unread else {
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
            remedy,
        )
        .because(format!(
            "an object that could not be listed may lead to the {} without a client certificate",
            exposed.service
        )),
    ))
}

/// The Pods behind the Service, and the policies that may act on them.
struct Workload<'w> {
    pods: Vec<&'w Object>,
    /// The labels that every Pod of the Service has.
    selector: Vec<(String, String)>,
    policies: Result<Vec<&'w Object>, Unread>,
    /// Whether the cluster has no Kyma, which checks sidecars itself.
    is_plain: bool,
    /// Why the Pods could not be listed, if they had to be.
    pods_unread: Option<Unread>,
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
        let pods_unread = listed.as_ref().and_then(|seen| exposed.unread(seen));
        let runs = |pod: &&Object| {
            let is_leaving = pod.at(&["metadata", "deletionTimestamp"]).is_some();
            let phase = pod.text(&["status", "phase"]);
            !is_leaving && !matches!(phase, "Succeeded" | "Failed")
        };
        let found = listed.and_then(|seen| seen.found().copied());
        Ok(Self {
            pods: found.unwrap_or_default().iter().filter(runs).collect(),
            selector: pairs(exposed.selector),
            policies: policies(exposed, observed)?,
            is_plain,
            pods_unread: pods_unread.filter(|_| is_plain),
        })
    }

    /// Who is admitted among requests that arrive in a way.
    fn access(&self, arrival: &Arrival) -> Access {
        let Ok(policies) = &self.policies else {
            return Access::Unknown;
        };
        self.access_by(policies, arrival)
    }

    /// Who is admitted if only these policies count.
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
        let callers = entrance.callers.describe();
        let (check, why) = match access {
            Access::Shut => return None,
            Access::Open => entrance.callers.reach(),
            Access::Checked => (
                &check::EXTERNAL_ROUTE_OTHER_CHECK,
                format!(
                    "{callers} reach the Service on this route if they pass the check of a token or an external authorizer, and {FORGED}"
                ),
            ),
            Access::Unknown => (
                &check::EXTERNAL_ROUTE_NOT_CHECKED,
                match &self.policies {
                    Err(unread) => format!(
                        "the AuthorizationPolicies of the workload could not be listed, so the workload may admit {callers}: {}",
                        unread.reason
                    ),
                    Ok(_) => format!(
                        "the AuthorizationPolicies of the workload could not be evaluated, so the workload may admit {callers}"
                    ),
                },
            ),
        };
        let remedy = match (access, &self.policies) {
            (Access::Unknown, Err(unread)) => unread.remedy.clone(),
            (Access::Unknown, Ok(_)) => format!(
                "kubectl get authorizationpolicies.security.istio.io -n {} -o yaml",
                exposed.service.namespace
            ),
            _ => remedy,
        };
        Some(Finding::new(check, entrance.seen.clone(), remedy).because(why))
    }

    /// The finding on policies that could not be listed, unless no Pod has a sidecar that enforces any.
    fn policies_unread(&self, unread: &Unread, exposed: &Exposed<'_>) -> Option<Finding> {
        let is_enforced = self.pods.is_empty() || self.pods.iter().any(|pod| is_enforced_at(pod));
        is_enforced.then(|| {
            let service = exposed.service;
            Finding::new(
                &check::WORKLOAD_NOT_CHECKED,
                format!(
                    "the AuthorizationPolicies of the {service} could not be listed: {}",
                    unread.reason
                ),
                &unread.remedy,
            )
            .because("whether AuthorizationPolicies reject the gateway's requests, or keep other workloads of the cluster out, is not known")
        })
    }
}

/// The policies that may act on the workload; else why they could not be listed.
fn policies<'w>(
    exposed: &Exposed<'w>,
    observed: &'w Observed,
) -> Reconciled<Result<Vec<&'w Object>, Unread>> {
    let mut all: Vec<&Object> = Vec::new();
    let mut namespaces = control_plane::root_namespaces(exposed.proxies, observed)?;
    namespaces.insert(exposed.service.namespace.clone());
    for namespace in &namespaces {
        match observed.try_list(&policies_in(namespace))? {
            Seen::Found(objects) => all.extend(objects),
            Seen::NotServed | Seen::Missing => {}
            other => {
                if let Some(unread) = exposed.unread(&other) {
                    return Ok(Err(unread));
                }
            }
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

/// Whether a policy selects the gateway's proxies, as guards do, and so no workload behind them.
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
