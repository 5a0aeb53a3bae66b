//! Faults of the server certificate.

mod secret;

use serde_json::{Value, json};

use super::dns::edit;
use super::remedies::repaired;
use super::server_chain::{ca, leaf, show};
use super::{findings, kyma, only, plain};
use crate::plan::check::{Finding, Severity};
use crate::plan::expose::{self, ServerChoice};
use crate::plan::testing::Cluster;
use crate::plan::testing::kyma::{DOMAIN, expose_request};
use crate::resources::client_ca::secret;
use crate::resources::names::{INGRESS_NAMESPACE, ISSUED_LABEL};
use crate::resources::{Kind, Object, ObjectRef};

pub(super) const SECRET: &str = "kyma-mtls";

pub(super) fn certificate() -> ObjectRef {
    ObjectRef::new(Kind::Certificate, INGRESS_NAMESPACE, "domain-certificate")
}

pub(super) fn pattern() -> String {
    format!("*.mtls.{DOMAIN}")
}

/// The one finding on a host whose gateway shows such a certificate, signed by a root through an intermediate.
#[track_caller]
fn shown(host: &str, from: i64, to: i64, id: &str, severity: Severity) -> Finding {
    let mut cluster = kyma();
    let root = ca("Root", None, 900);
    let issuing = ca("Issuing", Some(&root), 900);
    let own = leaf(host, &issuing, from, to, Vec::new());
    show(&mut cluster, &[&own, &issuing.certificate]);
    only(&mut cluster, id, severity)
}

/// A host whose Certificate has this status.
fn with_status(state: &str, message: &str) -> Cluster {
    let mut cluster = kyma();
    cluster.controllers.certificates = false;
    edit(&mut cluster, &certificate(), |body| {
        body["status"]["state"] = state.into();
        body["status"]["message"] = message.into();
    });
    cluster
}

/// The proxies get no certificate, and show none.
fn without_data(cluster: &mut Cluster) {
    edit(cluster, &secret("istio-system", SECRET), |body| {
        body["data"]["tls.crt"] = "".into();
    });
    cluster.proxies.have_certificates = false;
    cluster.load();
}

fn is_gone(mut cluster: Cluster) -> Cluster {
    cluster.objects.remove(&secret("istio-system", SECRET));
    cluster
}

#[test]
fn a_certificate_that_is_not_there_yet_is_told_with_its_issuers_words() {
    let mut cluster = with_status("Pending", "waiting for the DNS challenge");
    without_data(&mut cluster);
    let finding = only(&mut cluster, "server-certificate/pending", Severity::Error);
    assert!(
        finding
            .seen
            .ends_with("Pending: waiting for the DNS challenge"),
        "{}",
        finding.seen
    );
    // While a valid one is shown, an issuer that works on the next one is no fault.
    let mut renewing = with_status("Pending", "waiting for the DNS challenge");
    assert_eq!(findings(&mut renewing), []);
}

#[test]
fn an_issuer_that_fails_is_told_with_its_words() {
    let mut cluster = with_status("Error", "issuer `nobody` not found");
    let finding = only(
        &mut cluster,
        "server-certificate/issuer-failed",
        Severity::Error,
    );
    assert!(finding.seen.ends_with("Error: issuer `nobody` not found"));
    assert_eq!(
        finding.remedy,
        "kubectl describe certificates.cert.gardener.cloud -n istio-system domain-certificate"
    );
}

#[test]
fn a_common_name_that_no_issuer_takes_becomes_a_dns_name() {
    let mut cluster = with_status("Error", "common name too long");
    let long = format!("*.mtls.{}.example.com", "x".repeat(60));
    edit(&mut cluster, &certificate(), |body| {
        body["spec"]["commonName"] = long.clone().into();
        body["status"]["observedGeneration"] = 99.into();
    });
    let finding = only(
        &mut cluster,
        "server-certificate/name-too-long",
        Severity::Error,
    );
    assert!(
        finding
            .remedy
            .contains(&format!(r#""dnsNames":["{long}"]"#))
    );
}

#[test]
fn a_certificate_for_another_host_is_led_back() {
    for (is_ours, spec) in [
        (
            true,
            format!(r#""commonName":"{}","dnsNames":null"#, pattern()),
        ),
        (false, format!(r#""dnsNames":["{}"]"#, pattern())),
    ] {
        let mut cluster = kyma();
        edit(&mut cluster, &certificate(), |body| {
            body["spec"]["commonName"] = "other.example.net".into();
            if !is_ours {
                body["metadata"]["labels"] = json!({});
            }
        });
        cluster.act();
        cluster.load();
        let id = "server-certificate/not-covering";
        let finding = only(&mut cluster, id, Severity::Error);
        assert!(finding.remedy.contains(&spec), "{}", finding.remedy);
        // The issuer in memory certifies the first name only.
        if is_ours {
            repaired(&mut cluster, &finding);
        }
    }
}

#[test]
fn proxies_without_a_certificate_are_one_error() {
    let mut cluster = kyma();
    without_data(&mut cluster);
    only(
        &mut cluster,
        "server-certificate/not-shown",
        Severity::Error,
    );
}

#[test]
fn a_certificate_that_clients_refuse_is_one_error() {
    shown(
        "other.example.net",
        -9,
        81,
        "server-certificate/not-covering",
        Severity::Error,
    );
    shown(
        &format!("*.{DOMAIN}"),
        -9,
        81,
        "server-certificate/too-deep",
        Severity::Error,
    );
    shown(
        &pattern(),
        -91,
        -1,
        "server-certificate/expired",
        Severity::Error,
    );
    shown(
        &pattern(),
        1,
        91,
        "server-certificate/not-yet-valid",
        Severity::Error,
    );
}

#[test]
fn a_certificate_that_nobody_renewed_is_renewed_by_its_issuer() {
    let finding = shown(
        &pattern(),
        -85,
        5,
        "server-certificate/ending",
        Severity::Warning,
    );
    assert_eq!(
        finding.remedy,
        r#"kubectl patch certificates.cert.gardener.cloud -n istio-system domain-certificate --type=merge -p '{"spec":{"renew":true}}'"#
    );
    let mut cluster = kyma();
    edit(&mut cluster, &certificate(), |body| {
        body["spec"]["renew"] = true.into();
    });
    cluster.act();
    cluster.load();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_replica_that_has_not_loaded_the_renewed_certificate_is_named() {
    let mut cluster = kyma();
    let root = ca("Root", None, 900);
    let issuing = ca("Issuing", Some(&root), 900);
    let old = leaf(&pattern(), &issuing, -85, 5, Vec::new());
    let new = leaf(&pattern(), &issuing, -1, 89, Vec::new());
    show(&mut cluster, &[&old, &issuing.certificate]);
    cluster.proxies.lagging.push(1);
    show(&mut cluster, &[&new, &issuing.certificate]);
    let finding = only(
        &mut cluster,
        "server-certificate/not-loaded",
        Severity::Error,
    );
    assert_eq!(
        finding.remedy,
        "kubectl delete pods -n istio-system istio-ingressgateway-2"
    );
    // No replica has, as the Certificate says.
    cluster.proxies.lagging.push(0);
    let newer = leaf(&pattern(), &issuing, 0, 180, Vec::new());
    show(&mut cluster, &[&newer, &issuing.certificate]);
    let finding = only(
        &mut cluster,
        "server-certificate/not-loaded",
        Severity::Error,
    );
    let both = "istio-ingressgateway-1 istio-ingressgateway-2";
    assert!(finding.remedy.ends_with(both), "{finding:#?}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_a_warning() {
    let mut cluster = kyma();
    cluster.controllers.certificates = false;
    edit(&mut cluster, &certificate(), |body| {
        body["spec"]["dnsNames"] = Value::String("no list".to_owned());
    });
    only(
        &mut cluster,
        "server-certificate/unreadable",
        Severity::Warning,
    );
}

#[test]
fn a_certificate_for_clients_only_is_one_error() {
    // SEQUENCE of id-kp-clientAuth, as an extended key usage.
    let clients = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
    let usage = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], clients.to_vec());
    let mut cluster = kyma();
    let root = ca("Root", None, 900);
    let issuing = ca("Issuing", Some(&root), 900);
    let own = leaf(&pattern(), &issuing, -9, 81, vec![usage]);
    show(&mut cluster, &[&own, &issuing.certificate]);
    only(
        &mut cluster,
        "server-certificate/not-for-servers",
        Severity::Error,
    );
}

/// A host whose Certificate names an issuer in the cluster, which has this state.
fn with_issuer(state: &str, message: &str) -> Cluster {
    let mut cluster = kyma();
    cluster.controllers.certificates = false;
    let name = ObjectRef::new(Kind::Issuer, "shop", "own");
    let status = json!({"state": state, "message": message});
    cluster.put(&Object::new(name).with("status", status));
    edit(&mut cluster, &certificate(), |body| {
        body["spec"]["issuerRef"] = json!({"name": "own", "namespace": "shop"});
    });
    cluster
}

#[test]
fn an_issuer_of_gardener_in_the_cluster_that_is_gone_or_not_ready() {
    assert_eq!(findings(&mut with_issuer("Ready", "")), []);
    let id = "server-certificate/issuer-not-ready";
    let mut broken = with_issuer("Error", "no such account");
    let finding = only(&mut broken, id, Severity::Warning);
    assert!(
        finding
            .seen
            .ends_with("is not Ready: Error: no such account"),
        "{}",
        finding.seen
    );
    assert_eq!(
        finding.remedy,
        "kubectl describe issuers.cert.gardener.cloud -n shop own"
    );
    broken
        .objects
        .remove(&ObjectRef::new(Kind::Issuer, "shop", "own"));
    let finding = only(&mut broken, id, Severity::Warning);
    assert!(
        finding.seen.contains("Issuer shop/own, which signs"),
        "{}",
        finding.seen
    );
    without_data(&mut broken);
    only(&mut broken, id, Severity::Error);
}
