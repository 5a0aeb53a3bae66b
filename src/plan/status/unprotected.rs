//! Hosts of ours whose Gateway does not ask for a client certificate any more, or does not exist.

use super::facts::Facts;
use super::hosts::full;
use super::routes::{Route, Routed, all};
use super::{Finding, HostReport, Link, Request, check, route};
use crate::plan::{Query, Reconciled};
use crate::resources::gateway::{Gateway, Server, covers};
use crate::resources::names::GatewayName;
use crate::resources::{Kind, ObjectRef};

/// A host that no mutual-TLS server of its Gateway serves.
pub(super) struct Unprotected {
    /// The host, or the Gateway's pattern where nothing is routed.
    name: String,
    gateway: GatewayName,
    route: Option<Route>,
    check: Finding,
}

impl Unprotected {
    /// What its report needs.
    pub fn query(&self) -> Option<Query> {
        Some(Query::Get(self.service()?))
    }

    fn service(&self) -> Option<ObjectRef> {
        Some(self.route.as_ref()?.backend()?.service)
    }

    /// The links that are left of its chain.
    pub fn report(&self, facts: &Facts<'_>) -> Reconciled<HostReport> {
        let mut gateway = Link::new("Gateway", self.gateway.to_string());
        gateway.add(self.check.clone());
        let mut links = vec![gateway];
        if let Some(found) = &self.route {
            links.push(Link::new("route", found.reference().to_string()));
            links.push(route::service(Some(found), facts)?);
        }
        Ok(HostReport {
            host: self.name.clone(),
            gateway: self.gateway.to_string(),
            route: self
                .route
                .as_ref()
                .map(|route| route.reference().to_string()),
            service: self
                .service()
                .map(|service| format!("{}/{}", service.namespace, service.name)),
            links,
            ..HostReport::default()
        })
    }

    fn is_asked_for(&self, request: &Request) -> bool {
        let is_within = |namespace: &String| {
            let route = self.route.as_ref().map(Route::reference);
            self.gateway.namespace == *namespace
                || route.is_some_and(|route| route.namespace == *namespace)
        };
        let is_meant = |only: &String| {
            let is_service = self.service().is_some_and(|service| service.name == *only);
            // An APIRule may give the first label only, which nothing completes where the Gateway is gone.
            let is_first_label = !self.name.contains('.')
                && only
                    .split_once('.')
                    .is_some_and(|(label, _)| label == self.name);
            covers(&self.name, only) || is_service || is_first_label
        };
        request.namespace.as_ref().is_none_or(is_within)
            && request.only.as_ref().is_none_or(is_meant)
    }
}

/// Those that were asked for: of every Gateway of ours, and of every route of ours, whoever made its Gateway.
pub(super) fn find(request: &Request, facts: &Facts<'_>) -> Vec<Unprotected> {
    let routes = all(facts);
    let gateways = || facts.gateways.readable.iter().map(|(_, gateway)| gateway);
    let of = |routed: &Routed| {
        let mut gateways = gateways();
        gateways.find(|gateway| gateway.name.to_string() == routed.gateway)
    };
    // A further Gateway of somebody else in such a route is an external route.
    let is_protected_elsewhere = |routed: &Routed| {
        routes.iter().any(|other| {
            other.route.reference() == routed.route.reference()
                && of(other).is_some_and(|gateway| is_protected(gateway, &other.host))
        })
    };
    let mut found: Vec<Unprotected> = Vec::new();
    for routed in &routes {
        let gateway = of(routed);
        let is_ours = gateway.is_some_and(|gateway| gateway.is_ours)
            || (routed.is_ours && !is_protected_elsewhere(routed));
        if is_ours {
            found.extend(of_route(routed, gateway, facts));
        }
    }
    let is_routed = |gateway: &Gateway| {
        found
            .iter()
            .any(|unprotected| unprotected.gateway == gateway.name)
    };
    let unrouted: Vec<Unprotected> = gateways()
        .filter(|gateway| gateway.is_ours && !gateway.tls_servers().any(Server::is_mutual))
        .filter(|gateway| !is_routed(gateway))
        .map(of_gateway)
        .collect();
    found.extend(unrouted);
    found.retain(|unprotected| unprotected.is_asked_for(request));
    found
}

fn of_route(routed: &Routed, gateway: Option<&Gateway>, facts: &Facts<'_>) -> Option<Unprotected> {
    let name: GatewayName = routed.gateway.parse().ok()?;
    let unprotected = |host: String, check: Finding| Unprotected {
        name: host,
        gateway: name.clone(),
        route: Some(routed.route.clone()),
        check,
    };
    let Some(gateway) = gateway else {
        if facts.may_exist(&name) {
            return None;
        }
        let is_damaged = facts
            .gateways
            .damaged
            .iter()
            .any(|(object, _)| *object.reference() == name.reference());
        return (!is_damaged).then(|| unprotected(routed.host.clone(), missing(&name, routed)));
    };
    if is_protected(gateway, &routed.host) {
        return None;
    }
    let serving = gateway
        .servers
        .iter()
        .find(|server| server.serves(&full(&routed.host, server)));
    let host = serving.map_or_else(|| routed.host.clone(), |server| full(&routed.host, server));
    let check = weakened(gateway, &host, serving, Some(&routed.route));
    Some(unprotected(host, check))
}

/// Whether a mutual-TLS server of the Gateway serves the host that a route gives.
fn is_protected(gateway: &Gateway, host: &str) -> bool {
    gateway
        .tls_servers()
        .any(|server| server.is_mutual() && server.serves(&full(host, server)))
}

fn of_gateway(gateway: &Gateway) -> Unprotected {
    let server = gateway.servers.first();
    let pattern = server.and_then(|server| server.hosts.first());
    let name = pattern.cloned().unwrap_or_else(|| gateway.name.to_string());
    Unprotected {
        check: weakened(gateway, &name, server, None),
        gateway: gateway.name.clone(),
        route: None,
        name,
    }
}

fn missing(gateway: &GatewayName, routed: &Routed) -> Finding {
    Finding::new(&check::GATEWAY_MISSING, format!(
            "the Gateway {gateway} does not exist, and {} still names it",
            routed.route.reference()
        ), expose(Some(&routed.route)).unwrap_or_else(|| {
            let reference = routed.route.reference();
            format!(
                "kubectl delete {} -n {} {}",
                reference.kind.resource(),
                reference.namespace,
                reference.name
            )
        })).because(format!(
            "nothing serves `{}` with mutual TLS, and whoever creates a Gateway of this name decides who reaches the Service",
            routed.host
        ))
}

fn weakened(
    gateway: &Gateway,
    host: &str,
    serving: Option<&Server>,
    route: Option<&Route>,
) -> Finding {
    let name = &gateway.name;
    let (seen, why) = match serving {
        Some(server) => {
            let mode = match server.mode.as_str() {
                "" => &server.protocol,
                mode => mode,
            };
            (
                format!("the Gateway {name} serves `{host}` on port {} in mode {mode}, not MUTUAL", server.port),
                "anybody reaches it without a client certificate, and can choose the identity headers".to_owned(),
            )
        }
        None => (
            format!("the Gateway {name} has no server for `{host}` any more"),
            "clients with a certificate do not reach it, and another Gateway may answer in its place".to_owned(),
        ),
    };
    Finding::new(
        &check::GATEWAY_WEAKENED,
        seen,
        expose(route).unwrap_or_else(|| {
            format!(
                "kubectl delete {} -n {} {}",
                Kind::Gateway.resource(),
                name.namespace,
                name.name
            )
        }),
    )
    .because(why)
}

/// The command that writes the Gateway of a route anew.
fn expose(route: Option<&Route>) -> Option<String> {
    let service = route?.backend()?.service;
    Some(format!(
        "kubectl mtls expose {} -n {}",
        service.name, service.namespace
    ))
}
