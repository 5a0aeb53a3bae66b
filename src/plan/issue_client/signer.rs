//! The issuing CA with its key.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::{Effect, Observed, Query, Reconciled, signers};
use crate::resources::authority::AuthorityState;
use crate::resources::names::CredentialNames;

/// The issuing CA, generated in this run or read together with its key.
pub(super) fn signer(
    state: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Arc<Authority>> {
    let Some(ca) = state.issuing_ca() else {
        return Err(Failure::refused(format!(
            "the authority `{}` does not issue yet",
            state.authority
        ))
        .hint("`kubectl mtls ca-rotate` continues until every gateway has loaded its CA")
        .into());
    };
    if let Some(minted) = observed.generated_authority()
        && minted.certificate() == ca
    {
        return Ok(minted.clone());
    }
    let keys = signers::keys(state, observed)?;
    if keys.of(ca).is_none() {
        let secret = signers::secret(state);
        let last = observed.changes().last();
        if last.is_some_and(|change| !observed.was_read_after(&secret, change)) {
            // A rotation may have added it since.
            return Err(Effect::Read(vec![Query::Get(secret)]).into());
        }
        let reference = CredentialNames::of_authority(&state.authority).state();
        if observed.is_newer(&secret, &reference) {
            // A rotation may have removed it since, and another CA issues.
            return Err(Effect::Read(vec![Query::Get(reference)]).into());
        }
    }
    Ok(signers::signer(ca, &keys, state, now)?)
}
