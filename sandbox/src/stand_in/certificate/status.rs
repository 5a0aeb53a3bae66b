//! The status that the controller writes for a Certificate.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::model::{BackOff, Certificate, Leaf, NOT_AFTER, NOT_BEFORE, moment, timestamp};
use crate::stand_in::resources::CONTROL_PLANE;

const FIRST_RETRY: Duration = Duration::minutes(2);
const LONGEST_RETRY: Duration = Duration::hours(8);
const FATAL_RETRY: Duration = Duration::hours(24);
const RENEWAL_WINDOW: Duration = Duration::days(30);

/// Ready, in the words about the leaf that the Secret holds.
pub(super) fn ready(
    certificate: &Certificate,
    leaf: &Leaf,
    old: &Value,
    now: OffsetDateTime,
) -> Value {
    let (serial, start, end) = (
        &leaf.serial,
        spoken(leaf.not_before),
        spoken(leaf.not_after),
    );
    let message = format!("certificate (SN {serial}) valid from {start} to {end}");
    let mut status = common(certificate, "Ready", Some(&message), old, now);
    status["backoff"] = Value::Null;
    status["lastPendingTimestamp"] = Value::Null;
    status["renewalDate"] = json!(timestamp(leaf.not_after - RENEWAL_WINDOW));
    status
}

/// Pending, since now.
pub(super) fn pending(certificate: &Certificate, old: &Value, now: OffsetDateTime) -> Value {
    let message = "certificate requested, preparing/waiting for successful DNS01 challenge";
    let mut status = common(certificate, "Pending", Some(message), old, now);
    status["lastPendingTimestamp"] = json!(timestamp(now));
    status
}

/// Waiting for a request of the same domain; there is no back-off.
pub(super) fn waiting(
    certificate: &Certificate,
    message: &str,
    old: &Value,
    now: OffsetDateTime,
) -> Value {
    common(certificate, "Waiting", Some(message), old, now)
}

/// Error, and when it is tried again: after two minutes, and two more with each failure in a row.
pub(super) fn failed(
    certificate: &Certificate,
    message: &str,
    fatal: bool,
    old: &Value,
    now: OffsetDateTime,
) -> Value {
    let earlier = certificate
        .status
        .backoff
        .as_ref()
        .filter(|backoff| backoff.observed_generation == certificate.generation);
    let interval = match earlier {
        _ if fatal => FATAL_RETRY,
        Some(backoff) => {
            (FIRST_RETRY + parse_duration(&backoff.recheck_interval)).min(LONGEST_RETRY)
        }
        None => FIRST_RETRY,
    };
    let mut status = common(certificate, "Error", Some(message), old, now);
    let backoff = BackOff {
        observed_generation: certificate.generation,
        recheck_after: timestamp(now + interval),
        recheck_interval: spell_duration(interval),
    };
    status["backoff"] = json!(backoff);
    status
}

fn common(
    certificate: &Certificate,
    state: &str,
    message: Option<&str>,
    old: &Value,
    now: OffsetDateTime,
) -> Value {
    let (issuer, namespace) = certificate.issuer();
    let cluster = if namespace.is_some() {
        "target"
    } else {
        "default"
    };
    json!({
        "state": state,
        "message": message,
        "observedGeneration": certificate.generation,
        "commonName": certificate.spec.common_name,
        "dnsNames": certificate.spec.dns_names,
        "issuanceDate": certificate.annotations.get(NOT_BEFORE),
        "expirationDate": certificate.annotations.get(NOT_AFTER),
        "issuerRef": { "cluster": cluster, "name": issuer, "namespace": namespace.unwrap_or_else(|| CONTROL_PLANE.into()) },
        "conditions": [condition(certificate, state, message, old, now)],
    })
}

fn condition(
    certificate: &Certificate,
    state: &str,
    message: Option<&str>,
    old: &Value,
    now: OffsetDateTime,
) -> Value {
    let ready = state == "Ready";
    let status = if ready { "True" } else { "False" };
    let before = old
        .pointer("/conditions/0")
        .filter(|before| before["status"] == status);
    let since = before
        .and_then(|before| before["lastTransitionTime"].as_str())
        .map_or_else(|| timestamp(now), ToOwned::to_owned);
    json!({
        "type": "Ready",
        "status": status,
        "reason": state,
        "message": if ready { "" } else { message.unwrap_or_default() },
        "observedGeneration": certificate.generation,
        "lastTransitionTime": since,
    })
}

/// As Go prints a time.
fn spoken(time: OffsetDateTime) -> String {
    timestamp(time).replace('T', " ").replace('Z', " +0000 UTC")
}

/// As Go prints a duration: `24h0m0s`.
fn spell_duration(duration: Duration) -> String {
    let (hours, minutes, seconds) = (
        duration.whole_hours(),
        duration.whole_minutes() % 60,
        duration.whole_seconds() % 60,
    );
    if hours > 0 {
        format!("{hours}h{minutes}m{seconds}s")
    } else {
        format!("{minutes}m{seconds}s")
    }
}

fn parse_duration(text: &str) -> Duration {
    let mut total = Duration::ZERO;
    let mut digits = String::new();
    for letter in text.chars() {
        let number = digits.parse().unwrap_or_default();
        match letter {
            'h' => total += Duration::hours(number),
            'm' => total += Duration::minutes(number),
            's' => total += Duration::seconds(number),
            _ => {
                digits.push(letter);
                continue;
            }
        }
        digits.clear();
    }
    total
}

/// The old status after a merge patch with the new one.
pub(super) fn merged(old: &Value, new: &Value) -> Value {
    let mut merged = old.clone();
    if let (Some(fields), Some(changes)) = (merged.as_object_mut(), new.as_object()) {
        for (name, value) in changes {
            if value.is_null() {
                fields.shift_remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    merged
}

/// When a back-off that is being written will be over.
pub(super) fn retry_in(status: &Value, now: OffsetDateTime) -> Option<std::time::Duration> {
    let after = moment(status.pointer("/backoff/recheckAfter")?.as_str()?)?;
    std::time::Duration::try_from(after - now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        for (minutes, text) in [(2, "2m0s"), (64, "1h4m0s"), (1440, "24h0m0s")] {
            assert_eq!(spell_duration(Duration::minutes(minutes)), text);
            assert_eq!(parse_duration(text), Duration::minutes(minutes));
        }
    }

    #[test]
    fn a_time_reads_as_in_the_ready_message() {
        assert_eq!(
            spoken(time::macros::datetime!(2026-05-01 12:00 UTC)),
            "2026-05-01 12:00:00 +0000 UTC"
        );
    }
}
