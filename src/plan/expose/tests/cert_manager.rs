//! The server certificate by cert-manager: which issuer, and what stops a run.

use super::*;
use crate::plan::testing::kyma::issuer;
use crate::resources::{Kind, ObjectRef};

const CERTIFICATE: &str = "apply Certificate istio-system/domain-certificate";

/// Istio with cert-manager, and no issuer.
fn without_issuers() -> Cluster {
    let mut cluster = Cluster::plain().with_cert_manager();
    cluster
        .objects
        .remove(&ObjectRef::new(Kind::ClusterIssuer, "", "ca"));
    cluster
}

fn request(issuer: Option<&str>) -> Request {
    Request {
        server: ServerChoice::CertManager,
        issuer: issuer.map(str::to_owned),
        ..plain_request()
    }
}

fn certificate(cluster: &Cluster) -> &Object {
    let name = ObjectRef::new(
        Kind::CertManagerCertificate,
        "istio-system",
        "domain-certificate",
    );
    &cluster.objects[&name]
}

fn issuer_of(cluster: &Cluster) -> &serde_json::Value {
    certificate(cluster).at(&["spec", "issuerRef"]).unwrap()
}

/// Asserts that a run is refused without a write; what it says, and what to do.
#[track_caller]
fn refused(cluster: &mut Cluster, request: &Request, says: &str) -> String {
    cluster.writes.clear();
    let failure = cluster.run(request).unwrap_err();
    assert!(failure.to_string().contains(says), "{failure}");
    assert_eq!(cluster.writes, Vec::<String>::new(), "{failure}");
    failure.what_to_do().join("\n")
}

#[test]
fn what_lets_nobody_in_stands_before_the_certificate_whose_secret_holds_a_ca() {
    let mut cluster = Cluster::plain().with_cert_manager();
    let request = request(Some("ClusterIssuer/ca"));
    run(&mut cluster, &request, HOST);
    let written = written(&cluster);
    let place = |write: &str| written.iter().position(|written| *written == write);
    let closed = place("create Secret istio-system/kyma-mtls-cacert").unwrap();
    let certificate = place(CERTIFICATE).unwrap();
    let gateway = place("apply Gateway shop/kyma-mtls-gateway").unwrap();
    assert!(closed < certificate && certificate < gateway, "{written:?}");
    let secret = ObjectRef::new(Kind::Secret, "istio-system", "kyma-mtls");
    assert!(cluster.objects[&secret].at(&["data", "ca.crt"]).is_some());
    cluster.writes.clear();
    let again = cluster.run(&plain_request()).unwrap();
    assert_eq!(cluster.writes, Vec::<String>::new(), "{:?}", again.notes);
}

#[test]
fn an_acme_issuer_without_dns_01_signs_no_wildcard() {
    let acme = |solver: &str| {
        let mut solvers = json!({});
        solvers[solver] = json!({});
        issuer("", "letsencrypt", None).with("spec", json!({"acme": {"solvers": [solvers]}}))
    };
    let wildcard = |server: ServerChoice, issuer: Option<&str>| Request {
        server,
        issuer: issuer.map(str::to_owned),
        host: None,
        dns: DnsChoice {
            domain: Some("example.com".parse().unwrap()),
            ..DnsChoice::default()
        },
        ..plain_request()
    };
    let host = "httpbin.mtls.example.com";
    let mut cluster = without_issuers();
    cluster.put(&acme("http01"));
    let says = "signs no wildcard as `*.mtls.example.com`";
    for issuer in [None, Some("ClusterIssuer/letsencrypt")] {
        let request = wildcard(ServerChoice::CertManager, issuer);
        refused(&mut cluster, &request, says);
    }
    // Nobody asked for cert-manager: a CA of this plugin signs.
    let report = run(&mut cluster, &wildcard(ServerChoice::Auto, None), host);
    let notes = report.notes.join("\n");
    assert!(notes.contains(says), "{notes}");
    let mut cluster = without_issuers();
    cluster.put(&acme("dns01"));
    run(
        &mut cluster,
        &wildcard(ServerChoice::CertManager, None),
        host,
    );
    // A host by its full name is no wildcard.
    let mut cluster = without_issuers();
    cluster.put(&acme("http01"));
    run(&mut cluster, &request(None), HOST);
}

#[test]
fn without_a_choice_the_only_issuer_that_is_ready_signs_and_that_is_told() {
    for server in [ServerChoice::Auto, ServerChoice::CertManager] {
        let mut cluster = without_issuers();
        cluster.put(&issuer("", "broken", Some("no key")));
        cluster.put(&issuer("istio-system", "own", None));
        // It serves other namespaces only.
        cluster.put(&issuer("shop", "theirs", None));
        let request = Request {
            server,
            ..plain_request()
        };
        let report = run(&mut cluster, &request, HOST);
        assert_eq!(
            *issuer_of(&cluster),
            json!({"group": "cert-manager.io", "kind": "Issuer", "name": "own"})
        );
        let told = "cert-manager's Issuer istio-system/own signs the server certificate: no other issuer is Ready";
        assert!(
            report.notes.iter().any(|note| note == told),
            "{:?}",
            report.notes
        );
    }
}

#[test]
fn of_several_issuers_or_none_one_is_asked_for_and_without_a_choice_a_ca_of_ours_signs() {
    let mut several = Cluster::plain().with_cert_manager();
    several.put(&issuer("istio-system", "own", None));
    for (mut cluster, why) in [
        (
            several,
            "several issuers of cert-manager are Ready: own, ClusterIssuer/ca",
        ),
        (without_issuers(), "cert-manager has no issuer"),
    ] {
        let what_to_do = refused(&mut cluster, &request(None), why);
        assert!(what_to_do.contains("--issuer [ClusterIssuer/]NAME"));
        assert_eq!(
            what_to_do.contains("--issuer ClusterIssuer/ca"),
            why.contains("several"),
            "{what_to_do}"
        );
        let report = run(&mut cluster, &plain_request(), HOST);
        assert!(report.server_ca.is_some());
        let told =
            |note: &String| note.starts_with(why) && note.contains("a CA of kubectl-mtls signs");
        assert!(report.notes.iter().any(told), "{:?}", report.notes);
        let again = run(&mut cluster, &plain_request(), HOST);
        assert!(!again.notes.iter().any(told), "{:?}", again.notes);
    }
}

#[test]
fn an_issuer_that_is_missing_or_not_ready_stops_the_run_before_its_first_write() {
    let mut cluster = Cluster::plain().with_cert_manager();
    cluster.put(&issuer(
        "istio-system",
        "broken",
        Some("secret \"broken\" not found"),
    ));
    let what_to_do = refused(
        &mut cluster,
        &request(Some("ca")),
        "cert-manager's Issuer istio-system/ca does not exist",
    );
    assert!(
        what_to_do.contains("--issuer ClusterIssuer/ca"),
        "{what_to_do}"
    );
    let what_to_do = refused(
        &mut cluster,
        &request(Some("broken")),
        "Issuer istio-system/broken is not Ready: secret \"broken\" not found",
    );
    let describe = "kubectl describe issuers.cert-manager.io -n istio-system broken";
    assert!(what_to_do.contains(describe), "{what_to_do}");
    refused(
        &mut cluster,
        &request(Some("shop/ca")),
        "`--issuer shop/ca` is not an issuer",
    );
    let mut kyma = Cluster::kyma();
    let kymas = Request {
        issuer: Some("ClusterIssuer/ca".to_owned()),
        ..expose_request()
    };
    refused(&mut kyma, &kymas, "is an issuer of cert-manager");
    let kymas = Request {
        server: ServerChoice::CertManager,
        ..expose_request()
    };
    refused(
        &mut kyma,
        &kymas,
        "this cluster has no `certificates.cert-manager.io`",
    );
}

#[test]
fn issuers_that_may_not_be_listed_are_told_or_asked_for() {
    let mut cluster = Cluster::plain().with_cert_manager();
    let lists = [
        Query::within(Kind::CertManagerIssuer, "istio-system"),
        Query::everywhere(Kind::ClusterIssuer),
    ];
    for list in lists {
        let denied = crate::plan::Seen::Denied("`list` issuers".to_owned());
        cluster.fixed.insert(list, denied);
    }
    refused(&mut cluster, &request(None), "could not be listed");
    let no_wait = Request {
        wait: false,
        ..request(Some("ClusterIssuer/ca"))
    };
    cluster.controllers = Controllers::default();
    let report = cluster.run(&no_wait).unwrap();
    let told = "it was not checked whether cert-manager's ClusterIssuer ca is Ready";
    assert!(
        report.notes.iter().any(|note| note.starts_with(told)),
        "{:?}",
        report.notes
    );
}

#[test]
fn a_request_that_a_policy_denies_ends_the_run_and_another_issuer_goes_on() {
    let mut cluster = Cluster::plain().with_cert_manager();
    cluster.put(&issuer("istio-system", "own", None));
    cluster.controllers.denial = Some("no policy approved this request".to_owned());
    let failure = cluster.run(&request(Some("own"))).unwrap_err();
    let said = failure.to_string();
    assert!(said.contains("no policy approved this request"), "{said}");
    let what_to_do = failure.what_to_do().join("\n");
    assert!(what_to_do.contains("--subresource=status"), "{what_to_do}");
    cluster.controllers.denial = None;
    run(&mut cluster, &request(Some("ClusterIssuer/ca")), HOST);
    assert_eq!(issuer_of(&cluster)["kind"], "ClusterIssuer");
}

#[test]
fn a_certificate_that_was_never_issued_goes_when_another_source_is_chosen() {
    let mut cluster = Cluster::plain().with_cert_manager();
    cluster.controllers.denial = Some("no".to_owned());
    let said = cluster.run(&request(None)).unwrap_err().to_string();
    let denied = "Certificate istio-system/domain-certificate has failed: Denied";
    assert!(said.contains(denied), "{said}");
    cluster.writes.clear();
    let own = Request {
        server: ServerChoice::SelfSigned,
        ..plain_request()
    };
    // For a moment its Gateway has no server certificate, and refuses everybody.
    cluster.run(&own).unwrap();
    let deleted = "delete Certificate istio-system/domain-certificate";
    assert!(cluster.writes.iter().any(|write| write == deleted));
    // Once it was issued, it stays.
    let mut cluster = Cluster::plain().with_cert_manager();
    run(&mut cluster, &request(None), HOST);
    refused(
        &mut cluster,
        &own,
        "a Certificate fills Secret istio-system/kyma-mtls",
    );
}

#[test]
fn a_certificate_or_secret_of_others_by_our_name_stops_the_run() {
    let theirs = |host: &str, secret: &str| {
        let name = ObjectRef::new(
            Kind::CertManagerCertificate,
            "istio-system",
            "domain-certificate",
        );
        let issuer = json!({"kind": "ClusterIssuer", "name": "ca"});
        let spec = json!({"dnsNames": [host], "secretName": secret, "issuerRef": issuer});
        Object::new(name).with("spec", spec)
    };
    let mut cluster = Cluster::plain().with_cert_manager();
    cluster.put(&theirs("a.example.com", "theirs"));
    refused(
        &mut cluster,
        &request(None),
        "Certificate istio-system/domain-certificate exists",
    );
    // One for the same host and Secret is used as it is.
    let mut cluster = Cluster::plain().with_cert_manager();
    let used = theirs(HOST, "kyma-mtls");
    cluster.put(&used);
    run(&mut cluster, &request(None), HOST);
    assert!(!cluster.writes.iter().any(|write| write == CERTIFICATE));
    assert!(!certificate(&cluster).is_ours());

    let mut cluster = Cluster::plain().with_cert_manager();
    let secret = ObjectRef::new(Kind::Secret, "istio-system", "kyma-mtls");
    let secret = Object::new(secret).with("type", "kubernetes.io/tls".into());
    let name = crate::resources::names::CERTIFICATE_NAME_ANNOTATION;
    cluster.put(&secret.clone().with_annotation(name, "theirs"));
    refused(
        &mut cluster,
        &request(None),
        "cert-manager's Certificate `theirs` filled the Secret",
    );
    // What an earlier Certificate of ours left is no loss.
    cluster.put(&secret.with_annotation(name, "domain-certificate"));
    run(&mut cluster, &request(None), HOST);
}

#[test]
fn gardener_goes_first_where_a_cluster_has_both() {
    let mut cluster = Cluster::kyma().with_cert_manager();
    run(&mut cluster, &expose_request(), &default_host());
    let gardeners = ObjectRef::new(Kind::Certificate, "istio-system", "domain-certificate");
    assert!(cluster.objects.contains_key(&gardeners));
    let other = Request {
        server: ServerChoice::CertManager,
        ..expose_request()
    };
    let what_to_do = refused(&mut cluster, &other, "a Certificate fills");
    assert!(
        what_to_do.contains("certificates.cert.gardener.cloud"),
        "{what_to_do}"
    );
    // On a new Gateway either can be chosen, and a rerun keeps it.
    let mut cluster = Cluster::kyma().with_cert_manager();
    run(&mut cluster, &other, &default_host());
    cluster.writes.clear();
    run(&mut cluster, &expose_request(), &default_host());
    assert_eq!(cluster.writes, Vec::<String>::new());
    assert!(!cluster.objects.contains_key(&gardeners));
}
