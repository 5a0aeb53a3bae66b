//! External CAs in a rotation.

use rcgen::{CertificateParams, KeyIdMethod, SerialNumber};

use super::*;
use crate::pki::authority::Authority;
use crate::resources::inventory::is_entry;

fn drop(fingerprint: &str) -> Request {
    request(Goal::Finish(Finish {
        foreign: [fingerprint.to_owned()].into(),
        ..Finish::default()
    }))
}

/// Somebody puts a CA of their own into the trust bundle; a client of it.
fn intrude(cluster: &mut Cluster) -> (String, usize) {
    let state = own(cluster);
    let bundle = state.text(&["data", "ca.crt"]).to_owned();
    let intruder = foreign_ca().certificate();
    cluster.edit_state("ca.crt", &(bundle + &intruder.pem()));
    cluster.load();
    let client = cluster.foreign_client();
    assert_eq!(cluster.answer(client), Verdict::LetIn);
    (intruder.fingerprint(), client)
}

/// A cluster with a live client in each phase in which a CA issues.
fn phases() -> [(Phase, Cluster, usize); 3] {
    let fresh = || {
        let mut cluster = Cluster::exposed();
        let alice = cluster.issue("alice");
        (cluster, alice)
    };
    let (settled, first) = fresh();
    let (mut spreading, second) = fresh();
    begin_with_a_lagging_proxy(&mut spreading);
    spreading.proxies.lagging.clear();
    let (mut overlap, third) = fresh();
    overlap.run(&advance()).unwrap();
    [
        (Phase::Settled, settled, first),
        (Phase::Spreading, spreading, second),
        (Phase::Overlap, overlap, third),
    ]
}

#[test]
fn a_ca_that_somebody_put_into_the_bundle_leaves_by_name_in_every_phase_and_the_rotation_stays() {
    for (phase, cluster, alice) in phases() {
        for is_damaged in [false, true] {
            let mut cluster = cluster.clone();
            if is_damaged {
                let entry = cluster.objects.values().find(|object| is_entry(object));
                let entry = entry.unwrap().clone();
                cluster.put(&entry.without_annotation("kubectl-mtls.dev/not-after"));
            }
            let (fingerprint, theirs) = intrude(&mut cluster);
            let planned = Request {
                dry_run: DryRun::Client,
                ..drop(&fingerprint)
            };
            let planned = cluster.run(&planned).unwrap().planned.join("\n");
            assert!(planned.contains("remove 1 external CA"), "{planned}");
            let before = cluster.state();
            for _ in 0..2 {
                let report = cluster.run(&drop(&fingerprint)).unwrap();
                assert_eq!(report.phase, phase);
                assert_eq!(cluster.answer(theirs), Verdict::Unknown);
                assert_eq!(cluster.answer(alice), Verdict::LetIn);
                let stays = report
                    .notes
                    .join("\n")
                    .contains("the rotation stays as it is");
                assert_eq!(stays, phase != Phase::Settled, "{:?}", report.notes);
            }
            let after = cluster.state();
            assert_eq!(after.trusted, before.trusted);
            assert_eq!(
                (after.issuing, after.target),
                (before.issuing, before.target)
            );
        }
    }
}

#[test]
fn a_ca_that_somebody_put_into_the_bundle_leaves_after_a_fault_at_any_effect() {
    let [_, _, (_, mut cluster, alice)] = phases();
    let (fingerprint, theirs) = intrude(&mut cluster);
    let faults = every_fault(&cluster, &drop(&fingerprint), |cluster, fault, _, _| {
        assert_eq!(cluster.answer(theirs), Verdict::Unknown, "{fault:?}");
        assert_eq!(cluster.answer(alice), Verdict::LetIn, "{fault:?}");
    });
    assert!(faults > 15, "{faults}");
}

#[test]
fn a_dropped_ca_that_is_back_during_a_rotation_leaves_and_the_rotation_stays() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let dropped = cluster.state().trusted[0].clone();
    cluster.run(&advance()).unwrap();
    cluster.run(&forced()).unwrap();
    let bob = cluster.issue("bob");
    cluster.run(&advance()).unwrap();
    let bundle = own(&cluster).text(&["data", "ca.crt"]).to_owned();
    cluster.edit_state("ca.crt", &(bundle + &dropped.pem()));
    cluster.load();
    let report = cluster.run(&drop(&dropped.fingerprint())).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    assert_eq!(cluster.answer(old), Verdict::Unknown);
    assert_eq!(cluster.answer(bob), Verdict::LetIn);
}

#[test]
fn a_first_ca_that_was_taken_back_can_be_let_in_after_all() {
    let mut cluster = Cluster::by_hand();
    begin_with_a_lagging_proxy(&mut cluster);
    assert_eq!(cluster.run(&abort()).unwrap().phase, Phase::Stopped);
    cluster.proxies.lagging.clear();
    let said = cluster.run(&finish()).unwrap_err().to_string();
    assert_eq!(said, "no CA of the authority `kyma-mtls` issues");
    cluster.run(&advance()).unwrap();
    assert!(cluster.state().issuing.is_some());
}

#[test]
fn the_only_cas_with_clients_do_not_leave_before_another_one_issues() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    begin_with_a_lagging_proxy(&mut cluster);
    cluster.proxies.lagging.clear();
    let foreign = foreign_ca().certificate().fingerprint();
    let failure = cluster.run(&drop(&foreign)).unwrap_err();
    assert!(
        failure.to_string().contains("does not issue yet"),
        "{failure}"
    );
    assert_eq!(cluster.answer(theirs), Verdict::LetIn);
}

/// A CA certificate for a key that another one has, too.
fn again(of: &Authority, subject: &str, key_id: Option<Vec<u8>>) -> Arc<Authority> {
    let key = rcgen::KeyPair::from_pem(&of.key().to_pem()).unwrap();
    let mut params = CertificateParams::default();
    let name = subject.strip_prefix("CN=").unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
    ];
    params.serial_number = Some(SerialNumber::from_slice(&[7; 8]));
    params.not_before = NOW - Span::hours(2);
    params.not_after = NOW + Span::days(900);
    if let Some(key_id) = key_id {
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id);
    }
    let signed = params.self_signed(&key).unwrap();
    let certificate = Certificate::from_der(signed.der()).unwrap();
    Arc::new(Authority::load(certificate.pem(), &*of.key().to_pem(), NOW).unwrap())
}

#[test]
fn the_key_of_an_external_ca_that_was_dropped_never_becomes_a_cas_again() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    cluster.run(&advance()).unwrap();
    let foreign = foreign_ca().certificate();
    cluster.run(&drop(&foreign.fingerprint())).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::Unknown);
    let renewed = again(foreign_ca(), foreign.subject(), None);
    assert!(
        cluster
            .certificate(theirs)
            .is_signed_by(renewed.certificate())
    );
    let other_id = again(foreign_ca(), "CN=Renamed", Some(vec![1; 20]));
    for ca in [renewed, other_id] {
        let failure = cluster.run(&request(Goal::Advance(Some(ca)))).unwrap_err();
        assert!(failure.to_string().contains("was dropped"), "{failure}");
    }
    assert_eq!(cluster.answer(theirs), Verdict::Unknown);
}

#[test]
fn a_rotation_to_the_key_that_a_trusted_ca_has_is_refused() {
    let mut cluster = Cluster::by_hand();
    let twin = again(foreign_ca(), "CN=Renamed", Some(vec![1; 20]));
    let failure = cluster
        .run(&request(Goal::Advance(Some(twin))))
        .unwrap_err();
    assert!(
        failure.to_string().contains("has the same key"),
        "{failure}"
    );
}

/// Two certificates of one CA stand in the bundle while it is renewed.
#[test]
fn of_two_certificates_of_an_external_ca_one_leaves_and_the_other_can_be_taken_in() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let foreign = foreign_ca().certificate();
    let renewed = again(foreign_ca(), foreign.subject(), None);
    let bundle = own(&cluster).text(&["data", "ca.crt"]).to_owned();
    cluster.edit_state("ca.crt", &(bundle + &renewed.certificate().pem()));
    cluster.load();
    cluster.run(&drop(&foreign.fingerprint())).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::LetIn);
    cluster.run(&request(Goal::TakeIn(renewed))).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::LetIn);
}

#[test]
fn beside_a_foreign_ca_ours_issues_only_once_loaded_and_the_foreign_one_leaves_by_name() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let foreign = foreign_ca().certificate().fingerprint();
    cluster.proxies.lagging = vec![0];
    assert_eq!(cluster.run(&advance()).unwrap_err().exit().code(), 124);
    assert_eq!(cluster.state().issuing, None);
    cluster.proxies.lagging.clear();
    let adopted = cluster.run(&advance()).unwrap();
    let shown: Vec<&str> = adopted
        .cas
        .iter()
        .map(|ca| ca.fingerprint.as_str())
        .collect();
    assert!(shown.len() == 2 && shown.contains(&foreign.as_str()));
    assert!(
        adopted
            .notes
            .iter()
            .any(|note| note.contains("are not known"))
    );
    let ours = cluster.issue("alice");
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::LetIn; 2]
    );
    let said = cluster.run(&drop(&"0".repeat(64))).unwrap_err().to_string();
    assert!(
        said.ends_with("no gateway of this authority trusts such a CA"),
        "{said}"
    );
    cluster.run(&finish()).unwrap();
    assert_eq!(
        cluster.answer(theirs),
        Verdict::LetIn,
        "nobody asked for its end"
    );
    cluster.run(&drop(&foreign)).unwrap();
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::Unknown, Verdict::LetIn]
    );
}

#[test]
fn a_foreign_ca_whose_key_is_taken_in_is_the_oldest_generation() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let taken = request(Goal::TakeIn(foreign_ca().clone()));
    let report = cluster.run(&taken).unwrap();
    assert!(
        report.notes.iter().any(|note| note.contains("serial 0")),
        "{report:?}"
    );
    let first = cluster.issue("first");
    cluster.run(&advance()).unwrap();
    let second = cluster.issue("second");
    assert_eq!(
        [theirs, first, second].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 3]
    );
    cluster.revoke_in_inventory(first);
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("was not created by kubectl-mtls"),
        "{failure}"
    );
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::Unknown);
    assert_eq!(cluster.answer(second), Verdict::LetIn);
}

#[test]
fn a_killed_adoption_is_completed_and_never_loses_the_foreign_ca() {
    for steps in 1.. {
        let mut cluster = Cluster::by_hand();
        let theirs = cluster.foreign_client();
        let is_over = cluster.killed(&advance(), steps);
        assert_eq!(cluster.answer(theirs), Verdict::LetIn);
        if !cluster.has_authority() || cluster.state().issuing.is_none() || cluster.is_unfinished()
        {
            cluster.run(&advance()).unwrap();
        }
        let ours = cluster.issue("alice");
        assert_eq!(
            [cluster.answer(theirs), cluster.answer(ours)],
            [Verdict::LetIn; 2]
        );
        assert_eq!(cluster.state().phase(), Phase::Settled);
        if is_over {
            return;
        }
    }
}

#[test]
fn beside_a_lost_inventory_an_external_ca_leaves_only_after_it_was_accepted() {
    for (phase, cluster, alice) in phases() {
        let mut cluster = cluster.clone();
        // From then on the authority knows its inventory.
        cluster.run(&request(Goal::AcceptInventory)).unwrap();
        let (fingerprint, theirs) = intrude(&mut cluster);
        let objects = &mut cluster.objects;
        objects.retain(|name, _| name.namespace != "kubectl-mtls-clients");
        let writes = cluster.writes.len();
        let failure = cluster.run(&drop(&fingerprint)).unwrap_err();
        assert!(failure.to_string().contains("is lost"), "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("ca-rotate --accept-inventory"), "{hints}");
        assert_eq!(cluster.writes.len(), writes);
        cluster.run(&request(Goal::AcceptInventory)).unwrap();
        let report = cluster.run(&drop(&fingerprint)).unwrap();
        assert_eq!(cluster.answer(theirs), Verdict::Unknown, "{phase}");
        // The rotation ends where nothing is known to use the old CA.
        let is_over = report.phase == Phase::Settled;
        assert_eq!(is_over, phase != Phase::Spreading, "{phase}");
        let is_let_in = phase != Phase::Overlap;
        let expected = if is_let_in {
            Verdict::LetIn
        } else {
            Verdict::Unknown
        };
        assert_eq!(cluster.answer(alice), expected, "{phase}");
    }
}

#[test]
fn the_roles_of_cas_have_the_words_of_status() {
    let roles = |cluster: &mut Cluster| {
        let report = serde_json::to_value(cluster.run(&status()).unwrap()).unwrap();
        let cas = report["cas"].as_array().unwrap().clone();
        cas.into_iter()
            .map(|ca| ca["role"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let [_, (_, mut spreading, _), (_, mut overlap, _)] = phases();
    assert_eq!(roles(&mut spreading), ["new", "issuing"]);
    assert_eq!(roles(&mut overlap), ["issuing", "retired"]);
    let mut by_hand = Cluster::by_hand();
    by_hand.run(&advance()).unwrap();
    assert_eq!(roles(&mut by_hand), ["issuing", "external"]);
}
