//! `issue-client --request`: a key and a signing request for an external CA.

use crate::error::Failure;
use crate::pki::csr::Csr;
use crate::pki::leaf::LeafRequest;
use crate::plan::reconcile::Question;
use crate::plan::{ClientKey, Delivery, Effect, Generate, Observed, Reconciled};

/// A signing request to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// The requested subject, SANs and lifetime.
    pub wanted: LeafRequest,
    /// The key that the request is for.
    pub key: ClientKey,
    /// The existing files in the output folder.
    pub existing: ExistingRequest,
}

/// The existing files of a signing request in the output folder.
#[derive(Debug, Clone, Default)]
pub struct ExistingRequest {
    /// The files that would have to be overwritten, but may not be.
    pub in_the_way: Vec<String>,
    /// The request of an interrupted run whose files are complete now.
    pub completed: Option<Csr>,
}

/// Creates key and request and delivers them, or completes an interrupted run; returns the names in the request.
pub fn reconcile(request: &Request, observed: &Observed) -> Reconciled<Csr> {
    let existing = &request.existing;
    if let Some(csr) = &existing.completed {
        return Ok(csr.clone());
    }
    if !existing.in_the_way.is_empty() {
        let refusal = format!(
            "these files exist already: {}",
            existing.in_the_way.join(", ")
        );
        return Err(Failure::refused(refusal)
            .hint("`--key FILE` makes a request for an existing key, `--out DIR` writes elsewhere, `--force` overwrites the files")
            .into());
    }
    let Some(made) = observed.signing_request() else {
        return Err(Generate::SigningRequest(request.wanted.clone(), request.key.clone()).into());
    };
    observed.answer_to(Question::Password)?;
    if !observed.was_delivered() {
        return Err(Effect::Deliver(Delivery::SigningRequest(Box::new(made.clone()))).into());
    }
    Ok(made.csr.clone())
}
