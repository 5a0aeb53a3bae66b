//! Hosts of this plugin that no mutual-TLS server of their Gateway serves: the Gateway was weakened or deleted, or the route names another
//! one.

use serde_json::{Value, json};

use super::facts::Facts;
use super::hosts::full;
use super::routes::{self, Route, Routed, all};
use super::{Finding, HostReport, Link, Request, check, guards, route, subsets};
use crate::plan::command_line;
use crate::plan::probe::HTTPS;
use crate::plan::{Query, Reconciled};
use crate::resources::gateway::{Gateway, Server, covers, overlap};
use crate::resources::names::GatewayName;
use crate::resources::{Object, ObjectRef, Unreadable};

/// A host that no mutual-TLS server of its Gateway serves.
pub(super) struct Unprotected {
    /// The host, or the Gateway's pattern if nothing is routed.
    name: String,
    gateway: GatewayName,
    /// The mutual-TLS Gateway that the route should name.
    meant: Option<GatewayName>,
    route: Option<Route>,
    check: Finding,
}

impl Unprotected {
    /// The reads for the host's report.
    pub fn queries(&self, facts: &Facts<'_>) -> Reconciled<Vec<Query>> {
        let mut queries: Vec<Query> = self.service().map(Query::Get).into_iter().collect();
        if let Some(found) = &self.route {
            queries.extend(self.reader(found, facts)?.queries(found, facts));
        }
        Ok(queries)
    }

    fn reader(&self, route: &Route, facts: &Facts<'_>) -> Reconciled<subsets::Reader> {
        let proxies = routes::proxies_of(&self.gateway, route, facts);
        subsets::Reader::of(&facts.ingress(&self.gateway), proxies, facts.observed)
    }

    /// The namespace of the host's route, or of its Gateway.
    pub fn namespace(&self) -> &str {
        let route = self.route.as_ref().map(Route::reference);
        let gateway = &self.gateway.namespace;
        route.map_or(gateway, |route| &route.namespace)
    }

    /// Whether the finding is about this Gateway, so that its missing route need not be reported.
    pub fn is_about(&self, gateway: &GatewayName) -> bool {
        self.gateway == *gateway || self.meant.as_ref() == Some(gateway)
    }

    fn service(&self) -> Option<ObjectRef> {
        Some(self.route.as_ref()?.backend()?.service)
    }

    /// The remaining links of the host's chain.
    pub fn report(&self, facts: &Facts<'_>) -> Reconciled<HostReport> {
        let mut gateway = Link::new("Gateway", self.gateway.to_string());
        gateway.add(self.check.clone());
        let mut links = vec![gateway];
        if let Some(found) = &self.route {
            links.push(route::of(found, &self.gateway, facts)?.0);
            links.push(route::service(Some(found), (&self.gateway, HTTPS), facts)?);
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

/// The requested hosts, of every Gateway and every route of this plugin, whoever made the route's Gateway.
pub(super) fn find(request: &Request, facts: &Facts<'_>) -> Reconciled<Vec<Unprotected>> {
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
            found.extend(of_route(routed, gateway, facts)?);
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
    Ok(found)
}

fn of_route(
    routed: &Routed,
    gateway: Option<&Gateway>,
    facts: &Facts<'_>,
) -> Reconciled<Option<Unprotected>> {
    let Ok(name) = routed.gateway.parse::<GatewayName>() else {
        return Ok(None);
    };
    let proxies = routes::proxies_of(&name, &routed.route, facts);
    let unprotected = |host: String, meant: Option<&Gateway>, check: Finding| {
        Ok(Some(Unprotected {
            name: host,
            gateway: name.clone(),
            meant: meant.map(|gateway| gateway.name.clone()),
            route: Some(routed.route.clone()),
            check,
        }))
    };
    let serving = |server: &&Server| server.serves(&full(&routed.host, server));
    let serving = gateway.and_then(|gateway| gateway.servers.iter().find(serving));
    let host = serving.map_or_else(|| routed.host.clone(), |server| full(&routed.host, server));
    let is_damaged = |(object, _): &(&Object, Unreadable)| *object.reference() == name.reference();
    match gateway {
        Some(gateway) if is_protected(gateway, &routed.host) => Ok(None),
        None if facts.gateways.damaged.iter().any(is_damaged) || facts.may_exist(&name) => Ok(None),
        // It was there, or is weaker than it was: another one that has the host too is not meant.
        None if guards::of_headers(proxies, &name, facts)?.is_some() => {
            unprotected(host, None, missing(&name, routed))
        }
        Some(gateway) if gateway.is_ours && serving.is_some() => unprotected(
            host.clone(),
            None,
            weakened((gateway, true), &host, serving, Some(routed)),
        ),
        _ => {
            let mut gateways = facts.gateways.readable.iter().map(|(_, gateway)| gateway);
            let meant = gateways.find(|other| other.is_ours && is_protected(other, &routed.host));
            let check = match (meant, gateway) {
                (Some(meant), _) => elsewhere(routed, meant, gateway.is_some()),
                (None, None) => missing(&name, routed),
                (None, Some(gateway)) if serving.is_some() => {
                    let was_mutual = guards::of_headers(proxies, &name, facts)?.is_some();
                    weakened((gateway, was_mutual), &host, serving, Some(routed))
                }
                (None, Some(gateway)) => outside(gateway, routed, facts)?,
            };
            unprotected(host, meant, check)
        }
    }
}

/// Whether a mutual-TLS server of the Gateway serves the host that a route gives, or some of the hosts of a wildcard.
fn is_protected(gateway: &Gateway, host: &str) -> bool {
    let covers_one = |server: &Server| {
        let mut patterns = server.hosts.iter();
        host.starts_with('*') && patterns.any(|pattern| overlap(pattern, host))
    };
    gateway.tls_servers().any(|server| {
        server.is_mutual() && (server.serves(&full(host, server)) || covers_one(server))
    })
}

fn of_gateway(gateway: &Gateway) -> Unprotected {
    let server = gateway.servers.first();
    let pattern = server.and_then(|server| server.hosts.first());
    let name = pattern.cloned().unwrap_or_else(|| gateway.name.to_string());
    Unprotected {
        check: weakened((gateway, true), &name, server, None),
        gateway: gateway.name.clone(),
        meant: None,
        route: None,
        name,
    }
}

/// The finding on a route that is attached to another Gateway than the one that serves its host
/// with mutual TLS.
fn elsewhere(routed: &Routed, meant: &Gateway, exists: bool) -> Finding {
    let reference = routed.route.reference();
    let named = if exists {
        format!("is attached to the Gateway {}", routed.gateway)
    } else {
        format!(
            "is attached to the Gateway {}, which does not exist",
            routed.gateway
        )
    };
    let remedy = route::restore(&routed.route);
    Finding::new(
        &check::ROUTE_WRONG_GATEWAY,
        format!(
            "{reference} {named}; the Gateway {} serves `{}` with mutual TLS",
            meant.name, routed.host
        ),
        format!("{remedy} --gateway {}", meant.name),
    )
}

/// The finding on a Gateway that serves other hosts than that of the route: its header guard, which names its former hosts, shows whether
/// the Gateway or the route was changed.
fn outside(gateway: &Gateway, routed: &Routed, facts: &Facts<'_>) -> Reconciled<Finding> {
    let name = &gateway.name;
    let reference = routed.route.reference();
    let mutual: Vec<(usize, &Server)> = gateway
        .servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.is_mutual())
        .collect();
    let [(place, server)] = mutual.as_slice() else {
        let guard = guards::of_headers(&gateway.ingress.namespace, name, facts)?;
        let gateway = (gateway, guard.is_some());
        return Ok(weakened(gateway, &routed.host, None, Some(routed)));
    };
    let hosts = server.hosts.join("`, `");
    let seen = format!(
        "the Gateway {name} serves `{hosts}`, and {reference} is for `{}`",
        routed.host
    );
    let guard = guards::of_headers(&gateway.ingress.namespace, name, facts)?;
    let known = guard.map(guarded_hosts).unwrap_or_default();
    if gateway.is_ours && known.iter().any(|pattern| covers(pattern, &routed.host)) {
        let value = json!([{"op": "replace", "path": format!("/spec/servers/{place}/hosts"), "value": known}]);
        let remedy = command_line::patch(&name.reference(), "json", &value);
        return Ok(Finding::new(&check::GATEWAY_NO_SERVER, seen, remedy));
    }
    let label = routed.host.split('.').next().unwrap_or_default();
    let remedy = match server.hosts.as_slice() {
        [one] => {
            let host = one.replacen('*', label, 1);
            command_line::patch(reference, "merge", &json!({"spec": {"hosts": [host]}}))
        }
        _ => command_line::edit(reference),
    };
    Ok(Finding::new(
        &check::ROUTE_HOST_OUTSIDE_GATEWAY,
        seen,
        remedy,
    ))
}

/// The host strings of a Gateway, as its header guard names them.
fn guarded_hosts(guard: &Object) -> Vec<String> {
    let conditions = guard.at(&["spec", "rules"]).and_then(Value::as_array);
    let mut conditions = conditions
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("when")?.as_array())
        .flatten();
    let names = conditions.find(|when| when["key"] == "connection.sni");
    let names = names.and_then(|when| when.get("values")?.as_array());
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn missing(gateway: &GatewayName, routed: &Routed) -> Finding {
    let reference = routed.route.reference();
    let remedy =
        expose(Some(&routed.route)).unwrap_or_else(|| command_line::kubectl("delete", reference));
    let seen =
        format!("the Gateway {gateway} does not exist, and {reference} still names that Gateway");
    Finding::new(&check::GATEWAY_MISSING, seen, remedy).because(format!(
        "nothing serves `{}` with mutual TLS, and anyone who creates a Gateway of this name decides who reaches the Service",
        routed.host
    ))
}

/// The finding on a Gateway that does not serve the host with mutual TLS. If a guard shows that it did, the Gateway was changed; else the
/// route was, and leads to a Gateway that is for others.
fn weakened(
    (gateway, was_mutual): (&Gateway, bool),
    host: &str,
    serving: Option<&Server>,
    routed: Option<&Routed>,
) -> Finding {
    let name = &gateway.name;
    let (check, seen) = match serving {
        Some(server) if server.is_mutual() => {
            let Server { port, protocol, .. } = server;
            (
                &check::GATEWAY_NO_SERVER,
                format!(
                    "the Gateway {name} serves `{host}` on port {port} with the protocol {protocol}, not on port {HTTPS} with HTTPS"
                ),
            )
        }
        Some(server) => {
            let mode = match server.mode.as_str() {
                "" => &server.protocol,
                mode => mode,
            };
            let port = server.port;
            (
                &check::GATEWAY_WEAKENED,
                format!(
                    "the Gateway {name} serves `{host}` on port {port} in mode {mode}, not MUTUAL"
                ),
            )
        }
        None => (
            &check::GATEWAY_NO_SERVER,
            format!("the Gateway {name} has no server for `{host}`"),
        ),
    };
    let reference = name.reference();
    let expose = || expose(routed.map(|routed| &routed.route));
    let remedy = match (gateway.is_ours, was_mutual) {
        (true, _) => expose().unwrap_or_else(|| command_line::kubectl("delete", &reference)),
        (false, true) => {
            made_mutual(gateway, serving).unwrap_or_else(|| command_line::edit(&reference))
        }
        (false, false) => expose().unwrap_or_else(|| command_line::edit(&reference)),
    };
    Finding::new(check, seen, remedy)
}

/// The command that sets the mode of a server which serves HTTPS with a certificate of its own; `expose` does not change Gateways of others.
fn made_mutual(gateway: &Gateway, serving: Option<&Server>) -> Option<String> {
    let server = serving.filter(|server| matches!(&*server.mode, "SIMPLE" | "OPTIONAL_MUTUAL"))?;
    let place = gateway.servers.iter().position(|one| one == server)?;
    let path = format!("/spec/servers/{place}/tls/mode");
    let patch = json!([{"op": "replace", "path": path, "value": "MUTUAL"}]);
    Some(command_line::patch(
        &gateway.name.reference(),
        "json",
        &patch,
    ))
}

/// The command that rewrites the Gateway of a route.
fn expose(route: Option<&Route>) -> Option<String> {
    let route = route?;
    route.backend()?;
    Some(route::restore(route))
}
