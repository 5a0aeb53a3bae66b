//! Faults of single clients.

use time::Duration;

use super::{ca_rotate, exposed_as, findings, kyma, only, only_until_repaired, report, rotate};
use crate::plan::ca_rotate::{Finish, Goal};
use crate::plan::check::Severity;
use crate::plan::expose::{self, AccessChoice, Allow};
use crate::plan::testing::kyma::expose_request;
use crate::plan::testing::{Cluster, foreign_ca};
use crate::resources::inventory::{EntryState, serial_label};

#[test]
fn a_client_whose_last_certificate_ends_soon_is_one_finding_until_it_is_renewed() {
    let mut cluster = kyma();
    cluster.issue_for("bob", Duration::days(7));
    cluster.now += Duration::days(1);
    assert_eq!(findings(&mut cluster), []);
    cluster.now += Duration::days(4);
    let finding = only(&mut cluster, "client/ending", Severity::Warning);
    assert_eq!(
        finding.remedy,
        "kubectl mtls renew-client bob --authority kyma-mtls"
    );
    cluster.issue_for("bob", Duration::days(7));
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_client_whose_last_certificate_has_expired_is_a_warning_for_a_month_and_then_a_note() {
    let mut cluster = kyma();
    cluster.issue_for("bob", Duration::days(7));
    cluster.now += Duration::days(8);
    let finding = only(&mut cluster, "client/expired", Severity::Warning);
    assert!(finding.seen.contains("`bob` on "), "{finding:#?}");
    cluster.now += Duration::days(40);
    only(&mut cluster, "client/expired", Severity::Note);
    cluster.revoke_in_inventory(1);
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_name_with_a_blank_or_a_quote_stays_one_word_of_the_command() {
    for (name, word) in [
        ("Ada Lovelace", "'Ada Lovelace'"),
        ("o'neill; date", r"'o'\''neill; date'"),
        ("$HOME", "'$HOME'"),
    ] {
        let mut cluster = kyma();
        cluster.issue_for(name, Duration::days(7));
        cluster.now += Duration::days(5);
        let finding = only(&mut cluster, "client/ending", Severity::Warning);
        let command = format!("kubectl mtls renew-client {word} --authority kyma-mtls");
        assert_eq!(finding.remedy, command);
    }
    let mut cluster = kyma();
    cluster.issue_for("--all", Duration::days(7));
    cluster.now += Duration::days(5);
    let finding = only(&mut cluster, "client/ending", Severity::Warning);
    let command = "kubectl mtls renew-client --authority kyma-mtls -- --all";
    assert_eq!(finding.remedy, command);
}

/// A cluster with six clients beside the first one, whose certificates are valid for a week.
fn six() -> Cluster {
    let mut cluster = kyma();
    for number in 1..=6 {
        cluster.issue_for(&format!("sensor {number}"), Duration::days(7));
    }
    cluster
}

#[test]
fn one_command_renews_all_clients_whose_certificates_end_soon() {
    let mut cluster = six();
    cluster.now += Duration::days(5);
    let finding = only_until_repaired(&mut cluster, "client/ending", Severity::Warning);
    assert_eq!(
        finding.remedy,
        "kubectl mtls renew-client --expiring-within 2d --authority kyma-mtls"
    );
}

#[test]
fn one_command_renews_all_clients_whose_certificates_have_expired() {
    let mut cluster = six();
    cluster.now += Duration::days(8);
    let finding = only_until_repaired(&mut cluster, "client/expired", Severity::Warning);
    assert!(
        finding.remedy.contains(" 'sensor 6' --authority "),
        "{}",
        finding.remedy
    );
}

#[test]
fn one_command_revokes_all_certificates_that_were_never_delivered() {
    let mut cluster = six();
    for number in 1..=6 {
        cluster.restate(number, EntryState::Reserved);
    }
    cluster.now += Duration::hours(2);
    let finding = only_until_repaired(&mut cluster, "client/never-delivered", Severity::Warning);
    assert_eq!(finding.remedy.matches("--serial ").count(), 6);
}

#[test]
fn one_command_revokes_all_clients_that_are_on_no_list() {
    let mut cluster = six();
    for number in 1..=6 {
        cluster.revoke_in_inventory(number);
    }
    only_until_repaired(&mut cluster, "revocation/not-listed", Severity::Error);
}

#[test]
fn a_rotation_names_the_command_that_renews_its_clients() {
    let mut cluster = kyma();
    cluster.issue("Ada Lovelace");
    let rotated = |cluster: &mut Cluster| {
        for _ in 0..2 {
            cluster.run(&rotate()).unwrap();
            cluster.load();
        }
        report(cluster).authorities[0].next.clone().unwrap()
    };
    assert_eq!(
        rotated(&mut cluster),
        "kubectl mtls renew-client 'Ada Lovelace' alice --authority kyma-mtls"
    );
    // Who has a certificate of the new CA needs none.
    let next = |cluster: &mut Cluster| report(cluster).authorities[0].next.clone().unwrap();
    cluster.issue("alice");
    assert_eq!(
        next(&mut cluster),
        "kubectl mtls renew-client 'Ada Lovelace' --authority kyma-mtls"
    );
    cluster.issue("Ada Lovelace");
    assert_eq!(
        next(&mut cluster),
        "kubectl mtls revoke-client --superseded --authority kyma-mtls"
    );
    assert_eq!(
        rotated(&mut six()),
        "kubectl mtls renew-client --retired-ca --authority kyma-mtls"
    );
}

#[test]
fn a_client_of_a_removed_ca_is_one_finding_unless_it_has_another_certificate() {
    let mut cluster = kyma();
    for _ in 0..2 {
        cluster.run(&rotate()).unwrap();
    }
    let forced = Finish {
        force: true,
        ..Finish::default()
    };
    cluster.run(&ca_rotate(Goal::Finish(forced))).unwrap();
    let finding = only(&mut cluster, "client/removed-ca", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl mtls issue-client --another alice --authority kyma-mtls"
    );
    cluster.issue("alice");
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_certificate_that_was_never_delivered_is_one_finding_after_an_hour() {
    let mut cluster = kyma();
    let bob = cluster.issue("bob");
    cluster.restate(bob, EntryState::Reserved);
    assert_eq!(findings(&mut cluster), []);
    cluster.now += Duration::hours(2);
    let finding = only(&mut cluster, "client/never-delivered", Severity::Warning);
    let serial = cluster.certificate(bob).serial_hex();
    assert_eq!(
        finding.remedy,
        format!("kubectl mtls revoke-client --serial {serial} --authority kyma-mtls")
    );
}

#[test]
fn a_client_that_is_revoked_in_the_inventory_only_is_one_finding() {
    let mut cluster = kyma();
    cluster.issue("bob");
    cluster.issue("carol");
    cluster.revoke(1);
    cluster.revoke_in_inventory(2);
    // Another certificate of the same client stays valid.
    let other = cluster.issue("carol");
    let serial = cluster.certificate(2).serial_hex();
    let finding = only_until_repaired(&mut cluster, "revocation/not-listed", Severity::Error);
    assert_eq!(
        finding.remedy,
        format!("kubectl mtls revoke-client --serial {serial} --authority kyma-mtls")
    );
    let certificate = cluster.certificate(other).clone();
    let host = format!("httpbin.mtls.{}", crate::plan::testing::kyma::DOMAIN);
    let answers = cluster.statuses(&host, Some(&certificate));
    assert_eq!(answers, [Some(200); 2]);
}

/// Other clients of such a CA may have the serial number.
#[test]
fn a_revocation_of_a_given_ca_that_is_on_no_list_is_found_also_after_its_certificates_end() {
    let mut cluster = kyma();
    cluster.issue_for("bob", Duration::days(1));
    let mut state = cluster.state();
    state.given.insert(state.trusted[0].fingerprint());
    cluster.put(&state.object());
    cluster.load();
    cluster.revoke_in_inventory(1);
    cluster.now += Duration::days(2);
    let ids: Vec<&str> = findings(&mut cluster).iter().map(|(id, _)| *id).collect();
    assert!(ids.contains(&"revocation/not-listed"), "{ids:?}");
    state.given.clear();
    cluster.put(&state.object());
    assert_eq!(findings(&mut cluster), []);
}

/// A host that only these may call.
fn allowing(clients: &[&str]) -> Cluster {
    let names = clients.iter().map(|name| (*name).to_owned());
    let access = AccessChoice {
        allow: Allow::Only(names.collect()),
        allow_unknown: true,
        ..AccessChoice::default()
    };
    let request = expose::Request {
        access,
        ..expose_request()
    };
    let mut cluster = exposed_as(Cluster::kyma(), request);
    cluster.issue("alice");
    cluster.load();
    cluster
}

#[test]
fn an_allow_list_of_nobody_who_has_a_certificate_is_one_finding() {
    let mut cluster = allowing(&["alice"]);
    assert_eq!(findings(&mut cluster), []);
    cluster.revoke(0);
    only(&mut cluster, "allow-list/nobody", Severity::Error);
    let mut cluster = allowing(&["alcie"]);
    only(&mut cluster, "allow-list/nobody", Severity::Error);
    let mut cluster = allowing(&["alice"]);
    cluster.now = cluster.certificate(0).not_after() + Duration::hours(1);
    let ids = findings(&mut cluster);
    assert!(
        ids.contains(&("allow-list/nobody", Severity::Error)),
        "{ids:?}"
    );
}

#[test]
fn a_client_may_be_listed_by_any_of_its_uris() {
    let mut cluster = allowing(&["spiffe://example.com/second"]);
    let mut request = crate::plan::testing::issue_request("bob");
    request.names.uris = ["first", "second"]
        .map(|path| format!("spiffe://example.com/{path}"))
        .into();
    cluster.run(&request).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn an_entry_that_cannot_be_read_may_stand_for_a_listed_client() {
    let mut cluster = allowing(&["bob"]);
    let bob = cluster.issue("bob");
    let serial = cluster.certificate(bob).serial_hex();
    let mut objects = cluster.objects.values();
    let entry = objects.find(|object| serial_label(object) == Some(&serial));
    let damaged = entry.unwrap().clone();
    cluster.put(
        &damaged
            .clone()
            .without_annotation("kubectl-mtls.dev/not-after"),
    );
    only(&mut cluster, "inventory/damaged", Severity::Warning);
    // A certificate without a serial number cannot be revoked.
    cluster.put(&damaged.with_annotation("kubectl-mtls.dev/serial", "soon"));
    only(&mut cluster, "inventory/damaged", Severity::Warning);
}

#[test]
fn a_list_for_clients_of_an_external_ca_is_not_judged_by_the_inventory() {
    let mut cluster = allowing(&["spiffe://corp.example/device"]);
    only(&mut cluster, "allow-list/nobody", Severity::Error);
    let mut state = cluster.state();
    state.external.push(foreign_ca().certificate().clone());
    cluster.put(&state.object());
    cluster.load();
    only(&mut cluster, "client-ca/external", Severity::Note);
}

#[test]
fn a_long_allow_list_is_shortened_and_whole_in_the_details() {
    let names: Vec<String> = (0..30).map(|number| format!("client-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut cluster = allowing(&[names, vec!["alice"]].concat());
    let report = report(&mut cluster);
    let mut links = report.hosts[0].links.iter();
    let clients = links.find(|link| link.name == "clients").unwrap();
    assert!(clients.says.ends_with(" and 26 more"), "{}", clients.says);
    assert_eq!(clients.details.len(), 31);
}

#[test]
fn a_client_that_is_revoked_on_the_list_only_is_one_finding() {
    let mut cluster = kyma();
    cluster.issue("bob");
    cluster.revoke(1);
    cluster.restate(1, EntryState::Issued);
    let finding = only(&mut cluster, "revocation/not-recorded", Severity::Warning);
    assert_eq!(
        finding.remedy,
        "kubectl mtls revoke-client bob --authority kyma-mtls"
    );
}
