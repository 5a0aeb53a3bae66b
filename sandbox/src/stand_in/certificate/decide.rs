//! What the controller does next for a Certificate, in the order of gardener/cert-management
//! `pkg/controller/issuer/certificate/reconciler.go`.

#[cfg(test)]
mod tests;

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
