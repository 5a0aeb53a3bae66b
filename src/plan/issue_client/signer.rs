//! Who signs: the issuing CA with its key, checked as no other tool does.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Answer, Issuer, Place};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::{Query, Step, World};
use crate::resources::authority::{AuthorityState, Keys};
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Kind, ObjectRef};

/// The CA that signs; made in this run, or read together with its key.
pub(super) fn signer(
    issuer: &Issuer,
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
    let keys = ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, &state.keys_secret);
    world.need([Query::Get(keys.clone())])?;
    let Some(object) = world.required(&keys)? else {
        return Err(damaged(
            issuer,
            format!(
                "{keys}, which holds the keys of `{}`, does not exist",
                state.authority
            ),
        )
        .into());
    };
    let all = Keys::read(object).map_err(|error| damaged(issuer, error.to_string()))?;
    let Some(key) = all.of(ca) else {
        if world
            .changes()
            .last()
            .is_some_and(|change| !world.was_read_after(&keys, change))
        {
            // A rotation may have added it since.
            return Err(Step::Read(vec![Query::Get(keys)]).into());
        }
        let reference = CredentialNames::of_authority(&state.authority).state();
        if world.is_newer(&keys, &reference) {
            // A rotation may have removed it since, and another CA issues.
            return Err(Step::Read(vec![Query::Get(reference)]).into());
        }
        let what = format!("{keys} has no key for the CA `{}`", ca.subject());
        return Err(damaged(issuer, what).into());
    };
    let authority = Authority::load(ca.pem().as_bytes(), key, now)
        .map_err(|error| damaged(issuer, cannot_sign(issuer)).caused_by(error))?;
    Ok(Arc::new(authority))
}

fn cannot_sign(issuer: &Issuer) -> String {
    match &issuer.place {
        Place::Cluster => format!("the authority `{}` cannot sign", issuer.authority),
        Place::Directory(path) => format!("the CA in `{path}` cannot sign"),
    }
}

fn damaged(issuer: &Issuer, what: String) -> Failure {
    let failure = Failure::refused(what);
    match issuer.place {
        Place::Cluster => failure.hint("nothing was changed; restore the Secret from a backup"),
        Place::Directory(_) => failure.hint("nothing was written"),
    }
}
