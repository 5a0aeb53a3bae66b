//! A stage for commands that change what gateways trust: objects in memory, gateways that load an authority or lag, and clients
//! that call.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use time::OffsetDateTime;

use super::authority::NewAuthority;
use super::fake::Fake;
use super::identity::CLIENT_TTL;
use super::look::{Client, Look, Outcome, Sighting, Via};
use super::{ClientKey, Identity, MakeLeaf, Query, Seen, Step, World, identity, issue_client};
use crate::error::Failure;
use crate::pki::authority::{Authority, CaRequest};
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::inspect::Certificate;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf::{self, LeafRequest};
use crate::pki::serial::Serial;
use crate::pki::tests::NOW;
use crate::resources::authority::{AuthorityState, Keys, Origin, keys_object};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{Gateway, MutualGateway};
use crate::resources::inventory::{Entry, EntryState, is_entry};
use crate::resources::names::{AUTHORITY_LABEL, CredentialNames, FIRST_AUTHORITY, GatewayName};
use crate::resources::{Kind, Object};

const HOST: &str = "alice.example.com";

/// How a gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    LetIn,
    Unknown,
    Revoked,
    Expired,
}

/// Everything around the command.
#[derive(Clone)]
pub struct Stage {
    pub fake: Fake,
    pub now: OffsetDateTime,
    pub replicas: usize,
    /// Replicas that load nothing new.
    pub lagging: Vec<usize>,
    /// A CA of others.
    pub foreign: Arc<Authority>,
    loaded: Vec<Option<Object>>,
    clients: Vec<Certificate>,
}

/// What the user asked a command for.
pub trait Command: Clone {
    /// What comes of it.
    type Report;

    /// The command's next step.
    fn next(&self, world: &World, now: OffsetDateTime) -> Result<Step<Self::Report>, Failure>;
}

/// A run of a command that is not over yet.
pub struct Running<C: Command> {
    request: C,
    world: World,
    pub result: Option<Result<C::Report, Failure>>,
}

impl<C: Command> Running<C> {
    /// Whether gateways were shown a client certificate.
    pub fn has_probed(&self) -> bool {
        let mut labels = self.world.identities.keys();
        labels.any(|label| {
            let look = Look {
                via: Via::Address("gateway:443".to_owned()),
                host: HOST.to_owned(),
                client: Client::shown(label),
            };
            !self.world.sightings(&look).is_empty()
        })
    }
}

/// A run of `issue-client` that is not over yet.
pub struct Issuer {
    request: issue_client::Request,
    world: World,
    delivered: Option<usize>,
}

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

impl Stage {
    fn empty() -> Self {
        let mut stage = Self {
            fake: Fake::default(),
            now: NOW,
            replicas: 1,
            lagging: Vec::new(),
            foreign: Arc::new(ca("CN=Foreign CA", 77, NOW)),
            loaded: vec![None],
            clients: Vec::new(),
        };
        let selector = [("istio".to_owned(), "ingressgateway".to_owned())].into();
        let server = MutualGateway {
            name: &gateway(),
            host: HOST,
            selector: &selector,
            credential: "kyma-mtls",
            client_ca: &CredentialNames::first().client_ca_field(),
        };
        stage.fake.put(&server.object());
        stage
    }

    /// A gateway that `expose` made, with its authority.
    pub fn exposed() -> Self {
        let mut stage = Self::empty();
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
            stage.fake.put(&object);
        }
        stage.load();
        stage
    }

    /// A gateway that was set up by hand as in the tutorial, and moved to an authority.
    pub fn by_hand() -> Self {
        let mut stage = Self::empty();
        let external = vec![stage.foreign.certificate().clone()];
        let state = AuthorityState::of_external(FIRST_AUTHORITY, external, FIRST_AUTHORITY)
            .serving(&gateway());
        stage.fake.put(&state.object());
        stage.load();
        stage
    }

    /// The same, reading a Secret of an earlier version in the place of its authority.
    pub fn unmoved() -> Self {
        let mut stage = Self::exposed();
        let names = CredentialNames::first();
        let selector = [("istio".to_owned(), "ingressgateway".to_owned())].into();
        let server = MutualGateway {
            name: &gateway(),
            host: HOST,
            selector: &selector,
            credential: "kyma-mtls",
            client_ca: &names.earlier_client_ca(),
        };
        let mut state = stage.state();
        state.client_ca_secret = Some(names.earlier_client_ca());
        let pem = BASE64.encode(ClientCa::of(&state).unwrap().bundle.to_pem());
        let secret = Object::new(client_ca::secret(&names.earlier_client_ca()))
            .with_label(AUTHORITY_LABEL, FIRST_AUTHORITY)
            .with("data", json!({"cacert": pem}));
        for object in [server.object(), state.object(), secret] {
            stage.fake.put(&object);
        }
        stage.load();
        stage
    }

    /// What the gateway reads, where it is there: what a proxy has loaded stays.
    fn source(&self) -> Option<&Object> {
        let gateway = &self.fake.objects[&gateway().reference()];
        let server = Gateway::read(gateway).unwrap().servers[0].client_ca_source();
        self.fake.objects.get(&server)
    }

    /// Every replica that does not lag loads what stands now.
    pub fn load(&mut self) {
        self.loaded.resize(self.replicas, None);
        let Some(source) = self.source().cloned() else {
            return;
        };
        for (replica, loaded) in self.loaded.iter_mut().enumerate() {
            if !self.lagging.contains(&replica) {
                *loaded = Some(source.clone());
            }
        }
    }

    pub fn state(&self) -> AuthorityState {
        AuthorityState::read(&self.fake.objects[&CredentialNames::first().state()]).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        let keys = &self.fake.objects[&CredentialNames::first().keys(1)];
        let keys = Keys::read(keys).unwrap();
        keys.skis().map(str::to_owned).collect()
    }

    pub fn has_authority(&self) -> bool {
        let state = CredentialNames::first().state();
        self.fake.objects.contains_key(&state)
    }

    /// Whether a run has left something to complete.
    pub fn is_unfinished(&self) -> bool {
        self.keys().len() > self.state().trusted.len()
    }

    pub fn events(&self) -> Vec<String> {
        let objects = self.fake.objects.values();
        let events = objects.filter(|object| object.reference().kind == Kind::Event);
        let mut reasons: Vec<String> = events
            .map(|event| event.text(&["reason"]).to_owned())
            .collect();
        reasons.sort();
        reasons
    }

    pub fn begin<C: Command>(request: &C) -> Running<C> {
        Running {
            request: request.clone(),
            world: World::default(),
            result: None,
        }
    }

    /// One step, unless it is over; gateways then load what they can.
    pub fn step<C: Command>(&mut self, run: &mut Running<C>) {
        if run.result.is_some() {
            return;
        }
        match run.request.next(&run.world, self.now) {
            Err(failure) => run.result = Some(Err(failure)),
            Ok(Step::Done(report)) => run.result = Some(Ok(report)),
            Ok(step) => self.act(step, &mut run.world),
        }
        self.load();
    }

    fn act<R>(&mut self, step: Step<R>, world: &mut World) {
        match step {
            Step::Read(queries) => self.read(queries, world),
            Step::TryOut(try_out) => {
                let object = try_out.write.object().clone();
                let reference = object.reference().clone();
                world.fold_tried(reference, try_out.strict, Seen::Found(object));
            }
            Step::MakeAuthority(_) => {
                self.fake.random += 1;
                let random = self.fake.random;
                let subject = format!("CN=Made CA {random}");
                let made = ca(&subject, random, self.now);
                world.minted = Some(Arc::new(made));
            }
            Step::TakeAuthority(given) => world.minted = Some(given),
            Step::MakeLeaf(make) => world.identity = Some(self.leaf(&make)),
            Step::MakeCanaries(canaries) => {
                for (label, make) in canaries {
                    let identity = self.leaf(&make);
                    world.identities.insert(label, identity);
                }
            }
            Step::Write(write) => match self.fake.write(&write) {
                Some((object, action)) => world.fold_written(object, action, self.now),
                None => world.fold_conflict(write.object().reference().clone()),
            },
            Step::Attempt(write) => {
                self.fake.write(&write);
                world.fold_attempt(write.object().reference().clone());
            }
            Step::Wait(wait) => {
                world.waited += std::time::Duration::from_secs(20);
                self.read(wait.reread, world);
            }
            Step::Look(looks) => {
                if looks
                    .looks
                    .iter()
                    .any(|look| !world.sightings(look).is_empty())
                {
                    world.waited += std::time::Duration::from_secs(20);
                    self.read(looks.reread, world);
                }
                for look in looks.looks {
                    let seen = self.look(&look, world);
                    world.fold_look(look, seen);
                }
            }
            Step::Tell(text) => {
                world.told.insert(text);
            }
            Step::Deliver(_) => {
                let identity = world.identity.as_ref().unwrap();
                self.clients.push(identity.certificate.clone());
                world.delivered = true;
            }
            Step::MakeServer(_) | Step::Done(_) => panic!("not on this stage"),
        }
    }

    fn read(&mut self, queries: Vec<Query>, world: &mut World) {
        for query in queries {
            if query == Query::WhoAmI {
                world.fold_who(Seen::Found("ada".to_owned()));
                continue;
            }
            let answer = self.fake.read(&query);
            world.fold_read(query, answer);
        }
    }

    fn leaf(&mut self, make: &MakeLeaf) -> Identity {
        self.fake.random += 1;
        let ClientKey::New(key_type) = make.key else {
            panic!("another key is certified")
        };
        let key = PrivateKey::generate(key_type).unwrap();
        let serial = [self.fake.random; 20];
        let public = key.public_key_der();
        let certificate =
            leaf::issue(&make.authority, &make.request, public, self.now, serial).unwrap();
        let key = Some(Arc::new(key));
        Identity { key, certificate }
    }

    fn look(&self, look: &Look, world: &World) -> Vec<Sighting> {
        let replicas = self.loaded.iter().flatten();
        replicas
            .map(|secret| {
                let shown = ClientCa::read(secret).unwrap();
                let outcome = match &look.client {
                    Client::Nobody => Outcome::Refused("certificate_required".to_owned()),
                    Client::Shown(label) => {
                        let certificate = &world.identities[label].certificate;
                        match judge(certificate, &shown, self.now) {
                            Verdict::LetIn => Outcome::Answered(404),
                            Verdict::Unknown => Outcome::Refused("unknown_ca".to_owned()),
                            Verdict::Revoked => Outcome::Refused("certificate_revoked".to_owned()),
                            Verdict::Expired => Outcome::Refused("certificate_expired".to_owned()),
                        }
                    }
                };
                let subjects = shown.bundle.subjects_der();
                Sighting {
                    offered: Some(subjects.into_iter().map(<[u8]>::to_vec).collect()),
                    server: Some(server()),
                    outcome,
                    proxy_protocol: false,
                }
            })
            .collect()
    }

    pub fn run<C: Command>(&mut self, request: &C) -> Result<C::Report, Failure> {
        let mut run = Self::begin(request);
        for _ in 0..400 {
            self.step(&mut run);
            if let Some(result) = run.result.take() {
                return result;
            }
        }
        panic!("it never ends: {:?}", run.world.told);
    }

    /// Runs it while the canaries expire after the first probe.
    pub fn run_slowly<C: Command>(&mut self, request: &C) -> Result<C::Report, Failure> {
        let mut run = Self::begin(request);
        let start = self.now;
        for _ in 0..400 {
            if run.has_probed() {
                self.now = start + time::Duration::minutes(11);
            }
            self.step(&mut run);
            if let Some(result) = run.result.take() {
                return result;
            }
        }
        panic!("it never ends: {:?}", run.world.told);
    }

    /// Runs some steps and stops there; whether it was over by then.
    pub fn killed<C: Command>(&mut self, request: &C, steps: usize) -> bool {
        let mut run = Self::begin(request);
        for _ in 0..steps {
            self.step(&mut run);
        }
        run.result.is_some()
    }

    pub fn issuer(name: &str) -> Issuer {
        Issuer {
            request: issue_request(name),
            world: World::default(),
            delivered: None,
        }
    }

    /// One step of an issuer; something once it is over.
    pub fn step_issuer(&mut self, issuer: &mut Issuer) -> Option<()> {
        match issue_client::next(&issuer.request, &issuer.world, self.now).unwrap() {
            Step::Done(issue_client::Outcome::Ready) => issuer.request.asked = true,
            Step::Done(issue_client::Outcome::Issued(_)) => return Some(()),
            step => {
                let is_delivery = matches!(step, Step::Deliver(_));
                self.act(step, &mut issuer.world);
                if is_delivery {
                    issuer.delivered = Some(self.clients.len() - 1);
                }
            }
        }
        self.load();
        None
    }

    pub fn delivered(issuer: &Issuer) -> usize {
        issuer.delivered.unwrap()
    }

    /// Issues a certificate; its number among all clients.
    pub fn issue(&mut self, name: &str) -> usize {
        self.issue_for(name, CLIENT_TTL)
    }

    /// The same with a life of its own.
    pub fn issue_for(&mut self, name: &str, ttl: time::Duration) -> usize {
        let mut issuer = Self::issuer(name);
        issuer.request.ttl = ttl;
        while self.step_issuer(&mut issuer).is_none() {}
        Self::delivered(&issuer)
    }

    /// A client whose certificate somebody signed with the issuing CA's key and this serial number; no entry is made.
    pub fn sign_by_hand(&mut self, name: &str, serial: &[u8]) -> usize {
        let keys = Keys::read(&self.fake.objects[&CredentialNames::first().keys(1)]).unwrap();
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
        self.fake.put(&entry.object(&name));
    }

    /// A client of the foreign CA.
    pub fn foreign_client(&mut self) -> usize {
        let (_, certificate) = crate::pki::tests::client(&self.foreign);
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
        let replicas = self.loaded.iter().flatten();
        replicas
            .map(|secret| judge(certificate, &ClientCa::read(secret).unwrap(), self.now))
            .collect()
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
        let mut entries = self.fake.objects.values();
        let (object, mut entry) = entries
            .find_map(|object| {
                let entry = is_entry(object).then(|| Entry::read(object).unwrap())?;
                (entry.serial == serial).then(|| (object.clone(), entry))
            })
            .unwrap();
        entry.state = state;
        self.fake.put(&entry.restated(&object).unwrap());
    }

    pub fn revoke_in_inventory(&mut self, client: usize) {
        self.restate(client, EntryState::Revoked);
    }

    /// Revokes a client, with lists for all CAs.
    pub fn revoke(&mut self, client: usize) {
        self.revoke_in_inventory(client);
        let mut state = self.state();
        let keys = Keys::read(&self.fake.objects[&CredentialNames::first().keys(1)]).unwrap();
        let revoked = Revoked {
            serial: serial(&self.clients[client]),
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
        self.fake.put(&state.object());
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
        let mut data = self.fake.objects[&name].at(&["data"]).unwrap().clone();
        data[field] = value.into();
        let edited = self.fake.objects[&name].clone().with("data", data);
        self.fake.put(&edited);
    }

    /// Puts the key of another CA into the place of the issuing one's.
    pub fn foreign_key(&mut self) {
        let keys = CredentialNames::first().keys(1);
        let state = self.state();
        let ca = state.issuing_ca().unwrap();
        let wrong = keys_object(keys, FIRST_AUTHORITY, ca, self.foreign.key(), Origin::Made);
        self.fake.put(&wrong);
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
        renews: None,
        resumes: false,
        scale: issue_client::Scale::Single,
        held: issue_client::Held::default(),
        asked: false,
    }
}

fn serial(certificate: &Certificate) -> Serial {
    let hex = certificate.serial_hex();
    let byte = |start: usize| u8::from_str_radix(&hex[start..start + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len() / 2).map(|n| byte(n * 2)).collect();
    Serial::from_be_bytes(&bytes)
}

fn server() -> Certificate {
    use std::sync::OnceLock;
    static SERVER: OnceLock<Certificate> = OnceLock::new();
    let make = || {
        let ca = ca("CN=Server CA", 5, NOW);
        let identity = crate::pki::server::ServerIdentity::generate(&ca, HOST, NOW, [7; 20]);
        identity.unwrap().certificate().clone()
    };
    SERVER.get_or_init(make).clone()
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
    let is_named = |revoked: &Revoked| revoked.serial == serial(client);
    if list.revoked().iter().any(is_named) {
        return Verdict::Revoked;
    }
    Verdict::LetIn
}
