//! The route from the Gateway to the Service: Kyma's `APIRule` where it is served, else Istio's `VirtualService`.

use super::api_rule::{self, ApiRule, Route, RouteOptions};
use super::virtual_service::{self, VirtualService};
use super::{Kind, Object, ObjectRef, Unreadable, names};

/// The kind of the route's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// Kyma's `APIRule`, from which its controller makes a `VirtualService` and an `AuthorizationPolicy`.
    ApiRule,
    /// A `VirtualService` that this plugin writes.
    VirtualService,
}

impl Routing {
    /// The reference to the route of a Service.
    pub fn reference(self, namespace: &str, service: &str) -> ObjectRef {
        let name = names::route(service);
        match self {
            Self::ApiRule => api_rule::reference(namespace, &name),
            Self::VirtualService => virtual_service::reference(namespace, &name),
        }
    }

    /// The manifest of the route.
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
    /// Kyma's `APIRule`.
    ApiRule(ApiRule),
    /// Istio's `VirtualService`.
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

    /// The route's hosts.
    pub fn hosts(&self) -> &[String] {
        match self {
            Self::ApiRule(rule) => &rule.hosts,
            Self::VirtualService(service) => &service.hosts,
        }
    }

    /// The first Gateway that the route is attached to, as `namespace/name`; empty if it names
    /// none.
    pub fn gateway(&self) -> &str {
        match self {
            Self::ApiRule(rule) => &rule.gateway,
            Self::VirtualService(service) => service.gateways.first().map_or("", String::as_str),
        }
    }

    /// The Service behind the route as `(namespace, name, port)`, if there is one.
    pub fn service(&self) -> Option<&(String, String, u16)> {
        match self {
            Self::ApiRule(rule) => rule.service.as_ref(),
            Self::VirtualService(service) => service.service.as_ref(),
        }
    }

    /// How the route treats requests, if this plugin can preserve that.
    pub fn options(&self) -> Option<&RouteOptions> {
        match self {
            Self::ApiRule(rule) => rule.options.as_ref(),
            Self::VirtualService(service) => service.options.as_ref(),
        }
    }

    /// Whether the route's controller has given up for now; a `VirtualService` has no controller.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::ApiRule(rule) => rule.state == "Error" || rule.state == "Warning",
            Self::VirtualService(_) => false,
        }
    }
}
