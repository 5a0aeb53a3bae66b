//! An authority with its gateway and its clients, in every state that a command may find.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use time::OffsetDateTime;

use super::{Cluster, Run, Verdict};
use crate::pki::authority::{Authority, CaRequest};
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::inspect::Certificate;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf::{self, LeafRequest};
use crate::pki::tests::NOW;
use crate::plan::authority::{NewAuthority, namespaces};
use crate::plan::identity::CLIENT_TTL;
use crate::plan::{ClientKey, identity, issue_client};
use crate::resources::authority::{AuthorityState, Keys, Origin, keys_object};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::MutualGateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::inventory::{Entry, EntryState, is_entry};
use crate::resources::names::{
    AUTHORITY_LABEL, CLIENTS_NAMESPACE, CredentialNames, FIRST_AUTHORITY, GatewayName,
};
use crate::resources::witness::{Witness, reference};
use crate::resources::{Object, ObjectRef};

const HOST: &str = "alice.example.com";

fn gateway() -> GatewayName {
    GatewayName::new("shop", "kyma-mtls-gateway")
}

fn ca(subject: &str, random: u8, now: OffsetDateTime) -> Authority {
    let request = CaRequest {
        subject: subject.parse().unwrap(),
        ttl: time::Duration::days(1825),
        key_type: KeyType::P256,
    };
    Authority::generate(&request, now, [random; 20]).unwrap()
}

fn ingress() -> IngressGateway {
    let selector = [("istio".to_owned(), "ingressgateway".to_owned())];
    IngressGateway::in_istio_system(selector.into())
}

impl Cluster {
    fn empty() -> Self {
        let mut cluster = Self::default();
        for namespace in namespaces() {
            cluster.put(&Object::new(namespace));
        }
        let ingress = ingress();
        let server = MutualGateway {
            name: &gateway(),
            host: HOST,
            ingress: &ingress,
            credential: "kyma-mtls",
            client_ca: &CredentialNames::first().client_ca_field(),
        };
        cluster.put(&server.object());
        cluster
    }

    /// A gateway that `expose` made, with its authority.
    pub fn exposed() -> Self {
        let mut cluster = Self::empty();
        let ca = ca("CN=First CA", 1, NOW);
        let names = CredentialNames::first();
        let keys = keys_object(
            names.keys(1),
            FIRST_AUTHORITY,
            ca.certificate(),
            ca.key(),
            Origin::Made,
        );
        let state = AuthorityState::new(FIRST_AUTHORITY, ca.certificate().clone(), "kyma-mtls")
            .serving(&gateway());
        for object in [keys, state.object()] {
            cluster.put(&object);
        }
        cluster.load();
        cluster
    }

    /// A gateway that was set up by hand as in the tutorial, and moved to an authority.
    pub fn by_hand() -> Self {
        let mut cluster = Self::empty();
        let external = vec![foreign_ca().certificate().clone()];
        let state = AuthorityState::of_external(FIRST_AUTHORITY, external, FIRST_AUTHORITY)
            .serving(&gateway());
        cluster.put(&state.object());
        cluster.load();
        cluster
    }

    /// The same, reading a Secret of an earlier version in the place of its authority.
    pub fn unmoved() -> Self {
        let mut cluster = Self::exposed();
        let names = CredentialNames::first();
        let ingress = ingress();
        let server = MutualGateway {
            name: &gateway(),
            host: HOST,
            ingress: &ingress,
            credential: "kyma-mtls",
            client_ca: &names.earlier_client_ca(),
        };
        let mut state = cluster.state();
        state.client_ca_secret = Some(names.earlier_client_ca());
        let pem = BASE64.encode(ClientCa::of(&state).unwrap().bundle.to_pem());
        let secret = Object::new(client_ca::secret(
            "istio-system",
            &names.earlier_client_ca(),
        ))
        .with_label(AUTHORITY_LABEL, FIRST_AUTHORITY)
        .with("data", json!({"cacert": pem}));
        for object in [server.object(), state.object(), secret] {
            cluster.put(&object);
        }
        cluster.load();
        cluster
    }

    /// Every replica that does not lag loads what stands now.
    pub fn load(&mut self) {
        self.proxies.load(&self.objects);
    }

    pub fn state(&self) -> AuthorityState {
        AuthorityState::read(&self.objects[&CredentialNames::first().state()]).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        let keys = &self.objects[&CredentialNames::first().keys(1)];
        let keys = Keys::read(keys).unwrap();
        keys.skis().map(str::to_owned).collect()
    }

    pub fn has_authority(&self) -> bool {
        let state = CredentialNames::first().state();
        self.objects.contains_key(&state)
    }

    /// Whether a witness records a later revision than its authority has.
    pub fn has_leading_witness(&self) -> bool {
        let of_it = |name: &&ObjectRef| name.namespace == CLIENTS_NAMESPACE;
        let witnesses = self.objects.keys().filter(of_it);
        let mut witnesses = witnesses.filter_map(|name| {
            let witness = Witness::read(&self.objects[name]).ok()?;
            (*name == reference(&witness.authority)).then_some(witness)
        });
        witnesses.any(|witness| {
            let own = CredentialNames::of_authority(&witness.authority).state();
            let state = self.objects.get(&own).map(AuthorityState::read);
            let revision = match state {
                Some(Ok(state)) => state.revision,
                Some(Err(_)) => return false,
                None => 0,
            };
            witness.revision > revision
        })
    }

    /// Whether a run has left something to complete.
    pub fn is_unfinished(&self) -> bool {
        self.keys().len() > self.state().trusted.len()
    }

    /// Issues a certificate; its number among all clients.
    pub fn issue(&mut self, name: &str) -> usize {
        self.issue_for(name, CLIENT_TTL)
    }

    /// The same with a life of its own.
    pub fn issue_for(&mut self, name: &str, ttl: time::Duration) -> usize {
        let request = issue_client::Request {
            ttl,
            ..issue_request(name)
        };
        let mut run = Run::begin(&request);
        self.finish(&mut run).unwrap();
        run.client()
    }

    /// Renews the first certificate of a name; the number of the new one among all clients.
    pub fn renew(&mut self, name: &str) -> usize {
        let request = issue_client::Request {
            renews: Some(1),
            ..issue_request(name)
        };
        let mut run = Run::begin(&request);
        self.finish(&mut run).unwrap();
        run.client()
    }

    /// A client whose certificate somebody signed with the issuing CA's key and this serial number; no entry is made.
    pub fn sign_by_hand(&mut self, name: &str, serial: &[u8]) -> usize {
        let keys = Keys::read(&self.objects[&CredentialNames::first().keys(1)]).unwrap();
        let state = self.state();
        let ca = state.issuing_ca().unwrap();
        let key = std::str::from_utf8(keys.of(ca).unwrap()).unwrap();
        let key = rcgen::KeyPair::from_pem(key).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_der(&ca.der().into(), key).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let attribute = rcgen::DnType::CommonName;
        params.distinguished_name.push(attribute, name);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(serial));
        params.not_before = self.now;
        params.not_after = self.now + CLIENT_TTL;
        let own = rcgen::KeyPair::generate().unwrap();
        let signed = params.signed_by(&own, &issuer).unwrap();
        self.clients
            .push(Certificate::from_der(signed.der()).unwrap());
        self.clients.len() - 1
    }

    /// Puts a client's certificate into the inventory.
    pub fn book(&mut self, name: &str, client: usize) {
        let name = name.parse().unwrap();
        let certificate = &self.clients[client];
        let state = self.state();
        let entry = Entry {
            issuer_ski: state.issuing_ca().unwrap().key_id_hex(),
            ..Entry::new(FIRST_AUTHORITY, &name, 1, EntryState::Issued, certificate)
        };
        self.put(&entry.object(&name));
    }

    /// A client of the foreign CA.
    pub fn foreign_client(&mut self) -> usize {
        let (_, certificate) = crate::pki::tests::client(foreign_ca());
        self.clients.push(certificate);
        self.clients.len() - 1
    }

    /// A CA that others made.
    pub fn given_ca(&self) -> Arc<Authority> {
        Arc::new(ca("CN=Given CA", 8, self.now))
    }

    /// A client of a CA of others, with this serial number.
    pub fn client_of(
        &mut self,
        ca: &Authority,
        ttl: time::Duration,
        serial_random: [u8; 20],
    ) -> usize {
        let request = LeafRequest {
            ttl,
            ..crate::pki::tests::request()
        };
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let leaf = leaf::issue(ca, &request, key.public_key_der(), self.now, serial_random);
        self.clients.push(leaf.unwrap());
        self.clients.len() - 1
    }

    /// How every replica answers a client.
    pub fn answers(&self, client: usize) -> Vec<Verdict> {
        let certificate = &self.clients[client];
        self.proxies.answers(certificate, self.now)
    }

    /// Every certificate that was delivered.
    pub fn clients(&self) -> std::ops::Range<usize> {
        0..self.clients.len()
    }

    /// The certificate of a client.
    pub fn certificate(&self, client: usize) -> &Certificate {
        &self.clients[client]
    }

    /// How the one replica answers a client.
    pub fn answer(&self, client: usize) -> Verdict {
        self.answers(client)[0]
    }

    /// Books a client's certificate otherwise.
    pub fn restate(&mut self, client: usize, state: EntryState) {
        let serial = self.clients[client].serial_hex();
        let mut entries = self.objects.values();
        let (object, mut entry) = entries
            .find_map(|object| {
                let entry = is_entry(object).then(|| Entry::read(object).unwrap())?;
                (entry.serial == serial).then(|| (object.clone(), entry))
            })
            .unwrap();
        entry.state = state;
        self.put(&entry.restated(&object).unwrap());
    }

    pub fn revoke_in_inventory(&mut self, client: usize) {
        self.restate(client, EntryState::Revoked);
    }

    /// Revokes a client, with lists for all CAs.
    pub fn revoke(&mut self, client: usize) {
        self.revoke_in_inventory(client);
        let mut state = self.state();
        let keys = Keys::read(&self.objects[&CredentialNames::first().keys(1)]).unwrap();
        let revoked = Revoked {
            serial: self.clients[client].serial().clone(),
            at: NOW,
            reason: Reason::default(),
        };
        state.crls = state
            .trusted
            .iter()
            .map(|ca| {
                let signer = Authority::load(ca.pem(), keys.of(ca).unwrap(), NOW).unwrap();
                let list = [revoked.clone()];
                Crl::sign(&signer, 1, &list, None, NOW).unwrap().pem()
            })
            .collect();
        state.revision += 1;
        self.put(&state.object());
        self.load();
    }

    /// CAs that a rotation cannot go to, and what is said of them.
    pub fn unfit(&self) -> Vec<(Arc<Authority>, &'static str)> {
        let issuing = self.state().issuing_ca().unwrap().subject().to_owned();
        let same = ca(&issuing, 9, self.now);
        vec![(Arc::new(same), "same subject")]
    }

    /// Writes into the state by hand.
    pub fn edit_state(&mut self, field: &str, value: &str) {
        let name = CredentialNames::first().state();
        let mut data = self.objects[&name].at(&["data"]).unwrap().clone();
        data[field] = value.into();
        let edited = self.objects[&name].clone().with("data", data);
        self.put(&edited);
    }

    /// Puts the key of another CA into the place of the issuing one's.
    pub fn foreign_key(&mut self) {
        let keys = CredentialNames::first().keys(1);
        let state = self.state();
        let ca = state.issuing_ca().unwrap();
        let wrong = keys_object(keys, FIRST_AUTHORITY, ca, foreign_ca().key(), Origin::Made);
        self.put(&wrong);
    }
}

pub fn issue_request(name: &str) -> issue_client::Request {
    let issuer = issue_client::Issuer {
        authority: FIRST_AUTHORITY.to_owned(),
        place: issue_client::Place::Cluster,
        new_authority: NewAuthority::of_name(FIRST_AUTHORITY),
    };
    issue_client::Request {
        issuer: Arc::new(issuer),
        name: name.parse().unwrap(),
        names: identity::Names::default(),
        ttl: CLIENT_TTL,
        key: ClientKey::New(KeyType::P256),
        another: true,
        may_share_name: false,
        renews: None,
        resumes: false,
        scale: issue_client::Scale::Single,
        existing: issue_client::ExistingFiles::default(),
    }
}

/// A CA of others.
pub fn foreign_ca() -> &'static Arc<Authority> {
    static FOREIGN: OnceLock<Arc<Authority>> = OnceLock::new();
    FOREIGN.get_or_init(|| Arc::new(ca("CN=Foreign CA", 77, NOW)))
}
