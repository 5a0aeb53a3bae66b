//! cert-manager's Certificate (<https://github.com/cert-manager/cert-manager>, `pkg/apis/certmanager/v1`): its names, and its conditions.

use serde::Deserialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::Certificate;
use crate::resources::issuer::{GROUP, IssuerName};
use crate::resources::progress::Progress;
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// cert-manager's default usages, and that of a server, without which some clients reject a certificate.
pub(super) const USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// The default pauses between attempts: the first, and the longest (`pkg/controller/certificates/trigger`).
const FIRST_BACK_OFF: Duration = Duration::hours(1);
const LONGEST_BACK_OFF: Duration = Duration::hours(32);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    dns_names: Vec<String>,
    #[serde(default)]
    secret_name: String,
    #[serde(default)]
    issuer_ref: IssuerRef,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IssuerRef {
    name: String,
    kind: String,
    group: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    not_after: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    last_failure_time: Option<OffsetDateTime>,
    #[serde(default)]
    failed_issuance_attempts: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    observed_generation: Option<i64>,
}

/// `issuerRef` with every field, so that it also replaces one of another kind.
pub(super) fn issuer_ref(issuer: &str) -> Value {
    let IssuerName { kind, name } = IssuerName::from(issuer);
    json!({"group": GROUP, "kind": kind.name(), "name": name})
}

/// Reads a Certificate.
pub(super) fn read(object: &Object) -> Result<Certificate, Unreadable> {
    let spec: Spec = object.read("spec")?;
    let status: Status = object.read("status")?;
    let secret = ObjectRef::new(Kind::Secret, object.namespace(), &spec.secret_name);
    let failure = status.failure(object);
    let progress = status.progress(object, failure.as_deref());
    Ok(Certificate {
        kind: Kind::CertManagerCertificate,
        has_common_name: false,
        hosts: spec.dns_names,
        secret: spec.secret_name,
        secrets: [secret.clone(), secret],
        issuer: spec.issuer_ref.text(),
        next_try: failure.as_ref().and_then(|_| status.next_try()),
        failed_renewal: failure.filter(|_| progress.is_ready()),
        progress,
        expires: status.not_after,
    })
}

impl IssuerRef {
    /// The issuer in the notation of `--issuer`; with its API group if that is not cert-manager's.
    fn text(&self) -> String {
        let kind = if self.kind.is_empty() {
            Kind::CertManagerIssuer.name()
        } else {
            &self.kind
        };
        match self.group.as_str() {
            "" | GROUP if kind == Kind::CertManagerIssuer.name() => self.name.clone(),
            "" | GROUP => format!("{kind}/{}", self.name),
            group => format!("{kind}.{group}/{}", self.name),
        }
    }
}

impl Status {
    fn condition(&self, name: &str) -> Option<&Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.r#type == name)
    }

    /// Why the last attempt failed, with its reason; `None` if it was for an earlier spec, or succeeded: then it has no time.
    fn failure(&self, object: &Object) -> Option<String> {
        let issuing = self.condition("Issuing")?;
        let is_failed = issuing.status == "False" && self.last_failure_time.is_some();
        (is_failed && issuing.is_current(object))
            .then(|| format!("{}: {}", issuing.reason, issuing.message))
    }

    fn progress(&self, object: &Object, failure: Option<&str>) -> Progress {
        let of = |state: &str, message: &str, is_current| Progress {
            state: state.to_owned(),
            message: message.to_owned(),
            is_current,
        };
        let ready = self.condition("Ready");
        match (ready, failure) {
            (Some(ready), _) if ready.status == "True" => {
                of("Ready", &ready.message, ready.is_current(object))
            }
            (_, Some(failure)) => of("Error", failure, true),
            (ready, None) => {
                let issuing = self.condition("Issuing");
                let told = issuing.filter(|issuing| issuing.status == "True").or(ready);
                told.map_or_else(
                    || of("", "", false),
                    |told| of("Pending", &told.message, told.is_current(object)),
                )
            }
        }
    }

    /// When cert-manager retries, unless it was installed with other pauses.
    fn next_try(&self) -> Option<OffsetDateTime> {
        let doublings = self.failed_issuance_attempts.unwrap_or(1).saturating_sub(1);
        let factor = 2_i32.checked_pow(doublings).unwrap_or(i32::MAX);
        let wait = FIRST_BACK_OFF.checked_mul(factor);
        let wait = wait.map_or(LONGEST_BACK_OFF, |wait| wait.min(LONGEST_BACK_OFF));
        Some(self.last_failure_time? + wait)
    }
}

impl Condition {
    fn is_current(&self, object: &Object) -> bool {
        let generation = object.at(&["metadata", "generation"]);
        let generation = generation.and_then(Value::as_i64).unwrap_or_default();
        self.observed_generation
            .is_none_or(|seen| seen >= generation)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::{ServerCertificate, reference};
    use super::*;
    use crate::resources::names::GatewayName;

    fn ours(host: &str, issuer: &str) -> Object {
        ServerCertificate {
            kind: Kind::CertManagerCertificate,
            namespace: "istio-ingress",
            name: "domain-certificate",
            gateway: &GatewayName::new("shop", "kyma-mtls-gateway"),
            host,
            secret: "kyma-mtls",
            issuer,
        }
        .object()
    }

    fn with_status(status: Value) -> Certificate {
        let mut body = ours("a.example.com", "ca")
            .with("status", status)
            .body()
            .clone();
        body["metadata"]["generation"] = 2.into();
        let object = Object::from_server(Kind::CertManagerCertificate, body).unwrap();
        Certificate::read(&object).unwrap()
    }

    fn condition(name: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": name, "status": status, "reason": reason, "message": message,
            "observedGeneration": 2,
        })
    }

    #[test]
    fn the_host_is_a_dns_name_always_and_the_common_name_where_it_fits() {
        let short = ours("*.mtls.example.com", "ca");
        assert_eq!(short.text(&["spec", "commonName"]), "*.mtls.example.com");
        let long = format!("*.mtls.{}.example.com", "x".repeat(60));
        let object = ours(&long, "ca");
        assert_eq!(object.text(&["spec", "commonName"]), "");
        for (object, host) in [(short, "*.mtls.example.com"), (object, &*long)] {
            let read = Certificate::read(&object).unwrap();
            assert_eq!(read.hosts, [host]);
            let secret = ObjectRef::new(Kind::Secret, "istio-ingress", "kyma-mtls");
            assert!(read.fills(&secret));
        }
    }

    #[test]
    fn an_issuer_reads_back_as_it_was_given() {
        for issuer in ["ca", "ClusterIssuer/letsencrypt"] {
            let read = Certificate::read(&ours("a.example.com", issuer)).unwrap();
            assert_eq!(read.issuer, issuer);
        }
        let name = reference(Kind::CertManagerCertificate, "istio-ingress", "x");
        let other = json!({"group": "awspca.cert-manager.io", "kind": "AWSPCAIssuer", "name": "x"});
        let other = Object::new(name).with("spec", json!({"issuerRef": other}));
        let read = Certificate::read(&other).unwrap();
        assert_eq!(read.issuer, "AWSPCAIssuer.awspca.cert-manager.io/x");
    }

    #[test]
    fn conditions_tell_how_far_it_is() {
        let missing = "Issuing certificate as Secret does not exist";
        let pending = with_status(json!({"conditions": [
            condition("Ready", "False", "DoesNotExist", missing),
            condition("Issuing", "True", "DoesNotExist", missing),
        ]}));
        assert_eq!(pending.progress.said(), format!("Pending: {missing}"));
        let unseen = with_status(json!({}));
        assert_eq!(
            unseen.progress.said(),
            "the controller has not seen the object yet"
        );
        let mut stale = condition("Ready", "True", "Ready", "Certificate is up to date");
        stale["observedGeneration"] = 1.into();
        let stale = with_status(json!({"conditions": [stale]}));
        assert!(!stale.progress.is_ready());
    }

    #[test]
    fn a_failure_tells_its_reason_and_doubles_the_time_to_the_next_attempt() {
        let told = "The certificate request has failed to complete and will be retried: no";
        let failed = |attempts: u32, ready: &str| {
            with_status(json!({
                "conditions": [
                    condition("Ready", ready, "DoesNotExist", "Issuing certificate"),
                    condition("Issuing", "False", "Denied", told),
                ],
                "lastFailureTime": "2026-01-01T00:00:00Z",
                "failedIssuanceAttempts": attempts,
            }))
        };
        let once = failed(1, "False");
        assert_eq!(once.progress.said(), format!("Error: Denied: {told}"));
        assert_eq!(once.next_try, Some(datetime!(2026-01-01 01:00 UTC)));
        let third = failed(3, "False").next_try;
        assert_eq!(third, Some(datetime!(2026-01-01 04:00 UTC)));
        let many = failed(4_000_000_000, "False").next_try;
        assert_eq!(many, Some(datetime!(2026-01-02 08:00 UTC)));
        // A renewal that fails leaves a certificate that is good.
        let renewing = failed(1, "True");
        assert!(renewing.progress.is_ready());
        assert_eq!(renewing.failed_renewal, Some(format!("Denied: {told}")));
        assert_eq!(once.failed_renewal, None);
    }
}
