//! `issue-client --request`: a key and a signing request for an external CA.

use crate::error::Failure;
use crate::pki::csr::Csr;
use crate::pki::leaf::LeafRequest;
use crate::plan::reconcile::Question;
use crate::plan::{ClientKey, Delivery, Effect, Generate, Observed, Reconciled};

/// A signing request to make.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it asks for.
    pub wanted: LeafRequest,
    /// The key that it is for.
    pub key: ClientKey,
    /// What the output folder holds already.
    pub existing: ExistingRequest,
}

/// What the output folder holds already of a signing request.
#[derive(Debug, Clone, Default)]
pub struct ExistingRequest {
    /// The files that would have to be overwritten, and may not be.
    pub in_the_way: Vec<String>,
    /// The request of an interrupted run whose files are complete now.
    pub completed: Option<Csr>,
}

/// Makes key and request and hands them over, or completes an interrupted run; what the request asks for.
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
            .hint("`--key FILE` makes a request for a key that exists, `--out DIR` writes elsewhere, `--force` overwrites them")
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
