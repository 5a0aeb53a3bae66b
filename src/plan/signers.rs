//! The CAs of an authority with their keys, checked before they sign.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Effect, Observed, Query, Reconciled, command_line};
use crate::error::Failure;
use crate::pki::authority::{Authority, Error};
use crate::pki::inspect::Certificate;
use crate::pki::key;
use crate::resources::authority::{AuthorityState, Keys};
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::rotation::Phase;
use crate::resources::{Kind, ObjectRef};

/// The Secret with the keys of an authority's CAs.
pub fn secret(state: &AuthorityState) -> ObjectRef {
    ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, &state.keys_secret)
}

/// The keys of an authority's CAs. Fails if there are none.
pub fn keys(state: &AuthorityState, observed: &Observed) -> Reconciled<Keys> {
    let secret = secret(state);
    let Some(object) = observed.get(&secret)? else {
        let what = format!(
            "{secret}, which holds the keys of `{}`, does not exist",
            state.authority
        );
        return Err(damaged(what, state, None).into());
    };
    Ok(Keys::read(object).map_err(|error| damaged(error.to_string(), state, None))?)
}

/// What it means that the key of a trusted CA is lost.
pub const LOST_KEY: &str = "gateways still accept the clients of this CA and use its last revocation list; it cannot issue certificates, and nobody can be revoked until it is removed";

/// The ways out where the key of a CA, or the Secret with all keys (`None`), is lost.
pub fn ways_out(state: &AuthorityState, lost: Option<&Certificate>) -> [String; 2] {
    let command = |flags| command_line::ca_rotate(flags, &state.authority);
    let is = |ca: Option<&Certificate>| lost.is_some() && lost == ca;
    let way = match state.phase() {
        Phase::Spreading if lost.is_none() || is(state.target_ca()) => {
            format!("`{}` gives up the new CA", command(" --abort"))
        }
        Phase::Overlap if is(state.issuing_ca()) => {
            format!("`{}` lets the old CA issue again", command(" --abort"))
        }
        Phase::Overlap => format!(
            "`{}` removes the old CA once its clients have new certificates",
            command(" --finish")
        ),
        Phase::Settled | Phase::Stopped | Phase::Spreading => format!(
            "`{}` replaces this CA, and `{}` then removes it",
            command(""),
            command(" --finish")
        ),
    };
    [
        format!("restore {} from a backup", secret(state)),
        format!("without a backup, {way}"),
    ]
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
        return Err(damaged(what, state, Some(ca)));
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

fn damaged(what: String, state: &AuthorityState, lost: Option<&Certificate>) -> Failure {
    Failure::refused(what).hints(ways_out(state, lost))
}
