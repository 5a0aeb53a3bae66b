//! `renew-client`: the identity of a certificate again, as the next number of its name; the old one is left as it is.
//!
//! What is signed, and how it survives being killed, is [`issue_client`]'s; here is decided which certificate is renewed, and
//! that nothing but what the authority once signed is taken over from the inventory.

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
use super::issue_client::{self, Answer, Held, Issuer, Outcome, Scale, Standing};
use super::{ClientKey, Query, Step, Stop, World};
use crate::error::Failure;
use crate::pki::key::KeyType;
use crate::pki::names::ClientName;
use crate::resources::authority::AuthorityState;
use crate::resources::names::CredentialNames;
use former::Former;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who signs; an authority is never made here.
    pub issuer: Arc<Issuer>,
    /// The client.
    pub name: ClientName,
    /// Which of its certificates is renewed; the last one that was delivered without.
    pub number: Option<u32>,
    /// How long the new one is valid; as long as the old one without.
    pub ttl: Option<Duration>,
    /// The key that is certified.
    pub key: Key,
    /// What the output folder holds already.
    pub held: Held,
    /// Whether the user has been asked for what only the user knows; nothing is written before.
    pub asked: bool,
    /// Whether an Event tells of it.
    pub scale: Scale,
}

/// The key of the new certificate.
#[derive(Debug, Clone)]
pub enum Key {
    /// A new one of the old one's kind.
    Alike,
    /// What the user chose.
    Chosen(ClientKey),
}

/// The next step.
pub fn next(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Outcome>, Failure> {
    Stop::settle(work(request, world, now))
}

fn work(request: &Request, world: &World, now: OffsetDateTime) -> Answer<Outcome> {
    let authority = &request.issuer.authority;
    let state = CredentialNames::of_authority(authority).state();
    world.need([Query::Get(state.clone())])?;
    let Some(state) = world.required(&state)? else {
        return Err(no_authority(request).into());
    };
    let state = AuthorityState::read(state)
        .map_err(|error| Failure::refused(error.to_string()).hint("nothing was issued"))?;
    let former = Former::find(request, &state, world)?;
    former.check_files(&request.held)?;
    let outcome = issue_client::work(&former.again(request)?, world, now)?;
    Ok(match outcome {
        Outcome::Issued(mut report) => {
            report.notes.insert(0, former.fate(now));
            Outcome::Issued(report)
        }
        Outcome::Ready => Outcome::Ready,
    })
}

/// The next step towards knowing what the renewals of many clients share; an authority is never made.
pub fn next_standing(
    one: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Standing>, Failure> {
    let state = CredentialNames::of_authority(&one.issuer.authority).state();
    if let Some(step) = world.read_first([Query::Get(state.clone())]) {
        return Ok(step);
    }
    if world.required(&state)?.is_none() {
        return Err(no_authority(one));
    }
    let any = issue_client::Request {
        issuer: one.issuer.clone(),
        name: one.name.clone(),
        names: Names::default(),
        ttl: CLIENT_TTL,
        key: ClientKey::New(KeyType::default()),
        another: true,
        renews: None,
        resumes: false,
        scale: Scale::OneOfMany,
        held: one.held.clone(),
        asked: true,
    };
    issue_client::next_standing(&any, world, now)
}

/// The next step for one of many clients; what they share was found out by [`next_standing`].
pub fn next_of_many(
    request: &Request,
    standing: &Standing,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Outcome>, Failure> {
    let work = || -> Answer<Outcome> {
        let former = Former::find(request, &standing.state, world)?;
        former.check_files(&request.held)?;
        issue_client::certify(&former.again(request)?, standing, world, now)
    };
    Stop::settle(work())
}

fn no_authority(request: &Request) -> Failure {
    Failure::refused(format!(
        "there is no authority `{}` that could have signed a certificate for `{}`",
        request.issuer.authority, request.name
    ))
    .hint("`--authority` names another one, `--ca-dir` a directory; nothing was issued")
}

/// A new key of the same kind as a public key (`SubjectPublicKeyInfo`, DER), where such keys are made here.
fn alike(public_key: &[u8]) -> Option<ClientKey> {
    KeyType::of(public_key).map(ClientKey::New)
}
