use super::*;
use crate::pki::crl::Reason;
use crate::plan::issue_client;
use crate::plan::revoke_client::{self, Which};
use crate::plan::testing::{Cluster, every_fault, issue_request};
use crate::plan::{DryRun, Effect};
use crate::resources::names::FIRST_AUTHORITY;

const TTL: Duration = Duration::days(10);

/// All that one `list-clients --prune` does.
fn prune(cluster: &mut Cluster) -> Vec<u32> {
    let plan = |observed: &Observed, now| select(FIRST_AUTHORITY, true, observed, now);
    let selection = cluster.run(&plan).unwrap();
    let mut removed = Vec::new();
    for prunable in &selection.prunable {
        let plan = |observed: &Observed, now| reconcile(prunable, true, observed, now);
        removed.extend(cluster.run(&plan).unwrap());
    }
    removed.into_iter().map(|removed| removed.number).collect()
}

/// A name with so many certificates, the last of which was issued now.
fn cluster_with(certificates: u32) -> Cluster {
    let mut cluster = Cluster::exposed();
    for _ in 0..certificates {
        cluster.now += TTL;
        cluster.issue_for("alice", TTL);
    }
    cluster
}

/// What the Events of removals say.
fn messages(cluster: &Cluster) -> Vec<String> {
    let objects = cluster.objects.values();
    let pruned = objects.filter(|object| object.text(&["reason"]) == "Pruned");
    pruned
        .map(|event| event.text(&["message"]).to_owned())
        .collect()
}

fn numbers(cluster: &Cluster) -> Vec<u32> {
    let entries = cluster.entries().into_iter();
    entries.map(|entry| entry.number).collect()
}

#[test]
fn what_ended_a_month_ago_goes_and_its_numbers_are_never_issued_again() {
    let mut cluster = cluster_with(6);
    assert_eq!(prune(&mut cluster), [2]);
    assert_eq!(numbers(&cluster), [1, 3, 4, 5, 6]);
    cluster.now += TTL + KEPT;
    assert_eq!(prune(&mut cluster), [3, 4, 5, 6]);
    assert_eq!(numbers(&cluster), [1]);
    assert!(prune(&mut cluster).is_empty());
    cluster.issue_for("alice", TTL);
    assert_eq!(numbers(&cluster), [1, 7]);
    cluster.issue_for("alice", TTL);
    assert_eq!(numbers(&cluster), [1, 7, 8]);
}

#[test]
fn an_event_on_the_first_entry_tells_what_was_removed_and_by_whom() {
    let mut cluster = cluster_with(3);
    cluster.now += TTL + KEPT;
    assert_eq!(prune(&mut cluster), [2, 3]);
    let who = "removed 2 entries up to 3 of alice from the inventory (";
    assert!(messages(&cluster).iter().any(|text| text.contains(who)));
    cluster.issue_for("alice", TTL);
    cluster.now += TTL + KEPT;
    assert_eq!(prune(&mut cluster), [4]);
    let second = "removed entry 4 of alice from the inventory (";
    let told = messages(&cluster);
    assert!(told.iter().any(|text| text.contains(second)), "{told:#?}");
    assert!(told.iter().any(|text| text.contains(who)), "{told:#?}");
}

#[test]
fn an_entry_under_another_name_stays_and_keeps_no_other_from_being_removed() {
    let mut cluster = cluster_with(3);
    for _ in 0..2 {
        cluster.issue_for("bob", TTL);
    }
    // Somebody restored a client's first entry, and a later one, under names of their own.
    let all = [("bob", 1, "restored-1"), ("alice", 2, "restored-2")];
    for (client, number, name) in all {
        let own = reference(FIRST_AUTHORITY, &client.parse().unwrap(), number);
        let object = cluster.objects.get(&own).unwrap().clone();
        let mut body = object.body().clone();
        body["metadata"]["name"] = name.into();
        let copy = Object::from_server(own.kind, body).unwrap();
        cluster.put(&copy);
        if number == 1 {
            cluster.objects.remove(&own);
        }
    }
    cluster.now += TTL + KEPT;
    let plan = |observed: &Observed, now| select(FIRST_AUTHORITY, true, observed, now);
    let selection = cluster.run(&plan).unwrap();
    assert_eq!(selection.unreadable.len(), 2, "{selection:?}");
    assert!(selection.unreadable[0].contains("restored-"));
    assert_eq!(prune(&mut cluster), [2, 3], "alice's own");
}

#[test]
fn a_revocation_stays_on_the_list_as_long_as_it_is_needed() {
    let mut cluster = cluster_with(2);
    let revocation = revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which: Which::Names(vec!["alice".parse().unwrap()]),
        reason: Reason::Unspecified,
        confirmed: true,
        close_connections: false,
        force_conflicts: false,
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
    };
    cluster.run(&revocation).unwrap();
    let before = cluster.state().crls;
    cluster.now += TTL + KEPT - Duration::days(1);
    assert!(prune(&mut cluster).is_empty());
    cluster.now += Duration::days(1);
    assert_eq!(prune(&mut cluster), [2]);
    assert_eq!(cluster.state().crls, before);
}

#[test]
fn an_issuer_that_saw_the_entries_go_takes_no_number_of_theirs() {
    let mut cluster = cluster_with(3);
    cluster.now += TTL + KEPT;
    let request = issue_client::Request {
        ttl: TTL,
        ..issue_request("alice")
    };
    let mut run = crate::plan::testing::Run::begin(&request);
    // The first entry and the one after it are read; then the others go.
    while !matches!(run.next(cluster.now), Some(Effect::Generate(_))) {
        cluster.step(&mut run);
    }
    assert_eq!(prune(&mut cluster), [2, 3]);
    let report = cluster.finish(&mut run).unwrap();
    assert!(report.entry.number > 3, "{report:?}");
}

#[test]
fn killed_or_failing_anywhere_it_keeps_every_number() {
    let mut cluster = cluster_with(4);
    cluster.now += TTL + KEPT;
    let plan = |observed: &Observed, now| select(FIRST_AUTHORITY, true, observed, now);
    let selection = cluster.run(&plan).unwrap();
    let prunable = selection.prunable[0].clone();
    let plan = |observed: &Observed, now| reconcile(&prunable, true, observed, now);
    every_fault(&cluster, &plan, |cluster, _, _, _| {
        assert!(prune(cluster).is_empty());
        cluster.issue_for("alice", TTL);
        assert_eq!(numbers(cluster), [1, 5]);
    });
}
