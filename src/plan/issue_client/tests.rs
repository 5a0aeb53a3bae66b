//! `issue-client` against an inventory in memory: every order of events that a real cluster can bring about.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::pki::authority::CaRequest;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf;
use crate::pki::tests::NOW;
use crate::plan::fake::Fake;
use crate::plan::{Identity, Seen, Write};
use crate::resources::authority::{AuthorityState, Origin, keys_object};
use crate::resources::client_ca::ClientCa;
use crate::resources::inventory::{Entry, EntryState, is_entry};
use crate::resources::names::{AUTHORITY_LABEL, CredentialNames, GatewayName};
use crate::resources::{Kind, Object, ObjectRef, client_ca};

/// One run of the command against it.
struct Run {
    request: Request,
    world: World,
    delivered: Option<(Certificate, Delivery)>,
}

impl Fake {
    /// Does one step; what it comes to when it is the last one.
    fn step(&mut self, run: &mut Run) -> Result<Option<Report>, Failure> {
        let step = next(&run.request, &run.world, NOW)?;
        if let Step::Deliver(delivery) = &step {
            let certificate = run.world.identity.as_ref().unwrap().certificate.clone();
            run.delivered = Some((certificate, (**delivery).clone()));
        }
        match self.perform(step, &mut run.world)? {
            Some(Outcome::Ready) => run.request.asked = true,
            Some(Outcome::Issued(report)) => return Ok(Some(*report)),
            None => {}
        }
        Ok(None)
    }

    /// Does what a plan said, and folds it into the world; tells what the plan came to.
    pub(in crate::plan) fn perform(
        &mut self,
        step: Step<Outcome>,
        world: &mut World,
    ) -> Result<Option<Outcome>, Failure> {
        match step {
            Step::Read(queries) => {
                for query in queries {
                    if query == Query::WhoAmI {
                        world.fold_who(crate::plan::Seen::Found("ada".to_owned()));
                        continue;
                    }
                    let answer = self.read(&query);
                    world.fold_read(query, answer);
                }
            }
            Step::MakeAuthority(new) => world.minted = Some(Arc::new(self.ca(&new.name))),
            Step::MakeLeaf(make) => {
                self.random += 1;
                let ClientKey::New(key_type) = make.key else {
                    panic!("another key is certified")
                };
                let key = PrivateKey::generate(key_type).unwrap();
                let public = key.public_key_der();
                let certificate = leaf::issue(
                    &make.authority,
                    &make.request,
                    public,
                    NOW,
                    [self.random; 20],
                );
                let certificate =
                    certificate.map_err(|error| Failure::refused(error.to_string()))?;
                let key = Some(Arc::new(key));
                world.identity = Some(Identity { key, certificate });
            }
            Step::Write(write) => match self.write(&write) {
                Some((object, action)) => world.fold_written(object, action, NOW),
                None => world.fold_conflict(write.object().reference().clone()),
            },
            Step::Attempt(write) => world.fold_attempt(write.object().reference().clone()),
            Step::Deliver(_) => world.delivered = true,
            Step::Done(outcome) => return Ok(Some(outcome)),
            other => panic!("{other:?}"),
        }
        Ok(None)
    }

    fn finish(&mut self, run: &mut Run) -> Result<Report, Failure> {
        for _ in 0..200 {
            if let Some(report) = self.step(run)? {
                return Ok(report);
            }
        }
        panic!("it never ends");
    }

    pub(in crate::plan) fn issue(&mut self, request: Request) -> Result<Report, Failure> {
        self.finish(&mut Run::new(request))
    }

    fn ca(&mut self, name: &str) -> Authority {
        self.random += 1;
        let request = CaRequest {
            subject: format!("CN={name} {}", self.random).parse().unwrap(),
            ttl: Duration::days(1825),
            key_type: KeyType::P256,
        };
        Authority::generate(&request, NOW, [self.random; 20]).unwrap()
    }

    pub(in crate::plan) fn entries(&self) -> Vec<Entry> {
        self.objects
            .values()
            .filter(|object| object.reference().kind == Kind::ConfigMap)
            .filter(|object| is_entry(object))
            .map(|object| Entry::read(object).unwrap())
            .collect()
    }

    pub(in crate::plan) fn states(&self) -> Vec<EntryState> {
        self.entries().iter().map(|entry| entry.state).collect()
    }

    fn state(&self) -> AuthorityState {
        let name = CredentialNames::first().state();
        AuthorityState::read(&self.objects[&name]).unwrap()
    }

    /// Another CA begins to issue, as at the end of a rotation.
    pub(in crate::plan) fn rotate(&mut self) {
        let (mut state, ca) = (self.state(), self.ca("next"));
        let keys = ObjectRef::new(Kind::Secret, "kubectl-mtls", &state.keys_secret);
        let added = keys_object(
            keys.clone(),
            "kyma-mtls",
            ca.certificate(),
            ca.key(),
            Origin::Made,
        );
        let changed = added.changing(&self.objects[&keys].clone());
        self.put(&changed);
        state.trusted.insert(0, ca.certificate().clone());
        state.issuing = Some(ca.certificate().fingerprint());
        state.revision += 1;
        self.put(&state.object());
    }

    /// The authority serves a Gateway through a Secret with these CAs.
    fn publish(&mut self, state: &AuthorityState, shown: &AuthorityState) -> ObjectRef {
        let gateway = GatewayName::new("shop", "gateway");
        let mut state = state.clone().serving(&gateway);
        state.client_ca_secret = Some("a-cacert".to_owned());
        self.put(&state.object());
        let secret = secret("a-cacert", shown);
        self.put(&secret).reference().clone()
    }
}

/// A client-CA Secret that shows what an authority trusts.
fn secret(name: &str, shown: &AuthorityState) -> Object {
    let bundle = ClientCa::of(shown).unwrap().bundle.to_pem();
    Object::new(client_ca::secret(name))
        .with_label(AUTHORITY_LABEL, &shown.authority)
        .with("data", json!({"cacert": STANDARD.encode(bundle)}))
}

impl Run {
    fn new(request: Request) -> Self {
        Self {
            request,
            world: World::default(),
            delivered: None,
        }
    }
}

pub(in crate::plan) fn issuer(authority: &str, place: Place) -> Arc<Issuer> {
    Arc::new(Issuer {
        authority: authority.to_owned(),
        place,
        new_authority: NewAuthority::of_name(authority),
    })
}

pub(in crate::plan) fn request(name: &str) -> Request {
    Request {
        issuer: issuer("kyma-mtls", Place::Cluster),
        name: name.parse().unwrap(),
        names: identity::Names::default(),
        ttl: Duration::days(90),
        key: ClientKey::New(KeyType::P256),
        another: false,
        renews: None,
        resumes: false,
        scale: Scale::Single,
        held: Held::default(),
        asked: false,
    }
}

pub(in crate::plan) fn another(name: &str) -> Request {
    Request {
        another: true,
        ..request(name)
    }
}

#[test]
fn the_first_client_makes_the_authority_and_nothing_is_written_before_the_user_was_asked() {
    let mut fake = Fake::default();
    let mut run = Run::new(request("alice"));
    while !run.request.asked {
        assert!(fake.writes.is_empty());
        fake.step(&mut run).unwrap();
    }
    let report = fake.finish(&mut run).unwrap();
    assert_eq!(report.entry.state, EntryState::Issued);
    assert_eq!(fake.states(), [EntryState::Issued]);
    assert!(
        report.notes[0].starts_with("made the authority"),
        "{report:?}"
    );
    let (certificate, delivery) = run.delivered.unwrap();
    assert_eq!(report.entry.serial, certificate.serial_hex());
    assert!(certificate.is_signed_by(&delivery.chain[0]));
    assert_eq!(delivery.trusted_pem, delivery.chain[0].pem());
}

#[test]
fn a_name_in_use_is_refused_and_another_certificate_gets_the_next_number() {
    let mut fake = Fake::default();
    fake.issue(request("alice")).unwrap();
    let writes = fake.writes.len();
    let failure = fake.issue(request("alice")).unwrap_err();
    assert!(failure.to_string().contains("has a certificate already"));
    assert_eq!(fake.writes.len(), writes);
    assert_eq!(fake.issue(another("alice")).unwrap().entry.number, 2);
}

#[test]
fn the_hundredth_certificate_of_a_name_costs_a_few_reads() {
    let mut fake = Fake::default();
    for number in 1..=100 {
        let reads = fake.reads;
        assert_eq!(fake.issue(another("alice")).unwrap().entry.number, number);
        assert!(fake.reads - reads < 25, "{}", fake.reads - reads);
    }
}

#[test]
fn a_name_is_free_again_when_its_certificates_have_expired() {
    let mut fake = Fake::default();
    for _ in 0..5 {
        fake.issue(another("alice")).unwrap();
    }
    let late = NOW + Duration::days(91);
    let mut world = World::default();
    let request = request("alice");
    while let Step::Read(queries) = next(&request, &world, late).unwrap() {
        for query in queries {
            let answer = fake.read(&query);
            world.fold_read(query, answer);
        }
    }
    assert!(matches!(
        next(&request, &world, late).unwrap(),
        Step::MakeLeaf(_)
    ));
}

#[test]
fn runs_at_the_same_time_share_one_authority_and_no_number() {
    let mut fake = Fake::default();
    let mut runs: Vec<Run> = (0..6).map(|_| Run::new(another("alice"))).collect();
    let mut reports = Vec::new();
    while !runs.is_empty() {
        let mut rest = Vec::new();
        for mut run in runs {
            match fake.step(&mut run).unwrap() {
                Some(report) => reports.push(report),
                None => rest.push(run),
            }
        }
        runs = rest;
    }
    assert_eq!(fake.states(), [EntryState::Issued; 6]);
    let mut numbers: Vec<u32> = reports.iter().map(|report| report.entry.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let made = |report: &&Report| report.notes.iter().any(|note| note.starts_with("made"));
    assert_eq!(reports.iter().filter(made).count(), 1);
    let issuer = &reports[0].entry.issuer_ski;
    assert!(
        reports
            .iter()
            .all(|report| &report.entry.issuer_ski == issuer)
    );
}

#[test]
fn killed_after_any_step_a_rerun_ends_with_one_issued_certificate() {
    for steps in 0.. {
        let mut fake = Fake::default();
        let mut killed = Run::new(request("alice"));
        let mut ended = false;
        for _ in 0..steps {
            ended = fake.step(&mut killed).unwrap().is_some();
            if ended {
                break;
            }
        }
        if ended {
            return;
        }
        let mut again = request("alice");
        if let Some((certificate, _)) = &killed.delivered {
            again.held.in_the_way = vec!["alice.crt".to_owned()];
            again.held.certificate = Some(certificate.clone());
        }
        let Ok(report) = fake.issue(again) else {
            // Only the report was lost: the files are there, and booked.
            assert_eq!(fake.states(), [EntryState::Issued], "{steps}");
            continue;
        };
        assert_eq!(report.completed, killed.delivered.is_some(), "{steps}");
        let issued = fake.entries();
        let issued: Vec<_> = issued
            .iter()
            .filter(|entry| entry.state == EntryState::Issued)
            .collect();
        assert_eq!(issued.len(), 1, "{steps}");
    }
}

/// Runs until the entry is reserved, then lets another CA issue.
fn rotated_after_reserving(fake: &mut Fake) -> Run {
    fake.issue(request("first")).unwrap();
    let mut run = Run::new(request("alice"));
    while fake.entries().len() < 2 {
        fake.step(&mut run).unwrap();
    }
    fake.rotate();
    run
}

fn issued_by_the_new_ca(fake: &mut Fake, run: &mut Run) {
    let report = fake.finish(run).unwrap();
    let state = fake.state();
    let issuing = state.issuing_ca().unwrap();
    assert_eq!(report.entry.issuer_ski, issuing.key_id_hex());
    assert_eq!(report.entry.number, 2);
    let (certificate, delivery) = run.delivered.as_ref().unwrap();
    assert!(certificate.is_signed_by(issuing));
    assert_eq!(delivery.trusted_pem.matches("BEGIN").count(), 2);
    let mut states = fake.states();
    states.sort_unstable();
    assert_eq!(
        states,
        [EntryState::Issued, EntryState::Issued, EntryState::Void]
    );
}

#[test]
fn a_certificate_of_a_ca_that_stopped_issuing_is_never_delivered() {
    let mut fake = Fake::default();
    let mut run = rotated_after_reserving(&mut fake);
    issued_by_the_new_ca(&mut fake, &mut run);
}

#[test]
fn the_entry_becomes_void_even_when_somebody_touches_it_at_that_moment() {
    let mut fake = Fake::default();
    let mut run = rotated_after_reserving(&mut fake);
    while !matches!(
        next(&run.request, &run.world, NOW).unwrap(),
        Step::Write(Write::Replace(_))
    ) {
        fake.step(&mut run).unwrap();
    }
    let own = fake
        .objects
        .values()
        .find(|object| Entry::read(object).is_ok_and(|entry| entry.name == "alice"));
    let touched = own.unwrap().clone().with_label("team", "a");
    fake.put(&touched);
    issued_by_the_new_ca(&mut fake, &mut run);
}

#[test]
fn a_published_bundle_without_the_ca_that_signs_stops_it() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let state = fake.state();
    let foreign = AuthorityState::new("other", fake.ca("other").certificate().clone(), "other");
    fake.publish(&state, &foreign);
    let writes = fake.writes.len();
    let failure = fake.issue(request("alice")).unwrap_err();
    assert!(failure.to_string().contains("does not hold the CA"));
    assert!(failure.what_to_do()[0].contains("CN=other"));
    assert_eq!(fake.writes.len(), writes);

    fake.publish(&state, &state);
    fake.issue(request("alice")).unwrap();
}

#[test]
fn no_authority_is_made_beside_a_gateway_that_reads_cas_of_others() {
    let mut fake = Fake::default();
    let foreign = AuthorityState::new("other", fake.ca("other").certificate().clone(), "other");
    fake.put(&secret("kyma-mtls-cacert", &foreign));
    let failure = fake.issue(request("alice")).unwrap_err();
    assert!(
        failure.what_to_do()[0].contains("--fail-closed"),
        "{failure:?}"
    );
}

#[test]
fn what_could_not_be_checked_is_said() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let state = fake.state();
    let secret = fake.publish(&state, &state);
    fake.denied.push(secret.clone());
    let report = fake.issue(request("alice")).unwrap();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("was not checked")),
        "{report:?}"
    );
    fake.denied.clear();
    fake.objects.remove(&secret);
    let report = fake.issue(request("bob")).unwrap();
    assert!(report.notes[0].contains("does not exist"), "{report:?}");
}

#[test]
fn a_mistyped_authority_is_not_made_but_answered_with_those_that_exist() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let writes = fake.writes.len();
    let mistyped = Request {
        issuer: issuer("kyma-mlts", Place::Cluster),
        ..request("alice")
    };
    let failure = fake.issue(mistyped.clone()).unwrap_err();
    assert!(
        failure.what_to_do()[0].contains("`kyma-mtls`"),
        "{failure:?}"
    );
    assert_eq!(fake.writes.len(), writes);

    let in_directory = Request {
        issuer: issuer("kyma-mlts", Place::Directory("ca".to_owned())),
        ..mistyped
    };
    assert!(fake.issue(in_directory).is_ok());
}

#[test]
fn only_what_was_seen_of_routes_is_said() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let state = fake.state();
    fake.publish(&state, &state);
    let report = fake.issue(request("alice")).unwrap();
    assert_eq!(report.host, None);
    assert!(report.notes[0].starts_with("no APIRule in `shop`"));
    let spec = serde_json::json!({"gateway": "shop/gateway", "hosts": ["a.mtls.example.com"], "rules": []});
    fake.put(&Object::new(ObjectRef::new(Kind::ApiRule, "shop", "a-mtls")).with("spec", spec));
    let report = fake.issue(request("bob")).unwrap();
    assert_eq!(report.host.as_deref(), Some("a.mtls.example.com"));
    assert!(report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_lifetime_beyond_the_new_ca_makes_no_ca() {
    let mut fake = Fake::default();
    let failure = fake
        .issue(Request {
            ttl: Duration::days(3650),
            ..request("alice")
        })
        .unwrap_err();
    assert!(failure.to_string().contains("outlive"));
    assert!(fake.writes.is_empty());
}

#[test]
fn names_that_no_certificate_can_have_make_no_ca() {
    for names in [
        identity::Names {
            dns: vec!["*.example.com".to_owned()],
            ..Default::default()
        },
        identity::Names {
            emails: vec!["nobody".to_owned()],
            ..Default::default()
        },
        identity::Names {
            uris: vec!["spiffe://cluster.local/ns/a/sa/b".to_owned()],
            ..Default::default()
        },
    ] {
        let mut fake = Fake::default();
        let failure = fake.issue(Request {
            names,
            ..request("alice")
        });
        assert_eq!(failure.unwrap_err().exit().code(), 2);
        assert!(fake.writes.is_empty());
    }
}

/// Does one step for one of many clients; what it comes to when it is the last one.
fn step_of_many(
    fake: &mut Fake,
    request: &Request,
    standing: &Standing,
    world: &mut World,
) -> Result<Option<Report>, Failure> {
    match next_of_many(request, standing, world, NOW)? {
        Step::Read(queries) => {
            for query in queries {
                let answer = fake.read(&query);
                world.fold_read(query, answer);
            }
        }
        Step::MakeLeaf(make) => {
            fake.random += 1;
            let key = Arc::new(PrivateKey::generate(KeyType::P256).unwrap());
            let serial = [fake.random; 20];
            let public = key.public_key_der();
            let certificate = leaf::issue(&make.authority, &make.request, public, NOW, serial);
            world.identity = Some(Identity {
                certificate: certificate.unwrap(),
                key: Some(key),
            });
        }
        Step::Write(write) => match fake.write(&write) {
            Some((object, action)) => world.fold_written(object, action, NOW),
            None => world.fold_conflict(write.object().reference().clone()),
        },
        Step::Deliver(_) => world.delivered = true,
        Step::Done(Outcome::Issued(report)) => return Ok(Some(*report)),
        other => panic!("{other:?}"),
    }
    Ok(None)
}

fn standing(fake: &mut Fake) -> Standing {
    let mut world = World::default();
    loop {
        match next_standing(&one_of_many("any"), &world, NOW).unwrap() {
            Step::Read(queries) => {
                for query in queries {
                    let answer = fake.read(&query);
                    world.fold_read(query, answer);
                }
            }
            Step::Write(write) => match fake.write(&write) {
                Some((object, action)) => world.fold_written(object, action, NOW),
                None => world.fold_conflict(write.object().reference().clone()),
            },
            Step::Done(standing) => return standing,
            other => panic!("{other:?}"),
        }
    }
}

fn one_of_many(name: &str) -> Request {
    Request {
        asked: true,
        resumes: true,
        scale: Scale::OneOfMany,
        ..request(name)
    }
}

fn issue_of_many(
    fake: &mut Fake,
    request: &Request,
    standing: &Standing,
    world: &mut World,
) -> Result<Report, Failure> {
    for _ in 0..50 {
        if let Some(report) = step_of_many(fake, request, standing, world)? {
            return Ok(report);
        }
    }
    panic!("it never ends");
}

#[test]
fn one_of_many_whose_ca_stops_issuing_becomes_void_and_the_new_ca_signs() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let (request, mut world) = (one_of_many("alice"), World::default());
    let old = standing(&mut fake);
    while fake.entries().len() < 2 {
        step_of_many(&mut fake, &request, &old, &mut world).unwrap();
    }
    let state = Query::Get(old.reference().clone());
    assert!(old.holds(&fake.read(&state)));
    fake.rotate();
    let answer = fake.read(&state);
    assert!(!old.holds(&answer));
    world.fold_read(state, answer);
    let new = standing(&mut fake);
    let report = issue_of_many(&mut fake, &request, &new, &mut world).unwrap();
    let issuing = fake.state().issuing_ca().unwrap().key_id_hex();
    assert_eq!((report.entry.number, report.entry.issuer_ski), (2, issuing));
    let mut states = fake.states();
    states.sort_unstable();
    let expected = [EntryState::Issued, EntryState::Issued, EntryState::Void];
    assert_eq!(states, expected);
}

#[test]
fn a_new_name_of_many_costs_two_writes_and_no_read_of_its_own() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let standing = standing(&mut fake);
    let (request, mut world) = (one_of_many("alice"), World::default());
    // As the batch does: a name is taken to be new until creating its entry tells otherwise.
    let first = reference("kyma-mtls", &request.name, 1);
    world.fold_read(Query::Get(first.clone()), Seen::Missing);
    let (reads, writes) = (fake.reads, fake.writes.len());
    let report = issue_of_many(&mut fake, &request, &standing, &mut world).unwrap();
    // The one read is that of the state, which all clients of a batch share.
    assert_eq!((fake.reads - reads, fake.writes.len() - writes), (1, 2));
    assert_eq!(report.entry.number, 1);

    let mut world = World::default();
    world.fold_read(Query::Get(first), Seen::Missing);
    let failure = issue_of_many(&mut fake, &request, &standing, &mut world).unwrap_err();
    assert!(failure.to_string().contains("has a certificate already"));
}

#[test]
fn what_earlier_runs_delivered_is_passed_over_and_what_they_lost_is_told() {
    let mut fake = Fake::default();
    fake.issue(request("first")).unwrap();
    let standing = standing(&mut fake);
    let (request, mut world) = (one_of_many("alice"), World::default());
    while fake.entries().len() < 2 {
        step_of_many(&mut fake, &request, &standing, &mut world).unwrap();
    }
    let killed = world.identity.as_ref().unwrap().certificate.serial_hex();
    let mut world = World::default();
    let report = issue_of_many(&mut fake, &request, &standing, &mut world).unwrap();
    assert_eq!((report.entry.number, report.before), (2, false));
    assert_eq!(report.lost, [killed]);

    let mut again = request.clone();
    again.held = Held {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: Some(world.identity.unwrap().certificate),
        client_ca: None,
    };
    let writes = fake.writes.len();
    let report = issue_of_many(&mut fake, &again, &standing, &mut World::default()).unwrap();
    assert!(report.before);
    assert_eq!(fake.writes.len(), writes);
}
