//! Who certifies a host: Gardener's default issuer, another one, or the plugin itself.

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::Caller;
use serde_json::{Value, json};

use crate::lab::let_in;

use super::{ground, register};

#[test]
fn a_domain_that_gardeners_issuer_does_not_serve_gets_its_certificate_from_an_own_issuer() {
    let ground = ground();
    let desk = ground.desk("issued");
    register(&desk, "issued.example.com");
    let certificates = desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer([desk.instance.domain()]);
    let expose = ["expose", "httpbin", "--domain", "issued.example.com"];
    let refused = desk.run(&expose);
    let missing = desk.run(&[&expose[..], &["--issuer", "issued/none"]].concat());
    let issuer = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
        "metadata": {"namespace": "issued", "name": "mine"},
        "spec": {"acme": {"server": "https://acme.example.com", "email": "a@example.com", "autoRegistration": true}},
    });
    desk.instance.create(vec![issuer]).unwrap();
    let run = desk.run(&[&expose[..], &["--issuer", "issued/mine"]].concat());
    certificates.restrict_default_issuer(Vec::<String>::new());
    refused
        .exits(2)
        .says("is not in domain ranges of default issuer")
        .says("kubectl mtls expose httpbin -n issued --issuer NAMESPACE/NAME");
    missing
        .exits(2)
        .says("fetching issuer failed")
        .says("kubectl get issuers.cert.gardener.cloud -A");
    run.exits(0);
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    desk.run(&["expose", "httpbin", "--issuer", "a/b/c"])
        .exits(2)
        .says("`NAMESPACE/NAME`");
}

#[test]
fn another_issuer_for_a_certificate_of_somebody_else_is_set_or_refused_never_ignored() {
    let ground = ground();
    let desk = ground.desk("issuers");
    let names = CredentialNames::further(&GatewayName::new("issuers", "kyma-mtls-gateway"));
    let host = format!("a.issuers.{}", desk.instance.domain());
    let issuer = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
        "metadata": {"namespace": "issuers", "name": "mine"},
        "spec": {"acme": {"server": "https://acme.example.com", "email": "a@example.com", "autoRegistration": true}},
    });
    desk.instance.create(vec![issuer]).unwrap();
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"namespace": "istio-system", "name": names.certificate},
        "spec": {"commonName": host, "secretName": names.credential(), "issuerRef": {"name": "garden"}},
    });
    let apply = |manager: &str| {
        let manager = format!("--field-manager={manager}");
        desk.kubectl(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                &manager,
                "-f",
                "-",
            ],
            &certificate.to_string(),
        );
    };
    let issuer = || {
        desk.get(
            "istio-system",
            "certificates.cert.gardener.cloud",
            &names.certificate,
        )["spec"]["issuerRef"]
            .clone()
    };
    apply("argocd-controller");
    let expose = [
        "expose",
        "httpbin",
        "--host",
        &host,
        "--issuer",
        "issuers/mine",
    ];
    desk.run(&expose)
        .exits(2)
        .says("Argo CD manages Certificate")
        .says("leave out `--issuer`");
    assert_eq!(issuer()["name"], "garden");
    desk.kubectl(
        &[
            "-n",
            "istio-system",
            "delete",
            "certificates.cert.gardener.cloud",
            &names.certificate,
        ],
        "",
    );
    apply("kubectl");
    desk.run(&expose).exits(0);
    assert_eq!(issuer(), json!({"name": "mine", "namespace": "issuers"}));
    let live = desk.get(
        "istio-system",
        "certificates.cert.gardener.cloud",
        &names.certificate,
    );
    let label = &live["metadata"]["labels"]["app.kubernetes.io/managed-by"];
    assert_eq!(*label, Value::Null, "it stays somebody else's");
    let again = desk.run(&expose).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

#[test]
fn after_an_issuer_that_does_not_serve_the_domain_a_certificate_of_our_own_is_made() {
    let ground = ground();
    let desk = ground.desk("switched");
    let certificates = desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer(["nowhere.example.org"]);
    let host = format!("a.switched.{}", desk.instance.domain());
    let expose = ["expose", "httpbin", "--host", &host];
    let refused = desk.run(&expose);
    let own = [&expose[..], &["--server-certificate", "self-signed"]].concat();
    let run = desk.run(&own);
    let again = desk.run(&expose);
    certificates.restrict_default_issuer(Vec::<String>::new());
    refused
        .exits(2)
        .says("is not in domain ranges of default issuer")
        .says("--server-certificate self-signed");
    let run = run.exits(0);
    assert!(
        run.stdout.contains("certificate.cert.gardener.cloud/"),
        "{run:#?}"
    );
    let again = again.exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let names = CredentialNames::further(&GatewayName::new("switched", "kyma-mtls-gateway"));
    desk.run(&["issue-client", "alice", "--authority", &names.authority])
        .exits(0);
    let [certificate, key] = ["crt", "key"].map(|end| desk.read(&format!("alice.{end}")));
    let ca = desk.read("server-ca.crt");
    let alice = Caller::new(desk.instance.connect_to(), &ca).with_certificate(&certificate, &key);
    let_in(&alice, &host);
}
