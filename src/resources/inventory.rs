//! The inventory: one `ConfigMap` per client certificate, public facts only.

mod all;
mod numbers;
#[cfg(test)]
mod tests;
mod uris;

use std::fmt;
use std::str::FromStr;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use all::Inventory;
pub use numbers::{LARGEST_NUMBER, pruned_to};
pub use uris::{identities, records_all_uris};

use super::names::{AUTHORITY_LABEL, CLIENTS_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::crl::Reason;
use crate::pki::inspect::Certificate;
use crate::pki::names::{ClientName, hash8};
use crate::pki::serial::Serial;

/// The layout of an entry; an entry with a higher number is left alone.
const FORMAT: &str = "1";

const STATE_LABEL: &str = "kubectl-mtls.dev/state";
/// The serial number, as a label, so that an entry is found by it, and as an annotation like the other facts.
const SERIAL: &str = "kubectl-mtls.dev/serial";
const FORMAT_ANNOTATION: &str = "kubectl-mtls.dev/format";
const NAME_ANNOTATION: &str = "kubectl-mtls.dev/client-name";
const BEGINS_ANNOTATION: &str = "kubectl-mtls.dev/not-before";
const EXPIRES_ANNOTATION: &str = "kubectl-mtls.dev/not-after";
const REVOKED_ANNOTATION: &str = "kubectl-mtls.dev/revoked-at";
const REASON_ANNOTATION: &str = "kubectl-mtls.dev/revocation-reason";
const REVOKED_BY_ANNOTATION: &str = "kubectl-mtls.dev/revoked-by";
const ISSUER_ANNOTATION: &str = "kubectl-mtls.dev/issuer-ski";
const URI_ANNOTATION: &str = "kubectl-mtls.dev/uri";
const ISSUED_ANNOTATION: &str = "kubectl-mtls.dev/issued-at";
const ISSUED_BY_ANNOTATION: &str = "kubectl-mtls.dev/issued-by";
/// The annotation on the first entry of a name: the entries 2 to this number were removed, and their numbers stay taken.
const PRUNED_ANNOTATION: &str = "kubectl-mtls.dev/pruned-to";
const RENEWS_ANNOTATION: &str = "kubectl-mtls.dev/renews";
const CERTIFICATE: &str = "tls.crt";

/// The state of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// The certificate is signed, and not known to be delivered; it counts as live.
    Reserved,
    /// The certificate was delivered.
    Issued,
    /// The certificate was never delivered: its CA stopped issuing before.
    Void,
    /// Revoked.
    Revoked,
}

impl EntryState {
    const ALL: [Self; 4] = [Self::Reserved, Self::Issued, Self::Void, Self::Revoked];

    /// The state's name, a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Issued => "issued",
            Self::Void => "void",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EntryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| format!("unknown state `{text}`"))
    }
}

/// Time and reason of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Revocation {
    /// The time, UTC, to the second.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The reason (RFC 5280, 5.3.1).
    pub reason: Reason,
}

/// One certificate of one client.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The authority that signed the certificate.
    pub authority: String,
    /// The client's exact name.
    pub name: String,
    /// The number of the certificate among those of the name, counted from 1.
    pub number: u32,
    /// The certificate's state.
    pub state: EntryState,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// Start of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The issuing CA's SKI, hex.
    pub issuer_ski: String,
    /// The URI SAN that names the client.
    pub uri: String,
    /// The other URI SANs; entries of earlier versions lack them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further_uris: Vec<String>,
    /// The number of the certificate that this one renews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<u32>,
    /// When the certificate was signed, UTC; entries of earlier versions lack it.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued_at: Option<OffsetDateTime>,
    /// The user who had it signed, by the API server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<String>,
    /// Time and reason of the revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// The user who revoked it, by the API server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// In the first entry of a name: the entries 2 to this number were removed; 0 if none was.
    #[serde(skip)]
    pub pruned_to: u32,
    /// The certificate as PEM; `None` if only metadata was read.
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
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            issuer_ski: certificate.aki_hex().unwrap_or_default(),
            uri: certificate.uri_sans().first().cloned().unwrap_or_default(),
            further_uris: certificate.uri_sans().iter().skip(1).cloned().collect(),
            renews: None,
            issued_at: None,
            issued_by: None,
            revocation: None,
            revoked_by: None,
            pruned_to: 0,
            certificate: Some(certificate.pem()),
        }
    }

    /// The reference to the entry's object; `None` if its name is not valid for a client.
    pub fn reference(&self) -> Option<ObjectRef> {
        let name: ClientName = self.name.parse().ok()?;
        Some(reference(&self.authority, &name, self.number))
    }

    /// Whether the certificate is live: not expired, not revoked, not void.
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.not_after > now && matches!(self.state, EntryState::Reserved | EntryState::Issued)
    }

    /// Whether the certificate keeps its name from being used again unasked: delivered, and not yet expired.
    ///
    /// A reserved certificate is not known to be delivered, a void one never was, and an expired one is rejected.
    pub fn occupies_name(&self, now: OffsetDateTime) -> bool {
        self.not_after > now && matches!(self.state, EntryState::Issued | EntryState::Revoked)
    }

    /// Reads an entry, whole or only its metadata.
    ///
    /// Times that only inform (of issue, of revocation) are left out where they are damaged: the state of the certificate is what counts.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let annotation = |key: &str| required(object, "annotation", key, object.annotation(key));
        let label = |key: &str| required(object, "label", key, object.label(key));
        let time = |key: &str| moment(object, key, &annotation(key)?);
        let format = annotation(FORMAT_ANNOTATION)?;
        if format != FORMAT {
            return Err(object.unreadable(format!(
                "the format is `{format}`, and this version supports `{FORMAT}`: use the version of kubectl-mtls that wrote it, or a newer one"
            )));
        }
        Ok(Self {
            authority: label(AUTHORITY_LABEL)?,
            name: annotation(NAME_ANNOTATION)?,
            number: numbers::of_entry(object)?,
            state: label(STATE_LABEL)?
                .parse()
                .map_err(|error: String| object.unreadable(error))?,
            serial: annotation(SERIAL)?,
            not_before: time(BEGINS_ANNOTATION)?,
            not_after: time(EXPIRES_ANNOTATION)?,
            issuer_ski: annotation(ISSUER_ANNOTATION)?,
            uri: object
                .annotation(URI_ANNOTATION)
                .unwrap_or_default()
                .to_owned(),
            further_uris: uris::further(object),
            renews: numbers::renewed(object),
            issued_at: object
                .annotation(ISSUED_ANNOTATION)
                .and_then(|text| moment(object, ISSUED_ANNOTATION, text).ok()),
            issued_by: object.annotation(ISSUED_BY_ANNOTATION).map(str::to_owned),
            pruned_to: pruned_to(object)?,
            revocation: revocation(object),
            revoked_by: object.annotation(REVOKED_BY_ANNOTATION).map(str::to_owned),
            certificate: object
                .at(&["data", CERTIFICATE])
                .and_then(|pem| pem.as_str())
                .map(str::to_owned),
        })
    }

    /// The entry, if its serial number can be read, without which a certificate cannot be revoked.
    pub fn with_serial(self, object: &Object) -> Result<Self, Unreadable> {
        match self.serial.parse::<Serial>() {
            Ok(_) => Ok(self),
            Err(_) => Err(object.unreadable(format!("`{SERIAL}` is not a serial number"))),
        }
    }

    /// The manifest of a new entry.
    pub fn object(&self, name: &ClientName) -> Object {
        let new = Object::new(reference(&self.authority, name, self.number))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(AUTHORITY_LABEL, &self.authority)
            .with_label(SERIAL, &self.serial);
        let new = self
            .stated_in(new)
            .with_annotation(FORMAT_ANNOTATION, FORMAT)
            .with_annotation(NAME_ANNOTATION, &self.name)
            .with_annotation(SERIAL, &self.serial)
            .with_annotation(BEGINS_ANNOTATION, &text(self.not_before))
            .with_annotation(EXPIRES_ANNOTATION, &text(self.not_after))
            .with_annotation(ISSUER_ANNOTATION, &self.issuer_ski)
            .with_annotation(URI_ANNOTATION, &self.uri);
        let new = uris::with_further(new, &self.further_uris);
        let new = match self.renews {
            Some(number) => new.with_annotation(RENEWS_ANNOTATION, &number.to_string()),
            None => new,
        };
        let new = match self.issued_at {
            Some(at) => new.with_annotation(ISSUED_ANNOTATION, &text(at)),
            None => new,
        };
        let new = match &self.issued_by {
            Some(who) => new.with_annotation(ISSUED_BY_ANNOTATION, who),
            None => new,
        };
        let certificate = self.certificate.as_deref().unwrap_or_default();
        new.with("data", json!({CERTIFICATE: certificate}))
    }

    /// The object as it was read, with the state and the revocation of this entry; everything else in it stays.
    ///
    /// Fails if only metadata was read: a PUT would erase the certificate.
    pub fn restated(&self, live: &Object) -> Result<Object, Unreadable> {
        if live.text(&["data", CERTIFICATE]).is_empty() {
            return Err(live.unreadable(format!("`{CERTIFICATE}` is missing")));
        }
        Ok(self.stated_in(live.clone()))
    }

    /// The first entry of a name as it was read, with the annotation that the entries 2 to this number were removed.
    ///
    /// Fails if only metadata was read: a PUT would erase the certificate.
    pub fn pruned(live: &Object, to: u32) -> Result<Object, Unreadable> {
        if live.text(&["data", CERTIFICATE]).is_empty() {
            return Err(live.unreadable(format!("`{CERTIFICATE}` is missing")));
        }
        Ok(live
            .clone()
            .with_annotation(PRUNED_ANNOTATION, &to.to_string()))
    }

    fn stated_in(&self, object: Object) -> Object {
        let object = object.with_label(STATE_LABEL, self.state.name());
        let object = match &self.revoked_by {
            Some(who) => object.with_annotation(REVOKED_BY_ANNOTATION, who),
            None => object,
        };
        match &self.revocation {
            Some(Revocation { at, reason }) => object
                .with_annotation(REVOKED_ANNOTATION, &text(*at))
                .with_annotation(REASON_ANNOTATION, reason.name()),
            None => object,
        }
    }
}

/// A time as RFC 3339 text.
fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn required(
    object: &Object,
    what: &str,
    key: &str,
    value: Option<&str>,
) -> Result<String, Unreadable> {
    value
        .map(str::to_owned)
        .ok_or_else(|| object.unreadable(format!("the {what} `{key}` is missing")))
}

fn moment(object: &Object, key: &str, text: &str) -> Result<OffsetDateTime, Unreadable> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| object.unreadable(format!("{key}: {error}")))
}

fn revocation(object: &Object) -> Option<Revocation> {
    let at = object.annotation(REVOKED_ANNOTATION)?;
    let reason = object.annotation(REASON_ANNOTATION).unwrap_or_default();
    Some(Revocation {
        at: moment(object, REVOKED_ANNOTATION, at).ok()?,
        // A reason of a newer version is none that this one knows; that it was revoked is what counts.
        reason: reason.parse().unwrap_or_default(),
    })
}

/// The reference to the n-th entry of a client: `<slug>-<8 hex>-<n>`.
pub fn reference(authority: &str, name: &ClientName, number: u32) -> ObjectRef {
    let slug = name.slug();
    let hash = hash8(authority, name);
    ObjectRef::new(
        Kind::ConfigMap,
        CLIENTS_NAMESPACE,
        format!("{slug}-{hash}-{number}"),
    )
}

/// The serial number in the labels of an entry.
pub fn serial_label(object: &Object) -> Option<&str> {
    object.label(SERIAL)
}

/// The label selector of the entries of all authorities.
pub fn any_authority() -> String {
    AUTHORITY_LABEL.to_owned()
}

/// The label selector of one authority's entries.
pub fn selector(authority: &str) -> String {
    format!("{AUTHORITY_LABEL}={authority}")
}

/// Whether an object of the inventory's namespace is an entry, and not the witness of an authority.
pub fn is_entry(object: &Object) -> bool {
    object.namespace() == CLIENTS_NAMESPACE && object.label(AUTHORITY_LABEL).is_some()
}
