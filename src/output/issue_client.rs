//! The result of `issue-client`, for people.

use serde::Serialize;

use super::table::columns;
use crate::resources::inventory::Entry;

/// What was issued and where it lies.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The inventory entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// The files, as paths.
    pub files: Vec<String>,
    /// A request that the certificate opens.
    pub curl: Option<String>,
    /// What the user must know.
    pub notes: Vec<String>,
}

/// For people.
pub fn table(issued: &Issued, wide: bool) -> String {
    let entry = &issued.entry;
    let mut rows = vec![
        ("client", entry.name.clone()),
        ("identity", entry.uri.clone()),
        ("authority", entry.authority.clone()),
        ("valid until", entry.not_after.date().to_string()),
        ("serial", entry.serial.clone()),
    ];
    if wide {
        rows.push(("subject", issued.subject.clone()));
        rows.push(("SHA-256", issued.fingerprint.clone()));
        rows.push(("issuer key", entry.issuer_ski.clone()));
    }
    rows.push(("files", issued.files.join(" ")));
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    let text = columns(&rows);
    match &issued.curl {
        Some(curl) => text + &format!("\nnext: {curl}\n"),
        None => text,
    }
}
