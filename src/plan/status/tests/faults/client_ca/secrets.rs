//! Faults of client-CA Secrets and fail-closed Secrets.

use super::*;

#[test]
fn a_secret_that_is_gone_fails_closed_or_open() {
    let secret = client_ca::secret("istio-system", "corporate-cacert");
    let neighbour = Object::new(client_ca::secret("istio-system", "corporate"));
    let mut cluster = by_hand(&Ca::made(|_| {}).pem(), None);
    cluster.put(&neighbour);
    worst(&mut cluster, "client-ca/shadowed", Severity::Error);
    cluster.objects.remove(&secret);
    cluster.load();
    only(&mut cluster, "client-ca/fails-open", Severity::Error);
    cluster.objects.remove(neighbour.reference());
    cluster.load();
    only(&mut cluster, "client-ca/missing", Severity::Error);
}

#[test]
fn the_tutorials_name_fails_open_once_its_secret_is_gone() {
    let ca = Ca::made(|_| {});
    let mut cluster = by_hand(&ca.pem(), None);
    let data = json!({"cacert": BASE64.encode(ca.pem())});
    let secret =
        Object::new(client_ca::secret("istio-system", "kyma-mtls-cacert")).with("data", data);
    cluster.put(&secret);
    read(&mut cluster, "");
    worst(&mut cluster, "client-ca/may-fail-open", Severity::Warning);
    cluster.objects.remove(secret.reference());
    cluster.load();
    only(&mut cluster, "client-ca/fails-open", Severity::Error);
}

#[test]
fn a_name_that_istiod_never_delivers_is_one_finding() {
    let mut cluster = by_hand(&Ca::made(|_| {}).pem(), None);
    let secret = cluster.objects[&client_ca::secret("istio-system", "corporate-cacert")].clone();
    let data = secret.at(&["data"]).unwrap().clone();
    cluster.put(&Object::new(client_ca::secret("istio-system", "corporate")).with("data", data));
    read(&mut cluster, "corporate");
    worst(&mut cluster, "client-ca/name-ignored", Severity::Error);
}

#[test]
fn a_fail_closed_secret_that_is_gone_taken_or_changed_is_one_finding() {
    let reference = client_ca::secret("istio-system", "kyma-mtls-cacert");
    let other = json!({"cacert": BASE64.encode(foreign_ca().certificate().pem())});
    let healthy = kyma();
    let closed = healthy.objects[&reference].clone();
    let cases = [
        (None, "client-ca/fallback-missing"),
        (
            Some(Object::new(reference.clone()).with("data", other.clone())),
            "client-ca/fallback-taken",
        ),
        (
            Some(closed.clone().with("data", other)),
            "client-ca/fallback-changed",
        ),
        (
            Some(closed.with("data", json!({"cacert": BASE64.encode("no CA")}))),
            "client-ca/fallback-changed",
        ),
    ];
    for (secret, id) in cases {
        let mut cluster = healthy.clone();
        cluster.objects.remove(&reference);
        if let Some(secret) = secret {
            cluster.put(&secret);
        }
        cluster.load();
        only_until_repaired(&mut cluster, id, Severity::Warning);
    }
}

#[test]
fn a_secret_in_the_place_of_the_fail_closed_one_stays_where_a_gateway_reads_it() {
    let reference = client_ca::secret("istio-system", "kyma-mtls-cacert");
    let mut cluster = kyma();
    let data = json!({"cacert": BASE64.encode(foreign_ca().certificate().pem())});
    cluster.put(&Object::new(reference).with("data", data));
    let tls = json!({"mode": "MUTUAL", "credentialName": "kyma-mtls"});
    let server = json!({"hosts": ["other.example.com"], "tls": tls,
        "port": {"name": "https", "number": 443, "protocol": "HTTPS"}});
    let other = GatewayName::new("other", "gateway").reference();
    let spec = json!({"selector": {"istio": "nobody"}, "servers": [server]});
    add(&mut cluster, &Object::new(other).with("spec", spec));
    let report = report(&mut cluster);
    let mut findings = report.findings.iter();
    let taken = findings.find(|finding| finding.check.id == "client-ca/fallback-taken");
    let taken = taken.unwrap();
    assert!(
        taken
            .seen
            .contains("the Gateway other/gateway reads the Secret")
    );
    assert!(!taken.remedy.contains("delete"), "{}", taken.remedy);
}

/// A host whose Gateway reads a Secret that follows its authority, as earlier versions made it.
fn unmoved() -> Cluster {
    let mut cluster = kyma();
    let mut state = cluster.state();
    let name = CredentialNames::first().earlier_client_ca();
    state.client_ca_secret = Some(name.clone());
    cluster.put(&state.object());
    follow(&mut cluster);
    read(&mut cluster, &name);
    cluster
}

/// The Secret says what the authority does.
fn follow(cluster: &mut Cluster) {
    let shown = ClientCa::of(&cluster.state()).unwrap();
    let mut data = json!({"cacert": BASE64.encode(shown.bundle.to_pem())});
    if let Some(crl) = shown.crl {
        data["crl"] = BASE64.encode(crl).into();
    }
    let secret = client_ca::secret(
        "istio-system",
        &CredentialNames::first().earlier_client_ca(),
    );
    let secret = Object::new(secret).with_label(AUTHORITY_LABEL, "kyma-mtls");
    cluster.put(&secret.with("data", data));
    cluster.load();
}

#[test]
fn a_secret_that_does_not_follow_its_authority_is_one_finding() {
    let mut cluster = unmoved();
    assert_eq!(findings(&mut cluster), []);
    cluster.issue("bob");
    cluster.revoke(1);
    only(&mut cluster, "client-ca/crl-outdated", Severity::Error);
    follow(&mut cluster);
    assert_eq!(findings(&mut cluster), []);
    let ca = cluster.ca("Next CA").certificate().clone();
    let list = own(&cluster).list(-1, 30);
    let entrance = Entrance {
        crl: Some(list),
        is_given: false,
    };
    let state = cluster.state().going_to(ca, entrance);
    cluster.put(&state.object());
    cluster.load();
    let id = "client-ca/not-the-authoritys";
    let finding = only(&mut cluster, id, Severity::Error);
    let command = "kubectl mtls expose httpbin -n shop --fail-closed";
    assert_eq!(finding.remedy, command);
}

/// By one clock alone the list has expired, from which it would follow; by the other one it is a fault of its own.
#[test]
fn a_list_without_a_revoked_certificate_is_a_fault_by_both_clocks() {
    let mut cluster = unmoved();
    cluster.issue("bob");
    cluster.revoke(1);
    let name = CredentialNames::first().earlier_client_ca();
    let secret = cluster.objects[&client_ca::secret("istio-system", &name)].clone();
    let mut data = secret.at(&["data"]).unwrap().clone();
    data["crl"] = BASE64.encode(own(&cluster).list(-1, 60)).into();
    add(&mut cluster, &secret.with("data", data));
    let outdated = ("client-ca/crl-outdated", Severity::Error);
    assert_eq!(findings(&mut cluster), [outdated]);
    cluster.now += time::Duration::days(70);
    cluster.clock_ahead = Some(time::Duration::days(-70));
    let found = findings(&mut cluster);
    assert_eq!(found, [outdated, ("clock/skew", Severity::Warning)]);
}

#[test]
fn a_secret_that_follows_its_authority_and_was_changed_is_one_finding() {
    let key = crate::pki::key::PrivateKey::generate(crate::pki::key::KeyType::P256).unwrap();
    let key = key.to_pem().to_string();
    let own = ClientCa::of(&unmoved().state()).unwrap().bundle.to_pem();
    let leaf = kyma().certificate(0).pem();
    let foreign = foreign_ca().certificate().pem();
    let of = |pem: &str| json!({"cacert": BASE64.encode(pem)});
    for (data, id) in [
        (
            json!({"ca.pem": BASE64.encode(&own)}),
            "client-ca/wrong-keys",
        ),
        (of("hello"), "client-ca/unreadable"),
        (of(&(own.clone() + &leaf)), "client-ca/leaf-in-bundle"),
        (of(&(own.clone() + &key)), "client-ca/private-key-in-bundle"),
        (of(&foreign), "client-ca/not-the-authoritys"),
    ] {
        let mut cluster = unmoved();
        let name = CredentialNames::first().earlier_client_ca();
        let name = client_ca::secret("istio-system", &name);
        let secret = cluster.objects[&name].clone();
        add(&mut cluster, &secret.with("data", data));
        let finding = only(&mut cluster, id, Severity::Error);
        let command = "kubectl mtls expose httpbin -n shop --fail-closed";
        assert!(finding.remedy.ends_with(command), "{}", finding.remedy);
    }
}

#[test]
fn a_secret_whose_ca_has_a_list_is_not_joined_to_an_authority_without_one() {
    let ca = Ca::made(|_| {});
    let mut cluster = kyma();
    let data = json!({
        "cacert": BASE64.encode(ca.pem()),
        "crl": BASE64.encode(ca.list(-1, 30)),
    });
    let secret = client_ca::secret("istio-system", "corporate-cacert");
    cluster.put(&Object::new(secret).with("data", data));
    read(&mut cluster, "corporate-cacert");
    let request = crate::plan::expose::Request {
        fail_closed: true,
        ..super::super::exposure(&cluster)
    };
    let failure = cluster.run(&request).unwrap_err().to_string();
    let words = "have a revocation list and others have none";
    assert!(failure.contains(words), "{failure}");
}
