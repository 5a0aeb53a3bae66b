//! Clients whose certificates end.

use super::*;
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::leaf::{LeafRequest, issue};
use crate::pki::names::ClientName;
use crate::plan::status::guards;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::AUTHORITY_LABEL;

const ALICE: &str = "spiffe://kyma-mtls-clients/alice";

/// An entry that was made `age` days ago with a life of `ttl` days.
fn entry(
    cluster: &Cluster,
    name: &str,
    number: u32,
    state: EntryState,
    age: i64,
    ttl: i64,
) -> Object {
    let name: ClientName = name.parse().unwrap();
    let uri = format!("spiffe://kyma-mtls-clients/{name}");
    let request = LeafRequest {
        subject: "CN=x".parse().unwrap(),
        uris: vec![uri],
        ttl: Duration::days(ttl),
        ..LeafRequest::default()
    };
    let key = crate::pki::key::PrivateKey::generate(KeyType::P256).unwrap();
    let made = NOW - Duration::days(age);
    let leaf = issue(
        &cluster.authority,
        &request,
        key.public_key_der(),
        made,
        [7; 20],
    )
    .unwrap();
    Entry::new("kyma-mtls", &name, number, state, &leaf).object(&name)
}

fn report(entries: &[(u32, EntryState, i64, i64)]) -> Report {
    let mut cluster = Cluster::healthy();
    let objects: Vec<Object> = entries
        .iter()
        .map(|(number, state, age, ttl)| entry(&cluster, "ada", *number, *state, *age, *ttl))
        .collect();
    cluster.list(inventory(), objects);
    cluster.report()
}

#[test]
fn a_short_lived_client_is_healthy_until_two_thirds_of_its_life_are_over() {
    assert_eq!(findings(&report(&[(1, EntryState::Issued, 1, 7)])), []);
    let late = report(&[(1, EntryState::Issued, 5, 7)]);
    assert_eq!(
        findings(&late),
        [(Mark::Warning, "certificates end soon: `ada` on 2026-09-03")]
    );
}

#[test]
fn a_long_lived_client_is_told_two_weeks_before_its_end() {
    assert_eq!(findings(&report(&[(1, EntryState::Issued, 75, 90)])), []);
    assert_eq!(report(&[(1, EntryState::Issued, 77, 90)]).findings.len(), 1);
}

#[test]
fn a_client_that_has_a_new_certificate_is_not_told() {
    let renewed = report(&[
        (1, EntryState::Issued, 85, 90),
        (2, EntryState::Issued, 1, 90),
    ]);
    assert_eq!(findings(&renewed), []);
    assert_eq!(
        link(&renewed, "clients").says,
        "2 live certificates, the first ends on 2026-09-06"
    );
}

#[test]
fn a_new_certificate_that_was_perhaps_never_delivered_does_not_count() {
    let report = report(&[
        (1, EntryState::Issued, 85, 90),
        (2, EntryState::Reserved, 1, 90),
    ]);
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn a_revoked_client_that_no_list_refuses_is_an_error_with_the_command_that_lists_it_again() {
    let mut cluster = Cluster::healthy();
    let revoked = entry(&cluster, "ada", 1, EntryState::Revoked, 1, 90);
    let serial = Entry::read(&revoked).unwrap().serial;
    cluster.list(inventory(), [revoked]);
    let missing = cluster.report();
    let missing = check(&missing, "revocation/not-listed");
    assert!(missing.seen.contains(&serial), "{missing}");
    assert!(missing.remedy.contains("revoke-client ada"), "{missing}");

    let mut state = cluster.state();
    let listed = Revoked {
        serial: serial.parse().unwrap(),
        at: NOW,
        reason: Reason::Unspecified,
    };
    let crl = Crl::sign(&cluster.authority, 1, &[listed], None, NOW).unwrap();
    state.crls = vec![crl.pem()];
    cluster.publish(&state);
    assert_eq!(findings(&cluster.report()), []);
}

fn listed(identities: &[String]) -> Clients {
    Clients::Listed(identities.iter().cloned().collect())
}

/// A host that only these may call, and the inventory.
fn allowing(identities: &[String], entries: impl Fn(&Cluster) -> Vec<Object>) -> Report {
    let mut cluster = Cluster::healthy();
    let [guard, _] = cluster.guards(&listed(identities));
    cluster.policies([guard]);
    let entries = entries(&cluster);
    cluster.list(inventory(), entries);
    cluster.report()
}

#[test]
fn who_may_call_a_host_is_told_and_a_list_that_may_not_be_seen_is_no_list_of_everybody() {
    let issued = |cluster: &Cluster| vec![entry(cluster, "alice", 1, EntryState::Issued, 1, 90)];
    let report = allowing(&[ALICE.to_owned()], issued);
    assert_eq!(findings(&report), []);
    let says = &link(&report, "clients").says;
    let end = "; only these may call it: spiffe://kyma-mtls-clients/alice";
    assert!(says.ends_with(end), "{says}");

    let mut cluster = Cluster::healthy();
    cluster.deny(guards::query());
    found(
        &cluster.report(),
        Mark::Unknown,
        "the guards among them, could not be listed",
    );
}

#[test]
fn a_long_allow_list_is_shortened_and_whole_in_the_details() {
    let identities: Vec<String> = (0..1400)
        .map(|number| format!("spiffe://kyma-mtls-clients/{number}"))
        .chain([ALICE.to_owned()])
        .collect();
    let report = allowing(&identities, |cluster| {
        vec![entry(cluster, "alice", 1, EntryState::Issued, 1, 90)]
    });
    let clients = link(&report, "clients");
    assert!(
        clients.says.ends_with("/1000 and 1396 more"),
        "{}",
        clients.says
    );
    assert_eq!(clients.details.len(), 1401);
    crate::output::Render::table(&report, true);
}

#[test]
fn a_list_of_nobody_who_has_a_valid_certificate_is_an_error() {
    let nobody = |identities: &[&str], state: EntryState, age: i64| {
        let identities: Vec<String> = identities.iter().map(|&one| one.to_owned()).collect();
        let report = allowing(&identities, |cluster| {
            vec![entry(cluster, "alice", 1, state, age, 90)]
        });
        let is_found = report
            .findings
            .iter()
            .any(|finding| finding.check.id == "allow-list/nobody");
        assert_eq!(is_found, !report.is_healthy(false), "{report:#?}");
        is_found
    };
    assert!(!nobody(&[ALICE], EntryState::Issued, 1));
    assert!(!nobody(
        &["spiffe://else/where", ALICE],
        EntryState::Reserved,
        1
    ));
    assert!(
        nobody(&["spiffe://kyma-mtls-clients/alcie"], EntryState::Issued, 1),
        "unknown"
    );
    assert!(nobody(&[ALICE], EntryState::Revoked, 1), "revoked");
    assert!(nobody(&[ALICE], EntryState::Issued, 91), "expired");
}

#[test]
fn an_entry_that_cannot_be_read_may_stand_for_a_listed_client_of_its_own_authority_only() {
    let is_found = |authority: &str| {
        let report = allowing(&[ALICE.to_owned()], |cluster| {
            let damaged = entry(cluster, "bob", 2, EntryState::Issued, 1, 90)
                .without_annotation("kubectl-mtls.dev/not-after")
                .with_label(AUTHORITY_LABEL, authority);
            vec![
                entry(cluster, "alice", 1, EntryState::Revoked, 1, 90),
                damaged,
            ]
        });
        report
            .findings
            .iter()
            .any(|finding| finding.check.id == "allow-list/nobody")
    };
    assert!(!is_found("kyma-mtls"));
    assert!(is_found("another"));
}

#[test]
fn a_list_for_clients_of_an_external_ca_is_not_judged_by_the_inventory() {
    let mut cluster = Cluster::healthy();
    let [guard, _] = cluster.guards(&listed(&["spiffe://corp.example/device".to_owned()]));
    cluster.policies([guard]);
    let other = authority([9; 4]);
    let mut state = cluster.state();
    state.external.push(other.certificate().clone());
    cluster.publish(&state);
    cluster.observation = refusal(
        &[cluster.authority.certificate(), other.certificate()],
        server(PATTERN, 60),
    );
    assert!(
        findings(&cluster.report())
            .iter()
            .all(|(_, says)| !says.contains("allow-list"))
    );
}
