//! What the controller decides in each situation.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::*;
use crate::stand_in::resources::{Kind, ObjectKey};

const NOW: OffsetDateTime = time::macros::datetime!(2026-05-01 12:00 UTC);

fn certificate(spec: &Value, status: &Value, hashed: bool) -> Certificate {
    let resource = Kind::Certificate.resource();
    let data = json!({ "spec": spec, "status": status });
    let mut certificate = Certificate::read(
        &DynamicObject::new("c", &resource)
            .within("istio-system")
            .data(data),
    )
    .unwrap();
    certificate.hash = hashed.then(|| certificate.request_hash());
    certificate
}

fn plain() -> Value {
    json!({ "commonName": "*.mtls.example.com", "issuerRef": { "name": "garden" }, "secretName": "s" })
}

fn stored() -> Stored {
    Stored {
        key: ObjectKey::new("istio-system", "s"),
        labels: BTreeMap::new(),
        requested_at: Some(NOW - time::Duration::days(1)),
        leaf: Leaf {
            serial: "01".into(),
            not_before: NOW,
            not_after: NOW + time::Duration::days(89),
        },
    }
}

fn situation<'a>(certificate: &'a Certificate, stored: Option<&'a Stored>) -> Situation<'a> {
    Situation {
        certificate,
        pending: None,
        answer: Answer::Issue,
        stored,
        equals: &[],
        issuer: Ok(IssuerType::Acme),
        requested_elsewhere: None,
        has_dns: true,
        domains: &[],
        now: NOW,
    }
}

#[test]
fn a_new_certificate_is_requested_then_issued_then_confirmed() {
    let fresh = certificate(&plain(), &json!({}), false);
    assert_eq!(next(&situation(&fresh, None)), Step::Request);
    let pending = Situation {
        pending: Some(Duration::ZERO),
        ..situation(&fresh, None)
    };
    assert_eq!(next(&pending), Step::Issue);
    let done = certificate(&plain(), &json!({}), true);
    assert_eq!(
        next(&situation(&done, Some(&stored()))),
        Step::Confirm(stored().leaf)
    );
}

#[test]
fn an_unexpired_secret_with_the_same_hash_is_used_again() {
    let again = certificate(&plain(), &json!({}), false);
    let found = [stored()];
    let seen = Situation {
        equals: &found,
        ..situation(&again, None)
    };
    assert!(matches!(next(&seen), Step::Reuse(_)));
}

#[test]
fn a_request_stays_pending_until_a_dns_provider_takes_its_domain() {
    let asked = certificate(&plain(), &json!({}), false);
    let pending = Situation {
        pending: Some(Duration::from_secs(9)),
        has_dns: false,
        ..situation(&asked, None)
    };
    assert!(matches!(next(&pending), Step::Wait(_)));
}

#[test]
fn a_domain_that_is_being_requested_for_another_certificate_has_to_wait() {
    let second = certificate(&plain(), &json!({}), false);
    let seen = Situation {
        requested_elsewhere: Some("*.mtls.example.com".into()),
        ..situation(&second, None)
    };
    let message = "concurrent obtain for domain name *.mtls.example.com";
    assert_eq!(next(&seen), Step::Postpone(message.into()));
}

#[test]
fn an_acme_issuer_refuses_a_duration_and_a_ca_for_good() {
    for (field, value) in [("duration", json!("720h")), ("isCA", json!(false))] {
        let mut spec = plain();
        spec[field] = value;
        let asked = certificate(&spec, &json!({}), false);
        let message = format!("{field} cannot be set for ACME certificate");
        let fatal = true;
        assert_eq!(
            next(&situation(&asked, None)),
            Step::Fail { message, fatal }
        );
    }
}

#[test]
fn renew_is_written_back_as_a_date_and_then_honoured_once() {
    let mut spec = plain();
    spec["renew"] = json!(true);
    let asked = certificate(&spec, &json!({}), true);
    assert_eq!(
        next(&situation(&asked, Some(&stored()))),
        Step::WantRenewal("2026-05-01T12:00:00Z".into())
    );
    let mut spec = plain();
    spec["ensureRenewedAfter"] = json!("2026-05-01T12:00:00Z");
    let dated = certificate(&spec, &json!({}), true);
    assert_eq!(next(&situation(&dated, Some(&stored()))), Step::Request);
    let newer = Stored {
        requested_at: Some(NOW),
        ..stored()
    };
    assert_eq!(
        next(&situation(&dated, Some(&newer))),
        Step::Confirm(newer.leaf.clone())
    );
    let mut spec = plain();
    spec["ensureRenewedAfter"] = json!("2026-04-01T12:00:00Z");
    spec["renew"] = json!(true);
    let again = certificate(&spec, &json!({}), true);
    assert_eq!(
        next(&situation(&again, Some(&newer))),
        Step::WantRenewal("2026-04-01T12:00:00Z".into()),
        "a second renewal needs the old date taken away"
    );
}

#[test]
fn a_back_off_holds_until_its_time_or_the_annotation_or_a_change() {
    let backoff = json!({ "backoff": { "observedGeneration": 0, "recheckAfter": "2026-05-01T12:02:00Z", "recheckInterval": "2m0s" } });
    let mut failed = certificate(&plain(), &backoff, false);
    assert_eq!(
        next(&situation(&failed, None)),
        Step::Wait(Duration::from_secs(120))
    );
    failed
        .annotations
        .insert(OPERATION.into(), "reconcile".into());
    assert_eq!(next(&situation(&failed, None)), Step::ForgetBackOff);
    failed.annotations.clear();
    failed.generation = 2;
    assert_eq!(next(&situation(&failed, None)), Step::Request);
}

#[test]
fn the_controls_decide_what_a_pending_request_gets() {
    let fresh = certificate(&plain(), &json!({}), false);
    let pending = |answer: Answer, elapsed| {
        next(&Situation {
            pending: Some(elapsed),
            answer,
            ..situation(&fresh, None)
        })
    };
    assert!(matches!(
        pending(Answer::Never, Duration::from_secs(9)),
        Step::Wait(_)
    ));
    assert!(matches!(
        pending(
            Answer::After(Duration::from_secs(3)),
            Duration::from_secs(1)
        ),
        Step::Wait(_)
    ));
    assert_eq!(
        pending(
            Answer::After(Duration::from_secs(3)),
            Duration::from_secs(3)
        ),
        Step::Issue
    );
    let message = "obtaining certificate failed: no".to_owned();
    assert_eq!(
        pending(Answer::Fail("no".into()), Duration::ZERO),
        Step::Fail {
            message,
            fatal: false
        }
    );
}
