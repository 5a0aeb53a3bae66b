//! The ingress gateway of the host: Kyma's, the only one in the cluster, or the one that the user names.

mod found;

use self::found::{candidates, hinted, known, only_one};
use super::Request;
use super::existing::Existing;
use crate::error::Failure;
use crate::plan::ingress;
use crate::plan::probe::HTTPS;
use crate::plan::{Observed, Query, Reconciled, Seen, probe};
use crate::resources::access_policy;
use crate::resources::ingress::{IngressGateway, is_router, noted_namespaces};
use crate::resources::names::{GatewayName, INGRESS_NAMESPACE};
use crate::resources::route::Routing;
use crate::resources::service::Service;
use crate::resources::{Kind, ObjectRef};

/// The mesh identity that Kyma's controller admits to Services, whatever the gateway (<https://github.com/kyma-project/api-gateway>,
/// `internal/builders/istio.go`, `istioIngressGatewayPrincipal`).
const KYMAS_PRINCIPAL: &str =
    "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";

/// Why Pods are no ingress gateway.
const NO_ROUTERS: &str =
    "run no gateway of Istio: no container `istio-proxy` has the arguments `proxy router`";

/// The assumed ingress gateway of a new Gateway, so that its objects are read together with its Pods.
pub(super) fn guess(request: &Request) -> IngressGateway {
    let default = IngressGateway::default();
    let selector = request.selector.clone().unwrap_or(default.selector);
    let said = request.ingress.first();
    let namespace = said.map_or(default.namespace, |said| said.namespace.clone());
    IngressGateway::new(&namespace, selector)
}

/// The reads for the ingress gateway in the first round.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let said = request.ingress.iter();
    let front = said.map(|said| Query::within(Kind::Service, &said.namespace));
    let guess = guess(request);
    let everywhere = ingress::everywhere(&guess.selector);
    front.chain([probe::pods(&guess), everywhere]).collect()
}

/// An existing Gateway keeps its ingress gateway, and so does a deleted one whose route notes the namespace of its proxies. A new Gateway
/// gets the ingress gateway that the user names, else Kyma's, else the only one in the cluster.
pub(super) fn choose(
    request: &Request,
    gateway: &GatewayName,
    existing: Option<&Existing>,
    noted: Option<&str>,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<IngressGateway> {
    let named = named(request, observed)?;
    let Some(existing) = existing else {
        return match (together(named, request)?, &request.selector) {
            (Some(named), _) => Ok(named),
            (None, Some(_)) => with_labels(guess(request), observed),
            (None, None) => match noted {
                Some(namespace) => former(gateway, namespace, observed),
                None => only_one(routing, observed),
            },
        };
    };
    let own = &existing.gateway.ingress;
    let differs = |wanted: &IngressGateway| {
        let mut namespaces = own.namespaces();
        !namespaces.any(|known| known == wanted.namespace)
            || !existing.gateway.shares_proxies_with(wanted)
    };
    let is_selected_otherwise = request
        .selector
        .as_ref()
        .is_some_and(|wanted| *wanted != own.selector);
    if named.iter().any(differs) || is_selected_otherwise {
        return Err(Failure::refused(format!(
            "the Gateway `{gateway}` exists and is for the proxies of `{}` in the namespace `{}`",
            own.labels(),
            own.namespaces().collect::<Vec<_>>().join("` and `")
        ))
        .hint("leave out `--ingress` and `--selector` to use the Gateway as it is, or choose another Gateway with `--gateway`")
        .into());
    }
    // Of several namespaces, the one that the user names first leads.
    Ok(match named.first() {
        Some(first) => own.clone().led_by(&first.namespace),
        None => own.clone(),
    })
}

/// Fails where the Pods of a further namespace cannot be listed: they were just seen, and a run that goes on without them would write a
/// part of what belongs beside them.
pub(super) fn require_further(ingress: &IngressGateway, observed: &Observed) -> Reconciled<()> {
    if ingress.further.is_empty() {
        return Ok(());
    }
    let seen = ingress::namespaces(&ingress.selector, observed)?;
    let parts = ingress.parts().skip(1);
    let lists: Vec<Query> = parts
        .filter(|part| seen.contains(&part.namespace))
        .map(|part| probe::pods(&part))
        .collect();
    observed.prefetch(lists.iter().cloned())?;
    for list in &lists {
        observed.list(list)?;
    }
    Ok(())
}

/// The proxies behind each Service of `--ingress`.
fn named(request: &Request, observed: &Observed) -> Reconciled<Vec<IngressGateway>> {
    let named = request.ingress.iter();
    named.map(|service| behind(service, observed)).collect()
}

/// One ingress gateway of those behind the Services of `--ingress`, led by the first one: a Gateway has one selector.
fn together(named: Vec<IngressGateway>, request: &Request) -> Reconciled<Option<IngressGateway>> {
    let mut named = named.into_iter();
    let Some(first) = named.next() else {
        return Ok(None);
    };
    let others: Vec<IngressGateway> = named.collect();
    if others.iter().any(|other| other.selector != first.selector) {
        let services: Vec<String> = request.ingress.iter().map(ToString::to_string).collect();
        return Err(Failure::refused(format!(
            "the Services of `--ingress` select different labels: {}",
            services.join(", ")
        ))
        .hint("a Gateway has one selector: name Services with the same one, or expose the Service once for each with another `--gateway`")
        .into());
    }
    Ok(Some(
        first.also_in(others.into_iter().map(|other| other.namespace)),
    ))
}

/// The proxies behind one Service of `--ingress`.
fn behind(reference: &ObjectRef, observed: &Observed) -> Reconciled<IngressGateway> {
    let refused = |reason: &str| -> Reconciled<Failure> {
        let failure = Failure::refused(format!("{reference} of `--ingress` {reason}"));
        Ok(hinted(failure, &candidates(observed)?))
    };
    let services = observed.list(&Query::within(Kind::Service, &reference.namespace))?;
    let Some(object) = services
        .iter()
        .find(|object| object.reference() == reference)
    else {
        return Err(refused("does not exist")?.into());
    };
    let service = Service::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    if service.selector.is_empty() {
        return Err(refused("has no selector, so no Pods stand behind it")?.into());
    }
    if !service.tcp_ports().any(|port| port.port == HTTPS) {
        return Err(refused("has no port 443")?.into());
    }
    let ingress = IngressGateway::new(&reference.namespace, service.selector);
    let pods = probe::pods(&ingress);
    observed.prefetch([pods.clone()])?;
    match observed.try_list(&pods)? {
        Seen::Found([]) => Err(refused("has no Pods behind it")?.into()),
        Seen::Found(pods) if !pods.iter().any(is_router) => {
            Err(refused(&format!("leads to Pods that {NO_ROUTERS}"))?.into())
        }
        _ => Ok(ingress),
    }
}

/// The proxies of `--selector`.
fn with_labels(guess: IngressGateway, observed: &Observed) -> Reconciled<IngressGateway> {
    let here = probe::pods(&guess);
    observed.prefetch([here.clone()])?;
    match observed.try_list(&here)? {
        Seen::Found([]) => {}
        Seen::Found(pods) if !pods.iter().any(is_router) => {
            let failure = Failure::refused(format!(
                "the Pods with the labels `{}` in `{}` {NO_ROUTERS}",
                guess.labels(),
                guess.namespace
            ));
            return Err(hinted(failure, &candidates(observed)?).into());
        }
        _ => return Ok(guess),
    }
    let everywhere = ingress::everywhere(&guess.selector);
    observed.prefetch([everywhere.clone()])?;
    let labels = guess.labels();
    if let Some(reason) = observed.try_list(&everywhere)?.unknown() {
        return Err(Failure::refused(format!(
            "no Pod in `{INGRESS_NAMESPACE}` has the labels `{labels}`"
        ))
        .hint(format!(
            "whether Pods of other namespaces have these labels could not be read: {reason}"
        ))
        .hint("`--ingress NAMESPACE/SERVICE` names the Service in front of the ingress gateway")
        .into());
    }
    let namespaces = ingress::namespaces(&guess.selector, observed)?;
    match namespaces.first() {
        Some(first) => Ok(IngressGateway::new(first, guess.selector)),
        None => Err(hinted(
            Failure::refused(format!(
                "no Pod with the labels `{labels}` runs a gateway of Istio"
            )),
            &candidates(observed)?,
        )
        .into()),
    }
}

/// The ingress gateway of a Gateway that is gone, in the namespaces that its route notes.
fn former(gateway: &GatewayName, note: &str, observed: &Observed) -> Reconciled<IngressGateway> {
    let found = known(observed)?;
    let mut noted = noted_namespaces(Some(note)).into_iter();
    let namespace = noted.next().unwrap_or_default();
    let there = found
        .iter()
        .filter(|one| one.ingress.namespace == namespace);
    let (reachable, others): (Vec<_>, Vec<_>) = there.partition(|one| one.is_reachable);
    match (reachable.as_slice(), others.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one.ingress.clone().also_in(noted)),
        _ => Err(hinted(
            Failure::refused(format!(
                "the Gateway `{gateway}` does not exist, and its route notes that its proxies ran in the namespace `{namespace}`"
            )),
            &found,
        )
        .into()),
    }
}

/// Refuses proxies that Kyma's policies reject; those of a further namespace get a note, since clients reach the host without them, unless
/// none runs in the first one. Returns notes on checks that could not be made, too.
pub(super) fn check(
    ingress: &IngressGateway,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    observed.prefetch(probe::queries(ingress))?;
    let mut notes = Vec::new();
    let first = IngressGateway::new(&ingress.namespace, ingress.selector.clone());
    let is_first_empty = matches!(observed.try_list(&probe::pods(&first))?, Seen::Found([]));
    for part in ingress.parts().filter(|part| !part.is_default()) {
        let pods = match observed.try_list(&probe::pods(&part))? {
            Seen::Found(pods) => pods,
            other => {
                let reason = other.unknown().unwrap_or_default();
                notes.push(format!(
                    "it was not checked whether proxies with the labels `{}` run in `{}`, where they could read the Secrets: {reason}",
                    part.labels(),
                    part.namespace
                ));
                continue;
            }
        };
        let outsider = pods
            .iter()
            .map(|pod| access_policy::principal(pod, "cluster.local"))
            .find(|principal| principal != KYMAS_PRINCIPAL);
        let (Routing::ApiRule, Some(principal)) = (routing, outsider) else {
            continue;
        };
        let seen = format!(
            "the proxies of `{}` in the namespace `{}` are `{principal}` in the mesh, and Kyma's policy for an APIRule admits `{KYMAS_PRINCIPAL}` only",
            part.labels(),
            part.namespace
        );
        if part.namespace == ingress.namespace || is_first_empty {
            return Err(Failure::refused(seen)
                .hint("every request would be answered with 403; run the proxies under the admitted ServiceAccount, or choose another ingress")
                .into());
        }
        notes.push(format!(
            "{seen}: requests through the proxies are answered with 403"
        ));
    }
    Ok(notes)
}
