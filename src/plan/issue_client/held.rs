//! What the output folder holds already under the names that would be written.

use super::{Report, Request, entry, report};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::{Observed, Reconciled};
use crate::resources::inventory::EntryState;

/// What the output folder holds already.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The files that would have to be overwritten, and may not be.
    pub in_the_way: Vec<String>,
    /// The certificate that stands there with its key and keystore, whether it may be overwritten or not.
    pub certificate: Option<Certificate>,
    /// The content of `client-ca.crt`, which may stay if it is the same.
    pub client_ca: Option<Vec<u8>>,
}

impl Held {
    /// Whether none of the client's own files is there.
    pub fn is_nothing(&self) -> bool {
        self.in_the_way.is_empty() && self.certificate.is_none()
    }

    /// Refuses to overwrite anything; these CAs are what `client-ca.crt` would hold, where there is any.
    pub fn check(&self, trusted_pem: &str) -> Result<(), Failure> {
        check_files(self)?;
        let trusted = Some(trusted_pem).filter(|pem| !pem.is_empty());
        trusted.map_or(Ok(()), |pem| check_client_ca(self, Some(pem)))
    }
}

/// What an interrupted run of this command left, its reserved certificate, is booked; other files in the way are an error,
/// but for those that an earlier run on the same clients delivered.
pub(super) fn completed(request: &Request, observed: &Observed) -> Reconciled<Option<Report>> {
    let held = &request.held;
    if observed.was_delivered() {
        return Ok(None);
    }
    let Some(certificate) = &held.certificate else {
        return Ok(check_files(held).map(|()| None)?);
    };
    let serial = certificate.serial_hex();
    let numbers = request.numbers();
    let Some(entry) = numbers.find(observed, |entry| entry.serial == serial)? else {
        return Ok(check_files(held).map(|()| None)?);
    };
    let name = numbers.reference(entry.number);
    match entry.state {
        EntryState::Reserved => Err(entry::restate(&entry, EntryState::Issued, &name, observed)?),
        EntryState::Issued if observed.change_of(&name).is_some() => Ok(Some(report::completed(
            entry,
            certificate,
            request,
            observed,
        ))),
        EntryState::Issued if request.resumes => {
            Ok(Some(report::before(entry, certificate, request, observed)))
        }
        _ => Ok(check_files(held).map(|()| None)?),
    }
}

/// Refuses to overwrite a client's files.
pub(super) fn check_files(held: &Held) -> Result<(), Failure> {
    if held.in_the_way.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "these files exist already: {}",
        held.in_the_way.join(", ")
    ))
    .hint("`--out DIR` writes elsewhere, `--force` overwrites them"))
}

/// Refuses to overwrite a `client-ca.crt` of other CAs.
pub(super) fn check_client_ca(held: &Held, trusted_pem: Option<&str>) -> Result<(), Failure> {
    match (&held.client_ca, trusted_pem) {
        (Some(existing), Some(pem)) if existing == pem.as_bytes() => Ok(()),
        (None, _) => Ok(()),
        (Some(_), _) => Err(Failure::refused(
            "`client-ca.crt` in the output folder is of other CAs",
        )
        .hint("`--out DIR` writes elsewhere, `--force` overwrites it")),
    }
}
