//! A Gateway's mutual-TLS server as its proxies see it, and the TCP traffic beside it that no policy may affect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::resources::Object;
use crate::resources::gateway::{Gateway, Server, covers, overlap};
use crate::resources::ingress::{self, IngressGateway};
use crate::resources::service::Port;

/// The condition on the server name of the TLS handshake.
const SERVER_NAME: &str = "connection.sni";

/// The ports on which the proxies of one namespace listen for the ports of the Service in front of them.
#[derive(Debug)]
pub struct ProxyPorts<'a> {
    /// The ports of the Service in front.
    pub service: &'a [Port],
    /// The proxies' Pods.
    pub pods: &'a [Object],
}

impl ProxyPorts<'_> {
    /// The ports of a connection to a Service port, as policies see them.
    ///
    /// That is the Pod's port; behind a load balancer that uses the PROXY protocol, it is the destination port in the protocol's header,
    /// which is the Service's port (Envoy, `listener_filters/proxy_protocol`). A port that the Service lacks is used unchanged.
    pub fn of(&self, number: u16) -> BTreeSet<u16> {
        let mut ports = self.targets(number);
        let is_another = |port: &&Port| port.port != number;
        let mut others = self.service.iter().filter(is_another);
        if !others.any(|other| self.targets(other.port).contains(&number)) {
            ports.insert(number);
        }
        ports
    }

    fn targets(&self, number: u16) -> BTreeSet<u16> {
        let port = self.service.iter().find(|port| port.port == number);
        let Some(port) = port else {
            return [number].into();
        };
        self.pods
            .iter()
            .filter_map(|pod| ingress::target(pod, port))
            .collect()
    }
}

/// A port on which some connections are forwarded as TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TcpPort {
    /// The number in the Gateways.
    number: u16,
    /// The numbers that the proxies see.
    ports: BTreeSet<u16>,
    /// Whether other connections to the port carry HTTP.
    carries_http: bool,
    /// The server names of the connections that are forwarded as TCP, each with its server for a message; empty if all connections are.
    names: BTreeMap<String, String>,
    /// Those of them whose clients show the proxies a certificate.
    authenticated: BTreeSet<String>,
}

/// The features that distinguish connections of a Gateway's mutual-TLS servers from all others on the same proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The servers' host strings, which are their server names (SNI).
    names: BTreeSet<String>,
    /// The servers' port in the Gateway.
    number: u16,
    /// Their ports as the proxies of all namespaces see them; none where that could not be seen.
    ports: Option<BTreeSet<u16>>,
    /// Ports of other servers, as Gateways name them, that have on the proxies of one namespace what these have on those of another.
    mixed_up: BTreeSet<u16>,
    tcp: Vec<TcpPort>,
    /// A TCP server on the same port, for a message.
    tcp_server: Option<String>,
    /// Whether a header of clients bypasses redirects to HTTPS.
    pub(super) passes_redirects: bool,
}

impl Listener {
    /// The listener of these servers, which share a port, among all Gateways of the cluster, on the proxies of each namespace as far as
    /// their ports are known.
    pub fn of<'a>(
        servers: impl IntoIterator<Item = &'a Server>,
        ingress: &IngressGateway,
        gateways: &[Gateway],
        proxies: &[ProxyPorts<'_>],
    ) -> Self {
        let servers: Vec<&Server> = servers.into_iter().collect();
        let number = servers.first().map_or(443, |server| server.port);
        let names = servers.iter().flat_map(|server| server.hosts.clone());
        Self::new(names.collect(), number, ingress, gateways, proxies)
    }

    /// The listener of the one server that a new Gateway will have.
    pub fn new(
        names: BTreeSet<String>,
        number: u16,
        ingress: &IngressGateway,
        gateways: &[Gateway],
        proxies: &[ProxyPorts<'_>],
    ) -> Self {
        let beside: Vec<(&Gateway, &Server)> = gateways
            .iter()
            .filter(|gateway| gateway.shares_proxies_with(ingress))
            .flat_map(|gateway| gateway.servers.iter().map(move |server| (gateway, server)))
            .collect();
        // A guard in the mesh's root namespace acts on the proxies of all of them, so the guards of all are the same.
        let ports = |number| {
            let ports: BTreeSet<u16> = proxies.iter().flat_map(|each| each.of(number)).collect();
            (!ports.is_empty()).then_some(ports)
        };
        let is_mixed_up = |other: u16| {
            let shares = |(place, each): (usize, &ProxyPorts<'_>)| {
                let own = each.of(number);
                let elsewhere = proxies.iter().enumerate().filter(|(at, _)| *at != place);
                elsewhere
                    .flat_map(|(_, each)| each.of(other))
                    .any(|port| own.contains(&port))
            };
            other != number && proxies.iter().enumerate().any(shares)
        };
        let others = beside.iter().map(|(_, server)| server.port);
        let mixed_up = others.filter(|other| is_mixed_up(*other)).collect();
        let mut tcp: BTreeMap<u16, TcpPort> = BTreeMap::new();
        let mut tcp_server = None;
        for (gateway, server) in beside.iter().filter(|(_, server)| server.forwards_tcp()) {
            let described = format!("server `{}` of Gateway `{}`", server.name, gateway.name);
            tcp_server.get_or_insert_with(|| described.clone());
            let port = tcp.entry(server.port).or_insert_with(|| TcpPort {
                number: server.port,
                ports: ports(server.port).unwrap_or_default(),
                carries_http: server.port == number,
                names: BTreeMap::new(),
                authenticated: BTreeSet::new(),
            });
            if server.selects_by_server_name() {
                let names = server.hosts.iter().cloned();
                port.names
                    .extend(names.map(|name| (name, described.clone())));
            }
            if server.mode.ends_with("MUTUAL") {
                port.authenticated.extend(server.hosts.iter().cloned());
            }
        }
        for (_, server) in beside.iter().filter(|(_, server)| !server.forwards_tcp()) {
            if let Some(port) = tcp.get_mut(&server.port) {
                port.carries_http = true;
            }
        }
        Self {
            names,
            number,
            ports: ports(number),
            mixed_up,
            tcp: tcp.into_values().collect(),
            tcp_server,
            passes_redirects: false,
        }
    }

    /// The same on proxies that a header of clients keeps from redirecting to HTTPS, or does not.
    #[must_use]
    pub fn passing_redirects(self, passes_redirects: bool) -> Self {
        Self {
            passes_redirects,
            ..self
        }
    }

    /// The host strings of the servers, which are the server names that select them.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Why no host guard can be written for the listener: the TCP server that it would close.
    pub fn fault(&self) -> Option<String> {
        let server = self.tcp_server.as_ref().filter(|_| self.ports.is_none())?;
        Some(format!(
            "the ports of the ingress gateway's proxies are not known, so a guard could cut the TCP {server}"
        ))
    }

    /// The TCP server that asks clients for certificates under one of the listener's own server names, where nothing distinguishes its
    /// connections from the listener's.
    pub fn shares_names_with(&self) -> Option<&str> {
        let mut passed = self.spared().into_iter();
        let shared = passed.find(|name| self.is_authenticated(name))?;
        let mut tcp = self.on_own_port();
        tcp.find_map(|tcp| tcp.names.get(shared))
            .map(String::as_str)
    }

    /// Whether requests for a host of this listener through another server can be distinguished from the listener's own, whatever server
    /// name they choose.
    pub(super) fn tells_apart(&self, other: &Server) -> bool {
        if other.port == self.number {
            let is_same = |host: &String| self.names.contains(host);
            !other.hosts.iter().any(is_same) && self.hides(other).is_none()
        } else if self.ports.is_some() {
            self.hides(other).is_none() && !self.mixed_up.contains(&other.port)
        } else {
            let overlaps = |host: &String| {
                let mut names = self.names.iter();
                names.any(|name| overlap(name, host))
            };
            !other.hosts.iter().any(overlaps)
        }
    }

    /// The TCP server because of which some server name is exempt that also selects the other server: at least while the TCP server has no
    /// route, since istiod leaves it out then (`buildGatewayNetworkFiltersFromTLSRoutes` in `pilot/pkg/networking/core/gateway.go`).
    pub(super) fn hides(&self, other: &Server) -> Option<&str> {
        let tcp = self.tcp.iter().filter(|tcp| tcp.number == other.port);
        let mut names = tcp.flat_map(|tcp| &tcp.names);
        let hiding = names.find(|(name, _)| {
            let mut hosts = other.hosts.iter();
            hosts.any(|host| overlap(name, host))
        });
        hiding.map(|(_, server)| server.as_str())
    }

    /// A TCP server on the listener's own port that takes every server name which no other server has. It exempts all names, so a guard
    /// denies no request through servers that the Gateway gets later.
    pub fn takes_every_name(&self) -> Option<&str> {
        let mut tcp = self.tcp.iter().filter(|tcp| tcp.number == self.number);
        tcp.find_map(|tcp| tcp.names.get("*")).map(String::as_str)
    }

    fn on_own_port(&self) -> impl Iterator<Item = &TcpPort> {
        self.tcp.iter().filter(|tcp| tcp.number == self.number)
    }

    /// Server names of TCP servers on the listener's own port.
    fn passed_through(&self) -> BTreeSet<&String> {
        self.on_own_port()
            .flat_map(|tcp| tcp.names.keys())
            .collect()
    }

    /// Those of them that lie below the listener's own names.
    fn spared(&self) -> BTreeSet<&String> {
        let names = self.passed_through().into_iter();
        names.filter(|name| self.is_own(name)).collect()
    }

    fn is_own(&self, name: &str) -> bool {
        self.names.iter().any(|own| covers(own, name))
    }

    fn is_authenticated(&self, name: &str) -> bool {
        self.on_own_port()
            .any(|tcp| tcp.authenticated.contains(name))
    }

    /// Rules for the listener's own connections, with these further conditions.
    ///
    /// The first one leaves out the server names of TCP servers. But such a server takes its names only while istiod serves it, and
    /// connections that it does not take come to the listener. So the same holds for these names where the proxy has verified a client:
    /// it sees no certificate of connections that it passes through.
    pub(super) fn own_rules(&self, rule: &Value, conditions: &[Value]) -> Vec<Value> {
        let spared = self.spared();
        let own = |rule, name: Value| self.own_rule(rule, &[&[name], conditions].concat());
        let mut rules = vec![own(rule.clone(), sni(&self.names, &spared))];
        if let Some(verified) = verified(rule) {
            if !spared.is_empty() {
                rules.push(own(verified.clone(), sni(&self.names, &BTreeSet::new())));
            }
            // `*` stands for any server name, but not for none (`StringMatcher` in `pilot/pkg/security/authz/matcher`).
            if self.names.contains("*") {
                let none = json!({"key": SERVER_NAME, "notValues": ["*"]});
                rules.push(own(verified, none));
            }
        }
        rules
    }

    /// A rule for the listener's own connections, which these conditions select.
    fn own_rule(&self, mut rule: Value, conditions: &[Value]) -> Value {
        let mut below = self.tcp.iter().flat_map(|tcp| tcp.names.keys());
        let is_shared = below.any(|name| self.is_own(name));
        rule["when"] = conditions.into();
        // TCP servers whose server names lie below ours: only the port tells theirs from ours.
        if let (true, Some(ports)) = (is_shared, &self.ports) {
            if rule.get("to").is_none() {
                rule["to"] = json!([{"operation": {}}]);
            }
            rule["to"][0]["operation"]["ports"] = texts(ports).into();
        }
        rule
    }

    /// Rules that deny every request for these hosts that did not come in through the listener.
    pub(super) fn foreign_rules(&self, hosts: &[String]) -> Vec<Value> {
        let passed = self.passed_through();
        let unknown = || self.names.iter().chain(passed.iter().copied());
        let not_ours = json!({"key": SERVER_NAME, "notValues": unknown().collect::<BTreeSet<_>>()});
        let Some(own) = &self.ports else {
            return vec![json!({"to": [{"operation": {"hosts": hosts}}], "when": [not_ours]})];
        };
        let tcp = self.tcp.iter().filter(|tcp| tcp.number != self.number);
        let mixed = tcp.clone().filter(|tcp| tcp.carries_http);
        let others: BTreeSet<u16> = tcp.flat_map(|tcp| &tcp.ports).chain(own).copied().collect();
        let mut rules = vec![
            json!({"to": [{"operation": {"hosts": hosts, "ports": texts(own)}}], "when": [not_ours]}),
            json!({"to": [{"operation": {"hosts": hosts, "notPorts": texts(&others)}}]}),
        ];
        rules.extend(mixed.map(|tcp| {
            json!({
                "to": [{"operation": {"hosts": hosts, "ports": texts(&tcp.ports)}}],
                "when": [{"key": SERVER_NAME, "notValues": tcp.names.keys().collect::<Vec<_>>()}],
            })
        }));
        rules
    }
}

/// The condition that the server name of the TLS handshake is one of the first list, and none of
/// the second.
fn sni(values: &BTreeSet<String>, not_values: &BTreeSet<&String>) -> Value {
    let mut condition = json!({"key": SERVER_NAME, "values": values});
    if !not_values.is_empty() {
        condition["notValues"] = json!(not_values);
    }
    condition
}

/// The same rule for clients that the proxy has verified only; `None` if it is for others only.
fn verified(rule: &Value) -> Option<Value> {
    let mut rule = rule.clone();
    if rule.get("from").is_none() {
        rule["from"] = json!([{"source": {}}]);
    }
    let source = &mut rule["from"][0]["source"];
    if source["notPrincipals"] == json!(["*"]) {
        return None;
    }
    source["principals"] = json!(["*"]);
    Some(rule)
}

/// The ports as text, the form of policies.
fn texts(ports: &BTreeSet<u16>) -> Vec<String> {
    ports.iter().map(ToString::to_string).collect()
}
