//! Faults of revocation lists.

use super::*;

#[test]
fn each_fault_of_a_revocation_list_is_a_finding_of_its_own() {
    let ca = Ca::made(|_| {});
    let forger = ca.imitated();
    let other = Ca::made(|params| name(params, rcgen::DnType::CommonName, "Other CA"));
    let error = Severity::Error;
    let cases = [
        (ca.list(-2, -1), "client-ca/crl-expired", error),
        (ca.list(1, 30), "client-ca/crl-not-yet-valid", error),
        (ca.list(-28, 2), "client-ca/crl-ending", Severity::Warning),
        (forger.list(-1, 30), "client-ca/crl-forged", error),
        (other.list(-1, 30), "client-ca/crl-missing", error),
        ("hello".to_owned(), "client-ca/crl-unreadable", error),
    ];
    for (list, id, severity) in cases {
        only_by_hand(&ca.pem(), Some(&list), id, severity);
    }
    let both = ca.pem() + &other.pem();
    let one = ca.list(-1, 30);
    let finding = only_by_hand(&both, Some(&one), "client-ca/crl-missing", error);
    assert!(finding.seen.contains("Other CA"), "{finding:#?}");
    for lists in [
        one.clone(),
        one.clone() + &ca.list(1, 9),
        ca.list(-9, -8) + &one,
    ] {
        let mut cluster = by_hand(&ca.pem(), Some(&lists));
        // The list that is not valid yet, or not any more, would be refused later.
        let note = ("client-ca/external", Severity::Note);
        assert_eq!(findings(&mut cluster), [note]);
    }
}

#[test]
fn a_list_that_ends_within_the_time_that_is_asked_for_is_told() {
    let ca = Ca::made(|_| {});
    let mut cluster = by_hand(&ca.pem(), Some(&ca.list(-1, 30)));
    let mut is_told = |days| {
        let request = crate::plan::status::Request {
            expiring_within: Some(Duration::days(days)),
            ..super::super::request()
        };
        let findings = cluster.run(&request).unwrap().findings;
        let mut ids = findings.iter().map(|finding| finding.check.id);
        ids.any(|id| id == "client-ca/crl-ending")
    };
    assert!(is_told(40));
    assert!(!is_told(20));
}

/// What makes a list one for some certificates only.
fn part() -> rcgen::CrlIssuingDistributionPoint {
    rcgen::CrlIssuingDistributionPoint {
        distribution_point: rcgen::CrlDistributionPoint {
            uris: vec!["http://example.com/crl".to_owned()],
        },
        scope: Some(rcgen::CrlScope::UserCertsOnly),
    }
}

#[test]
fn a_list_for_some_certificates_only_is_no_list_of_its_ca() {
    let ca = Ca::made(|_| {});
    let list = ca.list_for(-1, 30, Some(part()));
    only_by_hand(
        &ca.pem(),
        Some(&list),
        "client-ca/crl-partial",
        Severity::Error,
    );
    let beside = ca.list(-2, 30) + &list;
    let mut cluster = by_hand(&ca.pem(), Some(&beside));
    only(&mut cluster, "client-ca/external", Severity::Note);
}

#[test]
fn a_ca_that_no_list_can_serve_is_one_finding() {
    let mute = Ca::made(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign]);
    let root = Ca::made(|_| {});
    let below = root.below();
    // rcgen signs no list for a CA without cRLSign.
    let list = root.list(-1, 30);
    let (no_sign, alone) = ("client-ca/no-crl-sign", "client-ca/intermediate-alone");
    only_by_hand(&mute.pem(), Some(&list), no_sign, Severity::Error);
    let list = below.list(-1, 30);
    only_by_hand(&below.pem(), Some(&list), alone, Severity::Error);
    let mut whole = by_hand(
        &(below.pem() + &root.pem()),
        Some(&(list + &root.list(-1, 30))),
    );
    only(&mut whole, "client-ca/external", Severity::Note);
    let mut without = by_hand(&below.pem(), None);
    only(&mut without, "client-ca/external", Severity::Note);
}

#[test]
fn a_fault_of_an_authoritys_list_is_the_cause_of_its_edit_and_ends_with_a_restoration() {
    let other = Ca::made(|_| {});
    let cases: [(Make, &str); 7] = [
        (|own, _| own.list(-2, -1), "client-ca/crl-expired"),
        // A list that ends soon is no fault of its own here: the one before it had revoked clients on it, who are let in now.
        (|own, _| own.list(-28, 2), "authority/lists-edited"),
        (|own, _| own.list(1, 30), "client-ca/crl-not-yet-valid"),
        (|own, _| own.imitated().list(-1, 30), "client-ca/crl-forged"),
        (
            |own, _| own.list_for(-1, 30, Some(part())),
            "client-ca/crl-partial",
        ),
        (|_, other| other.list(-1, 30), "client-ca/crl-missing"),
        (|_, _| "hello".to_owned(), "client-ca/crl-unreadable"),
    ];
    for (make, id) in cases {
        let mut cluster = kyma();
        cluster.issue("bob");
        cluster.revoke(1);
        let list = make(&own(&cluster), &other);
        edit(&mut cluster, "ca.crl", |_| list);
        let finding = only(&mut cluster, id, Severity::Error);
        // No list may be older than the one before it.
        if id != "client-ca/crl-not-yet-valid" {
            is_restored(&mut cluster, &finding);
        }
    }
}

#[test]
fn a_list_that_somebody_took_away_is_one_finding() {
    let mut cluster = kyma();
    cluster.issue("bob");
    cluster.revoke(1);
    edit(&mut cluster, "ca.crl", |_| String::new());
    let finding = only(&mut cluster, "authority/lists-edited", Severity::Error);
    is_restored(&mut cluster, &finding);
}

#[test]
fn a_list_under_a_key_of_the_other_family_is_one_finding() {
    let ca = Ca::made(|_| {});
    let mut cluster = by_hand(&ca.pem(), None);
    let reference = client_ca::secret("istio-system", "corporate-cacert");
    let data = json!({
        "cacert": BASE64.encode(ca.pem()),
        "ca.crl": BASE64.encode(ca.list(-1, 30)),
    });
    cluster.put(&Object::new(reference).with("data", data));
    cluster.load();
    worst(&mut cluster, "client-ca/crl-ignored", Severity::Error);
}
