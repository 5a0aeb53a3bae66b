//! Runs that revoke nothing new, where every proxy can be asked for the lists that it has loaded.

use super::*;
use crate::plan::probe::{Observation, Outcome};
use crate::plan::testing::Dropping;
use crate::plan::testing::kyma::expose_request;
use crate::resources::inventory::is_entry;
use crate::resources::proxy_config::Part;
use crate::resources::witness::{Witness, reference};

/// Two proxies that can be asked, with alice and bob as clients.
fn cluster() -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    cluster
}

fn asking(name: &str) -> Request {
    Request {
        connect_to: None,
        ..named(name)
    }
}

/// A successful run, with whether it wrote the authority anew, and how each Gateway was seen to reject.
#[track_caller]
fn run(cluster: &mut Cluster, name: &str) -> (bool, Vec<Evidence>) {
    let before = cluster.state().revision;
    let report = cluster.run(&asking(name)).unwrap();
    let evidence = report.seen.iter().map(|at| at.evidence).collect();
    (cluster.state().revision > before, evidence)
}

const ANEW: (bool, [Evidence; 1]) = (true, [Evidence::Handshakes]);

#[test]
fn nothing_is_published_again_where_every_proxy_has_loaded_the_lists() {
    let mut cluster = cluster();
    assert!(run(&mut cluster, "alice") == (ANEW.0, ANEW.1.to_vec()));
    let until = cluster.now + Span::days(3);
    cluster.now = until;
    let writes = cluster.writes.len();
    let report = cluster.run(&asking("alice")).unwrap();
    assert_eq!(cluster.writes[writes..], [""; 0]);
    assert_eq!(fates(&report), [("alice", Fate::AlreadyRevoked)]);
    let seen = &report.seen[0];
    assert_eq!(seen.evidence, Evidence::LoadedLists);
    let pods = ["istio-ingressgateway-1", "istio-ingressgateway-2"];
    assert_eq!(seen.through, pods);
    assert_eq!(report.notes, [""; 0]);
    // Another client's revocation is published and proven by handshakes, as ever.
    assert!(run(&mut cluster, "bob") == (ANEW.0, ANEW.1.to_vec()));
}

#[test]
fn an_entry_that_cannot_be_marked_is_reported_again_and_nothing_is_published_for_it() {
    let mut cluster = cluster();
    let is_alices = |object: &&Object| {
        is_entry(object) && object.annotation("kubectl-mtls.dev/client-name") == Some("alice")
    };
    let entry = cluster.objects.values().find(is_alices).unwrap().clone();
    cluster.put(&entry.with("data", serde_json::json!({})));
    let says = "could not be marked as revoked";
    let report = cluster.run(&asking("alice")).unwrap();
    assert!(report.notes.join("\n").contains(says), "{:?}", report.notes);
    for _ in 0..2 {
        let writes = cluster.writes.len();
        let report = cluster.run(&asking("alice")).unwrap();
        assert_eq!(cluster.writes[writes..], [""; 0]);
        assert_eq!(fates(&report), [("alice", Fate::AlreadyRevoked)]);
        assert!(report.notes.join("\n").contains(says), "{:?}", report.notes);
        assert_eq!(report.seen[0].evidence, Evidence::LoadedLists);
    }
}

#[test]
fn the_lists_are_published_again_until_every_proxy_has_loaded_them() {
    let mut cluster = cluster();
    cluster.proxies.lagging = vec![1];
    for _ in 0..2 {
        let before = cluster.state().revision;
        let failure = cluster.run(&asking("alice")).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        assert_eq!(cluster.state().revision, before + 1);
    }
    cluster.proxies.lagging.clear();
    cluster.load();
    let (is_anew, evidence) = run(&mut cluster, "alice");
    assert_eq!((is_anew, evidence), (false, vec![Evidence::LoadedLists]));
}

#[test]
fn a_list_that_the_proxies_dropped_is_sent_again_by_the_same_run() {
    let mut cluster = cluster();
    let state = CredentialNames::first().state();
    let revision = cluster.state().revision;
    cluster.proxies.dropping = Some(Dropping::next_of(&cluster.objects[&state]));
    let before = cluster.writes.len();
    let report = cluster.run(&asking("alice")).unwrap();
    assert_eq!(report.seen[0].evidence, Evidence::Handshakes);
    let write = format!("replace {state}");
    let count = |writes: &[String]| writes.iter().filter(|made| **made == write).count();
    assert_eq!(count(&cluster.writes[before..]), 2);
    // Nothing changed but the version.
    assert_eq!(cluster.state().revision, revision + 1);
    let (is_anew, evidence) = run(&mut cluster, "alice");
    assert_eq!((is_anew, evidence), (false, vec![Evidence::LoadedLists]));
    // A proxy that was sent the list and does not use it would only call it accepted the next time.
    cluster.proxies.disguised.insert(1, |seen| Observation {
        outcome: Outcome::Answered(200),
        ..seen
    });
    let before = cluster.writes.len();
    let failure = cluster.run(&asking("bob")).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert_eq!(count(&cluster.writes[before..]), 1);
}

#[test]
fn what_proxies_do_not_show_is_proven_by_handshakes() {
    let state = CredentialNames::first().state();
    let all = [
        Part::ClientCas,
        Part::TrustedSecrets,
        Part::RejectedUpdates,
        Part::AcceptedSecrets,
    ];
    let mut cluster = cluster();
    run(&mut cluster, "alice");
    let second = cluster.proxy_pods()[1].clone();
    for part in all {
        let mut cluster = cluster.clone();
        let unread = Query::Proxy(second.clone(), part);
        cluster
            .fixed
            .insert(unread, Seen::Denied("`get`".to_owned()));
        assert!(run(&mut cluster, "alice") == (ANEW.0, ANEW.1.to_vec()));
    }
    // A proxy shows what it was sent, also where it has rejected it.
    let name = crate::resources::client_ca::field(&state);
    cluster.proxies.rejected_secrets = [name].into();
    assert!(run(&mut cluster, "alice") == (ANEW.0, ANEW.1.to_vec()));
}

#[test]
fn lists_that_somebody_edited_are_published_again_although_every_proxy_has_loaded_them() {
    let mut cluster = cluster();
    run(&mut cluster, "alice");
    let older = cluster.state().crls.concat();
    run(&mut cluster, "bob");
    let is_bobs =
        |object: &Object| object.annotation("kubectl-mtls.dev/client-name") == Some("bob");
    cluster.objects.retain(|_, object| !is_bobs(object));
    cluster.edit_state("ca.crl", &older);
    cluster.load();
    assert!(cluster.state().has_edited_lists());
    assert!(run(&mut cluster, "alice") == (ANEW.0, ANEW.1.to_vec()));
    assert!(!cluster.state().has_edited_lists());
}

#[test]
fn after_every_fault_a_rerun_comes_to_the_end_of_an_undisturbed_run() {
    let cluster = cluster();
    let faults = every_fault(&cluster, &asking("alice"), |cluster, fault, _, _| {
        assert_eq!(cluster.answer(0), Verdict::Revoked, "{fault:?}");
        assert_eq!(cluster.answer(1), Verdict::LetIn, "{fault:?}");
        assert_eq!(booked(cluster, "alice"), [EntryState::Revoked], "{fault:?}");
        // A witness that stays behind would not show that this revocation was rolled back.
        let witness = Witness::read(&cluster.objects[&reference(FIRST_AUTHORITY)]).unwrap();
        assert_eq!(witness.revision, cluster.state().revision, "{fault:?}");
        let writes = cluster.writes.len();
        cluster.run(&asking("alice")).unwrap();
        assert_eq!(cluster.writes[writes..], [""; 0], "{fault:?}");
    });
    assert!(faults > 25, "{faults}");
}

#[test]
fn of_two_runs_for_the_same_client_the_one_that_comes_second_needs_no_canaries() {
    let fresh = cluster();
    for lead in 0.. {
        let mut cluster = fresh.clone();
        let request = asking("alice");
        let [mut first, mut second] = [Run::begin(&request), Run::begin(&request)];
        for _ in 0..lead {
            cluster.step(&mut second);
        }
        let is_over = second.result.is_some();
        while first.result.is_none() {
            cluster.step(&mut first);
        }
        cluster.load();
        while second.result.is_none() {
            cluster.step(&mut second);
        }
        for run in [first, second] {
            let report = run.result.unwrap().unwrap_or_else(|failure| {
                panic!("the other is {lead} steps ahead: {failure:?}");
            });
            assert_eq!(report.seen.len(), 1);
        }
        assert_eq!(cluster.answer(0), Verdict::Revoked);
        if is_over {
            return;
        }
    }
}

#[test]
fn a_dropped_ca_that_is_back_leaves_also_with_a_run_that_revokes_nothing_new() {
    let mut cluster = cluster();
    let dropped = cluster.state().trusted[0].pem();
    for goal in [
        Goal::Advance(None),
        Goal::Finish(Finish {
            force: true,
            ..Finish::default()
        }),
    ] {
        let through = ca_rotate::Request {
            connect_to: None,
            ..rotation(goal)
        };
        cluster.run(&through).unwrap();
    }
    cluster.issue("carol");
    run(&mut cluster, "carol");
    let now = cluster.state().trusted[0].pem();
    cluster.edit_state("ca.crt", &(now + &dropped));
    cluster.load();
    assert_eq!(cluster.state().readmitted.len(), 1);
    assert!(run(&mut cluster, "carol") == (ANEW.0, ANEW.1.to_vec()));
    assert_eq!(cluster.state().readmitted, []);
    assert_eq!(cluster.answer(0), Verdict::Unknown);
}
