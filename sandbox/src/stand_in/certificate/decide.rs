//! What the controller does next for a Certificate, in the order of gardener/cert-management
//! `pkg/controller/issuer/certificate/reconciler.go`.

use std::time::Duration;

use time::OffsetDateTime;

use super::controls::Answer;
use super::domains;
use super::issuers::IssuerType;
use super::model::{Certificate, Leaf, OPERATION, Stored, moment, timestamp};

/// A certificate is renewed this long before its end.
const RENEWAL_WINDOW: time::Duration = time::Duration::days(30);
/// How often a pending request is looked at: the controls change behind the controller's back.
const PENDING_LOOK: Duration = Duration::from_millis(100);

/// Everything the decision depends on.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    pub certificate: &'a Certificate,
    /// How long the issuer has been working on it.
    pub pending: Option<Duration>,
    pub answer: Answer,
    /// The Secret that the Certificate names.
    pub stored: Option<&'a Stored>,
    /// Secrets anywhere with the same request hash.
    pub equals: &'a [Stored],
    /// Its type, or why it cannot be used.
    pub issuer: Result<IssuerType, String>,
    /// A domain of this Certificate that is being requested for another one.
    pub requested_elsewhere: Option<String>,
    /// Whether a DNS provider takes the domains, so that challenges can be answered.
    pub has_dns: bool,
    /// Where the default issuer may issue; empty: everywhere.
    pub domains: &'a [String],
    pub now: OffsetDateTime,
}

/// One step; unless it says otherwise the Certificate is looked at again right after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Forget the back-off, for the annotation `gardener.cloud/operation: reconcile`.
    ForgetBackOff,
    /// Take that annotation away.
    TakeMark,
    /// Forget the hash of an older request.
    ForgetHash,
    /// Write `spec.ensureRenewedAfter` and take `spec.renew` away.
    WantRenewal(String),
    /// Say Pending and turn to the issuer.
    Request,
    /// Say Waiting and look again later: the same domain is being requested for another Certificate.
    Postpone(String),
    /// Sign, write the Secret, write back.
    Issue,
    /// Take the certificate of this Secret.
    Reuse(Stored),
    /// Say Ready and end.
    Confirm(Leaf),
    /// Say Error and end; `fatal` ones need a change of the Certificate.
    Fail { message: String, fatal: bool },
    /// Look again later.
    Wait(Duration),
}

pub(super) fn next(seen: &Situation<'_>) -> Step {
    let certificate = seen.certificate;
    if certificate
        .annotations
        .get(OPERATION)
        .is_some_and(|operation| operation == "reconcile")
    {
        return if certificate.status.backoff.is_some() {
            Step::ForgetBackOff
        } else {
            Step::TakeMark
        };
    }
    if let Some(rest) = backing_off(certificate, seen.now) {
        return Step::Wait(rest);
    }
    if let Some(elapsed) = seen.pending {
        return match &seen.answer {
            Answer::After(delay) if elapsed < *delay => {
                Step::Wait(delay.saturating_sub(elapsed).min(PENDING_LOOK))
            }
            Answer::Fail(reason) => fail(format!("obtaining certificate failed: {reason}")),
            Answer::Never => Step::Wait(PENDING_LOOK),
            Answer::Issue | Answer::After(_) if !seen.has_dns => Step::Wait(PENDING_LOOK),
            Answer::Issue | Answer::After(_) => Step::Issue,
        };
    }
    if let Err(message) = certificate.secret() {
        return Step::Fail {
            message,
            fatal: true,
        };
    }
    let issuer = match &seen.issuer {
        Ok(issuer) => *issuer,
        Err(fault) => return fail(fault.clone()),
    };
    match (seen.stored, &certificate.hash) {
        (Some(_), Some(hash)) if *hash != certificate.request_hash() => Step::ForgetHash,
        (Some(stored), Some(_)) => keep(seen, issuer, stored),
        _ => obtain(seen, issuer),
    }
}

fn fail(message: String) -> Step {
    Step::Fail {
        message,
        fatal: false,
    }
}

fn backing_off(certificate: &Certificate, now: OffsetDateTime) -> Option<Duration> {
    let backoff = certificate
        .status
        .backoff
        .as_ref()
        .filter(|backoff| backoff.observed_generation == certificate.generation)?;
    Duration::try_from(moment(&backoff.recheck_after)? - now).ok()
}

fn keep(seen: &Situation<'_>, issuer: IssuerType, stored: &Stored) -> Step {
    let (spec, now) = (&seen.certificate.spec, seen.now);
    let wanted = spec.ensure_renewed_after.as_deref().and_then(moment);
    if spec.renew.is_some() || wanted.is_some_and(|wanted| wanted > now) {
        // A date of the past stays even when `renew` is set anew: the second `renew: true` changes nothing, as in
        // `updateForRenewalAndRepeat` of the original.
        return Step::WantRenewal(timestamp(
            wanted.filter(|wanted| *wanted < now).unwrap_or(now),
        ));
    }
    if wants_new(stored, wanted, now) {
        obtain(seen, issuer)
    } else {
        Step::Confirm(stored.leaf.clone())
    }
}

fn wants_new(stored: &Stored, wanted: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
    let requested = stored
        .requested_at
        .unwrap_or(stored.leaf.not_before + time::Duration::hours(1));
    stored.leaf.not_after - RENEWAL_WINDOW < now || wanted.is_some_and(|wanted| wanted > requested)
}

fn obtain(seen: &Situation<'_>, issuer: IssuerType) -> Step {
    let certificate = seen.certificate;
    let refusal =
        misfit(certificate, issuer).or_else(|| domains::refusal(certificate, seen.domains));
    if let Some(message) = refusal {
        return Step::Fail {
            message,
            fatal: true,
        };
    }
    let wanted = certificate
        .spec
        .ensure_renewed_after
        .as_deref()
        .and_then(moment);
    let usable = seen
        .equals
        .iter()
        .filter(|stored| !wants_new(stored, wanted, seen.now));
    match (
        usable.max_by_key(|stored| stored.leaf.not_after),
        &seen.requested_elsewhere,
    ) {
        (Some(stored), _) => Step::Reuse(stored.clone()),
        (None, Some(domain)) => {
            Step::Postpone(format!("concurrent obtain for domain name {domain}"))
        }
        (None, None) => Step::Request,
    }
}

/// What the issuer's type does not allow.
fn misfit(certificate: &Certificate, issuer: IssuerType) -> Option<String> {
    let spec = &certificate.spec;
    match issuer {
        IssuerType::Acme if spec.duration.is_some() => {
            Some("duration cannot be set for ACME certificate".to_owned())
        }
        IssuerType::Acme if spec.is_ca.is_some() => {
            Some("isCA cannot be set for ACME certificate".to_owned())
        }
        IssuerType::SelfSigned if spec.is_ca != Some(true) => {
            Some("self signed certificates must set 'spec.isCA: true'".to_owned())
        }
        IssuerType::Acme | IssuerType::Ca | IssuerType::SelfSigned => None,
    }
}

#[cfg(test)]
mod tests {
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
}
