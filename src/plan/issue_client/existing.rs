//! The existing files in the output folder, under the names to write.

use time::OffsetDateTime;

use super::differences::differences;
use super::{Report, Request, Standing, entry, report};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::{Observed, Reconciled};
use crate::resources::inventory::EntryState;

const COMPLETED: &str =
    "completed an interrupted run: the certificate in the output folder is recorded as issued";

/// The existing files in the output folder.
#[derive(Debug, Clone, Default)]
pub struct ExistingFiles {
    /// The files that would have to be overwritten, but may not be.
    pub in_the_way: Vec<String>,
    /// The certificate in the output folder with its key and keystore, whether it may be overwritten or not.
    pub certificate: Option<Certificate>,
    /// The content of `client-ca.crt`, which may stay if it is the same.
    pub client_ca: Option<Vec<u8>>,
    /// Whether an interrupted run had prepared the files, and this run has moved them to their
    /// places.
    pub were_completed: bool,
}

impl ExistingFiles {
    /// Whether none of the client's own files exists.
    pub fn is_nothing(&self) -> bool {
        self.in_the_way.is_empty() && self.certificate.is_none()
    }

    /// The certificate of an interrupted run whose files are complete now.
    pub fn completed(&self) -> Option<&Certificate> {
        self.certificate.as_ref().filter(|_| self.were_completed)
    }

    /// Refuses to overwrite files; `trusted_pem` is the new content of `client-ca.crt`.
    pub fn check(&self, trusted_pem: &str) -> Result<(), Failure> {
        self.check_own()?;
        if trusted_pem.is_empty() {
            return Ok(());
        }
        self.check_client_ca(Some(trusted_pem))
    }

    /// Refuses to overwrite the client's own files.
    pub(super) fn check_own(&self) -> Result<(), Failure> {
        if self.in_the_way.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "these files exist already: {}",
            self.in_the_way.join(", ")
        ))
        .hint("`--out DIR` writes elsewhere, `--force` overwrites the files"))
    }

    /// Refuses to overwrite a `client-ca.crt` with other CAs.
    pub(super) fn check_client_ca(&self, trusted_pem: Option<&str>) -> Result<(), Failure> {
        let is_alike = |found: &Vec<u8>| trusted_pem.map(str::as_bytes) == Some(found);
        if self.client_ca.as_ref().is_none_or(is_alike) {
            return Ok(());
        }
        Err(
            Failure::refused("`client-ca.crt` in the output folder holds other CAs")
                .hint("`--out DIR` writes elsewhere, `--force` overwrites the file"),
        )
    }
}

/// Completes an interrupted run: its reserved certificate is recorded as issued. Other files in the way are an error, except those that an
/// earlier run on the same clients delivered.
pub(super) fn completed(
    request: &Request,
    standing: &Standing,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Option<Report>> {
    if observed.was_delivered() {
        return Ok(None);
    }
    let numbers = request.numbers();
    if let Some(certificate) = &request.existing.certificate
        && let serial = certificate.serial_hex()
        && let Some(entry) = numbers.find(observed, |entry| entry.serial == serial)?
    {
        let name = numbers.reference(entry.number);
        let was_changed = observed.change_of(&name).is_some();
        match entry.state {
            EntryState::Reserved => {
                return Err(entry::restate(&entry, EntryState::Issued, &name, observed)?);
            }
            // What gateways do not accept any more is no reason to issue nothing.
            EntryState::Issued
                if was_changed || (request.resumes && standing.accepts(&entry, now)) =>
            {
                let mut report = report::report(entry, certificate, request, observed);
                (report.completed, report.before) = (was_changed, !was_changed);
                if was_changed {
                    report.notes.insert(0, COMPLETED.to_owned());
                }
                report.differs = differences(request, certificate, &standing.state.trusted);
                report.notes.extend(report.difference());
                return Ok(Some(report));
            }
            _ => {}
        }
    }
    request.existing.check_own()?;
    Ok(None)
}
