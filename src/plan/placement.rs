//! The namespaces in which the proxies of a Gateway run, unless istiod scopes Gateways to their own namespace.

use std::collections::BTreeSet;

use super::control_plane::Serving;
use super::ingress::{everywhere, namespaces, pods};
use super::{Observed, Reconciled, Seen};
use crate::resources::gateway::Gateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::INGRESS_NAMESPACE;

/// An ingress gateway with the further namespaces in which routers have its labels: the Gateway configures them too, unless
/// istiod scopes Gateways to their own namespace. Without labels, which any router has, and where Pods may not be listed, nothing is
/// added.
pub fn widened(ingress: IngressGateway, observed: &Observed) -> Reconciled<IngressGateway> {
    if ingress.selector.is_empty() {
        return Ok(ingress);
    }
    let found = namespaces(&ingress.selector, observed)?;
    let is_known = |found: &String| ingress.namespaces().any(|known| known == found);
    if found.iter().all(is_known) || Serving::of(&ingress, observed)?.is_scoped() {
        return Ok(ingress);
    }
    Ok(ingress.also_in(found))
}

/// Gateways with the namespaces of their proxies: the noted ones, and all in which Pods have the labels; if none is noted and no proxy runs
/// in `istio-system`, the first namespace with such proxies replaces it.
pub fn located(gateways: Vec<Gateway>, observed: &Observed) -> Reconciled<Vec<Gateway>> {
    let is_selective = |gateway: &&Gateway| !gateway.ingress.selector.is_empty();
    let selective = || gateways.iter().filter(is_selective);
    let ingresses: BTreeSet<&IngressGateway> = selective().map(|known| &known.ingress).collect();
    let here = ingresses.iter().map(|ingress| pods(ingress));
    let everywhere = ingresses
        .iter()
        .map(|ingress| everywhere(&ingress.selector));
    observed.prefetch(here.chain(everywhere))?;
    let mut located = Vec::new();
    for gateway in gateways {
        let noted = gateway.ingress.clone();
        let is_unnoted = noted.namespaces().eq([INGRESS_NAMESPACE]);
        let mut ingress = widened(noted, observed)?;
        if is_unnoted
            && let Some(first) = ingress.further.first().cloned()
            && matches!(observed.try_list(&pods(&ingress))?, Seen::Found([]))
        {
            ingress = ingress.led_by(&first);
            ingress.further.remove(INGRESS_NAMESPACE);
        }
        located.push(gateway.configuring(ingress));
    }
    Ok(located)
}
