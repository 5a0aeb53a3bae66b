//! The objects that send a host's requests to a Service.

use serde_json::Value;

use super::facts::{Facts, readable};
use crate::resources::api_rule::ApiRule;
use crate::resources::names::{GatewayName, INGRESS_ANNOTATION, INGRESS_NAMESPACE};
use crate::resources::{Kind, Object, ObjectRef};

/// A route from a Gateway to a Service.
#[derive(Debug, Clone)]
pub(super) enum Route {
    ApiRule(ObjectRef, Box<ApiRule>),
    VirtualService(ObjectRef, Option<Backend>),
}

/// The Service behind a route.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    pub service: ObjectRef,
    /// The port; `None` for the Service's only port.
    pub port: Option<u16>,
}

impl Route {
    pub fn reference(&self) -> &ObjectRef {
        match self {
            Self::ApiRule(reference, _) | Self::VirtualService(reference, _) => reference,
        }
    }

    /// The Service of the route, if the route names one.
    pub fn backend(&self) -> Option<Backend> {
        match self {
            Self::ApiRule(_, rule) => {
                let (namespace, name, port) = rule.service.as_ref()?;
                Some(Backend {
                    service: ObjectRef::new(Kind::Service, namespace, name),
                    port: Some(*port),
                })
            }
            Self::VirtualService(_, backend) => backend.clone(),
        }
    }
}

/// One host of one route.
#[derive(Debug)]
pub(super) struct Routed {
    /// The Gateway as `namespace/name`.
    pub gateway: String,
    pub host: String,
    pub route: Route,
    /// Whether the route has this plugin's managed-by label.
    pub is_ours: bool,
}

/// Every route that could be read, without the `VirtualServices` that Kyma made for an `APIRule`, unless the `APIRules` could not be
/// listed.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Routed> {
    let mut routes = Vec::new();
    for (object, rule) in readable(&facts.rules) {
        routes.extend(rule.hosts.iter().map(|host| Routed {
            gateway: rule.gateway.clone(),
            host: host.clone(),
            route: Route::ApiRule(object.reference().clone(), Box::new(rule.clone())),
            is_ours: object.is_ours(),
        }));
    }
    let rules = readable(&facts.rules);
    let is_read = |(namespace, name): &(String, String)| {
        let of_it = |object: &Object| object.namespace() == namespace && object.name() == name;
        rules.iter().any(|(object, _)| of_it(object))
    };
    let are_rules_unseen = facts.is_partly_unseen(Kind::ApiRule);
    for (object, service) in readable(&facts.virtual_services) {
        if let Some(rule) = &service.made_for
            && (is_read(rule) || !are_rules_unseen)
        {
            continue;
        }
        for gateway in &service.gateways {
            routes.extend(service.hosts.iter().map(|host| Routed {
                gateway: gateway.clone(),
                host: host.clone(),
                route: Route::VirtualService(object.reference().clone(), destination(object)),
                is_ours: object.is_ours(),
            }));
        }
    }
    routes
}

/// The first destination of a `VirtualService`: `name`, `name.namespace` or `name.namespace.svc.…`.
fn destination(object: &Object) -> Option<Backend> {
    let http = object.at(&["spec", "http"])?.as_array()?;
    let mut destinations = http
        .iter()
        .filter_map(|rule| rule.get("route")?.as_array()?.first()?.get("destination"));
    let destination = destinations.next()?;
    let mut labels = destination.get("host")?.as_str()?.split('.');
    let name = labels.next()?;
    let namespace = labels.next().unwrap_or(object.namespace());
    let port = destination.get("port").and_then(|port| port.get("number"));
    Some(Backend {
        service: ObjectRef::new(Kind::Service, namespace, name),
        port: port
            .and_then(Value::as_u64)
            .and_then(|port| port.try_into().ok()),
    })
}

/// The first namespace of a Gateway's proxies: as the Gateway shows it, else as the route notes it that hangs on it.
pub(super) fn proxies_of<'a>(
    gateway: &GatewayName,
    route: &Route,
    facts: &'a Facts<'_>,
) -> &'a str {
    let mut gateways = facts.gateways.readable.iter();
    let known = gateways.find(|(_, known)| known.name == *gateway);
    let noted = || object(route, facts)?.annotation(INGRESS_ANNOTATION);
    match known {
        Some((_, known)) => &known.ingress.namespace,
        None => {
            let mut noted = noted().unwrap_or(INGRESS_NAMESPACE).split(',');
            noted.next().unwrap_or(INGRESS_NAMESPACE)
        }
    }
}

/// The route as it was read.
pub(super) fn object<'a>(route: &Route, facts: &'a Facts<'_>) -> Option<&'a Object> {
    let is_meant = |object: &&Object| object.reference() == route.reference();
    let rules = readable(&facts.rules).iter().map(|(object, _)| *object);
    let services = readable(&facts.virtual_services);
    let services = services.iter().map(|(object, _)| *object);
    rules.chain(services).find(is_meant)
}
