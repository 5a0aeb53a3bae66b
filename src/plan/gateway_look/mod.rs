//! The ways to look at an ingress gateway, and what must be seen there.

mod demand;
mod expected;
mod front;
mod listener;
mod served;

pub use demand::{Demand, Patience, Verdict, until_seen};
pub use expected::Expected;
pub use front::{is_default, service};
pub use listener::{listener, revision};
pub use served::{Served, served};

use std::collections::BTreeMap;

use super::look::{Client, Look, Outcome, Via};
use super::{Query, Seen, World};
use crate::resources::address::with_port;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef, ingress};

const HTTPS: u16 = 443;

/// The Service in front of Istio's default ingress gateway.
pub fn ingress_service() -> ObjectRef {
    ObjectRef::new(Kind::Service, INGRESS_NAMESPACE, INGRESS_SERVICE)
}

/// The Pods that a Gateway's selector names.
pub fn pods(selector: &BTreeMap<String, String>) -> Query {
    let labels: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Query::List {
        kind: Kind::Pod,
        namespace: Some(INGRESS_NAMESPACE.to_owned()),
        selector: Some(labels.join(",")),
        metadata_only: false,
    }
}

/// What must be read before one can look.
pub fn queries(selector: &BTreeMap<String, String>) -> [Query; 2] {
    [pods(selector), front::query(selector)]
}

/// The ways to a gateway, and whether each leads to one proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// All of them are to be taken.
    pub ways: Vec<Via>,
    /// Why replicas cannot be told apart; `None` when each way leads to one proxy.
    pub replicas_unknown: Option<String>,
}

impl Ways {
    /// The Pods of the proxies to which a way of its own leads.
    pub fn pods(&self) -> impl Iterator<Item = &ObjectRef> {
        self.ways.iter().filter_map(|via| match via {
            Via::Proxy(proxy) => Some(&proxy.pod),
            Via::Address(_) => None,
        })
    }
}

/// The ways to the gateway: every proxy through a port-forward; where that is not permitted, each address.
pub fn ways(world: &World, selector: &BTreeMap<String, String>, connect_to: Option<&str>) -> Ways {
    let (reference, service) = service(world, selector);
    match proxies(world, selector, &reference, &service) {
        Ok(ways) if !ways.iter().any(|via| was_denied(world, via)) => Ways {
            ways,
            replicas_unknown: None,
        },
        Ok(_) => through_addresses(&service, connect_to, "port-forward is not permitted"),
        Err(reason) => through_addresses(&service, connect_to, &reason),
    }
}

fn proxies(
    world: &World,
    selector: &BTreeMap<String, String>,
    reference: &ObjectRef,
    service: &Seen<Service>,
) -> Result<Vec<Via>, String> {
    if let Some(reason) = service.unknown() {
        return Err(format!("{reference} could not be read: {reason}"));
    }
    let ports = service
        .found()
        .map(|service| service.ports.as_slice())
        .unwrap_or_default();
    let https = ports.iter().find(|port| port.port == HTTPS);
    let https = https.ok_or_else(|| format!("{reference} has no port {HTTPS}"))?;
    let listed = world.list(&pods(selector));
    if let Some(reason) = listed.unknown() {
        return Err(format!("the gateway's Pods could not be listed: {reason}"));
    }
    let pods: &[Object] = listed.found().copied().unwrap_or_default();
    let ways: Vec<Via> = pods
        .iter()
        .filter_map(|pod| ingress::proxy(pod, https))
        .map(Via::Proxy)
        .collect();
    if ways.is_empty() {
        return Err("no Pod of the gateway is running".to_owned());
    }
    Ok(ways)
}

fn was_denied(world: &World, via: &Via) -> bool {
    world
        .looks_via(via)
        .any(|sighting| matches!(sighting.outcome, Outcome::Denied(_)))
}

fn through_addresses(service: &Seen<Service>, connect_to: Option<&str>, reason: &str) -> Ways {
    let addresses = match connect_to {
        Some(address) => vec![address.to_owned()],
        None => {
            let known = service
                .found()
                .map(|service| service.load_balancer.as_slice())
                .unwrap_or_default();
            known
                .iter()
                .map(|address| with_port(address, HTTPS))
                .collect()
        }
    };
    Ways {
        ways: addresses.into_iter().map(Via::Address).collect(),
        replicas_unknown: Some(reason.to_owned()),
    }
}

/// The same look through every way.
pub fn looks(ways: &Ways, host: &str, client: &Client) -> impl Iterator<Item = Look> {
    ways.ways.iter().map(move |via| Look {
        via: via.clone(),
        host: host.to_owned(),
        client: client.clone(),
    })
}
