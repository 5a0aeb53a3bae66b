//! `issue-client --ca-cert`: signs with a CA whose certificate and key are in files.

use std::sync::Arc;

use time::Duration;

use super::{Report, hand_over};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::plan::issue_client::ExistingFiles;
use crate::plan::{
    ClientKey, Credential, Generate, Identity, NewLeaf, Observed, Reconciled, identity,
};

/// A certificate to sign.
#[derive(Debug, Clone)]
pub struct Request {
    /// The CA.
    pub ca: Arc<Authority>,
    /// The same, and those above it, the nearest one first.
    pub chain: Vec<Certificate>,
    /// The authority in the client's default URI.
    pub authority: String,
    /// The client.
    pub name: ClientName,
    /// What its certificate says of it beside the name.
    pub names: identity::Names,
    /// How long the certificate is valid.
    pub ttl: Duration,
    /// The key that is certified.
    pub key: ClientKey,
    /// What the output folder holds already.
    pub existing: ExistingFiles,
}

/// Signs the certificate and hands it over, or completes an interrupted run.
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
            return Err(Generate::Leaf(Box::new(leaf(request)?)).into());
        }
    };
    let note = format!(
        "no inventory is kept with `--ca-cert`: `list-clients` and `renew-client` do not know this certificate, and only the CA `{}` can revoke it (as ca.crt and ca.key in a folder, `--ca-dir` keeps one)",
        request.ca.certificate().subject()
    );
    let credential = Credential {
        identity,
        trusted_pem,
        chain: request.chain.clone(),
    };
    hand_over(&credential, &[note], existing, observed)
}

fn leaf(request: &Request) -> Result<NewLeaf, Failure> {
    let Request {
        authority,
        name,
        names,
        ttl,
        key,
        ..
    } = request;
    Ok(NewLeaf {
        authority: request.ca.clone(),
        request: identity::certificate(authority, name, names, *ttl, key, &[])?,
        key: key.clone(),
    })
}
