//! Statuses as the real controllers write them.

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::plan::{Action, Query, Seen};
use crate::resources::certificate::reference;

const NOW: OffsetDateTime = datetime!(2026-05-01 12:00 UTC);

fn request() -> Request {
    Request {
        namespace: "shop".to_owned(),
        service: "httpbin".to_owned(),
        workload: crate::plan::expose::WorkloadChoice::default(),
        port: None,
        host: None,
        local_domain: None,
        gateway: None,
        ingress: Vec::new(),
        selector: None,
        route: crate::plan::expose::RouteChoice::default(),
        dns: crate::plan::expose::DnsChoice::default(),
        issuer: None,
        access: crate::plan::expose::AccessChoice::default(),
        server: crate::plan::expose::ServerChoice::Auto,
        authority: None,
        client_ca: None,
        fail_closed: false,
        force_conflicts: false,
        ca_ttl: time::Duration::days(1),
        ca_key_type: crate::pki::key::KeyType::P256,
        ca_subject: None,
        dry_run: crate::plan::DryRun::None,
        wait: true,
        timeout: std::time::Duration::from_secs(300),
        connect_to: None,
    }
}

fn object(kind: Kind, generation: u64, status: &Value) -> Object {
    let reference = match kind {
        Kind::Certificate | Kind::CertManagerCertificate => {
            reference(kind, "istio-system", "domain-certificate")
        }
        kind => ObjectRef::new(kind, "shop", "httpbin-mtls"),
    };
    let mut body = Object::new(reference)
        .with("status", status.clone())
        .body()
        .clone();
    body["metadata"]["generation"] = generation.into();
    Object::from_server(kind, body).unwrap()
}

fn verdict(observed: &Observed, object: &Object) -> Option<String> {
    let wanted = Wanted {
        object: object.clone(),
        write: None,
        exists: true,
    };
    let failure = check(&request(), &[wanted], observed, NOW).err()?;
    Some(format!("{failure}\n{}", failure.what_to_do().join("\n")))
}

/// As it was read, without a write of this run.
fn said(object: &Object) -> Option<String> {
    let mut observed = Observed::default();
    let query = Query::Get(object.reference().clone());
    observed.saw(query, Seen::Found(vec![object.clone()]));
    verdict(&observed, object)
}

fn failed_certificate(message: &str, next_try: &str) -> Object {
    let backoff =
        json!({"observedGeneration": 2, "recheckAfter": next_try, "recheckInterval": "2m0s"});
    let status =
        json!({"state": "Error", "message": message, "observedGeneration": 2, "backoff": backoff});
    object(Kind::Certificate, 2, &status)
}

#[test]
fn a_certificate_that_is_not_tried_again_in_time_ends_the_wait_with_its_issuers_words() {
    let outside =
        "domain *.mtls.example.com is not in domain ranges of default issuer (shoot.example.org)";
    let told = said(&failed_certificate(outside, "2026-05-02T12:00:00Z")).unwrap();
    assert!(
        told.contains(outside) && told.contains("does not serve this domain"),
        "{told}"
    );
    let told = said(&failed_certificate(
        "duration cannot be set for ACME certificate",
        "2026-05-02T12:00:00Z",
    ));
    assert!(
        told.unwrap()
            .contains("tries again at 2026-05-02 12:00 UTC")
    );
    let soon = failed_certificate("obtaining certificate failed: busy", "2026-05-01T12:02:00Z");
    assert_eq!(said(&soon), None);
}

#[test]
fn a_request_that_cert_manager_failed_ends_the_wait_with_its_reason_and_how_to_try_again() {
    let words = "The certificate request has failed to complete and will be retried: no policy";
    let condition = |name: &str, reason: &str, message: &str| {
        json!({
            "type": name, "status": "False", "reason": reason, "message": message,
            "observedGeneration": 2,
        })
    };
    let failed = |attempts: u32| {
        let status = json!({
            "conditions": [
                condition("Ready", "DoesNotExist", "Issuing certificate as Secret does not exist"),
                condition("Issuing", "Denied", words),
            ],
            "lastFailureTime": "2026-05-01T11:59:00Z",
            "failedIssuanceAttempts": attempts,
        });
        object(Kind::CertManagerCertificate, 2, &status)
    };
    let told = said(&failed(2)).unwrap();
    for part in [
        &format!("Denied: {words}"),
        "tries again at 2026-05-01 13:59 UTC",
        "kubectl patch certificates.cert-manager.io -n istio-system domain-certificate --type=merge --subresource=status",
        "--issuer [ClusterIssuer/]NAME",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    // Its spec was changed since.
    let mut body = failed(1).body().clone();
    body["metadata"]["generation"] = 3.into();
    let changed = Object::from_server(Kind::CertManagerCertificate, body).unwrap();
    assert_eq!(said(&changed), None);
}

#[test]
fn an_issuer_that_does_not_exist_ends_the_wait_however_soon_it_is_asked_for_again() {
    let words = "fetching issuer failed: issuers.cert.gardener.cloud \"mine\" not found";
    let told = said(&failed_certificate(words, "2026-05-01T12:02:00Z")).unwrap();
    assert!(
        told.contains(words) && told.contains("get issuers.cert.gardener.cloud"),
        "{told}"
    );
}

#[test]
fn an_error_of_an_earlier_generation_or_one_that_is_tried_again_now_is_waited_for() {
    let failed = failed_certificate("domain ranges", "2026-05-02T12:00:00Z");
    let mut body = failed.body().clone();
    body["metadata"]["generation"] = 3.into();
    assert_eq!(
        said(&Object::from_server(Kind::Certificate, body).unwrap()),
        None
    );
    let (key, value) = crate::resources::names::RETRY_CERTIFICATE;
    assert_eq!(said(&failed.with_annotation(key, value)), None);
}

fn failed_rule(message: &str, processed: &str) -> Object {
    let description = format!("Validation errors: Attribute '.spec.hosts[0]': {message}");
    let status =
        json!({"state": "Error", "description": description, "lastProcessedTime": processed});
    object(Kind::ApiRule, 1, &status)
}

#[test]
fn a_rule_that_is_refused_for_what_it_says_ends_the_wait_and_one_that_pods_can_heal_does_not() {
    let told = said(&failed_rule(
        "Host is occupied by another Virtual Service",
        "2026-05-01T11:00:00Z",
    ));
    assert!(
        told.unwrap()
            .contains("kubectl get virtualservices.networking.istio.io -A")
    );
    for passing in [
        "Pod shop/httpbin-1 does not have an injected istio sidecar",
        "Gateway not found",
        "Failed to execute sidecar injection validation, err: services \"httpbin\" not found",
    ] {
        assert_eq!(said(&failed_rule(passing, "2026-05-01T11:00:00Z")), None);
    }
}

#[test]
fn a_rule_that_was_just_written_is_not_judged_by_its_old_status() {
    let occupied = "Host is occupied by another Virtual Service";
    let before = failed_rule(occupied, "2026-05-01T11:00:00Z");
    let mut observed = Observed::default();
    observed.changed(before.clone(), Action::Configured, NOW);
    assert_eq!(verdict(&observed, &before), None);
    let after = failed_rule(occupied, "2026-05-01T12:00:01Z");
    observed.saw(
        Query::Get(after.reference().clone()),
        Seen::Found(vec![after.clone()]),
    );
    assert!(verdict(&observed, &after).is_some());
}
