//! Certificates of external CAs, whose keys this plugin does not hold: signed with a CA's files, requested from a CA elsewhere, and checked
//! when it has signed.
//!
//! Such certificates have no inventory entry: their CA keeps its own records, and alone can revoke them.

pub mod request;
pub mod returned;
pub mod sign;
#[cfg(test)]
mod tests;

use super::issue_client::ExistingFiles;
use super::reconcile::Question;
use super::{Credential, Observed, Reconciled};
use crate::pki::inspect::Certificate;

/// A certificate of an external CA, as delivered to the client.
#[derive(Debug)]
pub struct Report {
    /// The certificate.
    pub certificate: Certificate,
    /// Whether there are CAs for `client-ca.crt`.
    pub has_client_ca: bool,
    /// Whether only the files of an interrupted run were completed.
    pub completed: bool,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Delivers a credential, after the user was asked for the password of its files; prints `notes` then.
///
/// Does nothing if an interrupted run left this certificate, and its files are complete now.
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
