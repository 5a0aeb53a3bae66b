//! What one proxy has loaded.

use super::*;
use crate::resources::gateway_api;
use crate::resources::ingress::default_selector;
use crate::resources::istiod::{DEFAULT_REVISION, REVISION};

/// What one proxy has loaded.
#[derive(Clone, Default)]
pub(super) struct Configuration {
    /// The TLS servers of all Gateways, the oldest Gateway first.
    pub(super) listeners: Vec<Listener>,
    /// Hosts with the Gateways on which they are routed.
    pub(super) routes: Vec<(String, Vec<String>)>,
    pub(super) policies: Vec<Object>,
    /// How many updates it rejected.
    pub(super) rejected: usize,
}

/// One TLS server.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) gateway: Gateway,
    pub(super) server: Server,
    /// What clients are checked against.
    pub(super) trusted: Option<Object>,
    /// The name by which it asks for that.
    pub(super) resource: String,
    /// Its own certificate and key.
    pub(super) secret: Option<Object>,
}

impl Listener {
    /// What it says of its client CA.
    pub(super) fn client_ca(&self) -> Vec<String> {
        let material = self.trusted.as_ref().map(client_ca::Material::read);
        let Some(Ok(read)) = material.filter(|_| self.server.mode.ends_with("MUTUAL")) else {
            return Vec::new();
        };
        let line = |material, bytes: &Vec<u8>| loaded(&self.resource, material, bytes);
        let crl = read.crl.as_ref().map(|crl| line(Material::Crl, crl));
        std::iter::once(line(Material::Bundle, &read.bundle))
            .chain(crl)
            .collect()
    }
}

impl Configuration {
    /// What istiod has for the proxies of a namespace, of a mesh with this root namespace.
    pub(super) fn of(
        objects: &BTreeMap<ObjectRef, Object>,
        [namespace, root]: [&str; 2],
        is_old: bool,
    ) -> Self {
        let mut loaded = Self::default();
        let mut ages = Vec::new();
        for object in objects.values() {
            let revision = object.label(REVISION).unwrap_or(DEFAULT_REVISION);
            match object.reference().kind {
                // The one istiod here leaves it to another one.
                Kind::Gateway if revision != DEFAULT_REVISION => {}
                Kind::Gateway | Kind::KubernetesGateway => {
                    let Some(gateway) = configuring(object, namespace) else {
                        continue;
                    };
                    // istiod, `pilot/pkg/model/config.go`, `sortConfigByCreationTime`.
                    let created = object.text(&["metadata", "creationTimestamp"]);
                    let name = object.reference();
                    let age = format!("{created} {}.{}", name.name, name.namespace);
                    // One that passes connections through has a listener only where a `TLSRoute`, or a route of a VirtualService, says
                    // to where (istiod, `pilot/pkg/networking/core/gateway.go`); there are none here.
                    let named = gateway.tls_servers().cloned();
                    let servers = named.map(|mut server| {
                        // It goes by the name of the server's Secret then.
                        if is_old && server.client_ca.contains("://") {
                            server.client_ca.clear();
                        }
                        server
                    });
                    let servers = servers.filter(|server| !server.forwards_tcp());
                    ages.extend(servers.map(|server| {
                        (
                            age.clone(),
                            Listener {
                                trusted: trusted(&server, objects),
                                resource: resource(name.kind, &server.client_ca_source()),
                                secret: objects.get(&server.secret(&server.credential)).cloned(),
                                gateway: gateway.clone(),
                                server,
                            },
                        )
                    }));
                }
                Kind::VirtualService => {
                    if let Ok(service) = VirtualService::read(object) {
                        let hosts = service.hosts.into_iter();
                        loaded
                            .routes
                            .extend(hosts.map(|host| (host, service.gateways.clone())));
                    }
                }
                Kind::AuthorizationPolicy if [namespace, root].contains(&object.namespace()) => {
                    loaded.policies.push(object.clone());
                }
                _ => {}
            }
        }
        ages.sort_by(|(one, _), (other, _)| one.cmp(other));
        loaded.listeners = ages.into_iter().map(|(_, listener)| listener).collect();
        loaded
    }

    /// Keeps the key pairs and client CAs of servers that name the same ones as before, where those are gone, and client CAs that
    /// were rejected: a block of PEM that cannot be parsed, or a Secret without a key that istiod reads, never arrives.
    pub(super) fn keep(&mut self, former: &Self) {
        self.rejected = former.rejected;
        for listener in &mut self.listeners {
            let known = |is_same: &dyn Fn(&Server) -> bool| {
                former.listeners.iter().find(|known| {
                    known.gateway.name == listener.gateway.name && is_same(&known.server)
                })
            };
            let own = &listener.server;
            let source = own.client_ca_source();
            let trusted = known(&|server| server.client_ca_source() == source);
            let secret = known(&|server| server.credential == own.credential);
            let secret = secret.and_then(|known| known.secret.clone());
            let trusted = trusted.and_then(|known| known.trusted.clone());
            listener.secret = listener.secret.take().or(secret);
            let is_garbage = |trusted: &Object| ClientCa::read(trusted).is_err();
            let is_rejected = listener.trusted.as_ref().is_some_and(is_garbage);
            self.rejected += usize::from(is_rejected);
            let sound = listener.trusted.take().filter(|_| !is_rejected);
            listener.trusted = sound.or(trusted);
        }
    }

    /// The server that a handshake for a host selects: the most specific host string, of the same ones the oldest.
    pub(super) fn select(&self, host: &str) -> Option<&Listener> {
        let serving = self.listeners.iter().rev();
        serving
            .filter_map(|listener| {
                let pattern = listener.server.pattern_for(host)?;
                Some((specificity(pattern), listener))
            })
            .max_by_key(|(specificity, _)| *specificity)
            .map(|(_, listener)| listener)
    }

    pub(super) fn hosts_of(&self, gateway: &GatewayName) -> impl Iterator<Item = &str> {
        let name = gateway.to_string();
        let routed = self.routes.iter();
        routed
            .filter(move |(_, gateways)| gateways.contains(&name))
            .map(|(host, _)| host.as_str())
    }

    /// The HTTP status of a request through a server that let the client in.
    pub(super) fn answer(
        &self,
        listener: &Listener,
        [server_name, host]: [&str; 2],
        client: Option<&Certificate>,
    ) -> u16 {
        let call = Call {
            host,
            server_name,
            principal: client.and_then(|client| client.uri_sans().first()),
        };
        let denied = self
            .policies
            .iter()
            .any(|policy| denies(policy, &listener.gateway.ingress.selector, &call));
        if denied {
            return 403;
        }
        let mut hosts = self.hosts_of(&listener.gateway.name);
        if hosts.any(|known| known == host) {
            200
        } else {
            404
        }
    }
}

/// The name by which a server of a Gateway of this kind asks for its client CA.
fn resource(kind: Kind, source: &ObjectRef) -> String {
    match kind {
        Kind::KubernetesGateway => gateway_api::client_ca_resource(source),
        _ => client_ca::field(source),
    }
}

/// A Gateway of either kind that configures the proxies of a namespace.
fn configuring(object: &Object, namespace: &str) -> Option<Gateway> {
    if object.reference().kind == Kind::Gateway {
        let gateway = Gateway::read(object).ok()?;
        let selector = gateway.ingress.selector.clone();
        return Some(gateway.configuring(IngressGateway::new(namespace, selector)));
    }
    let mut services = gateway_api::services(object).into_iter();
    services.find(|service| service.namespace == namespace)?;
    let ingress = IngressGateway::new(namespace, default_selector());
    gateway_api::translated(object, &ingress)
}
