//! The hosts that mutual-TLS Gateways serve.

use super::Request;
use crate::error::Failure;
use crate::plan::{Query, World};
use crate::resources::api_rule::ApiRule;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef};

/// One host and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The host, or the Gateway's pattern where nothing is routed.
    pub name: String,
    /// The host to shake hands for.
    pub probe: String,
    pub gateway: Gateway,
    pub server: Server,
    pub route: Option<Route>,
    /// Other Gateways that have the same host string.
    pub rivals: Vec<String>,
}

/// What sends a host's requests to a Service.
#[derive(Debug, Clone)]
pub(super) enum Route {
    ApiRule(ObjectRef, ApiRule),
    VirtualService(ObjectRef),
}

impl Host {
    /// The Service behind, where the route tells it.
    pub fn backend(&self) -> Option<ObjectRef> {
        match &self.route {
            Some(Route::ApiRule(
                _,
                ApiRule {
                    service: Some((namespace, name, _)),
                    ..
                },
            )) => Some(ObjectRef::new(Kind::Service, namespace, name)),
            _ => None,
        }
    }
}

/// All hosts behind all mutual-TLS servers, or those that were asked for.
pub(super) fn find(request: &Request, world: &World) -> Result<Vec<Host>, Failure> {
    let all = Query::everywhere(Kind::Gateway);
    let objects = world.required_list(Kind::Gateway, &all)?;
    let gateways: Vec<Gateway> = objects
        .iter()
        .filter_map(|object| Gateway::read(object).ok())
        .collect();
    let routes = routes(world);
    let mut hosts = Vec::new();
    for gateway in &gateways {
        for server in gateway.servers.iter().filter(|server| server.is_mutual()) {
            hosts.extend(of_server(gateway, server, &gateways, &routes));
        }
    }
    let Some(only) = &request.only else {
        return Ok(hosts);
    };
    let is_meant = |host: &Host| {
        host.name == *only || host.backend().is_some_and(|service| service.name == *only)
    };
    let known: Vec<String> = hosts.iter().map(|host| host.name.clone()).collect();
    hosts.retain(is_meant);
    if hosts.is_empty() {
        let hint = if known.is_empty() {
            "there is no Gateway with mutual TLS; `kubectl mtls expose SERVICE` makes one"
                .to_owned()
        } else {
            format!("these hosts are: {}", known.join(", "))
        };
        return Err(Failure::refused(format!(
            "`{only}` is neither a host nor a Service behind mutual TLS"
        ))
        .hint(hint));
    }
    Ok(hosts)
}

fn of_server(
    gateway: &Gateway,
    server: &Server,
    gateways: &[Gateway],
    routes: &[(String, String, Route)],
) -> Vec<Host> {
    let name = gateway.name.to_string();
    let others = gateways.iter().filter(|other| other.name != gateway.name);
    let shares = |other: &&Gateway| {
        server
            .hosts
            .iter()
            .any(|host| other.server_with_host(host).is_some())
    };
    let rivals: Vec<String> = others
        .filter(shares)
        .map(|other| other.name.to_string())
        .collect();
    let host = |name: &str, route: Option<Route>| Host {
        name: name.to_owned(),
        probe: name.replacen('*', "kubectl-mtls-probe", 1),
        gateway: gateway.clone(),
        server: server.clone(),
        route,
        rivals: rivals.clone(),
    };
    let ours = routes
        .iter()
        .filter(|(of, routed, _)| *of == name && server.serves(routed));
    let routed: Vec<Host> = ours
        .map(|(_, routed, route)| host(routed, Some(route.clone())))
        .collect();
    if routed.is_empty() {
        return server
            .hosts
            .iter()
            .map(|pattern| host(pattern, None))
            .collect();
    }
    routed
}

/// Every route as (Gateway, host, route); the `VirtualServices` that Kyma made for an `APIRule` are no routes of their own.
fn routes(world: &World) -> Vec<(String, String, Route)> {
    let mut routes = Vec::new();
    for object in listed(world, Kind::ApiRule) {
        if let Ok(rule) = ApiRule::read(object) {
            let route = Route::ApiRule(object.reference().clone(), rule.clone());
            routes.extend(
                rule.hosts
                    .iter()
                    .map(|host| (rule.gateway.clone(), host.clone(), route.clone())),
            );
        }
    }
    for object in listed(world, Kind::VirtualService) {
        let Ok(service) = VirtualService::read(object) else {
            continue;
        };
        if service.made_for.is_none() {
            let route = Route::VirtualService(object.reference().clone());
            let pairs = service
                .gateways
                .iter()
                .flat_map(|gateway| service.hosts.iter().map(move |host| (gateway, host)));
            routes.extend(
                pairs.map(|(gateway, host)| (gateway.clone(), host.clone(), route.clone())),
            );
        }
    }
    routes
}

fn listed(world: &World, kind: Kind) -> &[Object] {
    match world.list(&Query::everywhere(kind)) {
        crate::plan::Seen::Found(objects) => objects,
        _ => &[],
    }
}
