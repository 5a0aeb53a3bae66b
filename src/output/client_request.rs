//! The result of `issue-client --request`, for people.

use serde::Serialize;

use super::Render;
use super::table::pairs;
use crate::pki::csr::{self, Csr};
use crate::pki::names::ClientName;
use crate::pki::public_key::PublicKeyKind;

/// A signing request that was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// The client's exact name.
    pub name: String,
    /// The requested subject, RFC 4514.
    pub subject: String,
    /// The requested URI SANs.
    pub uris: Vec<String>,
    /// The kind of key.
    pub key: String,
    /// The files, as paths, the request first.
    pub files: Vec<String>,
    /// The command to run with the certificate that the CA returns.
    pub next: String,
}

impl Requested {
    /// The names in a signing request; `next` is the command to run with the certificate that the
    /// CA returns.
    pub fn of(
        name: &ClientName,
        csr: &Csr,
        files: Vec<String>,
        next: String,
    ) -> Result<Self, csr::Error> {
        Ok(Self {
            name: name.to_string(),
            subject: csr.subject()?.to_string(),
            uris: csr.sans()?.uris,
            key: PublicKeyKind::of(csr.public_key_der()).to_string(),
            files,
            next,
        })
    }
}

impl Render for Requested {
    fn table(&self, _: bool) -> String {
        let rows = [
            ("client", self.name.clone()),
            ("identity", self.uris.join(" ")),
            ("subject", self.subject.clone()),
            ("key", self.key.clone()),
            ("files", self.files.join(" ")),
        ];
        let request = self.files.first().map_or("", String::as_str);
        format!(
            "{}\nnext: have `{request}` signed as a TLS client certificate, with the URI of the request, then {}\n",
            pairs(rows),
            self.next
        )
    }

    fn names(&self) -> String {
        format!("client/{}\n", self.name)
    }
}
