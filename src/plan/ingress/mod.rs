//! The namespaces of a Gateway's proxies, and the cluster's ingress gateways, observed in their Pods.
//!
//! A Gateway configures the Pods of all namespaces that have its labels and run a router (<https://github.com/istio/istio>,
//! `pilot/pkg/model/gateway.go`), and these read its Secrets in their own namespace.

mod service;

use std::collections::{BTreeMap, BTreeSet};

pub use service::{selects, service, service_of, service_queries};

use super::{Observed, Query, Reconciled, Seen};
use crate::resources::ingress::{IngressGateway, is_router};
use crate::resources::listing::label_selector;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef};

/// The label that every installation of an ingress gateway gives its Pods: `istioctl`, the Helm chart `istio/gateway`, the add-on of AKS.
const LABEL: &str = "istio";

/// The port of HTTPS.
pub const HTTPS: u16 = 443;

/// The Service in front of Istio's default ingress gateway.
pub fn ingress_service() -> ObjectRef {
    ObjectRef::new(Kind::Service, INGRESS_NAMESPACE, INGRESS_SERVICE)
}

/// The Pods of an ingress gateway of one namespace; of one with several, those of the first.
pub fn pods(ingress: &IngressGateway) -> Query {
    Query::List {
        kind: Kind::Pod,
        namespace: Some(ingress.namespace.clone()),
        selector: Some(ingress.labels()),
        metadata_only: false,
    }
}

/// Why it could not be seen in which namespaces proxies have these labels.
pub fn unseen_elsewhere(
    selector: &BTreeMap<String, String>,
    observed: &Observed,
) -> Option<String> {
    observed.already_listed(&everywhere(selector))?.unknown()
}

/// The Pods of all namespaces that have these labels.
pub fn everywhere(selector: &BTreeMap<String, String>) -> Query {
    Query::List {
        kind: Kind::Pod,
        namespace: None,
        selector: Some(label_selector(selector)),
        metadata_only: false,
    }
}

/// The namespaces in which routers with these labels run; none if they may not be listed.
pub fn namespaces(
    selector: &BTreeMap<String, String>,
    observed: &Observed,
) -> Reconciled<BTreeSet<String>> {
    let everywhere = everywhere(selector);
    observed.prefetch([everywhere.clone()])?;
    let pods = observed.try_list(&everywhere)?;
    let pods: &[Object] = pods.found().copied().unwrap_or_default();
    let routers = pods.iter().filter(|pod| is_router(pod));
    Ok(routers.map(|pod| pod.namespace().to_owned()).collect())
}

/// The Pods of an ingress gateway in all its namespaces, as far as they may be listed.
pub fn all_pods<'a>(
    ingress: &IngressGateway,
    observed: &'a Observed,
) -> Reconciled<Vec<&'a Object>> {
    let mut all = Vec::new();
    for part in ingress.parts() {
        let listed = observed.try_list(&pods(&part))?;
        all.extend(listed.found().copied().unwrap_or_default());
    }
    Ok(all)
}

/// An ingress gateway that a Gateway can be made for, and the Service in front of it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The Service.
    pub service: ObjectRef,
    /// The proxies behind the Service, by its selector.
    pub ingress: IngressGateway,
    /// Their Pods.
    pub pods: Vec<&'a Object>,
    /// Whether clients outside the cluster reach the Service by its type or its addresses. Of an egress gateway they do not, nor of an
    /// ingress gateway behind something else, as routers of another kind.
    pub is_reachable: bool,
}

/// The gateways of the cluster: routers behind a Service for HTTPS, each with the first of several such Services, those first that clients
/// outside the cluster can reach.
pub fn candidates(observed: &Observed) -> Reconciled<Seen<Vec<Candidate<'_>>>> {
    let labelled = Query::List {
        kind: Kind::Pod,
        namespace: None,
        selector: Some(LABEL.to_owned()),
        metadata_only: false,
    };
    observed.prefetch([labelled.clone()])?;
    let listed = observed.try_list(&labelled)?;
    if let Some(reason) = listed.unknown() {
        return Ok(Seen::Failed(reason));
    }
    let pods: &[Object] = listed.found().copied().unwrap_or_default();
    let routers: Vec<&Object> = pods.iter().filter(|pod| is_router(pod)).collect();
    let namespaces: BTreeSet<&str> = routers.iter().map(|pod| pod.namespace()).collect();
    let services = |namespace: &&str| Query::within(Kind::Service, *namespace);
    observed.prefetch(namespaces.iter().map(services))?;
    let mut found = Vec::new();
    for namespace in &namespaces {
        let listed = observed.try_list(&services(namespace))?;
        if let Some(reason) = listed.unknown() {
            return Ok(Seen::Failed(reason));
        }
        let listed: &[Object] = listed.found().copied().unwrap_or_default();
        for object in listed {
            let Ok(service) = Service::read(object) else {
                continue;
            };
            let leads = |pod: &&&Object| {
                pod.namespace() == *namespace && selects(&service, std::slice::from_ref(**pod))
            };
            let pods: Vec<&Object> = routers.iter().filter(leads).copied().collect();
            if pods.is_empty() || service.tcp_ports().all(|port| port.port != HTTPS) {
                continue;
            }
            found.push(Candidate {
                service: object.reference().clone(),
                ingress: IngressGateway::new(namespace, service.selector.clone()),
                pods,
                is_reachable: ["LoadBalancer", "NodePort"].contains(&service.kind.as_str())
                    || !service.external.is_empty(),
            });
        }
    }
    found.sort_by_key(|one| !one.is_reachable);
    let mut each: Vec<Candidate<'_>> = Vec::new();
    for one in found {
        let names = |one: &Candidate<'_>| -> Vec<ObjectRef> {
            one.pods.iter().map(|pod| pod.reference().clone()).collect()
        };
        if !each.iter().any(|known| names(known) == names(&one)) {
            each.push(one);
        }
    }
    Ok(Seen::Found(each))
}
