//! `renew-client`: issues the next certificate of the same identity; the old one is left as it is.
//!
//! [`issue_client`] signs, and completes killed runs; this module chooses the certificate to renew, and makes sure that only names which
//! the authority once signed are copied from the inventory.

#[cfg(test)]
mod beside_revocation;
pub mod due;
mod former;
mod own;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::identity::{CLIENT_TTL, Names};
use super::issue_client::{self, ExistingFiles, Issuer, Place, Report, Scale, Standing};
use super::{ClientKey, Observed, witness};
use crate::error::Failure;
use crate::pki::key::KeyType;
use crate::pki::names::ClientName;
use crate::plan::Reconciled;
use crate::resources::authority::AuthorityState;
use crate::resources::names::CredentialNames;
use former::Former;

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The issuer; an authority is never created here.
    pub issuer: Arc<Issuer>,
    /// The client.
    pub name: ClientName,
    /// The number of the certificate to renew; `None` for the last one that was delivered.
    pub number: Option<u32>,
    /// The lifetime of the new certificate; `None` for that of the old one.
    pub ttl: Option<Duration>,
    /// The key that is certified.
    pub key: Key,
    /// The existing files in the output folder.
    pub existing: ExistingFiles,
    /// Whether an Event is written.
    pub scale: Scale,
}

/// The key of the new certificate.
#[derive(Debug, Clone)]
pub enum Key {
    /// A new key of the old key's type.
    Alike,
    /// The key that the user chose.
    Chosen(ClientKey),
}

/// Renews one certificate.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let authority = &request.issuer.authority;
    let state = CredentialNames::of_authority(authority).state();
    let Some(state) = observed.get(&state)? else {
        return Err(no_authority(request, observed)?.into());
    };
    let state =
        AuthorityState::read(state).map_err(|error| witness::unreadable(authority, &error))?;
    let former = Former::find(request, &state, observed)?;
    former.check_files(&request.existing)?;
    let mut report = issue_client::reconcile(&former.again(request)?, observed, now)?;
    report.notes.insert(0, former.fate(now));
    Ok(report)
}

/// Finds out the facts that the renewals of many clients share; an authority is never created.
pub fn shared(one: &Request, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing> {
    let state = CredentialNames::of_authority(&one.issuer.authority).state();
    if observed.get(&state)?.is_none() {
        return Err(no_authority(one, observed)?.into());
    }
    let any = issue_client::Request {
        issuer: one.issuer.clone(),
        name: one.name.clone(),
        names: Names::default(),
        ttl: CLIENT_TTL,
        key: ClientKey::New(KeyType::default()),
        another: true,
        may_share_name: true,
        renews: None,
        resumes: false,
        scale: Scale::OneOfMany,
        existing: one.existing.clone(),
    };
    issue_client::shared(&any, observed, now)
}

/// Renews one certificate of many, with the facts that [`shared`] found out.
pub fn certify(
    request: &Request,
    standing: &Standing,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let former = Former::find(request, &standing.state, observed)?;
    former.check_files(&request.existing)?;
    issue_client::certify(&former.again(request)?, standing, observed, now)
}

fn no_authority(request: &Request, observed: &Observed) -> Reconciled<Failure> {
    let authority = &request.issuer.authority;
    if matches!(request.issuer.place, Place::Cluster)
        && let Some(lost) = witness::lost(authority, observed)?
    {
        return Ok(lost);
    }
    Ok(Failure::refused(format!(
        "there is no authority `{authority}` that could have signed a certificate for `{}`",
        request.name
    ))
    .hint("`--authority` names another authority, `--ca-dir` a directory"))
}

/// A new key of the type of a public key (`SubjectPublicKeyInfo`, DER), if this plugin generates such keys.
fn alike(public_key: &[u8]) -> Option<ClientKey> {
    KeyType::of(public_key).map(ClientKey::New)
}
