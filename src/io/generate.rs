//! Keys and certificates with the operating system's randomness.

use std::sync::Arc;

use time::OffsetDateTime;

use super::clock;
use crate::error::Failure;
use crate::pki::authority::{Authority, CaRequest, default_subject, keyless_subject};
use crate::pki::key::{self, KeyType, PrivateKey};
use crate::pki::leaf::{self, LeafRequest};
use crate::pki::names::Subject;
use crate::pki::server::{self, ServerIdentity};
use crate::plan::authority::NewAuthority;
use crate::plan::{
    ClientKey, Generate, Generated, Identity, NewLeaf, Observed, SigningRequest, identity,
};
use crate::resources::fail_closed;

/// The name of the CA that nobody trusts.
const UNKNOWN: &str = "unknown";

/// The start of a run: nothing observed, and random bytes of its own.
pub fn observed() -> Result<Observed, Failure> {
    Ok(Observed::new(clock::random()?))
}

/// Generates the requested keys and certificates.
pub fn generate(wanted: &Generate, now: OffsetDateTime) -> Result<Generated, Failure> {
    Ok(match wanted {
        Generate::Authority(new) => Generated::Authority(Arc::new(authority(new, now)?)),
        Generate::Given(given) => Generated::Authority(given.clone()),
        Generate::Leaf(new) => Generated::Leaf(leaf(new, now)?),
        Generate::SigningRequest(request, key) => {
            Generated::SigningRequest(signing_request(request, key)?)
        }
        Generate::Canaries(canaries) => {
            let made = canaries
                .iter()
                .map(|(label, new)| Ok((label.clone(), leaf(new, now)?)));
            Generated::Canaries(made.collect::<Result<_, Failure>>()?)
        }
        Generate::Stranger(label) => {
            let unknown = Arc::new(authority(&NewAuthority::of_name(UNKNOWN), now)?);
            let new = identity::canary(UNKNOWN, &unknown, now)?;
            let made = new.map(|new| Ok((label.clone(), leaf(&new, now)?)));
            Generated::Canaries(made.into_iter().collect::<Result<_, Failure>>()?)
        }
        Generate::ServerAuthority(name) => {
            let subject = server::ca_subject(name, clock::random()?).map_err(no_server_ca)?;
            Generated::ServerAuthority(server_ca(subject, server::CA_TTL, now)?)
        }
        Generate::KeylessAuthority => {
            let subject = keyless_subject(clock::random()?).map_err(no_server_ca)?;
            let authority = server_ca(subject, fail_closed::TTL, now)?;
            Generated::KeylessAuthority(authority.certificate().clone())
        }
        Generate::Server { authority, host } => {
            let identity = ServerIdentity::generate(authority, host, now, clock::random()?);
            Generated::Server(identity.map_err(no_server_ca)?)
        }
    })
}

fn server_ca(
    subject: Subject,
    ttl: time::Duration,
    now: OffsetDateTime,
) -> Result<Authority, Failure> {
    let request = CaRequest {
        subject,
        ttl,
        key_type: KeyType::P256,
    };
    Authority::generate(&request, now, clock::random()?).map_err(no_server_ca)
}

fn no_server_ca(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::refused("no server certificate was made").caused_by(error)
}

/// Generates a client CA with a subject that no other generation has.
pub fn authority(new: &NewAuthority, now: OffsetDateTime) -> Result<Authority, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::usage(format!("no CA can be made for `{}`", new.name)).caused_by(error)
    };
    let subject = match &new.subject {
        Some(subject) => subject.clone(),
        None => {
            default_subject(&new.name, clock::random()?).map_err(|error| failed(Box::new(error)))?
        }
    };
    let request = CaRequest {
        subject,
        ttl: new.ttl,
        key_type: new.key_type,
    };
    let serial = clock::random()?;
    Authority::generate(&request, now, serial).map_err(|error| failed(Box::new(error)))
}

/// Generates a key and signs a client certificate over it.
pub fn leaf(new: &NewLeaf, now: OffsetDateTime) -> Result<Identity, Failure> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::refused("no certificate was issued").caused_by(error)
    };
    let (key, public) = key_pair(&new.key).map_err(|error| refused(Box::new(error)))?;
    let serial = clock::random()?;
    let certificate = leaf::issue(&new.authority, &new.request, &public, now, serial)
        .map_err(|error| refused(Box::new(error)))?;
    Ok(Identity { key, certificate })
}

/// Generates a key and signs a request with it.
fn signing_request(request: &LeafRequest, key: &ClientKey) -> Result<SigningRequest, Failure> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::refused("no signing request was made").caused_by(error)
    };
    let (key, _) = key_pair(key).map_err(|error| refused(error.into()))?;
    let key = key.ok_or_else(|| Failure::internal("there is no key for a request"))?;
    SigningRequest::of(request, key).map_err(|error| refused(error.into()))
}

/// The private key, unless somebody else has it, and the public key (`SubjectPublicKeyInfo`, DER).
fn key_pair(key: &ClientKey) -> Result<(Option<Arc<PrivateKey>>, Vec<u8>), key::Error> {
    let key = match key {
        ClientKey::New(key_type) => Arc::new(PrivateKey::generate(*key_type)?),
        ClientKey::Given(key) => key.clone(),
        ClientKey::Elsewhere(public) => return Ok((None, public.clone())),
    };
    let public = key.public_key_der().to_vec();
    Ok((Some(key), public))
}
