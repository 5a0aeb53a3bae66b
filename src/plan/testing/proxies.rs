//! The proxies of the one gateway: they load what its Gateway names, or lag, and judge clients as Envoy does.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::pki::authority::{Authority, CaRequest};
use crate::pki::crl::{Crl, Revoked};
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::server::ServerIdentity;
use crate::pki::tests::NOW;
use crate::plan::Observed;
use crate::plan::probe::{Client, Observation, Outcome, Probe};
use crate::resources::client_ca::ClientCa;
use crate::resources::gateway::Gateway;
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
    /// How many there are.
    pub replicas: usize,
    /// Those that load nothing new.
    pub lagging: Vec<usize>,
    loaded: Vec<Option<Object>>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            replicas: 1,
            lagging: Vec::new(),
            loaded: vec![None],
        }
    }
}

impl Proxies {
    /// Every replica that does not lag loads what stands now; what it has loaded stays where nothing stands.
    pub fn load(&mut self, objects: &BTreeMap<ObjectRef, Object>) {
        self.loaded.resize(self.replicas, None);
        let mut gateways = objects.values();
        let source = gateways.find_map(|object| {
            if object.reference().kind != Kind::Gateway {
                return None;
            }
            let gateway = Gateway::read(object).ok()?;
            let source = gateway.servers.first()?.client_ca_source();
            objects.get(&source)
        });
        let Some(source) = source else {
            return;
        };
        for (replica, loaded) in self.loaded.iter_mut().enumerate() {
            if !self.lagging.contains(&replica) {
                *loaded = Some(source.clone());
            }
        }
    }

    /// What one handshake shows, at each replica.
    pub fn observe(
        &self,
        probe: &Probe,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Vec<Observation> {
        let replicas = self.loaded.iter().flatten();
        replicas
            .map(|source| {
                let shown = ClientCa::read(source).unwrap();
                let outcome = match &probe.client {
                    Client::Nobody => Outcome::Refused("certificate_required".to_owned()),
                    Client::Shown(label) => {
                        let canary = observed.canary(label).expect("a canary of this label");
                        match judge(&canary.certificate, &shown, now) {
                            Verdict::LetIn => Outcome::Answered(404),
                            Verdict::Unknown => Outcome::Refused("unknown_ca".to_owned()),
                            Verdict::Revoked => Outcome::Refused("certificate_revoked".to_owned()),
                            Verdict::Expired => Outcome::Refused("certificate_expired".to_owned()),
                        }
                    }
                };
                let subjects = shown.bundle.subjects_der();
                Observation {
                    offered: Some(subjects.into_iter().map(<[u8]>::to_vec).collect()),
                    server: Some(server(&probe.host)),
                    outcome,
                    proxy_protocol: false,
                }
            })
            .collect()
    }

    /// How every replica answers a client.
    pub fn answers(&self, client: &Certificate, now: OffsetDateTime) -> Vec<Verdict> {
        let replicas = self.loaded.iter().flatten();
        replicas
            .map(|source| judge(client, &ClientCa::read(source).unwrap(), now))
            .collect()
    }
}

/// A server certificate for a host, made once.
fn server(host: &str) -> Certificate {
    use std::sync::Mutex;
    static SERVERS: Mutex<BTreeMap<String, Certificate>> = Mutex::new(BTreeMap::new());
    let make = || {
        let request = CaRequest {
            subject: "CN=Server CA".parse().unwrap(),
            ttl: time::Duration::days(1825),
            key_type: KeyType::P256,
        };
        let ca = Authority::generate(&request, NOW, [5; 20]).unwrap();
        let identity = ServerIdentity::generate(&ca, host, NOW, [7; 20]);
        identity.unwrap().certificate().clone()
    };
    let mut servers = SERVERS.lock().unwrap();
    servers.entry(host.to_owned()).or_insert_with(make).clone()
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
    let lists = Crl::many_from_pem(pem).unwrap();
    let Some(list) = lists.iter().find(|list| list.is_signed_by(ca)) else {
        return Verdict::Unknown;
    };
    let is_named = |revoked: &Revoked| revoked.serial == *client.serial();
    if list.revoked().iter().any(is_named) {
        return Verdict::Revoked;
    }
    Verdict::LetIn
}
