//! `issue-client` against an inventory in memory: every order of events that a real cluster can bring about.

mod at_once;
mod bulk;
mod faults;
mod hostile;
mod names;
mod rotated;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::pki::key::KeyType;
use crate::pki::tests::NOW;
use crate::pki::when;
use crate::plan::testing::kyma::{HELM_NAMESPACE, helm_labels};
use crate::plan::testing::{Cluster, Command, Run, every_fault};
use crate::plan::{Effect, Event, Generate, Seen, Write};
use crate::resources::authority::{AuthorityState, Origin, keys_object};
use crate::resources::client_ca::ClientCa;
use crate::resources::inventory::{Entry, EntryState, is_entry};
use crate::resources::names::{AUTHORITY_LABEL, GatewayName};
use crate::resources::{Kind, Object, ObjectRef, client_ca};

impl Cluster {
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
    Object::new(client_ca::secret("istio-system", name))
        .with_label(AUTHORITY_LABEL, &shown.authority)
        .with("data", json!({"cacert": STANDARD.encode(bundle)}))
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
        may_share_name: false,
        renews: None,
        resumes: false,
        scale: Scale::Single,
        existing: ExistingFiles::default(),
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
    let mut cluster = Cluster::default();
    let mut run = Run::begin(&request("alice"));
    while cluster.asked.is_empty() {
        assert!(cluster.writes.is_empty());
        cluster.step(&mut run);
    }
    assert_eq!(cluster.asked, [Question::Password]);
    let report = cluster.finish(&mut run).unwrap();
    assert_eq!(cluster.asked.len(), 1, "it asks once");
    assert_eq!(report.entry.state, EntryState::Issued);
    assert_eq!(cluster.states(), [EntryState::Issued]);
    assert!(
        report.notes[0].starts_with("made the authority"),
        "{report:?}"
    );
    let (client, credential) = run.delivered.unwrap();
    let certificate = &cluster.clients[client];
    assert_eq!(report.entry.serial, certificate.serial_hex());
    assert!(certificate.is_signed_by(&credential.chain[0]));
    assert_eq!(credential.trusted_pem, credential.chain[0].pem());
}

#[test]
fn a_name_in_use_is_refused_and_another_certificate_gets_the_next_number() {
    let mut cluster = Cluster::default();
    cluster.run(&request("alice")).unwrap();
    let writes = cluster.writes.len();
    let failure = cluster.run(&request("alice")).unwrap_err();
    assert!(failure.to_string().contains("has a certificate already"));
    assert_eq!(cluster.writes.len(), writes);
    assert_eq!(cluster.run(&another("alice")).unwrap().entry.number, 2);
}

#[test]
fn the_hundredth_certificate_of_a_name_costs_a_few_reads() {
    let mut cluster = Cluster::default();
    for number in 1..=100 {
        let reads = cluster.reads;
        assert_eq!(cluster.run(&another("alice")).unwrap().entry.number, number);
        assert!(cluster.reads - reads < 25, "{}", cluster.reads - reads);
    }
}

#[test]
fn a_name_is_free_again_when_its_certificates_have_expired() {
    let mut cluster = Cluster::default();
    for _ in 0..5 {
        cluster.run(&another("alice")).unwrap();
    }
    let late = NOW + Duration::days(91);
    cluster.now = late;
    let mut run = Run::begin(&request("alice"));
    loop {
        match run.next(late) {
            Some(Effect::Read(_)) => assert!(cluster.step(&mut run)),
            Some(Effect::Generate(Generate::Leaf(_))) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn runs_at_the_same_time_share_one_authority_and_no_number() {
    let mut cluster = Cluster::default();
    let mut runs: Vec<_> = (0..6).map(|_| Run::begin(&another("alice"))).collect();
    while runs.iter().any(|run| run.result.is_none()) {
        for run in &mut runs {
            cluster.step(run);
        }
    }
    let reports: Vec<Report> = runs
        .into_iter()
        .map(|run| run.result.unwrap().unwrap())
        .collect();
    assert_eq!(cluster.states(), [EntryState::Issued; 6]);
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
        let mut cluster = Cluster::default();
        let mut killed = Run::begin(&request("alice"));
        if !(0..steps).all(|_| cluster.step(&mut killed)) {
            return;
        }
        let mut again = request("alice");
        if killed.delivered.is_some() {
            again.existing.in_the_way = vec!["alice.crt".to_owned()];
            again.existing.certificate = Some(cluster.clients[killed.client()].clone());
        }
        let Ok(report) = cluster.run(&again) else {
            // Only the report was lost: the files are there, and booked.
            assert_eq!(cluster.states(), [EntryState::Issued], "{steps}");
            continue;
        };
        assert_eq!(report.completed, killed.delivered.is_some(), "{steps}");
        let issued = cluster.entries();
        let issued: Vec<_> = issued
            .iter()
            .filter(|entry| entry.state == EntryState::Issued)
            .collect();
        assert_eq!(issued.len(), 1, "{steps}");
    }
}

#[test]
fn no_authority_is_made_beside_a_gateway_that_reads_cas_of_others() {
    let mut cluster = Cluster::default();
    let foreign = AuthorityState::new("other", cluster.ca("other").certificate().clone(), "other");
    cluster.put(&secret("kyma-mtls-cacert", &foreign));
    let failure = cluster.run(&request("alice")).unwrap_err();
    assert!(
        failure.what_to_do()[0].contains("--fail-closed"),
        "{failure:?}"
    );
}

#[test]
fn no_authority_is_made_where_that_gateway_has_its_proxies_elsewhere() {
    let mut cluster = Cluster::helm();
    let foreign = AuthorityState::new("other", cluster.ca("other").certificate().clone(), "other");
    let held = secret("kyma-mtls-cacert", &foreign);
    let beside = client_ca::secret(HELM_NAMESPACE, "kyma-mtls-cacert");
    let data = held.at(&["data"]).cloned().unwrap();
    cluster.put(&Object::new(beside.clone()).with("data", data));
    let server = json!({
        "hosts": ["a.example.com"],
        "port": {"number": 443, "protocol": "HTTPS", "name": "https"},
        "tls": {"mode": "MUTUAL", "credentialName": "kyma-mtls"},
    });
    let labels = std::collections::BTreeMap::from(helm_labels());
    let spec = json!({"selector": labels, "servers": [server]});
    let gateway = GatewayName::new("shop", "by-hand").reference();
    cluster.put(&Object::new(gateway).with("spec", spec));
    let failure = cluster.run(&request("alice")).unwrap_err();
    let told = format!("{beside} holds CAs whose keys are not in this cluster");
    assert_eq!(failure.to_string(), told);
    assert!(cluster.writes.is_empty(), "{:?}", cluster.writes);

    // A user who may not list Gateways gets a note on what was not checked.
    let everywhere = Query::everywhere(Kind::Gateway);
    let denied = Seen::Denied("`list` Gateways".to_owned());
    cluster.fixed.insert(everywhere, denied);
    let report = cluster.run(&request("alice")).unwrap();
    let is_told = |note: &String| note.contains("was not checked outside of `istio-system`");
    assert!(report.notes.iter().any(is_told), "{report:?}");
}

#[test]
fn what_could_not_be_checked_is_said() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let state = cluster.state();
    let secret = cluster.publish(&state, &state);
    cluster.denied.push(secret.clone());
    let report = cluster.run(&request("alice")).unwrap();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("was not checked")),
        "{report:?}"
    );
    cluster.denied.clear();
    cluster.objects.remove(&secret);
    let report = cluster.run(&request("bob")).unwrap();
    assert!(report.notes[0].contains("does not exist"), "{report:?}");
}

#[test]
fn a_mistyped_authority_is_not_made_but_answered_with_those_that_exist() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let writes = cluster.writes.len();
    let mistyped = Request {
        issuer: issuer("kyma-mlts", Place::Cluster),
        ..request("alice")
    };
    let failure = cluster.run(&mistyped.clone()).unwrap_err();
    assert!(
        failure.what_to_do()[0].contains("`kyma-mtls`"),
        "{failure:?}"
    );
    assert_eq!(cluster.writes.len(), writes);

    let in_directory = Request {
        issuer: issuer("kyma-mlts", Place::Directory("ca".to_owned())),
        ..mistyped
    };
    assert!(cluster.run(&in_directory).is_ok());
}

#[test]
fn a_check_that_may_not_be_made_is_reported_as_not_made() {
    let mut cluster = Cluster::default();
    cluster
        .denied
        .push(ObjectRef::new(Kind::ConfigMap, "istio-system", "istio"));
    let names = crate::resources::names::CredentialNames::first();
    let secret = ObjectRef::new(Kind::Secret, "istio-system", names.derived_client_ca());
    cluster.denied.push(secret);
    let report = cluster.run(&request("alice")).unwrap();
    let told = |report: &Report, words: &str| report.notes.iter().any(|note| note.contains(words));
    let (mesh, others) = ("trust domain was not read", "already trust external CAs");
    assert!(told(&report, mesh) && told(&report, others), "{report:?}");
    // Once the authority stands, no CA of others can be overlooked.
    let report = cluster.run(&request("bob")).unwrap();
    assert!(told(&report, mesh) && !told(&report, others), "{report:?}");
}

#[test]
fn only_what_was_seen_of_routes_is_said() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let state = cluster.state();
    cluster.publish(&state, &state);
    let report = cluster.run(&request("alice")).unwrap();
    assert_eq!(report.host, None);
    assert!(report.notes[0].starts_with("no APIRule in `shop`"));
    let spec = serde_json::json!({"gateway": "shop/gateway", "hosts": ["a.mtls.example.com"], "rules": []});
    cluster.put(&Object::new(ObjectRef::new(Kind::ApiRule, "shop", "a-mtls")).with("spec", spec));
    let report = cluster.run(&request("bob")).unwrap();
    assert_eq!(report.host.as_deref(), Some("a.mtls.example.com"));
    assert!(report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_lifetime_beyond_the_ca_is_cut_to_it_and_said() {
    let mut cluster = Cluster::default();
    let report = cluster
        .run(&Request {
            ttl: Duration::days(3650),
            ..request("alice")
        })
        .unwrap();
    let state = cluster.state();
    let ca = state.issuing_ca().unwrap();
    assert_eq!(report.entry.not_after, ca.not_after());
    let said = report.cut_short.unwrap();
    assert!(said.contains("instead of 3650d"), "{said}");
    assert!(report.notes.contains(&said));
    let whole = cluster.run(&request("bob")).unwrap();
    assert_eq!(whole.cut_short, None);
}

#[test]
fn a_ca_that_ends_within_hours_is_told_with_the_time() {
    let mut cluster = Cluster::default();
    let mut short = issuer("kyma-mtls", Place::Cluster);
    Arc::make_mut(&mut short).new_authority.ttl = Duration::hours(3);
    let report = cluster
        .run(&Request {
            issuer: short,
            ttl: Duration::hours(1),
            ..request("alice")
        })
        .unwrap();
    let end = when::minute(cluster.state().trusted[0].not_after());
    let told = format!("ends on {end}, in 3h, and no certificate outlives it");
    let is_told = |note: &String| note.contains(&told);
    assert!(report.notes.iter().any(is_told), "{told}: {report:?}");
}
