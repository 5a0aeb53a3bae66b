//! Probes of an ingress gateway: the ways to it, the handshakes, and the expected answers.

mod again;
mod expectation;
mod expected;
mod handshake;
mod kubernetes;
mod lagging;
mod listener;
mod loaded;
mod rejections;
mod served;
mod unprobed;
mod ways;

pub use expectation::{Expectation, ExpectedAnswer, ProbeOptions, until_seen};
pub use expected::ExpectedRefusal;
pub use handshake::{CONNECTIONS_PER_ADDRESS, Client, Observation, Outcome, Probe, Via};
pub use kubernetes::{kubernetes_gateways, kubernetes_unknown, naming as kubernetes_readers};
pub use lagging::{Lagging, late};
pub use listener::IngressProxies;
pub use loaded::{Load, is_loaded_everywhere, load};
pub use rejections::{SOON, advice, late_rejections, rejected, rejecting, rejections};
pub use served::{Served, is_reader, others_unknown, proxies_unknown, reads, served};
pub use unprobed::{kubernetes_unprobed, reached};
pub use ways::{ReplicasUnknown, Ways, know_pods, probes, queries, ways};

pub use super::ingress::{HTTPS, ingress_service, pods, selects, service, service_of};
