//! What the output folder holds already under the names that would be written.

use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::resources::inventory::{Entry, EntryState};

/// What the output folder holds already.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The files that would have to be overwritten, and may not be.
    pub in_the_way: Vec<String>,
    /// The certificate among them, where its key and keystore stand beside it.
    pub certificate: Option<Certificate>,
    /// The content of `client-ca.crt`, which may stay if it is the same.
    pub client_ca: Option<Vec<u8>>,
}

impl Held {
    /// The reserved entry of the certificate in the folder: an interrupted run delivered it, and did not come to book it.
    pub fn reserved<'a>(&'a self, entries: &'a [Entry]) -> Option<(&'a Entry, &'a Certificate)> {
        let certificate = self.certificate.as_ref()?;
        let serial = certificate.serial_hex();
        let entry = entries
            .iter()
            .find(|entry| entry.serial == serial && entry.state == EntryState::Reserved)?;
        Some((entry, certificate))
    }
}

/// Refuses to overwrite a client's files.
pub fn check_files(held: &Held) -> Result<(), Failure> {
    if held.in_the_way.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "these files exist already: {}",
        held.in_the_way.join(", ")
    ))
    .hint("`--out DIR` writes elsewhere, `--force` overwrites them; nothing was issued"))
}

/// Refuses to overwrite a `client-ca.crt` of other CAs.
pub fn check_client_ca(held: &Held, trusted_pem: Option<&str>) -> Result<(), Failure> {
    match (&held.client_ca, trusted_pem) {
        (Some(existing), Some(pem)) if existing == pem.as_bytes() => Ok(()),
        (None, _) => Ok(()),
        (Some(_), _) => Err(Failure::refused(
            "`client-ca.crt` in the output folder is of other CAs",
        )
        .hint("`--out DIR` writes elsewhere, `--force` overwrites it; nothing was issued")),
    }
}
