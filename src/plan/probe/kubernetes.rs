//! The Gateways of the Kubernetes Gateway API that read an authority.

use crate::plan::{Observed, Query, Reconciled, Seen, ingress};
use crate::resources::authority::AuthorityState;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::ingress::{IngressGateway, is_router};
use crate::resources::names::CredentialNames;
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef, gateway_api};

/// The list of all Gateways of the Kubernetes Gateway API; it may be denied.
pub fn kubernetes_gateways() -> Query {
    Query::everywhere(Kind::KubernetesGateway)
}

/// Those a listener of which istiod serves with the authority as its client CA, as Gateways of Istio on the proxies that they configure.
pub(super) fn readers(state: &AuthorityState, observed: &Observed) -> Reconciled<Vec<Gateway>> {
    let mut readers = Vec::new();
    for object in naming(state, observed)? {
        for ingress in proxies(object, observed)? {
            readers.extend(gateway_api::served(object, &ingress));
        }
    }
    Ok(readers)
}

/// Those a listener of which names the authority as its client CA, whether it is served or not, and by whatever controller.
pub fn naming<'a>(state: &AuthorityState, observed: &'a Observed) -> Reconciled<Vec<&'a Object>> {
    let own = CredentialNames::of_authority(&state.authority).state();
    let listed = observed.try_list(&kubernetes_gateways())?;
    let listed: &[Object] = listed.found().copied().unwrap_or_default();
    let names = |server: &Server| server.client_ca_source() == own;
    let names = |object: &&Object| {
        let gateway = gateway_api::translated(object, &gateway_api::own_proxies(object));
        gateway.is_some_and(|gateway| gateway.servers.iter().any(names))
    };
    Ok(listed.iter().filter(names).collect())
}

/// Why it is not known which Gateways of the Kubernetes Gateway API there are; `None` also if the cluster does not serve them.
pub fn kubernetes_unknown(observed: &Observed) -> Option<String> {
    match observed.already_listed(&kubernetes_gateways())? {
        Seen::NotServed => None,
        listed => listed.unknown(),
    }
}

/// The proxies behind the Services that a Gateway names, without any those that istiod creates for it; as far as it can be seen that they are
/// proxies of a gateway.
fn proxies(object: &Object, observed: &Observed) -> Reconciled<Vec<IngressGateway>> {
    let services = gateway_api::services(object);
    let mut proxies = Vec::new();
    if services.is_empty() {
        proxies.push(gateway_api::own_proxies(object));
    }
    observed.prefetch(services.iter().map(beside))?;
    for service in &services {
        let listed = observed.try_list(&beside(service))?;
        proxies.extend(behind(service, &listed));
    }
    observed.prefetch(proxies.iter().map(ingress::pods))?;
    let mut routers = Vec::new();
    for proxies in proxies {
        let listed = observed.try_list(&ingress::pods(&proxies))?;
        if listed
            .found()
            .is_some_and(|pods| pods.iter().any(is_router))
        {
            routers.push(proxies);
        }
    }
    Ok(routers)
}

/// The Services of a Service's namespace.
fn beside(service: &ObjectRef) -> Query {
    Query::within(Kind::Service, &service.namespace)
}

/// The Pods behind one of the listed Services.
fn behind(service: &ObjectRef, listed: &Seen<&[Object]>) -> Option<IngressGateway> {
    let mut listed = listed.found()?.iter();
    let object = listed.find(|object| object.reference() == service)?;
    let selector = Service::read(object).ok()?.selector;
    (!selector.is_empty()).then(|| IngressGateway::new(&service.namespace, selector))
}
