//! `issue-client`: reserve in the inventory, sign, look again at who signs, deliver, book. The same for an authority in a
//! cluster and for one in a directory.
//!
//! A certificate is in the inventory before it can reach anybody, and it reaches nobody when its CA stopped issuing, or its
//! client was revoked, meanwhile: so a rotation that counts the inventory has counted everything, and so has a revocation.

mod column;
mod entry;
mod held;
mod numbers;
mod report;
mod revoked;
mod row;
mod signer;
mod standing;
#[cfg(test)]
pub(super) mod tests;
mod trust;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

pub use column::{Cell, Column};
pub use held::Held;
pub use report::Report;
pub use row::{Row, Taken};
pub use standing::{Standing, check_of_many, next_standing};

use super::authority::NewAuthority;
pub(super) use numbers::Numbers;

use super::{ClientKey, Delivery, MakeLeaf, Query, Step, Stop, World, identity};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::leaf::LeafRequest;
use crate::pki::names::ClientName;
use crate::resources::inventory::reference;

/// What the user asked for: one client's certificate.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who signs.
    pub issuer: Arc<Issuer>,
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
    /// Whether it is one of many, of which earlier runs may have delivered some: that is no error then.
    pub resumes: bool,
    /// Whether an Event tells of it.
    pub scale: Scale,
    /// What the output folder holds already.
    pub held: Held,
    /// Whether the user has been asked for what only the user knows; nothing is written before.
    pub asked: bool,
}

/// Whether a certificate is the only one of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// An Event tells of it.
    Single,
    /// No Event tells of it: that would be a third request for each, and nobody reads thousands of them.
    OneOfMany,
}

/// Who signs.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The authority's name.
    pub authority: String,
    /// Where it lives.
    pub place: Place,
    /// How a new one is made.
    pub new_authority: NewAuthority,
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
            authority: &self.issuer.authority,
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
    let Some(standing) = standing::stand(request, world, now)? else {
        return Ok(Outcome::Ready);
    };
    let mut outcome = certify(request, &standing, world, now)?;
    if let Outcome::Issued(report) = &mut outcome {
        let (host, notes) = standing.surroundings(&request.issuer, world, now);
        report.host = host;
        report.notes.extend(notes);
    }
    Ok(outcome)
}

/// The next step for one of many clients; what they share was found out by [`next_standing`].
pub fn next_of_many(
    request: &Request,
    standing: &Standing,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Outcome>, Failure> {
    Stop::settle(certify(request, standing, world, now))
}

/// One client's certificate, where it is known who signs.
pub(super) fn certify(
    request: &Request,
    standing: &Standing,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Outcome> {
    if request.renews.is_none() {
        let first = reference(&request.issuer.authority, &request.name, 1);
        world.need([Query::Get(first)])?;
    }
    if let Some(report) = held::completed(request, world)? {
        return Ok(Outcome::Issued(Box::new(report)));
    }
    held::check_client_ca(&request.held, Some(&standing.trusted_pem))?;

    let authority = standing.signer(world, now)?;
    let own = entry::own(&authority, world)?;
    if !world.delivered {
        revoked::check(request, own.as_ref(), standing, world)?;
    }
    if own.is_none() {
        numbers::check_name(request, world, now)?;
    }
    let identity = match &world.identity {
        Some(identity) if is_signed_by(&identity.certificate, &authority) => identity,
        _ => {
            let make = MakeLeaf {
                request: leaf(request, &standing.trust_domains)?,
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
        entry::announce(&entry, request, world, now)?;
        let report = report::issued(entry, identity, request, world);
        return Ok(Outcome::Issued(Box::new(report)));
    }
    let renewed = request
        .renews
        .map(|number| request.numbers().reference(number));
    let changeable = std::iter::once(standing.reference.clone()).chain(renewed);
    let unread: Vec<Query> = changeable
        .filter(|name| !world.was_read_after(name, own.written))
        .map(Query::Get)
        .collect();
    if !unread.is_empty() {
        return Err(Step::Read(unread).into());
    }
    let delivery = Delivery {
        trusted_pem: standing.trusted_pem.clone(),
        chain: standing.chain(&authority).to_vec(),
    };
    Err(Step::Deliver(Box::new(delivery)).into())
}

fn leaf(request: &Request, trust_domains: &[String]) -> Result<LeafRequest, Failure> {
    identity::certificate(
        &request.issuer.authority,
        &request.name,
        &request.names,
        request.ttl,
        &request.key,
        trust_domains,
    )
}

fn is_signed_by(certificate: &Certificate, authority: &Authority) -> bool {
    certificate.aki_hex() == Some(authority.certificate().key_id_hex())
}
