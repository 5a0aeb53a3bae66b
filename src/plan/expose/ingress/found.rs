//! The ingress gateways that are found in the cluster, where neither the user nor a Gateway names one.

use crate::error::Failure;
use crate::plan::expose::get;
use crate::plan::ingress::{self, Candidate};
use crate::plan::{Observed, Reconciled, Seen, probe};
use crate::resources::ingress::{IngressGateway, is_router};
use crate::resources::route::Routing;
use crate::resources::service::Service;
use crate::resources::{Object, ObjectRef};

/// With Kyma, Istio's default ingress gateway; else the only one. The default one counts without proxies too, if it may have some.
pub(super) fn only_one(routing: Routing, observed: &Observed) -> Reconciled<IngressGateway> {
    let default = IngressGateway::default();
    let pods = probe::pods(&default);
    observed.prefetch([pods.clone()])?;
    let seen = observed.try_list(&pods)?;
    if seen.found().is_some_and(|pods| !pods.is_empty()) {
        return alone(default, routing, observed);
    }
    // Where it is scaled to nothing, or its Pods may not be seen, its Service tells that it is there.
    let front = probe::ingress_service();
    observed.prefetch([get(front.clone())])?;
    match (observed.try_get(&front)?, seen.unknown()) {
        (Seen::Missing, Some(reason)) => return Err(unknown(&reason).into()),
        // Where nothing may be seen, the order of the writes keeps the host closed, and the probe decides.
        (_, Some(_)) => return Ok(default),
        (Seen::Found(service), None) => return behind_own_service(service, routing, observed),
        _ => {}
    }
    let found = known(observed)?;
    let reachable = found.iter().filter(|one| one.is_reachable);
    match reachable.collect::<Vec<_>>().as_slice() {
        [] if routing == Routing::ApiRule => Ok(default),
        [] => Err(none(&found).into()),
        [one] => {
            // They were just seen: a list that fails now is no reason to go on without them.
            let pods = probe::pods(&one.ingress);
            observed.prefetch([pods.clone()])?;
            observed.list(&pods)?;
            Ok(one.ingress.clone())
        }
        _ => Err(several(&found).into()),
    }
}

/// The proxies of `istio-system` with these labels; refuses where others are reachable from outside too, unless Kyma makes the choice.
fn alone(
    ingress: IngressGateway,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<IngressGateway> {
    let found = match routing {
        Routing::ApiRule => Vec::new(),
        Routing::VirtualService => candidates(observed)?,
    };
    // A Gateway with these labels configures these, too.
    let is_configured = |pod: &&Object| {
        let mut wanted = ingress.selector.iter();
        wanted.all(|(key, value)| pod.label(key) == Some(value))
    };
    let mut reachable = found.iter().filter(|one| one.is_reachable);
    if reachable.all(|one| one.pods.iter().all(is_configured)) {
        Ok(ingress)
    } else {
        Err(several(&found).into())
    }
}

/// The proxies behind the Service `istio-ingressgateway`, which may have other labels than those of Istio's default installation.
fn behind_own_service(
    service: &Object,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<IngressGateway> {
    let selector = Service::read(service).map(|service| service.selector);
    let own = IngressGateway::in_istio_system(selector.unwrap_or_default());
    if own.selector.is_empty() {
        return Ok(IngressGateway::default());
    }
    let pods = probe::pods(&own);
    observed.prefetch([pods.clone()])?;
    match observed.try_list(&pods)? {
        Seen::Found(pods) if pods.iter().any(is_router) => alone(own, routing, observed),
        Seen::Found(pods) if !pods.is_empty() => Ok(IngressGateway::default()),
        // They are scaled to nothing, or may not be seen.
        _ => Ok(own),
    }
}

fn several(found: &[Candidate<'_>]) -> Failure {
    let failure = Failure::usage("this cluster has several ingress gateways");
    hinted(failure, found).hint("or choose proxies by their labels: `--selector KEY=VALUE`")
}

/// The error that no gateway of Istio can be reached from outside the cluster, as far as Services tell.
fn none(found: &[Candidate<'_>]) -> Failure {
    let failure = Failure::refused(
        "no ingress gateway of Istio was found: no router behind a Service with port 443 and an address outside the cluster",
    );
    hinted(failure, found).hint("or choose proxies by their labels: `--selector KEY=VALUE`")
}

/// The gateways that could be read.
pub(super) fn candidates(observed: &Observed) -> Reconciled<Vec<Candidate<'_>>> {
    let found = ingress::candidates(observed)?;
    Ok(found.found().cloned().unwrap_or_default())
}

/// All gateways; fails if they cannot be listed.
pub(super) fn known(observed: &Observed) -> Reconciled<Vec<Candidate<'_>>> {
    match ingress::candidates(observed)? {
        Seen::Found(found) => Ok(found),
        other => Err(unknown(&other.unknown().unwrap_or_default()).into()),
    }
}

/// The error that the ingress gateway of a Gateway is not known.
fn unknown(reason: &str) -> Failure {
    Failure::refused(format!(
        "the cluster's ingress gateways could not be listed: {reason}"
    ))
    .for_want_of_rights()
    .hint("`--ingress NAMESPACE/SERVICE` names the Service in front of the ingress gateway")
}

/// With the flag for each ingress gateway; where none is reachable from outside, for each gateway.
pub(super) fn hinted(failure: Failure, candidates: &[Candidate<'_>]) -> Failure {
    if candidates.is_empty() {
        return failure.hint(
            "no ingress gateway was found; routers of Istio with their labels: kubectl get pods -A -l istio --show-labels",
        );
    }
    let is_any_reachable = candidates.iter().any(|one| one.is_reachable);
    let shown = candidates
        .iter()
        .filter(|one| one.is_reachable || !is_any_reachable);
    let lines = shown.map(|candidate| {
        let ObjectRef {
            namespace, name, ..
        } = &candidate.service;
        format!("--ingress {namespace}/{name}")
    });
    lines.fold(
        failure.hint("choose one of the cluster's ingress gateways:"),
        Failure::hint,
    )
}
