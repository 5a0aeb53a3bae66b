//! What a report says of an authority.

use serde::Serialize;
use time::OffsetDateTime;

use crate::pki::crl::{Crl, succession};
use crate::pki::inspect::Certificate;
use crate::resources::rotation::Phase;

/// One authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityReport {
    /// The authority's name.
    pub name: String,
    /// The phase of the CA's rotation.
    pub phase: Phase,
    /// The command that continues the rotation.
    pub next: Option<String>,
    /// The CAs in the trust bundle, the newest first, external ones last.
    pub cas: Vec<CaReport>,
    /// Whether the Secret with the keys exists.
    pub keys: Keys,
    /// The authority's clients; `None` if the inventory was not read.
    pub clients: Option<ClientsReport>,
    /// The authority's history, the oldest entry first.
    pub history: Vec<HistoryReport>,
}

/// What is known of the Secret with an authority's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Keys {
    /// The Secret exists.
    Present,
    /// The Secret does not exist.
    Missing,
    /// Whether the Secret exists was not read: the right to read it covers the keys.
    NotChecked,
    /// The authority has no CA that issues.
    None,
}

/// The role of a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The CA issues.
    Issuing,
    /// The CA will issue next.
    New,
    /// The CA no longer issues, but its clients are still accepted.
    Retired,
    /// This plugin does not hold the CA's key.
    External,
}

/// One CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaReport {
    /// The certificate and its revocation list.
    #[serde(flatten)]
    pub trusted: ClientCaReport,
    /// The CA's role.
    pub role: Role,
    /// Number of live certificates; `None` if the inventory was not read, and for external CAs.
    pub clients: Option<usize>,
}

/// A CA whose clients a Gateway accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCaReport {
    /// The first eight hexadecimal digits of the CA's fingerprint.
    pub id: String,
    /// SHA-256 fingerprint, lower-case hexadecimal.
    pub fingerprint: String,
    /// The subject, RFC 4514.
    pub subject: String,
    /// The CA's end, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The CA's revocation list, if there is one.
    pub crl: Option<CrlReport>,
}

impl ClientCaReport {
    /// A CA, with the newest of these lists that it signed.
    pub(in crate::plan::status) fn new(ca: &Certificate, crls: &[Crl]) -> Self {
        Self {
            id: ca.id(),
            fingerprint: ca.fingerprint(),
            subject: ca.subject().to_owned(),
            not_after: ca.not_after(),
            crl: succession::newest(ca, crls).map(CrlReport::new),
        }
    }
}

/// One revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CrlReport {
    /// The CRL number (RFC 5280, 5.2.3).
    pub number: Option<u64>,
    /// nextUpdate, the end of the list's validity, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_update: Option<OffsetDateTime>,
    /// Number of revoked certificates on the list.
    pub revoked: usize,
}

impl CrlReport {
    fn new(crl: &Crl) -> Self {
        Self {
            number: crl.number(),
            next_update: crl.next_update(),
            revoked: crl.revoked().len(),
        }
    }
}

/// The clients of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsReport {
    /// Live certificates: neither expired, revoked nor void.
    pub live: usize,
    /// Number of live certificates that were reserved, and perhaps never delivered.
    pub reserved: usize,
    /// Revoked certificates that would be valid otherwise.
    pub revoked: usize,
    /// When the first live certificate ends, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_end: Option<OffsetDateTime>,
    /// The end of each client's last live certificate, the first end first. A certificate that was renewed does not count.
    #[serde(skip)]
    pub ends: Vec<ClientEnd>,
}

/// The time by which a client needs a new certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientEnd {
    /// The end of the last live certificate, UTC.
    pub at: OffsetDateTime,
    /// The client.
    pub name: String,
}

/// One entry of an authority's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryReport {
    /// RFC 3339, UTC; empty if the entry cannot be read.
    pub time: String,
    /// The user who did it, by the API server's name.
    pub user: String,
    /// The action.
    pub action: String,
}
