//! A client that is issued while the CA changes.

use super::*;

/// Runs until the entry is reserved, then lets another CA issue.
fn rotated_after_reserving(cluster: &mut Cluster) -> Run<Request> {
    cluster.run(&request("first")).unwrap();
    let mut run = Run::begin(&request("alice"));
    while cluster.entries().len() < 2 {
        cluster.step(&mut run);
    }
    cluster.rotate();
    run
}

fn issued_by_the_new_ca(cluster: &mut Cluster, run: &mut Run<Request>) {
    let report = cluster.finish(run).unwrap();
    let state = cluster.state();
    let issuing = state.issuing_ca().unwrap();
    assert_eq!(report.entry.issuer_ski, issuing.key_id_hex());
    assert_eq!(report.entry.number, 2);
    let (client, credential) = run.delivered.as_ref().unwrap();
    assert!(cluster.clients[*client].is_signed_by(issuing));
    assert_eq!(credential.trusted_pem.matches("BEGIN").count(), 2);
    let mut states = cluster.states();
    states.sort_unstable();
    assert_eq!(
        states,
        [EntryState::Issued, EntryState::Issued, EntryState::Void]
    );
}

#[test]
fn a_certificate_of_a_ca_that_stopped_issuing_is_never_delivered() {
    let mut cluster = Cluster::default();
    let mut run = rotated_after_reserving(&mut cluster);
    issued_by_the_new_ca(&mut cluster, &mut run);
}

#[test]
fn the_entry_becomes_void_even_when_somebody_touches_it_at_that_moment() {
    let mut cluster = Cluster::default();
    let mut run = rotated_after_reserving(&mut cluster);
    while !matches!(run.next(NOW), Some(Effect::Write(Write::Replace(_)))) {
        cluster.step(&mut run);
    }
    let own = cluster
        .objects
        .values()
        .find(|object| Entry::read(object).is_ok_and(|entry| entry.name == "alice"));
    let touched = own.unwrap().clone().with_label("team", "a");
    cluster.put(&touched);
    issued_by_the_new_ca(&mut cluster, &mut run);
}

#[test]
fn a_published_bundle_without_the_ca_that_signs_stops_it() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let state = cluster.state();
    let foreign = AuthorityState::new("other", cluster.ca("other").certificate().clone(), "other");
    cluster.publish(&state, &foreign);
    let writes = cluster.writes.len();
    let failure = cluster.run(&request("alice")).unwrap_err();
    assert!(failure.to_string().contains("does not hold the CA"));
    assert!(failure.what_to_do()[0].contains("CN=other"));
    assert_eq!(cluster.writes.len(), writes);

    cluster.publish(&state, &state);
    cluster.run(&request("alice")).unwrap();
}
