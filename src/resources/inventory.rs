//! The inventory: one `ConfigMap` per client certificate, public facts only.

use std::fmt;
use std::str::FromStr;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::names::{AUTHORITY_LABEL, CLIENTS_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::inspect::Certificate;
use crate::pki::names::{ClientName, hash8};

const STATE_LABEL: &str = "kubectl-mtls.dev/state";
const NAME_ANNOTATION: &str = "kubectl-mtls.dev/client-name";
const SERIAL_ANNOTATION: &str = "kubectl-mtls.dev/serial";
const EXPIRES_ANNOTATION: &str = "kubectl-mtls.dev/not-after";
const ISSUER_ANNOTATION: &str = "kubectl-mtls.dev/issuer-ski";
const URI_ANNOTATION: &str = "kubectl-mtls.dev/uri";
const CERTIFICATE: &str = "tls.crt";

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// Signed, and not known to be delivered; it counts as live.
    Reserved,
    /// Delivered.
    Issued,
    /// Signed by a CA that stopped issuing before delivery; never delivered.
    Void,
    /// Revoked.
    Revoked,
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "reserved",
            Self::Issued => "issued",
            Self::Void => "void",
            Self::Revoked => "revoked",
        })
    }
}

impl FromStr for EntryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Reserved, Self::Issued, Self::Void, Self::Revoked]
            .into_iter()
            .find(|state| state.to_string() == text)
            .ok_or_else(|| format!("unknown state `{text}`"))
    }
}

/// One certificate of one client.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The authority that signed it.
    pub authority: String,
    /// The client's exact name.
    pub name: String,
    /// Counts the certificates of this name from 1.
    pub number: u32,
    /// What became of it.
    pub state: EntryState,
    /// Lower-case hex.
    pub serial: String,
    /// UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The CA generation, by its hex SKI.
    pub issuer_ski: String,
    /// The URI SAN that names the client.
    pub uri: String,
    /// The certificate as PEM; absent where only metadata was read.
    #[serde(skip)]
    pub certificate: Option<String>,
}

impl Entry {
    /// The entry of a new certificate.
    pub fn new(
        authority: &str,
        name: &ClientName,
        number: u32,
        state: EntryState,
        certificate: &Certificate,
    ) -> Self {
        Self {
            authority: authority.to_owned(),
            name: name.to_string(),
            number,
            state,
            serial: certificate.serial_hex(),
            not_after: certificate.not_after(),
            issuer_ski: certificate.aki_hex().unwrap_or_default(),
            uri: certificate.uri_sans().first().cloned().unwrap_or_default(),
            certificate: Some(certificate.pem()),
        }
    }

    /// Whether the certificate can still open the gateway: not expired, not revoked, not void.
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.not_after > now && matches!(self.state, EntryState::Reserved | EntryState::Issued)
    }

    /// Reads an entry, whole or its metadata only.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let annotation = |key: &str| {
            let value = object.annotation(key).map(str::to_owned);
            value.ok_or_else(|| object.unreadable(format!("the annotation `{key}` is missing")))
        };
        let label = |key: &str| {
            let value = object.label(key).map(str::to_owned);
            value.ok_or_else(|| object.unreadable(format!("the label `{key}` is missing")))
        };
        let number = object
            .name()
            .rsplit('-')
            .next()
            .and_then(|text| text.parse().ok());
        Ok(Self {
            authority: label(AUTHORITY_LABEL)?,
            name: annotation(NAME_ANNOTATION)?,
            number: number.ok_or_else(|| object.unreadable("its name does not end in a number"))?,
            state: label(STATE_LABEL)?
                .parse()
                .map_err(|error: String| object.unreadable(error))?,
            serial: annotation(SERIAL_ANNOTATION)?,
            not_after: OffsetDateTime::parse(&annotation(EXPIRES_ANNOTATION)?, &Rfc3339)
                .map_err(|error| object.unreadable(format!("{EXPIRES_ANNOTATION}: {error}")))?,
            issuer_ski: annotation(ISSUER_ANNOTATION)?,
            uri: object
                .annotation(URI_ANNOTATION)
                .unwrap_or_default()
                .to_owned(),
            certificate: object
                .at(&["data", CERTIFICATE])
                .and_then(|pem| pem.as_str())
                .map(str::to_owned),
        })
    }

    /// The manifest.
    pub fn object(&self, name: &ClientName) -> Object {
        let not_after = self.not_after.format(&Rfc3339).unwrap_or_default();
        Object::new(reference(&self.authority, name, self.number))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(AUTHORITY_LABEL, &self.authority)
            .with_label(STATE_LABEL, &self.state.to_string())
            .with_annotation(NAME_ANNOTATION, &self.name)
            .with_annotation(SERIAL_ANNOTATION, &self.serial)
            .with_annotation(EXPIRES_ANNOTATION, &not_after)
            .with_annotation(ISSUER_ANNOTATION, &self.issuer_ski)
            .with_annotation(URI_ANNOTATION, &self.uri)
            .with(
                "data",
                json!({CERTIFICATE: self.certificate.as_deref().unwrap_or_default()}),
            )
    }
}

/// `<slug>-<8 hex>-<n>`: the stem of all entries of one name.
pub fn stem(authority: &str, name: &ClientName) -> String {
    format!("{}-{}", name.slug(), hash8(authority, name))
}

/// Names the n-th entry of a client.
pub fn reference(authority: &str, name: &ClientName, number: u32) -> ObjectRef {
    ObjectRef::new(
        Kind::ConfigMap,
        CLIENTS_NAMESPACE,
        format!("{}-{number}", stem(authority, name)),
    )
}

/// The label selector of one authority's entries.
pub fn selector(authority: &str) -> String {
    format!("{AUTHORITY_LABEL}={authority}")
}
