//! Probes of an ingress gateway: the ways to it, the handshakes, and what they are expected to show.

mod expectation;
mod expected;
mod handshake;
mod listener;
mod served;
mod service;
mod ways;

pub use expectation::{Expectation, ExpectedAnswer, ProbeOptions, until_seen};
pub use expected::ExpectedRefusal;
pub use handshake::{CONNECTIONS_PER_ADDRESS, Client, Observation, Outcome, Probe, Via};
pub use listener::IngressProxies;
pub use served::{Served, is_reader, reads, served};
pub use service::{is_default, selects, service};
pub use ways::{ReplicasUnknown, Ways, know_pods, probes, queries, ways};

use std::collections::BTreeMap;

use super::Query;
use crate::resources::listing::label_selector;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::{Kind, ObjectRef};

/// The port of HTTPS.
pub const HTTPS: u16 = 443;

/// The Service in front of Istio's default ingress gateway.
pub fn ingress_service() -> ObjectRef {
    ObjectRef::new(Kind::Service, INGRESS_NAMESPACE, INGRESS_SERVICE)
}

/// The Pods that a Gateway's selector names.
pub fn pods(selector: &BTreeMap<String, String>) -> Query {
    Query::List {
        kind: Kind::Pod,
        namespace: Some(INGRESS_NAMESPACE.to_owned()),
        selector: Some(label_selector(selector)),
        metadata_only: false,
    }
}
