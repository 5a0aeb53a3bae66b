//! What the controller reads of a Certificate and its Secret, and the conditions that it writes.

use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::stand_in::certificate::{Leaf, moment, timestamp};
use crate::stand_in::resources::ObjectKey;

pub(super) const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";
pub(super) const ISSUER_NAME: &str = "cert-manager.io/issuer-name";
pub(super) const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
pub(super) const ISSUER_GROUP: &str = "cert-manager.io/issuer-group";
pub(super) const ALT_NAMES: &str = "cert-manager.io/alt-names";

/// The first time between two attempts, and the longest (`pkg/controller/certificates/trigger`).
const FIRST_BACK_OFF: time::Duration = time::Duration::hours(1);
const LONGEST_BACK_OFF: time::Duration = time::Duration::hours(32);

/// A Certificate.
pub(super) struct Certificate {
    pub key: ObjectKey,
    pub generation: i64,
    pub spec: Spec,
    pub status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default)]
    pub dns_names: Vec<String>,
    pub secret_name: String,
    pub issuer_ref: IssuerRef,
}

#[derive(Deserialize)]
pub(super) struct IssuerRef {
    pub name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub group: String,
}

impl IssuerRef {
    pub(super) fn kind(&self) -> &str {
        match self.kind.as_str() {
            "" => "Issuer",
            kind => kind,
        }
    }
}

impl Certificate {
    pub(super) fn read(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        Ok(Self {
            key: ObjectKey::of(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            spec: Spec::deserialize(&object.data["spec"])?,
            status: object.data["status"].clone(),
        })
    }

    pub(super) fn issuing(&self) -> Option<&Value> {
        condition(&self.status, "Issuing")
    }

    pub(super) fn is_issuing(&self) -> bool {
        self.issuing()
            .is_some_and(|issuing| issuing["status"] == "True")
    }

    pub(super) fn attempts(&self) -> u32 {
        let attempts = self.status["failedIssuanceAttempts"].as_u64();
        attempts.and_then(|n| n.try_into().ok()).unwrap_or(0)
    }

    /// How long it has to wait after a failure. A changed Certificate does not wait.
    pub(super) fn back_off(&self, now: OffsetDateTime) -> Option<time::Duration> {
        let failed = self.status["lastFailureTime"].as_str().and_then(moment)?;
        let seen = self.issuing()?["observedGeneration"].as_i64()?;
        let doubled = 2_i32.saturating_pow(self.attempts().saturating_sub(1));
        let wait = (FIRST_BACK_OFF * doubled).min(LONGEST_BACK_OFF);
        let rest = failed + wait - now;
        (seen >= self.generation && rest.is_positive()).then_some(rest)
    }

    /// Why the Secret is not what the Certificate asks for: reason and message (`internal/controller/certificates/policies`).
    pub(super) fn violation(&self, secret: Option<&Secret>) -> Option<(&'static str, String)> {
        let Some(secret) = secret else {
            return Some((
                "DoesNotExist",
                "Issuing certificate as Secret does not exist".to_owned(),
            ));
        };
        let text = |key: &str| {
            let annotations = secret.metadata.annotations.as_ref();
            let value = annotations.and_then(|all| all.get(key));
            value.map(String::as_str).unwrap_or_default()
        };
        let missing = |what: &str| {
            let words = format!("Issuing certificate as Secret does not contain {what}");
            Some(("MissingData", words))
        };
        if secret.data.is_none() {
            return missing("any data");
        }
        if leaf(secret).is_none() {
            return missing("a certificate");
        }
        let issuer = &self.spec.issuer_ref;
        if (text(ISSUER_NAME), text(ISSUER_KIND)) != (&*issuer.name, issuer.kind()) {
            let before = format!(
                "{}.{}/{}",
                text(ISSUER_KIND),
                text(ISSUER_GROUP),
                text(ISSUER_NAME)
            );
            return Some((
                "IncorrectIssuer",
                format!("Issuing certificate as Secret was previously issued by {before:?}"),
            ));
        }
        if text(CERTIFICATE_NAME) != self.key.name {
            return Some((
                "IncorrectCertificate",
                format!(
                    "Secret was issued for {:?}. If this message is not transient, you might have two conflicting Certificates pointing to the same secret.",
                    text(CERTIFICATE_NAME)
                ),
            ));
        }
        if text(ALT_NAMES) != self.spec.dns_names.join(",") {
            return Some((
                "SecretMismatch",
                "Issuing certificate as Existing issued Secret is not up to date for spec: [spec.dnsNames]".to_owned(),
            ));
        }
        None
    }

    /// A condition with the generation that it is about.
    pub(super) fn condition(&self, name: &str, status: bool, reason: &str, message: &str) -> Value {
        let status = if status { "True" } else { "False" };
        let known = condition(&self.status, name);
        let since = known.filter(|known| known["status"] == status);
        let since = since.and_then(|known| known["lastTransitionTime"].as_str());
        json!({
            "type": name, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since.map_or_else(now, str::to_owned),
            "observedGeneration": self.generation,
        })
    }

    /// All conditions, with this one in the place of the one of its type, or without it.
    pub(super) fn conditions_with(&self, name: &str, changed: Option<Value>) -> Vec<Value> {
        let known = self.status["conditions"].as_array().into_iter().flatten();
        let others = known.filter(|condition| condition["type"] != name).cloned();
        others.chain(changed).collect()
    }
}

/// The condition of a type.
pub(super) fn condition<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == name)
}

pub(super) fn leaf(secret: &Secret) -> Option<Leaf> {
    Leaf::read(&secret.data.as_ref()?.get("tls.crt")?.0)
}

pub(super) fn now() -> String {
    timestamp(OffsetDateTime::now_utc())
}
