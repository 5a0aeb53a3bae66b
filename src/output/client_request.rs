//! The result of `issue-client --request`, for people.

use serde::Serialize;

use super::table::columns;

/// A signing request that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// The client's exact name.
    pub name: String,
    /// The subject that is asked for, RFC 4514.
    pub subject: String,
    /// The URI SANs that are asked for.
    pub uris: Vec<String>,
    /// The kind of key.
    pub key: String,
    /// The files, as paths, the request first.
    pub files: Vec<String>,
    /// The command for what the CA sends back.
    pub next: String,
}

/// For people.
pub fn table(requested: &Requested) -> String {
    let rows = [
        ("client", requested.name.clone()),
        ("identity", requested.uris.join(" ")),
        ("subject", requested.subject.clone()),
        ("key", requested.key.clone()),
        ("files", requested.files.join(" ")),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    let request = requested.files.first().map_or("", String::as_str);
    format!(
        "{}\nnext: have `{request}` signed as a TLS client, with its URI, then {}\n",
        columns(&rows),
        requested.next
    )
}
