//! Damaged inventory entries: they do not prevent the revocation of other certificates, and are reported.

use super::*;
use crate::plan::testing::hostile::refusals;
use crate::resources::inventory::is_entry;

/// alice and carol with a valid certificate each, and bob, who is revoked.
fn cluster() -> (Cluster, [usize; 3]) {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob", "carol"].map(|name| cluster.issue(name));
    cluster.run(&named("bob")).unwrap();
    (cluster, clients)
}

/// Writes an annotation of the entries of one client.
fn damage(cluster: &mut Cluster, name: &str, annotation: &str) {
    let of_name = |object: &&Object| {
        is_entry(object) && object.annotation("kubectl-mtls.dev/client-name") == Some(name)
    };
    let damaged: Vec<Object> = cluster.objects.values().filter(of_name).cloned().collect();
    for object in damaged {
        let key = format!("kubectl-mtls.dev/{annotation}");
        cluster.put(&object.with_annotation(&key, "soon"));
    }
}

const NEEDED: [&str; 4] = ["serial", "not-before", "not-after", "format"];

#[test]
fn an_entry_of_one_client_stops_no_revocation_of_another() {
    for annotation in NEEDED {
        for damaged in ["alice", "bob"] {
            let (mut cluster, [alice, bob, carol]) = cluster();
            damage(&mut cluster, damaged, annotation);
            let report = cluster.run(&named("carol")).unwrap();
            assert_eq!(fates(&report), [("carol", Fate::Revoked)], "{annotation}");
            let answers = [alice, bob, carol].map(|client| cluster.answer(client));
            assert_eq!(
                answers,
                [Verdict::LetIn, Verdict::Revoked, Verdict::Revoked]
            );
            assert!(report.not_revoked.is_empty());
            let [told] = report.unreadable.as_slice() else {
                panic!("{:?}", report.unreadable);
            };
            for says in [
                format!("kubectl-mtls-clients/{damaged}-"),
                "kubectl get configmaps -n kubectl-mtls-clients".to_owned(),
                "kubectl mtls revoke-client --authority kyma-mtls --certificate".to_owned(),
            ] {
                assert!(told.contains(&says), "{told}");
            }
        }
    }
}

#[test]
fn a_client_with_a_damaged_entry_is_no_unknown_client() {
    for annotation in NEEDED {
        let (mut cluster, [alice, _, carol]) = cluster();
        damage(&mut cluster, "alice", annotation);
        let (says, hints) = refused(&mut cluster, &named("alice"));
        assert_eq!(says, "the inventory entry of `alice` is damaged");
        assert!(hints.contains("revoke-client --authority kyma-mtls --certificate"));
        // Beside other clients it is reported at the end.
        let both = ["alice", "carol"].map(|name| name.parse().unwrap());
        let report = cluster.run(&request(Which::Names(both.to_vec()))).unwrap();
        assert_eq!(report.not_revoked, ["alice"]);
        assert_eq!(cluster.answer(carol), Verdict::Revoked);
        // The printed commands.
        let certificate = cluster.certificate(alice).clone();
        let report = cluster
            .run(&request(Which::Certificates(vec![certificate])))
            .unwrap();
        assert_eq!(cluster.answer(alice), Verdict::Revoked);
        assert!(report.not_revoked.is_empty() && report.unreadable.len() == 1);
    }
}

#[test]
fn a_damaged_time_that_only_informs_keeps_nobody_from_revoking_its_client() {
    let (mut cluster, [alice, ..]) = cluster();
    for annotation in ["issued-at", "revoked-at"] {
        damage(&mut cluster, "alice", annotation);
    }
    let report = cluster.run(&named("alice")).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
    assert!(report.unreadable.is_empty());
    assert_eq!(cluster.answer(alice), Verdict::Revoked);
    assert_eq!(booked(&cluster, "alice"), [EntryState::Revoked]);
}

#[test]
fn revoke_client_ends_whatever_the_objects_of_a_cluster_look_like() {
    let (cluster, _) = cluster();
    assert!(refusals(&cluster, &named("alice")) > 0);
}

#[test]
fn a_dry_run_ends_as_the_run_itself_does() {
    let of = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap());
        Which::Names(names.collect())
    };
    for annotation in NEEDED {
        let (mut cluster, [alice, _, carol]) = cluster();
        damage(&mut cluster, "alice", annotation);
        let certificate = |client| Which::Certificates(vec![cluster.certificate(client).clone()]);
        for which in [
            of(&["carol"]),
            of(&["alice"]),
            of(&["alice", "carol"]),
            certificate(alice),
            certificate(carol),
        ] {
            let end = |dry_run| {
                let request = Request {
                    dry_run,
                    ..request(which.clone())
                };
                let report = cluster.clone().run(&request);
                report
                    .map(|report| report.not_revoked)
                    .map_err(|failure| failure.to_string())
            };
            for dry_run in [DryRun::Client, DryRun::Server] {
                let what = format!("{annotation} {which:?}");
                assert_eq!(end(dry_run), end(DryRun::None), "{what}");
            }
        }
    }
}

#[test]
fn an_entry_that_cannot_be_marked_is_reported_and_its_certificate_is_revoked() {
    let (mut cluster, [alice, ..]) = cluster();
    let is_alices = |object: &&Object| {
        is_entry(object) && object.annotation("kubectl-mtls.dev/client-name") == Some("alice")
    };
    let entry = cluster.objects.values().find(is_alices).unwrap().clone();
    cluster.put(&entry.with("data", serde_json::json!({})));
    for fate in [Fate::Revoked, Fate::AlreadyRevoked] {
        let report = cluster.run(&named("alice")).unwrap();
        assert_eq!(fates(&report), [("alice", fate)]);
        assert_eq!(cluster.answer(alice), Verdict::Revoked);
        assert!(!report.seen.is_empty());
        let mut notes = report.notes.iter();
        assert!(notes.any(|note| note.contains("could not be marked as revoked")));
    }
}
