//! The ingress gateway: whether its proxies can read what is written for them.

use std::collections::BTreeMap;

use super::Request;
use super::target::Target;
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen, probe};
use crate::resources::gateway::default_selector;
use crate::resources::listing::label_selector;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::route::Routing;
use crate::resources::{Kind, access_policy};

/// The identity in the mesh that Kyma's controller admits to Services, whatever the gateway
/// (<https://github.com/kyma-project/api-gateway>, `internal/builders/istio.go`, `istioIngressGatewayPrincipal`).
const KYMAS_PRINCIPAL: &str =
    "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";

/// Refuses proxies that run elsewhere than in `istio-system`, and those that Kyma's policies keep out; tells what was not seen.
///
/// A gateway reads its Secrets in the namespace of its own Pods (istiod, `pilot/pkg/xds/sds.go`).
pub(super) fn check(
    request: &Request,
    target: &Target,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    refuse_other_selector(request, target)?;
    let selector = &target.selector;
    if probe::is_default(selector) {
        return refuse_default_elsewhere(selector, observed);
    }
    observed.prefetch(probe::queries(selector))?;
    let pods = match observed.try_list(&probe::pods(selector))? {
        Seen::Found(pods) => pods,
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Ok(Some(format!(
                "it was not seen whether the proxies of `{}` run in `{INGRESS_NAMESPACE}`, where they can read their Secrets: {reason}",
                label_selector(selector)
            )));
        }
    };
    if pods.is_empty() {
        return Err(elsewhere(selector, observed)?.into());
    }
    let outsider = pods
        .iter()
        .map(|pod| access_policy::principal(pod, "cluster.local"))
        .find(|principal| principal != KYMAS_PRINCIPAL);
    if let (Routing::ApiRule, Some(principal)) = (target.environment.routing, outsider) {
        return Err(Failure::refused(format!(
            "the proxies of `{}` are `{principal}` in the mesh, and Kyma's policy for an APIRule admits `{KYMAS_PRINCIPAL}` only",
            label_selector(selector)
        ))
        .hint("every request would be answered with 403; let them run under that ServiceAccount, or choose another ingress")
        .into());
    }
    Ok(None)
}

/// What tells where the proxies are, on the guess that they are those of a new Gateway.
pub(super) fn query(request: &Request) -> Query {
    let default = default_selector();
    probe::pods(request.selector.as_ref().unwrap_or(&default))
}

/// Refuses Istio's default labels where proxies with them run in another namespace only, as the Helm chart `istio/gateway` of
/// Istio's own documentation makes them; where there are none at all they may still come.
fn refuse_default_elsewhere(
    selector: &BTreeMap<String, String>,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let pods = probe::pods(selector);
    observed.prefetch([pods.clone()])?;
    if !matches!(observed.try_list(&pods)?, Seen::Found([])) {
        return Ok(None);
    }
    let everywhere = everywhere(selector);
    observed.prefetch([everywhere.clone()])?;
    match observed.try_list(&everywhere)? {
        Seen::Found([_, ..]) => Err(elsewhere(selector, observed)?.into()),
        _ => Ok(None),
    }
}

/// The Pods of all namespaces that have the labels.
fn everywhere(selector: &BTreeMap<String, String>) -> Query {
    Query::List {
        kind: Kind::Pod,
        namespace: None,
        selector: Some(label_selector(selector)),
        metadata_only: true,
    }
}

fn refuse_other_selector(request: &Request, target: &Target) -> Result<(), Failure> {
    match (&request.selector, &target.existing) {
        (Some(wanted), Some(existing)) if *wanted != existing.gateway.selector => {
            Err(Failure::refused(format!(
                "the Gateway `{}` exists and is for the proxies of `{}`, not of `{}`",
                target.gateway,
                label_selector(&existing.gateway.selector),
                label_selector(wanted)
            ))
            .hint("leave out `--selector` to use it as it is, or choose another Gateway with `--gateway`"))
        }
        _ => Ok(()),
    }
}

/// Why no proxy in `istio-system` has the labels.
fn elsewhere(selector: &BTreeMap<String, String>, observed: &Observed) -> Reconciled<Failure> {
    let labels = label_selector(selector);
    let everywhere = everywhere(selector);
    observed.prefetch([everywhere.clone()])?;
    let failure = match observed.try_list(&everywhere)? {
        Seen::Found([pod, ..]) => Failure::refused(format!(
            "the proxies of `{labels}` run in the namespace `{}`, and this plugin serves those in `{INGRESS_NAMESPACE}` only",
            pod.namespace()
        ))
        .hint("a gateway reads its Secrets in the namespace of its own Pods, and they are written to that one only"),
        Seen::Found([]) => Failure::refused(format!("no Pod has the labels `{labels}`")),
        other => Failure::refused(format!("no Pod in `{INGRESS_NAMESPACE}` has the labels `{labels}`")).hint(format!(
            "whether Pods elsewhere have them could not be seen: {}",
            other.unknown().unwrap_or_default()
        )),
    };
    Ok(failure.hint(format!(
        "`kubectl -n {INGRESS_NAMESPACE} get pods --show-labels` shows what there is; Istio's default ingress is `{INGRESS_SERVICE}`"
    )))
}
