//! Faults of the server Secret.

use super::*;

fn into_another(cluster: &mut Cluster) {
    edit(cluster, &certificate(), |body| {
        body["spec"]["secretName"] = "another".into();
    });
    cluster.act();
}

#[test]
fn a_certificate_that_fills_another_secret_is_led_back() {
    let mut cluster = kyma();
    into_another(&mut cluster);
    let finding = only(
        &mut cluster,
        "server-certificate/wrong-secret",
        Severity::Warning,
    );
    assert_eq!(
        finding.remedy,
        r#"kubectl patch certificates.cert.gardener.cloud -n istio-system domain-certificate --type=merge -p '{"spec":{"secretName":"kyma-mtls","secretRef":null}}'"#
    );
    let mut cluster = is_gone(cluster);
    only(
        &mut cluster,
        "server-certificate/wrong-secret",
        Severity::Error,
    );
    edit(&mut cluster, &certificate(), |body| {
        body["spec"]["secretName"] = SECRET.into();
    });
    cluster.act();
    cluster.load();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_secret_that_nobody_fills_any_more_gets_a_certificate_by_expose() {
    let mut cluster = kyma();
    cluster.objects.remove(&certificate());
    let finding = only(
        &mut cluster,
        "server-certificate/no-issuer",
        Severity::Warning,
    );
    assert_eq!(finding.remedy, "kubectl mtls expose httpbin -n shop");
    cluster.run(&expose_request()).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_secret_that_is_gone_is_an_error_while_proxies_still_show_its_certificate() {
    for mut cluster in [kyma(), plain()] {
        cluster.controllers.certificates = false;
        let mut cluster = is_gone(cluster);
        cluster.load();
        let finding = only(
            &mut cluster,
            "server-certificate/secret-missing",
            Severity::Error,
        );
        let is_plain = !cluster.objects.contains_key(&certificate());
        let remedy = if is_plain {
            "kubectl mtls expose httpbin -n shop"
        } else {
            "kubectl annotate --overwrite certificates.cert.gardener.cloud -n istio-system domain-certificate gardener.cloud/operation=reconcile"
        };
        assert_eq!(finding.remedy, remedy);
        cluster.controllers.certificates = true;
        if is_plain {
            cluster.run(&expose_request()).unwrap();
        }
        cluster.act();
        cluster.load();
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn a_secret_that_may_not_be_seen_is_no_finding_but_is_told() {
    let mut cluster = kyma();
    cluster.denied.push(secret("istio-system", SECRET));
    let report = super::super::report(&mut cluster);
    assert_eq!(report.findings, []);
    let links = &report.hosts[0].links;
    let mut details = links.iter().flat_map(|link| &link.details);
    let told = "whether Secret istio-system/kyma-mtls exists was not checked";
    assert!(details.any(|detail| detail.starts_with(told)));
}

#[test]
fn data_that_somebody_else_wrote_into_the_secret_is_judged_by_itself() {
    let mut cluster = kyma();
    let end = cluster.objects[&certificate()]
        .text(&["status", "expirationDate"])
        .to_owned();
    let root = ca("Root", None, 900);
    show(
        &mut cluster,
        &[
            &leaf(&pattern(), &root, -91, -1, Vec::new()),
            &root.certificate,
        ],
    );
    edit(&mut cluster, &certificate(), |body| {
        body["status"]["expirationDate"] = end.into();
        body["metadata"]["managedFields"] = json!([
            {"manager": "cert-controller-manager", "subresource": "status", "fieldsV1": {"f:status": {"f:state": {}}}},
        ]);
    });
    edit(&mut cluster, &secret("istio-system", SECRET), |body| {
        body["metadata"]["managedFields"] = json!([
            {"manager": "kubectl-patch", "fieldsV1": {"f:data": {"f:tls.crt": {}}}},
        ]);
    });
    only(&mut cluster, "server-certificate/expired", Severity::Error);
}

#[test]
fn a_secret_that_somebody_keeps_needs_no_certificate() {
    let mut cluster = kyma();
    let choice = ServerChoice::Secret("kept".to_owned());
    let mut kept = cluster.objects[&secret("istio-system", SECRET)]
        .body()
        .clone();
    kept["metadata"] =
        json!({"namespace": INGRESS_NAMESPACE, "name": "kept", "labels": {ISSUED_LABEL: "true"}});
    cluster.put(&Object::from_server(Kind::Secret, kept).unwrap());
    let request = expose::Request {
        server: choice,
        ..expose_request()
    };
    cluster.run(&request).unwrap();
    assert_eq!(findings(&mut cluster), []);
}
