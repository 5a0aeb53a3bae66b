//! Who signs: the issuing CA with its key.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Answer;
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::{Query, Step, World, signers};
use crate::resources::authority::AuthorityState;
use crate::resources::names::CredentialNames;

/// The CA that signs; made in this run, or read together with its key.
pub(super) fn signer(
    state: &AuthorityState,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Arc<Authority>> {
    let Some(ca) = state.issuing_ca() else {
        return Err(Failure::refused(format!(
            "the authority `{}` does not issue yet",
            state.authority
        ))
        .hint("`kubectl mtls ca-rotate` goes on until every gateway has loaded its CA")
        .into());
    };
    if let Some(minted) = world.minted.as_ref()
        && minted.certificate() == ca
    {
        return Ok(minted.clone());
    }
    let keys = signers::keys(state, world)?;
    if keys.of(ca).is_none() {
        let secret = signers::secret(state);
        let last = world.changes().last();
        if last.is_some_and(|change| !world.was_read_after(&secret, change)) {
            // A rotation may have added it since.
            return Err(Step::Read(vec![Query::Get(secret)]).into());
        }
        let reference = CredentialNames::of_authority(&state.authority).state();
        if world.is_newer(&secret, &reference) {
            // A rotation may have removed it since, and another CA issues.
            return Err(Step::Read(vec![Query::Get(reference)]).into());
        }
    }
    Ok(signers::signer(ca, &keys, state, now)?)
}
