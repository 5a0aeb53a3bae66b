//! Faults of CAs in an authority that trusts them beside its own.

use super::*;

/// A host whose authority trusts these CAs of others too; with lists where a client was revoked.
fn beside(cas: &[&Ca], has_lists: bool) -> Cluster {
    let mut cluster = kyma();
    if has_lists {
        cluster.issue("bob");
        cluster.revoke(1);
    }
    let mut state = cluster.state();
    state
        .external
        .extend(cas.iter().map(|ca| ca.certificate.clone()));
    cluster.put(&state.object());
    cluster.load();
    cluster
}

#[test]
fn each_fault_of_a_ca_that_an_authority_trusts_beside_its_own_is_one_finding() {
    let error = Severity::Error;
    let aged = |from: i64, until: i64| {
        Ca::made(move |params| {
            params.not_before = NOW + Duration::days(from);
            params.not_after = NOW + Duration::days(until);
        })
    };
    let alike = || {
        Ca::made(|params| {
            params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![1]);
        })
    };
    let public = Ca::made(|params| {
        name(params, rcgen::DnType::OrganizationName, "Let's Encrypt");
    });
    for (cas, id, severity) in [
        (vec![&aged(-400, -1)], "client-ca/expired", error),
        (vec![&aged(1, 400)], "client-ca/not-yet-valid", error),
        (vec![&aged(-400, 20)], "client-ca/ending", Severity::Warning),
        (vec![&alike(), &alike()], "client-ca/same-subject", error),
        (vec![&public], "client-ca/public-root", error),
    ] {
        worst(&mut beside(&cas, false), id, severity);
    }
}

#[test]
fn an_expired_ca_that_somebody_moved_before_its_renewed_twin_is_one_finding() {
    let key = rcgen::KeyPair::generate().unwrap();
    let old = Ca::with_key(&key, |params| params.not_after = NOW - Duration::days(1));
    let new = Ca::with_key(&key, |params| params.not_before = NOW - Duration::days(2));
    let mut cluster = beside(&[&old, &new], false);
    let own = cluster.state().trusted[0].pem();
    edit(&mut cluster, "ca.crt", |_| own + &old.pem() + &new.pem());
    let id = "client-ca/expired-in-front";
    worst(&mut cluster, id, Severity::Error);
}

#[test]
fn a_ca_that_no_list_of_an_authority_can_serve_is_one_finding() {
    let mute = Ca::made(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign]);
    let below = Ca::made(|_| {}).below();
    for (ca, id) in [
        (&mute, "client-ca/no-crl-sign"),
        (&below, "client-ca/intermediate-alone"),
    ] {
        worst(&mut beside(&[ca], true), id, Severity::Error);
    }
}
