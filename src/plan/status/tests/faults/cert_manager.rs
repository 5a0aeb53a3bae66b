//! Faults of a server certificate that cert-manager issues.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::dns::edit;
use super::remedies::repaired;
use super::server_chain::{ca, leaf, show};
use super::{exposed_as, findings, only, only_until_repaired};
use crate::plan::check::Severity;
use crate::plan::expose::ServerChoice;
use crate::plan::testing::kyma::expose_request;
use crate::plan::testing::{Cluster, issue_request};
use crate::plan::{Query, Seen, expose};
use crate::resources::client_ca::secret;
use crate::resources::{Kind, ObjectRef};

const RESOURCE: &str = "certificates.cert-manager.io -n istio-system domain-certificate";

fn exposed() -> Cluster {
    let request = expose::Request {
        server: ServerChoice::CertManager,
        ..expose_request()
    };
    let mut cluster = exposed_as(Cluster::plain().with_cert_manager(), request);
    cluster.run(&issue_request("alice")).unwrap();
    assert_eq!(findings(&mut cluster), []);
    cluster
}

fn certificate() -> ObjectRef {
    let kind = Kind::CertManagerCertificate;
    ObjectRef::new(kind, "istio-system", "domain-certificate")
}

fn condition(name: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": name, "status": status, "reason": reason, "message": message, "observedGeneration": 99})
}

/// A host whose Certificate has these conditions, and a failure behind it where `failed`.
fn with_conditions(conditions: &[Value], failed: bool) -> Cluster {
    let mut cluster = exposed();
    cluster.controllers.certificates = false;
    edit(&mut cluster, &certificate(), |body| {
        body["status"]["conditions"] = conditions.into();
        if failed {
            body["status"]["lastFailureTime"] = "2026-05-01T11:59:00Z".into();
            body["status"]["failedIssuanceAttempts"] = 1.into();
        }
    });
    cluster
}

#[test]
fn a_certificate_that_waits_or_failed_is_told_in_cert_managers_words() {
    let words = "Issuing certificate as Secret does not exist";
    let waiting = [
        condition("Ready", "False", "DoesNotExist", words),
        condition("Issuing", "True", "DoesNotExist", words),
    ];
    // While a valid one is shown, an issuer that works on the next one is no fault.
    assert_eq!(findings(&mut with_conditions(&waiting, false)), []);
    let mut waiting = with_conditions(&waiting, false);
    edit(&mut waiting, &secret("istio-system", "kyma-mtls"), |body| {
        body["data"]["tls.crt"] = "".into();
    });
    waiting.load();
    let finding = only(&mut waiting, "server-certificate/pending", Severity::Error);
    assert!(
        finding.seen.ends_with(&format!("Pending: {words}")),
        "{finding:?}"
    );
    assert_eq!(finding.remedy, format!("kubectl describe {RESOURCE}"));

    let failed = |ready: &str| {
        let told = "The certificate request has failed to complete and will be retried: no";
        [
            condition("Ready", ready, "Ready", "Certificate is up to date"),
            condition("Issuing", "False", "Denied", told),
        ]
    };
    for ready in ["False", "True"] {
        let mut cluster = with_conditions(&failed(ready), true);
        let id = "server-certificate/issuer-failed";
        let finding = only(&mut cluster, id, Severity::Error);
        assert!(
            finding.seen.contains("Denied: The certificate request"),
            "{finding:?}"
        );
    }
}

#[test]
fn a_certificate_that_fills_another_secret_or_names_another_host_is_led_back() {
    let mut cluster = exposed();
    super::edit(&mut cluster, &certificate(), |spec| {
        spec["secretName"] = "another".into();
    });
    let id = "server-certificate/wrong-secret";
    let finding = only(&mut cluster, id, Severity::Warning);
    let patch = r#"--type=merge -p '{"spec":{"secretName":"kyma-mtls"}}'"#;
    assert_eq!(finding.remedy, format!("kubectl patch {RESOURCE} {patch}"));
    repaired(&mut cluster, &finding);

    let mut cluster = exposed();
    super::edit(&mut cluster, &certificate(), |spec| {
        spec["dnsNames"] = json!(["other.example.net"]);
        spec["commonName"] = "other.example.net".into();
    });
    let id = "server-certificate/not-covering";
    let finding = only(&mut cluster, id, Severity::Error);
    let names = r#"{"spec":{"commonName":"orders.example.com","dnsNames":["orders.example.com"]}}"#;
    assert!(finding.remedy.contains(names), "{finding:?}");
    repaired(&mut cluster, &finding);
}

#[test]
fn a_certificate_or_secret_that_is_gone_is_told() {
    let mut cluster = exposed();
    cluster.objects.remove(&certificate());
    let id = "server-certificate/no-issuer";
    let finding = only(&mut cluster, id, Severity::Warning);
    repaired(&mut cluster, &finding);

    let mut cluster = exposed();
    cluster.controllers.certificates = false;
    cluster.objects.remove(&secret("istio-system", "kyma-mtls"));
    let id = "server-certificate/secret-missing";
    let finding = only(&mut cluster, id, Severity::Error);
    assert_eq!(finding.remedy, format!("kubectl describe {RESOURCE}"));
}

#[test]
fn a_certificate_that_was_renewed_and_not_loaded_is_told_and_one_that_ends_is_renewed_at_once() {
    let mut cluster = exposed();
    cluster.proxies.lagging = vec![0, 1];
    let root = ca("Root", None, 900);
    let renewed = leaf(super::PLAIN_HOST, &root, 0, 900, Vec::new());
    show(&mut cluster, &[&renewed, &root.certificate]);
    edit(&mut cluster, &certificate(), |body| {
        let end = renewed.not_after().format(&Rfc3339).unwrap();
        body["status"]["notAfter"] = end.into();
    });
    let id = "server-certificate/not-loaded";
    only_until_repaired(&mut cluster, id, Severity::Error);

    let mut cluster = exposed();
    cluster.now += time::Duration::days(380);
    let report = super::report(&mut cluster);
    let ending = report.findings.iter().find(|finding| {
        ["server-certificate/ending", "server-certificate/expired"].contains(&finding.check.id)
    });
    let remedy = &ending
        .unwrap_or_else(|| panic!("{:#?}", report.findings))
        .remedy;
    let patch = format!("kubectl patch {RESOURCE} --type=merge --subresource=status -p");
    assert!(remedy.starts_with(&patch), "{remedy}");
}

#[test]
fn certificates_of_cert_manager_that_may_not_be_listed_are_told() {
    let mut cluster = exposed();
    let list = Query::within(Kind::CertManagerCertificate, "istio-system");
    let denied = Seen::Denied("`list` certificates.cert-manager.io".to_owned());
    cluster.fixed.insert(list, denied);
    let id = "server-certificate/not-checked";
    let finding = only(&mut cluster, id, Severity::Unknown);
    assert!(
        finding.seen.contains("`certificates.cert-manager.io`"),
        "{finding:?}"
    );
    assert_eq!(finding.remedy, "kubectl mtls rbac status");
    // Gardener's that fills the Secret is known without them.
    let mut cluster = super::kyma();
    let list = Query::within(Kind::CertManagerCertificate, "istio-system");
    let denied = Seen::Denied("`list` certificates.cert-manager.io".to_owned());
    cluster.fixed.insert(list, denied);
    assert_eq!(findings(&mut cluster), []);
}

/// The issuer of the Certificate.
fn issuer(cluster: &Cluster) -> ObjectRef {
    let mut names = cluster.objects.keys();
    let kinds = [Kind::ClusterIssuer, Kind::CertManagerIssuer];
    names
        .find(|name| kinds.contains(&name.kind))
        .unwrap()
        .clone()
}

/// The proxies get no certificate.
fn unserved(cluster: &mut Cluster) {
    edit(cluster, &secret("istio-system", "kyma-mtls"), |body| {
        body["data"]["tls.crt"] = "".into();
    });
    cluster.proxies.have_certificates = false;
    cluster.load();
}

#[test]
fn an_issuer_that_is_gone_or_not_ready_renews_nothing() {
    let id = "server-certificate/issuer-not-ready";
    let mut gone = exposed();
    gone.controllers.certificates = false;
    let name = issuer(&gone);
    gone.objects.remove(&name);
    let finding = only(&mut gone, id, Severity::Warning);
    assert!(finding.seen.contains("does not exist"), "{}", finding.seen);
    assert_eq!(finding.remedy, format!("kubectl edit {RESOURCE}"));
    unserved(&mut gone);
    only(&mut gone, id, Severity::Error);

    let mut broken = exposed();
    broken.controllers.certificates = false;
    edit(&mut broken, &name, |body| {
        let told = condition("Ready", "False", "ErrVerifyACMEAccount", "no such account");
        body["status"]["conditions"] = json!([told]);
    });
    let finding = only(&mut broken, id, Severity::Warning);
    assert!(
        finding.seen.ends_with("is not Ready: no such account"),
        "{}",
        finding.seen
    );
    assert!(!finding.remedy.contains("-n  "), "{}", finding.remedy);
}

#[test]
fn a_certificate_that_is_being_deleted_is_renewed_no_more() {
    let mut cluster = exposed();
    cluster.controllers.certificates = false;
    edit(&mut cluster, &certificate(), |body| {
        body["metadata"]["deletionTimestamp"] = "2026-05-01T11:59:00Z".into();
    });
    let id = "server-certificate/issuer-not-ready";
    let finding = only(&mut cluster, id, Severity::Warning);
    assert!(
        finding.seen.ends_with("is being deleted"),
        "{}",
        finding.seen
    );
}

#[test]
fn an_issuer_that_may_not_be_listed_is_not_checked() {
    let mut cluster = exposed();
    let name = issuer(&cluster);
    let query = match name.kind {
        Kind::ClusterIssuer => Query::everywhere(name.kind),
        kind => Query::within(kind, &name.namespace),
    };
    let denied = Seen::Denied("you cannot list them".to_owned());
    cluster.fixed.insert(query, denied);
    only(
        &mut cluster,
        "server-certificate/not-checked",
        Severity::Unknown,
    );
}
