//! The proxies of the ingress gateway: they load what the Gateways name, or lag, and answer handshakes as Envoy does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::OffsetDateTime;

use super::policies::{Call, denies};
use crate::pki::authority::{Authority, CaRequest};
use crate::pki::crl::{Crl, Revoked};
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::server::ServerIdentity;
use crate::pki::tests::NOW;
use crate::plan::probe::{Client, Observation, Outcome, Probe, Via};
use crate::plan::{Observed, Seen};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{Gateway, Server, specificity};
use crate::resources::guard::traces;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::{GatewayName, INGRESS_NAMESPACE, ISTIO_NAMESPACE};
use crate::resources::proxy_config::{Material, Part, loaded};
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef};

/// How a proxy answers a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    LetIn,
    Unknown,
    Revoked,
    Expired,
}

/// The proxies, and what each has loaded.
#[derive(Clone)]
pub struct Proxies {
    /// Their namespace.
    pub namespace: String,
    /// The root namespace of the mesh.
    pub root: String,
    /// Further namespaces, with one of them each.
    pub further: Vec<String>,
    /// How many there are in the first one.
    pub replicas: usize,
    /// Those that load nothing new.
    pub lagging: Vec<usize>,
    /// Those that reject whatever is new.
    pub rejecting: Vec<usize>,
    /// Why those that reject something say that they do so with a listener.
    pub listener_error: Option<String>,
    /// Whether a server without its Secret has a certificate all the same; else it answers no handshake.
    pub have_certificates: bool,
    loaded: Vec<Configuration>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            namespace: INGRESS_NAMESPACE.to_owned(),
            root: ISTIO_NAMESPACE.to_owned(),
            further: Vec::new(),
            replicas: 1,
            lagging: Vec::new(),
            rejecting: Vec::new(),
            listener_error: None,
            have_certificates: true,
            loaded: vec![Configuration::default()],
        }
    }
}

/// What one proxy has loaded.
#[derive(Clone, Default)]
struct Configuration {
    /// The TLS servers of all Gateways, the oldest Gateway first.
    listeners: Vec<Listener>,
    /// Hosts with the Gateways on which they are routed.
    routes: Vec<(String, Vec<String>)>,
    policies: Vec<Object>,
    /// How many updates it rejected.
    rejected: usize,
}

/// One TLS server.
#[derive(Clone)]
struct Listener {
    gateway: Gateway,
    server: Server,
    /// What clients are checked against.
    trusted: Option<Object>,
    /// Its own certificate and key.
    secret: Option<Object>,
}

impl Proxies {
    /// Every replica that does not lag loads what stands now; a client CA that is gone stays as it was loaded.
    pub fn load(&mut self, objects: &BTreeMap<ObjectRef, Object>) {
        let first = std::iter::repeat_n(self.namespace.clone(), self.replicas);
        let namespaces: Vec<String> = first.chain(self.further.iter().cloned()).collect();
        let mut next = BTreeMap::new();
        for namespace in &namespaces {
            let of_it = || Configuration::of(objects, [namespace, &self.root]);
            next.entry(namespace).or_insert_with(of_it);
        }
        self.loaded
            .resize(namespaces.len(), Configuration::default());
        let replicas = self.loaded.iter_mut().zip(&namespaces).enumerate();
        for (replica, (loaded, namespace)) in replicas {
            let next = &next[namespace];
            if self.rejecting.contains(&replica) {
                loaded.rejected += 1;
            } else if !self.lagging.contains(&replica) {
                let former = std::mem::replace(loaded, next.clone());
                loaded.keep(&former);
            }
        }
    }

    /// All their namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.namespace).chain(&self.further)
    }

    /// What a probe shows: at the replica to which it leads, else at each of them.
    pub fn observe(
        &self,
        probe: &Probe,
        observed: &Observed,
        pods: &[ObjectRef],
        now: OffsetDateTime,
    ) -> Vec<Observation> {
        let client = match &probe.client {
            Client::Nobody => None,
            Client::Shown(label) => {
                let canary = observed.canary(label).expect("a canary of this label");
                Some(&canary.certificate)
            }
        };
        let only = match &probe.via {
            Via::Proxy(proxy) => pods.iter().position(|pod| *pod == proxy.pod),
            Via::Address(_) => None,
        };
        let replicas = self.loaded.iter().enumerate();
        replicas
            .filter(|(replica, _)| only.is_none_or(|only| only == *replica))
            .map(|(_, loaded)| {
                let listener = loaded.select(&probe.host);
                self.shake_hands(loaded, listener, &probe.host, client, now)
            })
            .collect()
    }

    /// What each replica shows a client, or somebody without certificate, who asks for a host.
    pub fn show(
        &self,
        host: &str,
        client: Option<&Certificate>,
        now: OffsetDateTime,
    ) -> Vec<Observation> {
        let show = |loaded| {
            let listener = Configuration::select(loaded, host);
            self.shake_hands(loaded, listener, host, client, now)
        };
        self.loaded.iter().map(show).collect()
    }

    /// How every replica answers a client of the first server that checks certificates.
    pub fn answers(&self, client: &Certificate, now: OffsetDateTime) -> Vec<Verdict> {
        let replicas = self.loaded.iter().filter_map(|loaded| {
            let mut listeners = loaded.listeners.iter();
            listeners.find_map(|listener| listener.trusted.as_ref())
        });
        replicas
            .map(|source| judge(client, &ClientCa::read(source).unwrap(), now))
            .collect()
    }

    /// What the proxy of a replica says of a part of its configuration.
    pub fn dump(&self, replica: usize, part: &Part) -> Seen<BTreeSet<String>> {
        let Some(loaded) = self.loaded.get(replica) else {
            return Seen::Missing;
        };
        Seen::Found(match part {
            Part::TrustedSecrets => {
                let listeners = loaded.listeners.iter();
                let checking = listeners.filter(|listener| listener.server.mode.contains("MUTUAL"));
                checking
                    .map(|listener| client_ca::field(&listener.server.client_ca_source()))
                    .collect()
            }
            Part::Hosts(gateway) => loaded.hosts_of(gateway).map(str::to_owned).collect(),
            Part::Policies => loaded.policies.iter().flat_map(traces).collect(),
            Part::ClientCas => loaded
                .listeners
                .iter()
                .flat_map(Listener::client_ca)
                .collect(),
            Part::RejectedListeners => {
                let error = self.listener_error.as_ref();
                let error = error.filter(|_| self.rejecting.contains(&replica));
                let line = |reason| format!("0.0.0.0_8443: {reason}");
                error.into_iter().map(line).collect()
            }
            Part::RejectedUpdates => {
                let rejected = (loaded.rejected > 0)
                    .then(|| "listener_manager.lds.update_rejected".to_owned());
                rejected.into_iter().collect()
            }
        })
    }

    fn shake_hands(
        &self,
        loaded: &Configuration,
        listener: Option<&Listener>,
        host: &str,
        client: Option<&Certificate>,
        now: OffsetDateTime,
    ) -> Observation {
        let broken = |reason: &str| Observation {
            offered: None,
            server: None,
            chain: Vec::new(),
            outcome: Outcome::Broken(reason.to_owned()),
            proxy_protocol: false,
        };
        let Some(listener) = listener else {
            return broken("no server of this name");
        };
        let mut shown = listener.secret.iter().flat_map(certificates);
        let made = || self.have_certificates.then(|| server(host));
        let Some(own) = shown.next().or_else(made) else {
            return broken("the server has no certificate");
        };
        let is_checked = listener.server.mode.ends_with("MUTUAL");
        let trusted = match &listener.trusted {
            _ if !is_checked => None,
            Some(trusted) => ClientCa::read(trusted).ok(),
            None => None,
        };
        let answered = || Outcome::Answered(loaded.answer(listener, host, client));
        let outcome = match (&trusted, client) {
            _ if !is_checked => answered(),
            (None, _) => return broken("the server has no client CA"),
            (_, Some(_)) if listener.server.skips_verification => answered(),
            (_, None) if listener.server.is_mutual() => {
                Outcome::Refused("certificate_required".to_owned())
            }
            (_, None) => answered(),
            (Some(trusted), Some(client)) => match judge(client, trusted, now) {
                Verdict::LetIn => answered(),
                Verdict::Unknown => Outcome::Refused("unknown_ca".to_owned()),
                Verdict::Revoked => Outcome::Refused("certificate_revoked".to_owned()),
                Verdict::Expired => Outcome::Refused("certificate_expired".to_owned()),
            },
        };
        Observation {
            offered: trusted.map(|trusted| {
                let subjects = trusted.bundle.subjects_der().into_iter();
                subjects.map(<[u8]>::to_vec).collect()
            }),
            server: Some(own),
            chain: shown.collect(),
            outcome,
            proxy_protocol: false,
        }
    }
}

impl Listener {
    /// What it says of its client CA.
    fn client_ca(&self) -> Vec<String> {
        let material = self.trusted.as_ref().map(client_ca::Material::read);
        let Some(Ok(read)) = material.filter(|_| self.server.mode.ends_with("MUTUAL")) else {
            return Vec::new();
        };
        let name = client_ca::field(&self.server.client_ca_source());
        let line = |material, bytes: &Vec<u8>| loaded(&name, material, bytes);
        let crl = read.crl.as_ref().map(|crl| line(Material::Crl, crl));
        std::iter::once(line(Material::Bundle, &read.bundle))
            .chain(crl)
            .collect()
    }
}

impl Configuration {
    /// What istiod has for the proxies of a namespace, of a mesh with this root namespace.
    fn of(objects: &BTreeMap<ObjectRef, Object>, [namespace, root]: [&str; 2]) -> Self {
        let mut loaded = Self::default();
        let mut ages = Vec::new();
        for object in objects.values() {
            match object.reference().kind {
                Kind::Gateway => {
                    let Ok(gateway) = Gateway::read(object) else {
                        continue;
                    };
                    let selector = gateway.ingress.selector.clone();
                    let gateway = gateway.configuring(IngressGateway::new(namespace, selector));
                    // istiod, `pilot/pkg/model/config.go`, `sortConfigByCreationTime`.
                    let created = object.text(&["metadata", "creationTimestamp"]);
                    let name = object.reference();
                    let age = format!("{created} {}.{}", name.name, name.namespace);
                    ages.extend(gateway.tls_servers().map(|server| {
                        (
                            age.clone(),
                            Listener {
                                trusted: trusted(server, objects),
                                secret: objects.get(&server.secret(&server.credential)).cloned(),
                                gateway: gateway.clone(),
                                server: server.clone(),
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
    fn keep(&mut self, former: &Self) {
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
    fn select(&self, host: &str) -> Option<&Listener> {
        let serving = self.listeners.iter().rev();
        serving
            .filter_map(|listener| {
                let pattern = listener.server.pattern_for(host)?;
                Some((specificity(pattern), listener))
            })
            .max_by_key(|(specificity, _)| *specificity)
            .map(|(_, listener)| listener)
    }

    fn hosts_of(&self, gateway: &GatewayName) -> impl Iterator<Item = &str> {
        let name = gateway.to_string();
        let routed = self.routes.iter();
        routed
            .filter(move |(_, gateways)| gateways.contains(&name))
            .map(|(host, _)| host.as_str())
    }

    /// The HTTP status of a request through a server that let the client in.
    fn answer(&self, listener: &Listener, host: &str, client: Option<&Certificate>) -> u16 {
        let call = Call {
            host,
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

/// What istiod hands to a server for its client CA: what it names, else the Secret `<credentialName>-cacert`, else `ca.crt` of the
/// server's own Secret (`pilot/pkg/credentials/kube`, `GetCaCert`).
fn trusted(server: &Server, objects: &BTreeMap<ObjectRef, Object>) -> Option<Object> {
    let source = server.client_ca_source();
    if let Some(object) = objects.get(&source) {
        return Some(object.clone());
    }
    let own = source.name.strip_suffix("-cacert")?;
    if source.kind != Kind::Secret || !server.mode.ends_with("MUTUAL") {
        return None;
    }
    let secret = objects.get(&server.secret(own))?;
    ClientCa::read(secret).is_ok().then(|| secret.clone())
}

/// The certificates in a server Secret, its own first.
fn certificates(secret: &Object) -> Vec<Certificate> {
    let pem = BASE64
        .decode(secret.text(&["data", "tls.crt"]))
        .unwrap_or_default();
    Certificate::many_from_pem(pem).unwrap_or_default()
}

/// A server certificate for a host, made once.
fn server(host: &str) -> Certificate {
    use std::sync::Mutex;
    static SERVERS: Mutex<BTreeMap<String, Certificate>> = Mutex::new(BTreeMap::new());
    let make = || {
        let identity = ServerIdentity::generate(server_issuer(), host, NOW, [7; 20]);
        identity.unwrap().certificate().clone()
    };
    let mut servers = SERVERS.lock().unwrap();
    servers.entry(host.to_owned()).or_insert_with(make).clone()
}

/// The CA that issues server certificates.
pub fn server_issuer() -> &'static Authority {
    static ISSUER: OnceLock<Authority> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let request = CaRequest {
            subject: "CN=Server CA".parse().unwrap(),
            ttl: time::Duration::days(1825),
            key_type: KeyType::P256,
        };
        Authority::generate(&request, NOW, [5; 20]).unwrap()
    })
}

/// What Envoy says to a client: a CA of the bundle signed it, it is in time, and where there are revocation lists, that CA has
/// one which does not name it.
fn judge(client: &Certificate, shown: &ClientCa, now: OffsetDateTime) -> Verdict {
    let mut cas = shown.bundle.certificates().iter();
    let Some(ca) = cas.find(|ca| client.is_signed_by(ca)) else {
        return Verdict::Unknown;
    };
    if client.is_expired(now) || ca.is_expired(now) {
        return Verdict::Expired;
    }
    let Some(pem) = &shown.crl else {
        return Verdict::LetIn;
    };
    let Ok(lists) = Crl::many_from_pem(pem) else {
        return Verdict::Unknown;
    };
    let Some(list) = lists.iter().find(|list| list.is_signed_by(ca)) else {
        return Verdict::Unknown;
    };
    let is_named = |revoked: &Revoked| revoked.serial == *client.serial();
    if list.revoked().iter().any(is_named) {
        return Verdict::Revoked;
    }
    Verdict::LetIn
}
