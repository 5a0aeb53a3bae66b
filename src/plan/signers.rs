//! The CAs of an authority with their keys, checked before they sign.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Effect, Observed, Query, Reconciled};
use crate::error::Failure;
use crate::pki::authority::{Authority, Error};
use crate::pki::inspect::Certificate;
use crate::pki::key;
use crate::resources::authority::{AuthorityState, Keys};
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Kind, ObjectRef};

/// The Secret with the keys of an authority's CAs.
pub fn secret(state: &AuthorityState) -> ObjectRef {
    ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, &state.keys_secret)
}

/// The keys of an authority's CAs. Fails if there are none.
pub fn keys(state: &AuthorityState, observed: &Observed) -> Reconciled<Keys> {
    let secret = secret(state);
    let Some(object) = observed.get(&secret)? else {
        return Err(damaged(format!(
            "{secret}, which holds the keys of `{}`, does not exist",
            state.authority
        ))
        .into());
    };
    Ok(Keys::read(object).map_err(|error| damaged(error.to_string()))?)
}

/// A CA of an authority with its key. Fails if the key is missing or belongs to another CA, and if the CA may not sign.
pub fn signer(
    ca: &Certificate,
    keys: &Keys,
    state: &AuthorityState,
    now: OffsetDateTime,
) -> Result<Arc<Authority>, Failure> {
    let Some(key) = keys.of(ca) else {
        let what = format!("{} has no key for the CA `{}`", secret(state), ca.subject());
        return Err(damaged(what));
    };
    let authority = Authority::load(ca.pem().as_bytes(), key, now).map_err(|error| {
        let is_encrypted = matches!(error, Error::Key(key::Error::Encrypted));
        let failure = Failure::refused(format!("the CA `{}` cannot sign", ca.subject()))
            .caused_by(error);
        if is_encrypted {
            failure.hint("`kubectl mtls issue-client --ca-cert FILE --ca-key FILE` signs with an encrypted key, and asks for its password")
        } else {
            failure
        }
    })?;
    Ok(Arc::new(authority))
}

/// Every CA that an authority trusts and that has not expired, with its key, in the order of the state.
///
/// Fails if one of them cannot sign: a change that needs all signatures is not possible then.
pub fn all(
    state: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Vec<Arc<Authority>>> {
    let keys = keys(state, observed)?;
    let unexpired = || state.trusted.iter().filter(|ca| !ca.is_expired(now));
    if unexpired().any(|ca| keys.of(ca).is_none()) {
        look_again(state, observed)?;
    }
    let unexpired = unexpired();
    let signers: Result<Vec<_>, Failure> =
        unexpired.map(|ca| signer(ca, &keys, state, now)).collect();
    Ok(signers?)
}

/// Reads the older one of authority and keys again, until the authority stays unchanged: a missing key may have been added, or its CA
/// removed, between the two reads, by a rotation under way.
fn look_again(state: &AuthorityState, observed: &Observed) -> Reconciled<()> {
    let own = CredentialNames::of_authority(&state.authority).state();
    if observed.is_confirmed(&own) {
        return Ok(());
    }
    let keys = secret(state);
    let older = if observed.is_newer(&own, &keys) {
        keys
    } else {
        own
    };
    Err(Effect::Read(vec![Query::Get(older)]).into())
}

fn damaged(what: String) -> Failure {
    Failure::refused(what).hint("restore the key from a backup")
}
