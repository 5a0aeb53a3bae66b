//! The result of `issue-client`, for people.

use serde::Serialize;
use time::OffsetDateTime;

use super::Render;
use super::table::pairs;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::pki::when;
use crate::plan::external_ca;
use crate::plan::issue_client::Report;
use crate::resources::inventory::Entry;

/// An issued certificate, and its files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The inventory entry.
    #[serde(flatten)]
    pub entry: Record,
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// What the certificate of an earlier run has otherwise than it is asked for now, in the words of a table's columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// The files, as paths.
    pub files: Vec<String>,
    /// A curl line that uses the certificate.
    pub curl: Option<String>,
    /// Instructions for using the files, if the user asked for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guidance: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Issued {
    /// A certificate whose files were written, without instructions for using them.
    pub fn of(report: &Report, files: Vec<String>) -> Self {
        Self {
            entry: report.entry.clone().into(),
            subject: report.subject.clone(),
            fingerprint: report.fingerprint.clone(),
            differs: report.differs.clone(),
            files,
            curl: None,
            guidance: Vec::new(),
            notes: report.notes.clone(),
        }
    }

    /// A certificate that an external CA issued.
    pub fn by_external_ca(
        name: &ClientName,
        report: external_ca::Report,
        files: Vec<String>,
    ) -> Self {
        let certificate = &report.certificate;
        Self {
            entry: Record::external(name, certificate),
            subject: certificate.subject().to_owned(),
            fingerprint: certificate.fingerprint(),
            differs: Vec::new(),
            files,
            curl: None,
            guidance: Vec::new(),
            notes: report.notes,
        }
    }
}

/// The record of a certificate.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// An entry of the inventory.
    Entry(Entry),
    /// Only the certificate itself: an external CA keeps its own records.
    External(External),
}

/// A certificate of an external CA.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// The client's exact name.
    pub name: String,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// Start of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The issuer as RFC 4514 text.
    pub issuer: String,
    /// The first URI SAN; empty where there is none.
    pub uri: String,
}

impl Record {
    /// A certificate without an inventory entry.
    fn external(name: &ClientName, certificate: &Certificate) -> Self {
        Self::External(External {
            name: name.to_string(),
            serial: certificate.serial_hex(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            issuer: certificate.issuer().to_owned(),
            uri: certificate.uri_sans().first().cloned().unwrap_or_default(),
        })
    }

    /// The client's exact name.
    pub fn name(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.name,
            Self::External(external) => &external.name,
        }
    }

    /// The authority that issued the certificate; empty for an external CA.
    pub fn authority(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.authority,
            Self::External(_) => "",
        }
    }

    fn rows(&self) -> [(&'static str, String); 5] {
        let (name, uri, signer, end, serial) = match self {
            Self::Entry(entry) => (
                &entry.name,
                &entry.uri,
                ("authority", entry.authority.clone()),
                when::end(entry.not_after, entry.not_before),
                &entry.serial,
            ),
            Self::External(external) => (
                &external.name,
                &external.uri,
                ("issuer", external.issuer.clone()),
                when::end(external.not_after, external.not_before),
                &external.serial,
            ),
        };
        [
            ("client", name.clone()),
            ("identity", uri.clone()),
            signer,
            ("valid until", end),
            ("serial", serial.clone()),
        ]
    }
}

impl From<Entry> for Record {
    fn from(entry: Entry) -> Self {
        Self::Entry(entry)
    }
}

/// One line on stderr, beside a result that is something else.
pub fn line(issued: &Issued) -> String {
    let [(_, client), _, _, (_, until), (_, serial)] = issued.entry.rows();
    format!("issued a certificate for `{client}`: serial {serial}, valid until {until}")
}

impl Render for Issued {
    fn table(&self, is_wide: bool) -> String {
        let mut rows: Vec<(&str, String)> = self.entry.rows().into();
        if is_wide {
            rows.push(("subject", self.subject.clone()));
            rows.push(("SHA-256", self.fingerprint.clone()));
            if let Record::Entry(entry) = &self.entry {
                rows.push(("issuer key", entry.issuer_ski.clone()));
            }
        }
        if !self.files.is_empty() {
            rows.push(("files", self.files.join(" ")));
        }
        let mut text = pairs(rows);
        if let Some(curl) = &self.curl {
            text.push_str(&format!("\nnext: {curl}\n"));
        }
        for guidance in &self.guidance {
            text.push_str(&format!("\n{guidance}"));
        }
        text
    }

    fn names(&self) -> String {
        format!("client/{}\n", self.entry.name())
    }
}
