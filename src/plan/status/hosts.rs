//! The hosts that mutual-TLS Gateways serve.

use std::collections::BTreeSet;

use super::Request;
use super::facts::Facts;
use super::routes::{Backend, Route, Routed, all, object};
use crate::plan::command_line;
use crate::plan::probe::Served;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::gateway::{Gateway, Server, specificity};
use crate::resources::ingress::{IngressGateway, noted_namespaces};
use crate::resources::names::{self, INGRESS_ANNOTATION};
use crate::resources::{Kind, Object, ObjectRef};

/// One host, with its Gateway, route and Service.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The host, or the Gateway's pattern if nothing is routed.
    pub name: String,
    /// The host name for handshakes.
    pub probe: String,
    pub gateway: Gateway,
    /// The proxies that its Gateway configures, in all their namespaces, whichever of them the host is looked at in.
    pub proxies: IngressGateway,
    pub server: Server,
    pub route: Option<Route>,
    /// If nothing is routed: the Service in the Gateway's namespace whose name is the host's first label, or the only Service.
    pub candidate: Option<ObjectRef>,
    /// Whether the host's Gateway is not known, so that only a client's view can be checked.
    pub is_from_outside: bool,
}

impl Host {
    /// The Service of the host's route, if the route names one.
    pub fn backend(&self) -> Option<Backend> {
        self.route.as_ref()?.backend()
    }

    /// The `expose` command that rewrites the host's objects.
    pub fn expose_command(&self) -> String {
        match (self.backend(), &self.candidate) {
            (Some(Backend { service, .. }), _) => command_line::expose(&service),
            (None, Some(service)) => {
                let expose = command_line::expose(service);
                let host = if self.name.contains('*') {
                    String::new()
                } else {
                    format!(" --host {}", self.name)
                };
                format!("{expose} --gateway {}{host}", self.gateway.name)
            }
            (None, None) => format!(
                "kubectl mtls expose SERVICE --gateway {}",
                self.gateway.name
            ),
        }
    }

    fn of(name: &str, gateway: &Gateway, server: &Server, route: Option<Route>) -> Self {
        Self {
            name: name.to_owned(),
            probe: Served::probe(name),
            proxies: gateway.ingress.clone(),
            gateway: gateway.clone(),
            server: server.clone(),
            route,
            candidate: None,
            is_from_outside: false,
        }
    }

    /// The host as it is in each namespace of its Gateway's proxies, whose Secrets and policies count there; the first one first.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        self.proxies.parts().map(|ingress| {
            let mut server = self.server.clone();
            ingress.namespace.clone_into(&mut server.proxy_namespace);
            Self {
                gateway: self.gateway.clone().configuring(ingress),
                server,
                ..self.clone()
            }
        })
    }

    /// The route and the Gateway, where they are of this plugin.
    pub fn ours<'a>(&self, facts: &'a Facts<'_>) -> impl Iterator<Item = &'a Object> {
        let reference = self.gateway.name.reference();
        let mut gateways = facts.gateways.readable.iter().map(|(object, _)| *object);
        let gateway = gateways.find(|object| *object.reference() == reference);
        let route = self.route.as_ref().and_then(|route| object(route, facts));
        let all = route.into_iter().chain(gateway);
        all.filter(|object| object.is_ours())
    }

    /// Whether the route is the one that this plugin makes for a Service of this name, wherever it leads now.
    fn was_routed_to(&self, service: &str, facts: &Facts<'_>) -> bool {
        let route = self.route.as_ref();
        let own = route.filter(|route| route.reference().name == names::route(service));
        own.and_then(|route| object(route, facts))
            .is_some_and(Object::is_ours)
    }

    /// The proxies of the first namespace, and of those further ones that route or Gateway note: there `expose` has been.
    pub fn noted(&self, facts: &Facts<'_>) -> IngressGateway {
        let note = |object: &Object| noted_namespaces(object.annotation(INGRESS_ANNOTATION));
        let noted: BTreeSet<String> = self.ours(facts).flat_map(note).collect();
        let mut proxies = self.proxies.clone();
        proxies
            .further
            .retain(|namespace| noted.contains(namespace));
        proxies
    }

    /// The namespace of the host's route, or of its Gateway.
    pub fn namespace(&self) -> &str {
        let route = self.route.as_ref().map(Route::reference);
        let gateway = &self.gateway.name.namespace;
        route.map_or(gateway, |route| &route.namespace)
    }

    fn is_within(&self, namespace: &str) -> bool {
        let route = self.route.as_ref().map(Route::reference);
        self.gateway.name.namespace == namespace
            || route.is_some_and(|route| route.namespace == namespace)
    }
}

/// All hosts of all mutual-TLS servers, or the requested ones.
pub(super) fn find(request: &Request, facts: &Facts<'_>) -> Vec<Host> {
    let routes = all(facts);
    let servers: Vec<(&Gateway, &Server)> = facts
        .gateways
        .readable
        .iter()
        .flat_map(|(_, gateway)| gateway.tls_servers().map(move |server| (gateway, server)))
        .filter(|(_, server)| server.is_mutual())
        .collect();
    let mut hosts: Vec<Host> = servers
        .iter()
        .flat_map(|(gateway, server)| of_server(gateway, server, &routes))
        .collect();
    if let Some(namespace) = &request.namespace {
        hosts.retain(|host| host.is_within(namespace));
    }
    let Some(only) = &request.only else {
        return hosts;
    };
    let is_meant = |host: &Host| {
        host.name == *only
            || host
                .backend()
                .is_some_and(|behind| behind.service.name == *only)
            || host.was_routed_to(only, facts)
    };
    hosts.retain(is_meant);
    if hosts.is_empty() {
        // Not routed, but a handshake for it ends at one of the servers.
        let covering = servers
            .iter()
            .filter(|(_, server)| only.contains('.') && server.serves(only))
            .map(|(gateway, server)| Host::of(only, gateway, server, None));
        let within =
            |host: &Host| (request.namespace.as_ref()).is_none_or(|name| host.is_within(name));
        hosts.extend(covering.filter(within));
    }
    hosts
}

/// Finds the Services for hosts without a route.
pub(super) fn find_candidates(hosts: &mut [Host], observed: &Observed) -> Reconciled<()> {
    let services = |host: &Host| Query::within(Kind::Service, &host.gateway.name.namespace);
    let unrouted = |host: &&mut Host| host.route.is_none() && !host.is_from_outside;
    let queries: Vec<Query> = hosts
        .iter_mut()
        .filter(unrouted)
        .map(|host| services(host))
        .collect();
    observed.prefetch(queries)?;
    for host in hosts.iter_mut().filter(unrouted) {
        let listed = observed.try_list(&services(host))?;
        let services = listed.found().copied().unwrap_or_default();
        let label = host.name.split('.').next();
        let named = services
            .iter()
            .find(|service| Some(service.name()) == label);
        let only = services.first().filter(|_| services.len() == 1);
        host.candidate = named.or(only).map(|service| service.reference().clone());
    }
    Ok(())
}

fn of_server(gateway: &Gateway, server: &Server, routes: &[Routed]) -> Vec<Host> {
    let name = gateway.name.to_string();
    let own = routes.iter().filter(|routed| routed.gateway == name);
    let own: Vec<&Routed> = own.collect();
    // A route of ours tells of others of the same host.
    let is_told = |routed: &&&Routed| {
        let is_same = |other: &Routed| full(&other.host, server) == full(&routed.host, server);
        routed.is_ours || !own.iter().any(|other| other.is_ours && is_same(other))
    };
    let hosts: Vec<Host> = own
        .iter()
        .filter(is_told)
        .map(|routed| (full(&routed.host, server), &routed.route))
        .filter(|(host, _)| is_served_by(host, gateway, server))
        .map(|(host, route)| Host::of(&host, gateway, server, Some(route.clone())))
        .collect();
    if !hosts.is_empty() {
        return hosts;
    }
    let patterns = server.hosts.iter();
    patterns
        .map(|pattern| Host::of(pattern, gateway, server, None))
        .collect()
}

/// Whether a server is the mutual-TLS server of a host: the one with the most specific host string.
fn is_served_by(host: &str, gateway: &Gateway, server: &Server) -> bool {
    let serving = gateway
        .tls_servers()
        .filter(|server| server.is_mutual() && server.serves(host));
    let specific = |server: &&Server| server.pattern_for(host).map(specificity);
    // `min_by_key` takes the first of several with the same string.
    serving.min_by_key(|server| std::cmp::Reverse(specific(server))) == Some(server)
}

/// The full name of a host in a route. An `APIRule` may give only its first label; the Gateway's wildcard completes it.
pub(super) fn full(host: &str, server: &Server) -> String {
    let domain = server
        .hosts
        .iter()
        .find_map(|pattern| pattern.strip_prefix("*."));
    match domain {
        Some(domain) if !host.contains(['.', '*']) => format!("{host}.{domain}"),
        _ => host.to_owned(),
    }
}
