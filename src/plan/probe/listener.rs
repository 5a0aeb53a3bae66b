//! The mutual-TLS servers of a Gateway as its proxies have them, for the guards on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{pods, service};
use crate::plan::Observed;
use crate::resources::Object;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::guard::{Listener, ProxyPorts};
use crate::resources::istiod::REVISION;

fn proxies<'a>(observed: &'a Observed, selector: &BTreeMap<String, String>) -> &'a [Object] {
    let pods = observed.listed(&pods(selector));
    pods.found().copied().unwrap_or_default()
}

/// The listener of these servers of one Gateway, which share a port, among all Gateways; its ports as far as the Service in front
/// of the proxies and their Pods were read.
pub fn listener<'a>(
    observed: &Observed,
    selector: &BTreeMap<String, String>,
    servers: impl IntoIterator<Item = &'a Server>,
    gateways: &[Gateway],
) -> Listener {
    let (_, service) = service(observed, selector);
    let pods = proxies(observed, selector);
    let ports = service
        .found()
        .filter(|_| !pods.is_empty())
        .map(|service| ProxyPorts {
            service: &service.ports,
            pods,
        });
    Listener::of(servers, selector, gateways, ports.as_ref())
}

/// The revision of the istiod that configures the proxies, where all of them have the same.
pub fn revision(observed: &Observed, selector: &BTreeMap<String, String>) -> Option<String> {
    let revisions: BTreeSet<Option<&str>> = proxies(observed, selector)
        .iter()
        .map(|pod| pod.label(REVISION))
        .collect();
    match revisions.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(one)] => Some((*one).to_owned()),
        _ => None,
    }
}
