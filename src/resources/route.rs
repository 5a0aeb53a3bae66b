//! The route from the Gateway to the Service: Kyma's `APIRule` where it is served, else Istio's `VirtualService`.

use super::api_rule::{self, ApiRule, Route, RouteOptions};
use super::virtual_service::{self, VirtualService};
use super::{Kind, Object, ObjectRef, Unreadable, names};

/// Which kind of object routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// Kyma's `APIRule`, of which its controller makes a `VirtualService` and an `AuthorizationPolicy`.
    ApiRule,
    /// A `VirtualService` of our own.
    VirtualService,
}

impl Routing {
    /// Names the route of a Service.
    pub fn reference(self, namespace: &str, service: &str) -> ObjectRef {
        let name = names::route(service);
        match self {
            Self::ApiRule => api_rule::reference(namespace, &name),
            Self::VirtualService => virtual_service::reference(namespace, &name),
        }
    }

    /// The manifest of our route.
    pub fn object(self, route: &Route<'_>) -> Object {
        match self {
            Self::ApiRule => route.object(),
            Self::VirtualService => virtual_service::object(route),
        }
    }
}

/// A route as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveRoute {
    /// Kyma's.
    ApiRule(ApiRule),
    /// Istio's.
    VirtualService(VirtualService),
}

impl LiveRoute {
    /// Reads a route of either kind.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        if object.reference().kind == Kind::VirtualService {
            VirtualService::read(object).map(Self::VirtualService)
        } else {
            ApiRule::read(object).map(Self::ApiRule)
        }
    }

    /// Its hosts.
    pub fn hosts(&self) -> &[String] {
        match self {
            Self::ApiRule(rule) => &rule.hosts,
            Self::VirtualService(service) => &service.hosts,
        }
    }

    /// The first Gateway that it hangs on, as `namespace/name`; empty where it names none.
    pub fn gateway(&self) -> &str {
        match self {
            Self::ApiRule(rule) => &rule.gateway,
            Self::VirtualService(service) => service.gateways.first().map_or("", String::as_str),
        }
    }

    /// The Service behind as `(namespace, name, port)`, where it leads to one.
    pub fn service(&self) -> Option<&(String, String, u16)> {
        match self {
            Self::ApiRule(rule) => rule.service.as_ref(),
            Self::VirtualService(service) => service.service.as_ref(),
        }
    }

    /// What it does with requests, where that can be kept.
    pub fn options(&self) -> Option<&RouteOptions> {
        match self {
            Self::ApiRule(rule) => rule.options.as_ref(),
            Self::VirtualService(service) => service.options.as_ref(),
        }
    }

    /// Whether its controller has given up for now; a `VirtualService` has none.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::ApiRule(rule) => rule.state == "Error" || rule.state == "Warning",
            Self::VirtualService(_) => false,
        }
    }
}
