//! The Gateway of a host.

use super::{Request, gateway, ingress};
use crate::error::Failure;
use crate::plan::control_plane::Serving;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Reconciled};
use crate::resources::gateway::Gateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::{GATEWAY, GatewayName};
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::{Kind, ObjectRef, environment, gateway_api};

/// The Gateway of the host; never Kyma's own.
pub(super) fn chosen_gateway(
    request: &Request,
    kept: Option<&LiveRoute>,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<GatewayName> {
    let gateway = match gateway_name(request, kept) {
        Some(gateway) => gateway,
        None => default_gateway(request, routing, observed)?,
    };
    refuse_kubernetes_gateway(request, observed)?;
    if gateway.is_kymas_own() {
        return Err(Failure::refused(format!("`{gateway}` is Kyma's own Gateway"))
            .hint("a further server on it would stop every APIRule of the cluster; choose another Gateway with `--gateway`")
            .into());
    }
    Ok(gateway)
}

/// Refuses a name of the user's that only a Gateway of the Kubernetes Gateway API has, which this plugin does not write.
fn refuse_kubernetes_gateway(request: &Request, observed: &Observed) -> Reconciled<()> {
    let Some(gateway) = &request.gateway else {
        return Ok(());
    };
    let listed = observed.try_list(&kubernetes_gateways())?;
    let name = ObjectRef::new(Kind::KubernetesGateway, &gateway.namespace, &gateway.name);
    let mut listed = listed.found().copied().unwrap_or_default().iter();
    let Some(theirs) = listed.find(|object| *object.reference() == name) else {
        return Ok(());
    };
    if gateway::listed(gateway, observed)?.is_some() {
        return Ok(());
    }
    let failure = Failure::refused(format!(
        "`{gateway}` is a Gateway of the Kubernetes Gateway API (class `{}`); `expose` needs a Gateway of Istio",
        gateway_api::class(theirs)
    ));
    let failure = if gateway_api::is_of_istio(theirs) {
        failure
            .hint(format!(
                "leave out `--gateway` to get a Gateway of Istio for the Service, or choose a name that no other Gateway in `{}` has",
                gateway.namespace
            ))
            .hint(format!(
                "to check the clients of `{gateway}` by the same authority, name the authority's ConfigMap in its `caCertificateRefs` (docs/gateways.md)"
            ))
    } else {
        failure.hint("leave out `--gateway` to get a Gateway on Istio's ingress gateway")
    };
    Err(failure.into())
}

/// The Gateway that the user names, or that an earlier run used.
pub(super) fn gateway_name(request: &Request, kept: Option<&LiveRoute>) -> Option<GatewayName> {
    let kept = kept.and_then(|route| route.gateway().parse().ok());
    request.gateway.clone().or(kept)
}

/// The default Gateway, in the Service's namespace. If only Gateways of the proxies' own namespace configure them, it is in the proxies'
/// namespace, with a name that includes the Service's namespace.
fn default_gateway(
    request: &Request,
    routing: Routing,
    observed: &Observed,
) -> Reconciled<GatewayName> {
    let own = GatewayName::new(&request.namespace, GATEWAY);
    // A failure to choose proxies is reported later, for the Gateway itself: it may exist and name them.
    let proxies = ingress::choose(request, &own, None, None, routing, observed);
    let Ok(proxies) = tolerate(proxies)? else {
        return Ok(own);
    };
    let is_confined = |proxies: &IngressGateway| -> Reconciled<bool> {
        let serving = Serving::of(proxies, observed)?;
        let is_managed = gateway_api::are_managed(proxies);
        Ok(serving.is_scoped() || is_managed && serving.confines_managed())
    };
    if proxies.namespace == request.namespace || !is_confined(&proxies)? {
        return Ok(own);
    }
    let name = format!("{}-{GATEWAY}", request.namespace);
    Ok(GatewayName::new(proxies.namespace, name))
}

pub(super) fn kymas_gateway(gateways: &[Gateway]) -> Option<&Gateway> {
    let reference = environment::kyma_gateway();
    gateways
        .iter()
        .find(|gateway| gateway.name.reference() == reference)
}

/// Refuses an `APIRule` if Kyma's controller would not reconcile it, because of the shape of Kyma's
/// Gateway.
pub(super) fn refuse_idle_controller(gateways: &[Gateway]) -> Result<(), Failure> {
    let kymas = kymas_gateway(gateways);
    match kymas.and_then(|kymas| Some((kymas, environment::kyma_gateway_fault(kymas)?))) {
        None => Ok(()),
        Some((kymas, fault)) => Err(Failure::refused(format!(
            "Kyma's own Gateway `{}` differs from what Kyma creates: {fault}",
            kymas.name
        ))
        .hint("until it is repaired, Kyma's controller silently reconciles no APIRule of the cluster")
        .hint("give this Gateway one HTTPS server with one host that begins with `*.`; move other servers to Gateways of their own")),
    }
}
