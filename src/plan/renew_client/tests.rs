//! `renew-client` against an inventory in memory.

mod faults;
mod unknown;

use super::*;
use crate::pki::inspect::Certificate;
use crate::plan::authority::NewAuthority;
use crate::plan::identity::Names;
use crate::plan::issue_client::Place;
use crate::plan::issue_client::tests::{another, issuer, request as first};
use crate::plan::testing::Cluster;
use crate::plan::{DryRun, ca_rotate};
use crate::resources::inventory::{Entry, EntryState, reference};
use crate::resources::names::FIRST_AUTHORITY;

fn renewal(name: &str) -> Request {
    Request {
        issuer: issuer("kyma-mtls", Place::Cluster),
        name: name.parse().unwrap(),
        number: None,
        ttl: None,
        key: Key::Alike,
        existing: ExistingFiles::default(),
        scale: Scale::Single,
    }
}

fn certificate(entry: &Entry) -> Certificate {
    Certificate::from_pem(entry.certificate.as_ref().unwrap()).unwrap()
}

/// Changes an entry behind the plugin's back.
fn change(cluster: &mut Cluster, number: u32, edit: impl FnOnce(&mut Entry)) {
    let name: ClientName = "alice".parse().unwrap();
    let mut entry = cluster.entries()[usize::try_from(number).unwrap() - 1].clone();
    assert_eq!(
        reference("kyma-mtls", &name, number).name,
        entry.object(&name).name()
    );
    edit(&mut entry);
    cluster.put(&entry.object(&name));
}

#[test]
fn the_same_identity_is_issued_again_and_the_old_one_stays() {
    let mut cluster = Cluster::default();
    let full = issue_client::Request {
        names: Names {
            subject: Some("CN=alice,OU=a,OU=b,DC=example".parse().unwrap()),
            uris: vec!["urn:one".to_owned(), "urn:two".to_owned()],
            dns: vec!["a.example".to_owned()],
            emails: vec!["a@example.com".to_owned()],
            ips: vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            ..Names::default()
        },
        key: ClientKey::New(KeyType::P384),
        ttl: Duration::days(17),
        ..first("alice")
    };
    cluster.run(&full).unwrap();
    let report = cluster.run(&renewal("alice")).unwrap();
    assert_eq!((report.entry.number, report.entry.renews), (2, Some(1)));
    assert!(report.notes[0].contains("certificate 1 of `alice` stays valid until"));
    let entries = cluster.entries();
    assert_eq!(cluster.states(), [EntryState::Issued, EntryState::Issued]);
    let [old, new] = [&entries[0], &entries[1]].map(certificate);
    assert_eq!(new.subject_der(), old.subject_der());
    assert_eq!(new.uri_sans(), old.uri_sans());
    assert_eq!(new.dns_sans(), old.dns_sans());
    assert_eq!((new.emails(), new.ips()), (old.emails(), old.ips()));
    assert_eq!(
        new.not_after() - new.not_before(),
        old.not_after() - old.not_before()
    );
    assert_eq!(new.key_description(), "P-384");
    assert_ne!(new.public_key_der(), old.public_key_der());
}

#[test]
fn after_a_rotation_the_new_ca_signs() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    cluster.rotate();
    let report = cluster.run(&renewal("alice")).unwrap();
    assert_ne!(report.entry.issuer_ski, cluster.entries()[0].issuer_ski);
}

#[test]
fn the_last_delivered_certificate_is_renewed_or_the_one_of_a_number() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    let phone = issue_client::Request {
        ttl: Duration::days(5),
        ..another("alice")
    };
    cluster.run(&phone).unwrap();
    cluster.run(&another("alice")).unwrap();
    change(&mut cluster, 3, |entry| entry.state = EntryState::Reserved);
    let report = cluster.run(&renewal("alice")).unwrap();
    assert_eq!(report.entry.renews, Some(2));
    let by_number = Request {
        number: Some(1),
        ..renewal("alice")
    };
    assert_eq!(cluster.run(&by_number).unwrap().entry.renews, Some(1));
}

#[test]
fn what_was_never_delivered_or_is_revoked_is_not_renewed_and_nothing_is_written() {
    let mut cluster = Cluster::default();
    let said = cluster.run(&renewal("alice")).unwrap_err().to_string();
    assert!(said.contains("there is no authority `kyma-mtls`"), "{said}");
    assert!(cluster.writes.is_empty());
    cluster.run(&first("bob")).unwrap();
    cluster.writes.clear();
    let said = cluster.run(&renewal("alice")).unwrap_err().to_string();
    assert!(said.contains("no certificate that was delivered"), "{said}");
    cluster.run(&first("alice")).unwrap();
    cluster.run(&another("alice")).unwrap();
    cluster.writes.clear();
    for (state, word) in [
        (EntryState::Revoked, "revoked"),
        (EntryState::Void, "void"),
        (EntryState::Reserved, "reserved"),
    ] {
        change(&mut cluster, 2, |entry| entry.state = state);
        let last = Request {
            number: Some(2),
            ..renewal("alice")
        };
        let said = cluster.run(&last).unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
    // A certificate that was revoked last is not passed over for an older one.
    change(&mut cluster, 2, |entry| entry.state = EntryState::Revoked);
    let said = cluster.run(&renewal("alice")).unwrap_err().to_string();
    assert_eq!(said, "certificate 2 of `alice` was revoked");
    assert!(cluster.writes.is_empty(), "{:?}", cluster.writes);
}

#[test]
fn what_somebody_wrote_into_the_inventory_is_not_signed() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    cluster.run(&first("bob")).unwrap();
    let own = cluster.entries()[0].clone();
    // A certificate of bob's under alice's name, and one of another CA with the same serial number.
    let bobs = cluster.entries()[1].certificate.clone();
    let mut other = Cluster::default();
    other.run(&first("alice")).unwrap();
    let foreign = other.entries()[0].clone();
    for (certificate, serial, reason) in [
        (bobs, own.serial.clone(), "the serial number differs"),
        (foreign.certificate, foreign.serial, "its CA differs"),
        (
            Some("rubbish".to_owned()),
            own.serial.clone(),
            "certificate 1 of `alice` cannot be read",
        ),
    ] {
        change(&mut cluster, 1, |entry| {
            entry.certificate = certificate;
            entry.serial = serial;
        });
        cluster.writes.clear();
        let said = cluster.run(&renewal("alice")).unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
        assert!(cluster.writes.is_empty());
    }
}

#[test]
fn a_printed_command_can_be_pasted_whatever_the_name_of_the_client() {
    let mut cluster = Cluster::default();
    cluster.run(&first("it's alice")).unwrap();
    let mut entry = cluster.entries().remove(0);
    entry.serial = "07".to_owned();
    cluster.put(&entry.object(&"it's alice".parse().unwrap()));
    let failure = cluster.run(&renewal("it's alice")).unwrap_err();
    let command = "  kubectl mtls issue-client --another 'it'\\''s alice' --authority kyma-mtls";
    let hints = failure.what_to_do();
    assert!(hints.iter().any(|hint| *hint == command), "{hints:?}");
}

#[test]
fn an_entry_that_holds_the_certificate_of_another_client_is_not_renewed() {
    let bob = || issue_client::Request {
        names: Names {
            uris: vec!["urn:bob".to_owned()],
            ..Names::default()
        },
        ..first("bob")
    };
    // Of another CA, with the same serial number.
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    cluster.rotate();
    let serial = cluster.entries()[0].serial.clone();
    cluster.random = 1;
    cluster.run(&bob()).unwrap();
    let bobs = cluster.entries()[1].clone();
    assert_eq!(bobs.serial, serial);
    change(&mut cluster, 1, |entry| {
        entry.certificate = bobs.certificate;
    });
    refuses_the_swapped_certificate(&mut cluster);

    // Of the same CA, with the serial number written into the entry as well.
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    cluster.run(&bob()).unwrap();
    let bobs = cluster.entries()[1].clone();
    change(&mut cluster, 1, |entry| {
        entry.certificate = bobs.certificate;
        entry.serial = bobs.serial;
    });
    refuses_the_swapped_certificate(&mut cluster);
}

#[track_caller]
fn refuses_the_swapped_certificate(cluster: &mut Cluster) {
    cluster.writes.clear();
    let failure = cluster.run(&renewal("alice")).unwrap_err();
    let said = failure.to_string();
    assert!(said.contains("is not the one that the entry"), "{said}");
    assert_eq!(failure.exit().code(), 2);
    assert!(cluster.writes.is_empty(), "{:?}", cluster.writes);
}

#[test]
fn killed_after_any_step_a_rerun_issues_the_renewal() {
    for steps in 0..20 {
        let mut cluster = Cluster::default();
        cluster.run(&first("alice")).unwrap();
        if cluster.killed(&renewal("alice"), steps) {
            return;
        }
        let reserved = cluster.entries().len() == 2;
        let report = cluster.run(&renewal("alice")).unwrap();
        assert_eq!(report.entry.state, EntryState::Issued);
        // Without its files a reserved certificate is lost; one that was booked already is the last one delivered.
        let renewed_again = cluster.states()[1] == EntryState::Issued && reserved;
        assert_eq!(report.entry.renews, Some(if renewed_again { 2 } else { 1 }));
    }
    panic!("it never ends");
}

#[test]
fn a_killed_renewal_whose_files_are_there_is_completed() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    cluster.run(&renewal("alice")).unwrap();
    change(&mut cluster, 2, |entry| entry.state = EntryState::Reserved);
    for in_the_way in [vec!["alice.crt".to_owned()], Vec::new()] {
        change(&mut cluster, 2, |entry| entry.state = EntryState::Reserved);
        let existing = ExistingFiles {
            in_the_way,
            certificate: Some(certificate(&cluster.entries()[1])),
            client_ca: None,
            were_completed: false,
        };
        let again = Request {
            existing,
            ..renewal("alice")
        };
        let report = cluster.run(&again).unwrap();
        assert!(report.completed);
        assert_eq!((report.entry.number, cluster.entries().len()), (2, 2));
    }
}

#[test]
fn the_files_of_the_old_certificate_are_not_replaced_unasked() {
    let mut cluster = Cluster::default();
    cluster.run(&first("alice")).unwrap();
    let existing = ExistingFiles {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: Some(certificate(&cluster.entries()[0])),
        client_ca: None,
        were_completed: false,
    };
    let unasked = Request {
        existing,
        ..renewal("alice")
    };
    cluster.writes.clear();
    let failure = cluster.run(&unasked.clone()).unwrap_err();
    assert!(failure.to_string().contains("the one to renew: alice.crt"));
    assert!(cluster.writes.is_empty());
    let mut asked = unasked;
    asked.existing.in_the_way.clear();
    assert_eq!(cluster.run(&asked).unwrap().entry.number, 2);
}

#[test]
fn due_is_what_ends_soon_and_was_not_renewed() {
    let within = due::Request {
        authority: "kyma-mtls".to_owned(),
        within: Some(Duration::days(30)),
        retired_ca: false,
    };
    let due = |cluster: &mut Cluster| {
        let plan = |observed: &Observed, now| due::reconcile(&within, observed, now);
        let report = cluster.run(&plan).unwrap();
        let due = report.due.into_iter();
        due.map(|due| (due.name.to_string(), due.number))
            .collect::<Vec<_>>()
    };
    let mut cluster = Cluster::default();
    for (name, days) in [("alice", 20), ("bob", 10), ("carol", 90)] {
        let request = issue_client::Request {
            ttl: Duration::days(days),
            ..first(name)
        };
        cluster.run(&request).unwrap();
    }
    let named = |name: &str| (name.to_owned(), 1);
    assert_eq!(due(&mut cluster), [named("bob"), named("alice")]);
    let longer = Request {
        ttl: Some(Duration::days(60)),
        ..renewal("bob")
    };
    cluster.run(&longer).unwrap();
    assert_eq!(due(&mut cluster), [named("alice")]);
}

#[test]
fn everybody_of_a_retired_ca_is_due_but_for_what_was_renewed_or_never_delivered() {
    let of_retired_ca = due::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        within: None,
        retired_ca: true,
    };
    let plan = |observed: &Observed, now| due::reconcile(&of_retired_ca, observed, now);
    let mut cluster = Cluster::exposed();
    for name in ["alice", "bob", "carol"] {
        cluster.issue(name);
    }
    let before = cluster.run(&plan).unwrap();
    assert!(before.due.is_empty());
    assert!(before.notes[0].contains("no retired CA"), "{before:?}");
    let carol: ClientName = "carol".parse().unwrap();
    let mut entry = cluster.entries().pop().unwrap();
    entry.state = EntryState::Reserved;
    cluster.put(&entry.object(&carol));
    rotate(&mut cluster);
    let due = |cluster: &mut Cluster| {
        let report = cluster.run(&plan).unwrap();
        let names = report.due.into_iter().map(|due| due.name.to_string());
        (names.collect::<Vec<_>>(), report.left_out)
    };
    let (names, left_out) = due(&mut cluster);
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].contains("`carol`") && left_out[0].contains("reserved"));
    let renewed = Request {
        issuer: issuer(FIRST_AUTHORITY, Place::Cluster),
        ..renewal("alice")
    };
    cluster.run(&renewed).unwrap();
    assert_eq!(due(&mut cluster).0, ["bob"]);
}

fn rotate(cluster: &mut Cluster) {
    let rotation = ca_rotate::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal: ca_rotate::Goal::Advance(None),
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    };
    cluster.run(&rotation).unwrap();
}

#[test]
fn renew_client_ends_whatever_the_objects_of_a_cluster_look_like() {
    use crate::plan::testing::hostile::refusals;
    let mut cluster = Cluster::kyma();
    cluster
        .run(&crate::plan::testing::kyma::expose_request())
        .unwrap();
    cluster.issue("alice");
    assert!(refusals(&cluster, &renewal("alice")) > 0);
}
