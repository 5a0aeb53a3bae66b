//! Certificates that were renewed, and their successors.

use super::*;

#[test]
fn what_was_renewed_is_revoked_once_its_successor_is_old_enough() {
    let mut cluster = Cluster::exposed();
    let superseded = |days| request(Which::Superseded(Span::days(days)));
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    let renewed = cluster.renew("alice");
    let report = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&report), []);
    assert_eq!(
        report.notes,
        ["no certificate was renewed at least 7d ago; choose a shorter time with `--older-than`"]
    );
    cluster.now += Span::days(7);
    let report = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
    let states = [EntryState::Revoked, EntryState::Issued];
    assert_eq!(booked(&cluster, "alice"), states);
    assert_eq!(booked(&cluster, "bob"), [EntryState::Issued]);
    assert_eq!(cluster.answers(renewed), [Verdict::LetIn]);
    let again = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&again), []);
}

#[test]
fn a_certificate_whose_successor_is_revoked_is_not_superseded() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.renew("alice");
    let mut entry = cluster.entries().pop().unwrap();
    entry.state = EntryState::Revoked;
    cluster.put(&entry.object(&"alice".parse().unwrap()));
    cluster.now += Span::days(30);
    let report = cluster
        .run(&request(Which::Superseded(Span::ZERO)))
        .unwrap();
    assert!(!fates(&report).contains(&("alice", Fate::AlreadyRevoked)));
    assert_eq!(booked(&cluster, "alice")[0], EntryState::Issued);
}
