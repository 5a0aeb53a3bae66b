//! `issue-client`: reserve in the inventory, sign, look again at who signs, deliver, book. The same for an authority in a
//! cluster and for one in a directory.
//!
//! A certificate is in the inventory before it can reach anybody, and it reaches nobody when its CA stopped issuing
//! meanwhile: so a rotation that counts the inventory has counted everything.

mod entry;
mod held;
mod numbers;
mod report;
mod signer;
#[cfg(test)]
mod tests;
mod trust;

use time::{Duration, OffsetDateTime};

pub use held::Held;
pub use report::Report;

use super::authority::{NewAuthority, namespaces};
pub(super) use numbers::Numbers;

use super::{ClientKey, Delivery, MakeLeaf, Query, Step, Stop, World, identity};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::leaf::{LeafRequest, check_public_key, check_request};
use crate::pki::names::ClientName;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::reference;
use crate::resources::names::CredentialNames;
use crate::resources::{client_ca, environment};

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority that signs.
    pub authority: String,
    /// Where it lives.
    pub place: Place,
    /// The client.
    pub name: ClientName,
    /// What its certificate says of it beside the name.
    pub names: identity::Names,
    /// How long the certificate is valid.
    pub ttl: Duration,
    /// The key that is certified.
    pub key: ClientKey,
    /// Whether a further certificate for a name in use is wanted.
    pub another: bool,
    /// The number of the certificate of this name that it follows.
    pub renews: Option<u32>,
    /// How a new authority is made.
    pub new_authority: NewAuthority,
    /// What the output folder holds already.
    pub held: Held,
    /// Whether the user has been asked for what only the user knows; nothing is written before.
    pub asked: bool,
}

/// Where an authority lives; it decides what the user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the cluster.
    Cluster,
    /// In this directory: no gateway is known, and no other authority.
    Directory(String),
}

/// What a run comes to.
#[derive(Debug)]
pub enum Outcome {
    /// All that can be checked has been, and nothing was written: now the user may be asked for a password.
    Ready,
    /// A certificate was issued, or an interrupted run completed.
    Issued(Box<Report>),
}

impl Request {
    fn numbers(&self) -> Numbers<'_> {
        Numbers {
            authority: &self.authority,
            name: &self.name,
        }
    }
}

pub(super) type Answer<T> = Result<T, Stop<Outcome>>;

/// The next step.
pub fn next(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Outcome>, Failure> {
    Stop::settle(work(request, world, now))
}

pub(super) fn work(request: &Request, world: &World, now: OffsetDateTime) -> Answer<Outcome> {
    let names = CredentialNames::of_authority(&request.authority);
    world.need(queries(request, &names))?;
    let Some(state) = trust::state(&names, world)? else {
        trust::may_be_made(request, &names, world)?;
        check_before_authority(request, world, now)?;
        return trust::make(request, &names, world);
    };
    world.need(report::routes(&state).map(|(_, query)| query))?;
    let admission = trust::check_published(&state, &names, world, now)?;
    if let Some((entry, certificate)) = held::completed(request, world)? {
        let report = report::completed(entry, certificate, &state, admission, request, world);
        return Ok(Outcome::Issued(Box::new(report)));
    }
    let trusted_pem: String = state.trusted.iter().map(Certificate::pem).collect();
    held::check_client_ca(&request.held, Some(&trusted_pem))?;

    let authority = signer::signer(request, &state, world, now)?;
    entry::void_stale(&authority, world)?;
    let own = entry::own(world)?;
    if own.is_none() {
        numbers::check_name(request, world, now)?;
    }
    let identity = match &world.identity {
        Some(identity) if is_signed_by(&identity.certificate, &authority) => identity,
        _ => {
            let make = MakeLeaf {
                request: leaf(request, world)?,
                key: request.key.clone(),
                authority,
            };
            return Err(Step::MakeLeaf(Box::new(make)).into());
        }
    };
    if !request.asked {
        return Ok(Outcome::Ready);
    }
    let Some(own) = own else {
        return Err(entry::reserve(request, identity, world)?);
    };
    if world.delivered {
        let entry = entry::book(own, world)?;
        let report = report::issued(entry, identity, &state, admission, request, world);
        return Ok(Outcome::Issued(Box::new(report)));
    }
    if !world.was_read_after(&names.state(), own.written) {
        return Err(Step::Read(vec![Query::Get(names.state())]).into());
    }
    let delivery = Delivery {
        trusted_pem,
        issuer: authority.certificate().clone(),
    };
    Err(Step::Deliver(Box::new(delivery)).into())
}

/// All that tells in one round whether anything stands against the certificate.
fn queries(request: &Request, names: &CredentialNames) -> Vec<Query> {
    let first = reference(&request.authority, &request.name, 1);
    let others = [names.state(), environment::mesh_config(), first]
        .into_iter()
        .chain(namespaces());
    let secrets = trust::secrets(names).map(|name| client_ca::reference(&name));
    others.chain(secrets).map(Query::Get).collect()
}

/// What can be known before there is an authority to sign with.
fn check_before_authority(request: &Request, world: &World, now: OffsetDateTime) -> Answer<()> {
    let new = &request.new_authority;
    if request.ttl > new.ttl {
        return Err(Failure::usage(format!(
            "the certificate would outlive the new CA, which is valid for {} days",
            new.ttl.whole_days()
        ))
        .hint("give a shorter `--ttl`, or a longer `--ca-ttl`; nothing was written")
        .into());
    }
    held::check_files(&request.held)?;
    held::check_client_ca(&request.held, None)?;
    leaf(request, world)?;
    numbers::check_name(request, world, now)
}

fn leaf(request: &Request, world: &World) -> Result<LeafRequest, Failure> {
    let mesh = world.seen(&environment::mesh_config());
    let trust_domains = environment::trust_domains(mesh.found().copied());
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::usage(format!("no certificate for `{}`", request.name)).caused_by(error)
    };
    let leaf = identity::client(
        &request.authority,
        &request.name,
        &request.names,
        request.ttl,
        &trust_domains,
    )
    .map_err(|error| refused(error.into()))?;
    check_request(&leaf).map_err(|error| refused(error.into()))?;
    match &request.key {
        ClientKey::New(_) => {}
        ClientKey::Given(key) => {
            check_public_key(key.public_key_der()).map_err(|error| refused(error.into()))?;
        }
        ClientKey::Elsewhere(public) => {
            check_public_key(public).map_err(|error| refused(error.into()))?;
        }
    }
    Ok(leaf)
}

fn is_signed_by(certificate: &Certificate, authority: &Authority) -> bool {
    certificate.aki_hex() == Some(authority.certificate().key_id_hex())
}

/// The state's CAs with the one that was made in this run among them: then it is ours, not that of a faster run.
fn made_here(state: &AuthorityState, world: &World) -> bool {
    let minted = world.minted.as_ref();
    minted.is_some_and(|minted| state.trusted.contains(minted.certificate()))
}
