//! `issue-client --ca-cert`: signs with a CA whose certificate and key are in files.

use super::{Report, hand_over};
use crate::pki::inspect::Certificate;
use crate::plan::issue_client::ExistingFiles;
use crate::plan::{Credential, Generate, Identity, NewLeaf, Observed, Reconciled, identity};

/// A certificate to sign.
#[derive(Debug, Clone)]
pub struct Request {
    /// The certificate to sign, and the CA.
    pub new: NewLeaf,
    /// The CA and its issuers, the nearest one first.
    pub chain: Vec<Certificate>,
    /// The existing files in the output folder.
    pub existing: ExistingFiles,
}

/// Signs the certificate and delivers it, or completes an interrupted run.
pub fn reconcile(request: &Request, observed: &Observed) -> Reconciled<Report> {
    // The last one is the root, or stands for it.
    let trusted_pem = request.chain.last().map(Certificate::pem);
    let trusted_pem = trusted_pem.unwrap_or_default();
    let existing = &request.existing;
    let identity = match (existing.completed(), observed.identity()) {
        (Some(certificate), _) => Identity {
            key: None,
            certificate: certificate.clone(),
        },
        (None, Some(identity)) => identity.clone(),
        (None, None) => {
            existing.check(&trusted_pem)?;
            return Err(Generate::Leaf(Box::new(request.new.clone())).into());
        }
    };
    let note = format!(
        "no inventory is kept with `--ca-cert`: `list-clients` and `renew-client` do not know this certificate, and only the CA `{}` can revoke it (as ca.crt and ca.key in a folder, `--ca-dir` keeps one)",
        request.new.authority.certificate().subject()
    );
    let credential = Credential {
        identity,
        trusted_pem,
        chain: request.chain.clone(),
    };
    let (certificate, new) = (&credential.identity.certificate, &request.new);
    let cut = identity::cut_short(certificate, &new.authority, new.request.ttl);
    let notes: Vec<String> = cut.into_iter().chain([note]).collect();
    hand_over(&credential, &notes, existing, observed)
}
