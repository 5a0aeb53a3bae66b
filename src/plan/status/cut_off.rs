//! Proxies without a connection to istiod: they go on with what they have loaded, and no change reaches them.

use super::hosts::Host;
use super::{Finding, check, proxies};
use crate::plan::probe::{Via, Ways};
use crate::plan::{Observed, Reconciled, control_plane};
use crate::resources::ingress::pod_name;

/// The finding on proxies of a host that are cut off.
pub(super) fn check(host: &Host, ways: &Ways, observed: &Observed) -> Reconciled<Option<Finding>> {
    let (mut cut_off, mut count) = (Vec::new(), 0);
    for via in &ways.ways {
        let Via::Proxy(proxy) = via else {
            continue;
        };
        if proxies::is_idle(host, via, observed)? {
            continue;
        }
        count += 1;
        if proxies::is_cut_off(&proxy.pod, observed)? {
            cut_off.push(&proxy.pod);
        }
    }
    if cut_off.is_empty() {
        return Ok(None);
    }
    let shown: Vec<String> = cut_off.iter().map(|pod| pod_name(pod)).collect();
    let verb = if cut_off.len() == 1 { "has" } else { "have" };
    let seen = format!("{} {verb} no connection to istiod", shown.join(", "));
    // Where no proxy has one, a new one would get no configuration at all.
    let remedy = if cut_off.len() == count {
        way_to_istiod(host, observed)?
    } else {
        proxies::restart(host, &cut_off, false, observed)?
    };
    Ok(Some(Finding::new(&check::PROXY_CUT_OFF, seen, remedy)))
}

fn way_to_istiod(host: &Host, observed: &Observed) -> Reconciled<String> {
    let planes = control_plane::named(&host.gateway.ingress, observed)?;
    let plane = planes.into_iter().next().unwrap_or_default();
    Ok(match plane.outside {
        Some(address) => format!("check that the gateway's Pods reach `{address}`"),
        None => format!(
            "kubectl get deployments,pods -n {} -l app=istiod",
            plane.namespace
        ),
    })
}
