//! The proxies of the ingress gateway: they load what the Gateways name, or lag, and answer handshakes as Envoy does.

mod configuration;

use configuration::{Configuration, Listener};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::OffsetDateTime;

use super::dropping::Dropping;
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
use crate::resources::proxy_config::{Material, Part, STREAM_CLOSED, loaded, serves};
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
    /// A change that none of them loads.
    pub dropping: Option<Dropping>,
    /// Those without a connection to istiod.
    pub cut_off: Vec<usize>,
    /// Those that reject whatever is new.
    pub rejecting: Vec<usize>,
    /// Secrets and client CAs whose newest content all of them reject, by the names that Gateways give.
    pub rejected_secrets: BTreeSet<String>,
    /// A replica with a listener that still reads a client CA by this name, whatever its other ones have loaded.
    pub still_reading: Option<(usize, String)>,
    /// Why those that reject something say that they do so with a listener.
    pub listener_error: Option<String>,
    /// What a handshake with a replica shows otherwise than its configuration says.
    pub disguised: BTreeMap<usize, fn(Observation) -> Observation>,
    /// Whether istiod does not know client CAs in a `ConfigMap` (before Istio 1.28).
    pub is_old: bool,
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
            dropping: None,
            cut_off: Vec::new(),
            rejecting: Vec::new(),
            rejected_secrets: BTreeSet::new(),
            still_reading: None,
            listener_error: None,
            disguised: BTreeMap::new(),
            is_old: false,
            have_certificates: true,
            loaded: vec![Configuration::default()],
        }
    }
}

impl Proxies {
    /// Every replica that does not lag loads what stands now; a client CA that is gone stays as it was loaded.
    pub fn load(&mut self, objects: &BTreeMap<ObjectRef, Object>) {
        if self
            .dropping
            .as_mut()
            .is_some_and(|dropping| dropping.drops(objects))
        {
            return;
        }
        let first = std::iter::repeat_n(self.namespace.clone(), self.replicas);
        let namespaces: Vec<String> = first.chain(self.further.iter().cloned()).collect();
        let mut next = BTreeMap::new();
        for namespace in &namespaces {
            let of_it = || Configuration::of(objects, [namespace, &self.root], self.is_old);
            next.entry(namespace).or_insert_with(of_it);
        }
        self.loaded
            .resize(namespaces.len(), Configuration::default());
        let replicas = self.loaded.iter_mut().zip(&namespaces).enumerate();
        for (replica, (loaded, namespace)) in replicas {
            let next = &next[namespace];
            if self.rejecting.contains(&replica) {
                loaded.rejected += 1;
            } else if !self.lagging.contains(&replica) && !self.cut_off.contains(&replica) {
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
            .map(|(replica, loaded)| {
                let listener = loaded.select(&probe.host);
                let seen = self.shake_hands(loaded, listener, [&probe.host; 2], client, now);
                match self.disguised.get(&replica) {
                    Some(disguise) => disguise(seen),
                    None => seen,
                }
            })
            .collect()
    }

    /// What each replica shows a client, or somebody without certificate, who asks for a host under a server name.
    pub fn show(
        &self,
        server_name: &str,
        host: &str,
        client: Option<&Certificate>,
        now: OffsetDateTime,
    ) -> Vec<Observation> {
        let show = |loaded| {
            let listener = Configuration::select(loaded, server_name);
            self.shake_hands(loaded, listener, [server_name, host], client, now)
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
                let stays = self.still_reading.iter();
                let stays = stays.filter(|(behind, _)| *behind == replica);
                checking
                    .map(|listener| listener.resource.clone())
                    .chain(stays.map(|(_, name)| name.clone()))
                    .collect()
            }
            Part::ServerSecrets => {
                let servers = loaded.listeners.iter().map(|listener| &listener.server);
                let lines = servers.flat_map(|server| {
                    let hosts = server.hosts.iter();
                    hosts.map(|host| serves(host, &server.credential))
                });
                lines.collect()
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
            Part::AcceptedSecrets => Self::secrets(loaded),
            Part::Stream => {
                let is_cut_off = self.cut_off.contains(&replica);
                let line = is_cut_off.then(|| STREAM_CLOSED.to_owned());
                line.into_iter().collect()
            }
            Part::RejectedUpdates => {
                let listener = (loaded.rejected > 0)
                    .then(|| "listener_manager.lds.update_rejected".to_owned());
                let secrets = self.rejected_secrets.iter().map(|name| {
                    let name = match name.split_once("://") {
                        Some((kind, name)) => format!("{kind}_{name}"),
                        None => format!("kubernetes_{name}"),
                    };
                    format!("sds.{name}.update_rejected")
                });
                listener.into_iter().chain(secrets).collect()
            }
        })
    }

    /// The Secrets of a proxy with the versions that it took last.
    fn secrets(loaded: &Configuration) -> BTreeSet<String> {
        let names = loaded.listeners.iter().flat_map(|listener| {
            let credential = listener.server.credential.clone();
            [credential, listener.resource.clone()]
        });
        names
            .map(|name| format!("{name} 2026-01-01T00:00:00Z/1"))
            .collect()
    }

    fn shake_hands(
        &self,
        loaded: &Configuration,
        listener: Option<&Listener>,
        [server_name, host]: [&str; 2],
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
        let made = || self.have_certificates.then(|| server(server_name));
        let Some(own) = shown.next().or_else(made) else {
            return broken("the server has no certificate");
        };
        let is_checked = listener.server.mode.ends_with("MUTUAL");
        let trusted = match &listener.trusted {
            _ if !is_checked => None,
            Some(trusted) => ClientCa::read(trusted).ok(),
            None => None,
        };
        let answered = || Outcome::Answered(loaded.answer(listener, [server_name, host], client));
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
