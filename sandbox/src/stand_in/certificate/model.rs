//! The parts of Certificates and their Secrets that the controller reads.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::pem::Pem;

use crate::stand_in::resources::ObjectKey;

/// On Certificate and Secret: what was asked for, hashed.
pub(super) const HASH: &str = "cert.gardener.cloud/hash";
/// On Secrets that belong to Certificates.
pub(super) const MADE_FOR_CERTIFICATE: &str = "cert.gardener.cloud/certificate";
/// On backups of Secrets, which survive them: what they are, and the serial number as hexadecimal digits.
pub(super) const BACKUP: &str = "cert.gardener.cloud/backup";
pub(super) const SERIAL_NUMBER: &str = "cert.gardener.cloud/certificate-serialnumber";
/// On the Secret: when its certificate was asked for.
pub(super) const REQUESTED_AT: &str = "cert.gardener.cloud/requestedAt";
/// On the Certificate: the validity, from which the status is filled.
pub(super) const NOT_BEFORE: &str = "cert.gardener.cloud/not-before";
pub(super) const NOT_AFTER: &str = "cert.gardener.cloud/not-after";
/// On the Certificate: `reconcile` retries at once.
pub(super) const OPERATION: &str = "gardener.cloud/operation";
/// The issuer that a shoot provides; it lives outside the user's cluster.
pub(super) const DEFAULT_ISSUER: &str = "garden";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub common_name: Option<String>,
    pub dns_names: Vec<String>,
    pub csr: Option<String>,
    pub issuer_ref: Option<IssuerRef>,
    pub secret_name: Option<String>,
    pub secret_ref: Option<SecretRef>,
    pub secret_labels: BTreeMap<String, String>,
    pub renew: Option<bool>,
    pub ensure_renewed_after: Option<String>,
    pub private_key: Option<serde_json::Value>,
    pub duration: Option<String>,
    #[serde(rename = "isCA")]
    pub is_ca: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IssuerRef {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct SecretRef {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub observed_generation: i64,
    pub backoff: Option<BackOff>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BackOff {
    pub observed_generation: i64,
    pub recheck_after: String,
    pub recheck_interval: String,
}

#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub key: ObjectKey,
    pub generation: i64,
    pub hash: Option<String>,
    pub annotations: BTreeMap<String, String>,
    pub spec: Spec,
    pub status: Status,
}

impl Certificate {
    pub(super) fn read(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        let part = |name: &str| {
            object
                .data
                .get(name)
                .cloned()
                .unwrap_or_else(|| serde_json::json!({}))
        };
        Ok(Self {
            key: ObjectKey::of(&object.metadata),
            generation: object.metadata.generation.unwrap_or_default(),
            hash: object
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(HASH).cloned()),
            annotations: object.metadata.annotations.clone().unwrap_or_default(),
            spec: serde_json::from_value(part("spec"))?,
            status: serde_json::from_value(part("status"))?,
        })
    }

    /// The domains, the common name first.
    pub(super) fn domains(&self) -> Vec<String> {
        let mut names = self.spec.dns_names.clone();
        if let Some(name) = self
            .spec
            .common_name
            .as_ref()
            .filter(|name| !names.contains(name))
        {
            names.insert(0, name.clone());
        }
        names
    }

    /// The Secret as the user wants it; None has a name generated.
    pub(super) fn secret(&self) -> Result<Option<ObjectKey>, String> {
        let own = &self.key.namespace;
        match (&self.spec.secret_ref, &self.spec.secret_name) {
            (Some(reference), _) if reference.name.is_empty() => {
                Err("secretRef.name must not be empty if specified".into())
            }
            (Some(reference), Some(name)) if *name != reference.name => Err(format!(
                "conflicting names in secretRef.Name and secretName: {} != {name}",
                reference.name
            )),
            (Some(reference), _) => {
                let namespace = if reference.namespace.is_empty() {
                    own
                } else {
                    &reference.namespace
                };
                Ok(Some(ObjectKey::new(namespace, &reference.name)))
            }
            (None, name) => Ok(name
                .as_ref()
                .filter(|name| !name.is_empty())
                .map(|name| ObjectKey::new(own, name))),
        }
    }

    /// The issuer's name, with its namespace when it lives in this cluster.
    pub(super) fn issuer(&self) -> (String, Option<String>) {
        match &self.spec.issuer_ref {
            Some(reference) if reference.namespace.is_empty() => (reference.name.clone(), None),
            Some(reference) => (reference.name.clone(), Some(reference.namespace.clone())),
            None => (DEFAULT_ISSUER.to_owned(), None),
        }
    }

    /// Names what is asked for; a Secret with the same hash answers it.
    pub(super) fn request_hash(&self) -> String {
        let (issuer, namespace) = self.issuer();
        let issuer = namespace.map_or_else(
            || issuer.clone(),
            |namespace| format!("target:{namespace}/{issuer}"),
        );
        let key = self.spec.private_key.as_ref().map(ToString::to_string);
        let mut context = digest::Context::new(&digest::SHA224);
        for part in self
            .spec
            .common_name
            .iter()
            .chain(&self.spec.dns_names)
            .chain([&issuer])
            .chain(&key)
        {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        hex(context.finish().as_ref()).concat()
    }
}

/// A Secret that holds a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub key: ObjectKey,
    pub labels: BTreeMap<String, String>,
    pub requested_at: Option<OffsetDateTime>,
    pub leaf: Leaf,
}

/// The leaf as far as the status tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stand_in) struct Leaf {
    pub serial: String,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

impl Stored {
    /// None for a Secret without a readable certificate.
    pub(super) fn read(secret: &Secret) -> Option<Self> {
        let leaf = Leaf::read(&secret.data.as_ref()?.get("tls.crt")?.0)?;
        let requested = secret
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(REQUESTED_AT));
        Some(Self {
            key: ObjectKey::of(&secret.metadata),
            labels: secret.metadata.labels.clone().unwrap_or_default(),
            requested_at: requested.and_then(|time| moment(time)),
            leaf,
        })
    }
}

impl Leaf {
    /// Reads the first certificate of a PEM file.
    pub(in crate::stand_in) fn read(pem: &[u8]) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let serial = hex(certificate.raw_serial());
        Some(Self {
            serial: serial.join(":"),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }
}

/// Reads a time of the API.
pub(in crate::stand_in) fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Writes a time for the API: RFC 3339, UTC, whole seconds.
pub(in crate::stand_in) fn timestamp(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Each byte as two digits.
fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
