//! The Gateways of the Kubernetes Gateway API that read an authority.

use super::served::is_reader;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::authority::AuthorityState;
use crate::resources::gateway::Gateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef, gateway_api};

/// The list of all Gateways of the Kubernetes Gateway API; it may be denied.
pub fn kubernetes_gateways() -> Query {
    Query::everywhere(Kind::KubernetesGateway)
}

/// Those a listener of which checks its clients by the authority, as Gateways of Istio on the proxies that they configure.
pub(super) fn readers(state: &AuthorityState, observed: &Observed) -> Reconciled<Vec<Gateway>> {
    let mut readers = Vec::new();
    for object in reading(state, observed)? {
        for ingress in proxies(object, observed)? {
            readers.extend(gateway_api::translated(object, &ingress));
        }
    }
    Ok(readers)
}

/// The objects of those Gateways.
pub fn reading<'a>(state: &AuthorityState, observed: &'a Observed) -> Reconciled<Vec<&'a Object>> {
    let listed = observed.try_list(&kubernetes_gateways())?;
    let listed: &[Object] = listed.found().copied().unwrap_or_default();
    let reads = |object: &&Object| {
        let gateway = gateway_api::translated(object, &gateway_api::own_proxies(object));
        gateway.is_some_and(|gateway| is_reader(&gateway, state))
    };
    Ok(listed.iter().filter(reads).collect())
}

/// The proxies behind the Services that a Gateway names, as far as these may be read; without any, those that istiod creates for it.
fn proxies(object: &Object, observed: &Observed) -> Reconciled<Vec<IngressGateway>> {
    let services = gateway_api::services(object);
    if services.is_empty() {
        return Ok(vec![gateway_api::own_proxies(object)]);
    }
    observed.prefetch(services.iter().map(beside))?;
    let mut proxies = Vec::new();
    for service in &services {
        let listed = observed.try_list(&beside(service))?;
        proxies.extend(behind(service, &listed));
    }
    Ok(proxies)
}

/// The Services of a Service's namespace.
fn beside(service: &ObjectRef) -> Query {
    Query::within(Kind::Service, &service.namespace)
}

/// The proxies behind one of the listed Services.
fn behind(service: &ObjectRef, listed: &Seen<&[Object]>) -> Option<IngressGateway> {
    let mut listed = listed.found()?.iter();
    let object = listed.find(|object| object.reference() == service)?;
    let selector = Service::read(object).ok()?.selector;
    (!selector.is_empty()).then(|| IngressGateway::new(&service.namespace, selector))
}

/// A Gateway of [`reading`] whose proxies are not known, because the Service that it names could not be read or selects none.
pub(super) fn unseen(state: &AuthorityState, observed: &Observed) -> Option<String> {
    let listed = observed.already_listed(&kubernetes_gateways())?;
    let is_there = !matches!(listed, Seen::NotServed);
    if let Some(reason) = listed.unknown().filter(|_| is_there) {
        return Some(format!(
            "Gateways of the Kubernetes Gateway API may not be listed: whether one of them reads the same CAs was not checked: {reason}"
        ));
    }
    let reading = reading(state, observed).ok()?;
    let is_unknown = |service: &ObjectRef| {
        let listed = observed.already_listed(&beside(service));
        listed.is_none_or(|listed| behind(service, &listed).is_none())
    };
    reading.iter().find_map(|object| {
        let service = gateway_api::services(object).into_iter().find(is_unknown)?;
        Some(format!(
            "whether the proxies of the {} have loaded the change was not checked: those behind {service} are not known",
            object.reference()
        ))
    })
}
