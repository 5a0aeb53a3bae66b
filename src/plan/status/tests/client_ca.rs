//! Who is trusted, and whether that can fail open.

use super::*;
use crate::resources::rotation::Entrance;

fn neighbour() -> ObjectRef {
    trust_secret("kyma-mtls-clients")
}

fn bring_neighbour(cluster: &mut Cluster) {
    let object = Object::new(neighbour());
    let query = Query::GetMetadata(neighbour());
    cluster.observed.saw(query, Seen::Found(vec![object]));
}

#[test]
fn a_missing_secret_beside_one_without_the_ending_fails_open_and_says_so() {
    let mut cluster = Cluster::unmoved();
    cluster.lose_secret();
    bring_neighbour(&mut cluster);
    let report = cluster.report();
    found(
        &report,
        Mark::Error,
        "istiod takes the `ca.crt` of Secret istio-system/kyma-mtls-clients",
    );
    assert_eq!(link(&report, "client CA").findings.len(), 1);
}

#[test]
fn a_missing_secret_alone_fails_closed() {
    let mut cluster = Cluster::unmoved();
    cluster.lose_secret();
    let report = cluster.report();
    found(&report, Mark::Error, "a restarted one refuses every client");
}

#[test]
fn a_missing_secret_does_not_hide_a_name_that_istiod_never_delivers() {
    let mut cluster = Cluster::healthy();
    let named = gateway("kyma-mtls-gateway");
    let mut spec = named.body()["spec"].clone();
    spec["servers"][0]["tls"]["caCertCredentialName"] = "clients".into();
    cluster.list(Query::everywhere(Kind::Gateway), [named.with("spec", spec)]);
    let report = cluster.report();
    found(&report, Mark::Error, "does not end in `-cacert`");
    found(
        &report,
        Mark::Error,
        "Secret istio-system/clients is missing",
    );
}

#[test]
fn a_missing_secret_does_not_hide_a_client_that_is_let_in_without_certificate() {
    let mut cluster = Cluster::unmoved();
    cluster.lose_secret();
    cluster.observation.outcome = Outcome::Answered(200);
    found(
        &cluster.report(),
        Mark::Error,
        "a client without certificate was let in",
    );
}

#[test]
fn a_secret_that_would_be_trusted_in_the_others_place_is_an_error_beforehand() {
    let mut cluster = Cluster::unmoved();
    bring_neighbour(&mut cluster);
    found(
        &cluster.report(),
        Mark::Error,
        "Secret istio-system/kyma-mtls-clients exists",
    );
}

#[test]
fn the_tutorials_name_fails_open_when_its_secret_is_missing() {
    let mut cluster = Cluster::healthy();
    let named = gateway("kyma-mtls-gateway");
    let mut spec = named.body()["spec"].clone();
    spec["servers"][0]["tls"]["caCertCredentialName"] = "".into();
    cluster.list(Query::everywhere(Kind::Gateway), [named.with("spec", spec)]);
    let derived = Query::Get(trust_secret("kyma-mtls-cacert"));
    cluster.observed.saw(derived, Seen::Missing);
    let report = cluster.report();
    found(
        &report,
        Mark::Error,
        "istiod takes the `ca.crt` of Secret istio-system/kyma-mtls ",
    );
}

#[test]
fn a_ca_that_issues_and_is_not_published_is_an_error() {
    let mut cluster = Cluster::unmoved();
    let new = authority([2; 4]).certificate().clone();
    let mut state = cluster.unmoved_state();
    state.issuing = Some(new.fingerprint());
    state.trusted.insert(0, new);
    cluster.publish(&state);
    found(
        &cluster.report(),
        Mark::Error,
        "certificates issued now are refused",
    );
}

#[test]
fn an_authority_that_is_gone_is_an_error_with_what_follows() {
    let mut cluster = Cluster::healthy();
    let authority = CredentialNames::first().state();
    cluster.observed.saw(Query::Get(authority), Seen::Missing);
    cluster.list(states(), []);
    let words = "a restarted one refuses everybody on its port, other hosts included";
    found(&cluster.report(), Mark::Error, words);
}

#[test]
fn a_fallback_that_is_gone_taken_or_changed_is_a_warning() {
    let closed = || fallback(authority([9; 4]).certificate());
    let other = STANDARD.encode(authority([8; 4]).certificate().pem());
    let reference = closed().reference().clone();
    let cases = [
        (None, "client-ca/fallback-missing"),
        (
            Some(Object::new(reference.clone()).with("data", json!({"cacert": other}))),
            "client-ca/fallback-taken",
        ),
        (
            Some(closed().with("data", json!({"cacert": other}))),
            "client-ca/fallback-changed",
        ),
    ];
    for (secret, id) in cases {
        let mut cluster = Cluster::healthy();
        let secret = secret.map_or(Seen::Missing, |secret| Seen::Found(vec![secret]));
        cluster.observed.saw(Query::Get(reference.clone()), secret);
        let report = cluster.report();
        assert_eq!(check(&report, id).severity, Severity::Warning);
        assert_eq!(findings(&report).len(), 1, "{report:#?}");
    }
}

#[test]
fn an_authority_that_is_nearly_full_is_a_warning_with_the_command_that_makes_room() {
    let mut cluster = Cluster::healthy();
    let mut state = cluster.state();
    state.history = vec!["-".repeat(850_000)];
    cluster.publish(&state);
    let report = cluster.report();
    let check = check(&report, "authority/nearly-full");
    assert!(check.seen.contains("takes 81 %"), "{check:?}");
    assert_eq!(check.severity, Severity::Warning);
}

#[test]
fn a_ca_that_somebody_put_into_the_bundle_is_an_error_whether_it_is_new_or_was_dropped() {
    let other = authority([9; 4]).certificate().clone();
    let cases = [
        (None, "client-ca/external-added"),
        (Some(other.fingerprint()), "client-ca/dropped-is-back"),
    ];
    for (dropped, id) in cases {
        let mut cluster = Cluster::healthy();
        let mut state = cluster.state();
        state.dropped.extend(dropped);
        let object = state.object();
        let mut data = object.at(&["data"]).unwrap().clone();
        data["ca.crt"] = (data["ca.crt"].as_str().unwrap().to_owned() + &other.pem()).into();
        let edited = object.with("data", data);
        cluster.list(states(), [edited.clone()]);
        cluster.get(edited);
        let report = cluster.report();
        let check = check(&report, id);
        assert_eq!(check.severity, Severity::Error);
        assert!(check.remedy.contains(&other.fingerprint()), "{check:?}");
    }
}

#[test]
fn a_ca_at_its_end_is_told_with_the_command_that_replaces_it() {
    let mut cluster = Cluster::healthy();
    cluster.authority = Authority::generate(
        &CaRequest {
            subject: default_subject("kyma-mtls", [3; 4]).unwrap(),
            ttl: Duration::days(60),
            key_type: KeyType::P256,
        },
        NOW - Duration::days(50),
        [3; 20],
    )
    .unwrap();
    let state = cluster.state();
    cluster.publish(&state);
    cluster.observation = refusal(&[cluster.authority.certificate()], server(PATTERN, 60));
    let report = cluster.report();
    found(
        &report,
        Mark::Warning,
        "ends on 2026-09-11, and with it every certificate of it",
    );
    assert!(format!("{report:?}").contains("`kubectl mtls ca-rotate`"));
}

/// A CA as `openssl req -x509` makes it in the tutorial: without keyUsage.
fn without_key_usage() -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, "Tutorial CA");
    params.not_before = NOW - Duration::days(1);
    params.not_after = NOW + Duration::days(3650);
    let key = rcgen::KeyPair::generate().unwrap();
    Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}

/// An authority that was given `ca`, and goes on with its own one.
fn given(ca: &Certificate) -> (Cluster, AuthorityState) {
    let mut cluster = Cluster::healthy();
    let entrance = Entrance {
        is_given: true,
        ..Entrance::default()
    };
    let state = cluster.state().descending_from(ca.clone(), entrance);
    show(&mut cluster, &state);
    (cluster, state)
}

/// The state is published, and every gateway has loaded it.
fn show(cluster: &mut Cluster, state: &AuthorityState) {
    cluster.publish(state);
    let cas: Vec<&Certificate> = state.trusted.iter().collect();
    cluster.observation = refusal(&cas, server(PATTERN, 60));
}

#[test]
fn what_is_weak_about_a_given_ca_is_said_until_it_has_left() {
    let cases = [
        (without_key_usage(), "has no keyUsage"),
        (
            authority([7; 4]).certificate().clone(),
            "are not in the inventory",
        ),
    ];
    for (ca, words) in cases {
        let (mut cluster, state) = given(&ca);
        let report = cluster.report();
        found(&report, Mark::Warning, words);
        assert_eq!(findings(&report).len(), 1, "{report:#?}");
        assert!(!report.is_healthy(false));

        let mut after = Cluster::healthy();
        show(&mut after, &state.without(&[ca.fingerprint()].into()));
        assert_eq!(findings(&after.report()), []);
    }
}

#[test]
fn clients_of_a_given_ca_can_forge_headers_that_no_guard_protects() {
    let (mut cluster, _) = given(&without_key_usage());
    cluster.list(super::super::guards::query(), []);
    found(&cluster.report(), Mark::Warning, "may have no URI SAN");
}

#[test]
fn a_given_ca_that_issues_and_says_what_it_is_for_is_as_good_as_a_made_one() {
    let mut cluster = Cluster::healthy();
    let mut state = cluster.state();
    state.given.insert(state.trusted[0].fingerprint());
    show(&mut cluster, &state);
    assert_eq!(findings(&cluster.report()), []);
}
