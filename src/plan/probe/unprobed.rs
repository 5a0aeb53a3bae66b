//! The Gateways of the Kubernetes Gateway API at which a change is not verified, and why. They are reported and fail no command: a user who
//! may write such Gateways must not be able to block a revocation.

use super::kubernetes::{kubernetes_unknown, naming};
use super::served::Served;
use super::ways::{know_pods, queries, ways};
use crate::plan::{Observed, Reconciled};
use crate::resources::authority::AuthorityState;
use crate::resources::{Kind, gateway_api};

/// The servers that are probed: with `--connect-to`, which leads to the proxies of one ingress gateway, those of the Kubernetes Gateway API only
/// where they share proxies with a Gateway of Istio.
pub fn reached(served: &[Served], connect_to: Option<&str>) -> Vec<Served> {
    let istios: Vec<&Served> = served
        .iter()
        .filter(|at| at.kind == Kind::Gateway)
        .collect();
    let is_reached = |at: &&Served| {
        let shares = |other: &&Served| at.ingress.may_share_proxies_with(&other.ingress);
        at.kind == Kind::Gateway
            || connect_to.is_none()
            || istios.is_empty()
            || istios.iter().any(shares)
    };
    served.iter().filter(is_reached).cloned().collect()
}

/// Notes on Gateways of the Kubernetes Gateway API that name the authority, and at which a change was not verified.
pub fn kubernetes_unprobed(
    state: &AuthorityState,
    served: &[Served],
    connect_to: Option<&str>,
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    if let Some(reason) = kubernetes_unknown(observed) {
        return Ok(vec![format!(
            "Gateways of the Kubernetes Gateway API may not be listed: whether one of them reads the same CAs was not checked: {reason}"
        )]);
    }
    let reached = reached(served, connect_to);
    let mut notes = Vec::new();
    for object in naming(state, observed)? {
        let is_its = |at: &&Served| at.is_of(object.reference());
        let why = match (
            gateway_api::why_unserved(object),
            served.iter().find(is_its),
        ) {
            (Some(why), _) => Some(why),
            (None, None) => {
                Some("no proxies are known that check certificates for it on port 443".to_owned())
            }
            (None, Some(_)) => match reached.iter().find(is_its) {
                None => Some("`--connect-to` leads to other proxies".to_owned()),
                Some(at) => why_blind(at, connect_to, observed)?,
            },
        };
        notes.extend(why.map(|why| {
            format!(
                "whether the proxies of the {} of the Kubernetes Gateway API have loaded the change was not checked: {why}",
                object.reference()
            )
        }));
    }
    Ok(notes)
}

/// Why the proxies of a Gateway cannot be probed, if none can.
fn why_blind(
    at: &Served,
    connect_to: Option<&str>,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    if connect_to.is_none() {
        observed.prefetch(queries(&at.ingress))?;
        know_pods(observed, &at.ingress, connect_to)?;
    }
    let ways = ways(observed, &at.ingress, connect_to)?;
    let unknown = || {
        ways.why_unknown()
            .unwrap_or_else(|| "no address is known".to_owned())
    };
    Ok(ways.ways.is_empty().then(unknown))
}
