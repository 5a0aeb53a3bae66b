//! Certificates of external CAs, whose keys this plugin does not hold: signed with a CA's files, requested from a CA elsewhere,
//! and checked when that has signed.
//!
//! No inventory is kept of them: their CA keeps its own books, and alone can revoke.

pub mod request;
pub mod returned;
pub mod sign;
#[cfg(test)]
mod tests;

use super::issue_client::ExistingFiles;
use super::reconcile::Question;
use super::{Credential, Observed, Reconciled};
use crate::pki::inspect::Certificate;

/// A certificate of an external CA that the client has.
#[derive(Debug)]
pub struct Report {
    /// The certificate.
    pub certificate: Certificate,
    /// Whether there are CAs for `client-ca.crt`.
    pub has_client_ca: bool,
    /// Whether only the files of an interrupted run were completed.
    pub completed: bool,
    /// What the user must know.
    pub notes: Vec<String>,
}

/// Hands over a credential, once the user was asked for the password of its files; `notes` are printed then.
///
/// Nothing is left to do where an interrupted run left this certificate, and its files are complete now.
pub fn hand_over(
    credential: &Credential,
    notes: &[String],
    existing: &ExistingFiles,
    observed: &Observed,
) -> Reconciled<Report> {
    let certificate = &credential.identity.certificate;
    let report = |completed, notes| Report {
        certificate: certificate.clone(),
        has_client_ca: !credential.trusted_pem.is_empty(),
        completed,
        notes,
    };
    if existing.completed() == Some(certificate) {
        return Ok(report(true, Vec::new()));
    }
    existing.check(&credential.trusted_pem)?;
    observed.answer_to(Question::Password)?;
    if !observed.was_delivered() {
        return Err(credential.clone().into());
    }
    Ok(report(false, notes.to_vec()))
}
