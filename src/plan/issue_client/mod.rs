//! `issue-client`: reserves an entry in the inventory, signs, reads the issuing CA again, delivers, and records the certificate as issued.
//! The same for an authority in a cluster and for one in a directory.
//!
//! A certificate is in the inventory before it can reach anybody, and it is not delivered if its CA stopped issuing, or its client was
//! revoked, meanwhile: so a rotation that counts the inventory counts every certificate, and a revocation finds every certificate.

mod at_once;
mod column;
mod differences;
mod entry;
mod existing;
mod lookalikes;
mod numbers;
mod owners;
mod report;
mod revoked;
mod row;
mod signer;
mod standing;
#[cfg(test)]
pub(super) mod tests;
mod trust;

use std::path::Path;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

pub use column::{Cell, Column};
pub use existing::ExistingFiles;
pub use lookalikes::TakenUris;
pub use report::Report;
pub use row::{Row, Taken};
pub use standing::{Standing, check_of_many, shared};

use super::authority::NewAuthority;
pub(super) use at_once::was_issued_meanwhile;
pub(super) use numbers::Numbers;

use super::{ClientKey, Credential, Observed, Query, identity};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::leaf::LeafRequest;
use crate::pki::names::ClientName;
use crate::plan::reconcile::Question;
use crate::plan::{Effect, Generate, NewLeaf, Reconciled};
use crate::resources::ObjectRef;
use crate::resources::inventory::{Entry, pruned_to, reference};

/// What the user asked for: one client's certificate.
#[derive(Debug, Clone)]
pub struct Request {
    /// The issuer of the certificate.
    pub issuer: Arc<Issuer>,
    /// The client.
    pub name: ClientName,
    /// The names in the certificate, beside the client's name.
    pub names: identity::Names,
    /// How long the certificate is valid.
    pub ttl: Duration,
    /// The key that is certified.
    pub key: ClientKey,
    /// Whether another certificate for a name in use is wanted.
    pub another: bool,
    /// Whether the subject may hold the name of another client as a common name.
    pub may_share_name: bool,
    /// The number of the certificate that this one renews.
    pub renews: Option<u32>,
    /// Whether the certificate is one of many, of which earlier runs may have delivered some without that being an error.
    pub resumes: bool,
    /// Whether an Event is written.
    pub scale: Scale,
    /// The existing files in the output folder.
    pub existing: ExistingFiles,
}

/// Whether a certificate is the only one of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// An Event is written.
    Single,
    /// No Event is written: it would be a third request for each certificate, and nobody reads thousands of them.
    OneOfMany,
}

/// The issuer of certificates.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The authority's name.
    pub authority: String,
    /// The place of the authority.
    pub place: Place,
    /// The parameters of a new authority.
    pub new_authority: NewAuthority,
}

/// The place of an authority; notes for the user depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the cluster.
    Cluster,
    /// This directory: no gateway is known, and no other authority.
    Directory(String),
}

impl Place {
    /// The given directory, or the cluster without one.
    pub fn of(directory: Option<&Path>) -> Self {
        directory.map_or(Self::Cluster, |path| {
            Self::Directory(path.display().to_string())
        })
    }
}

impl Request {
    fn numbers(&self) -> Numbers<'_> {
        Numbers {
            authority: &self.issuer.authority,
            name: &self.name,
        }
    }
}

/// Issues one client's certificate, or completes an interrupted run.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let standing = standing::stand(request, observed, now)?;
    let mut report = certify(request, &standing, observed, now)?;
    let (host, notes) = standing.surroundings(&request.issuer, observed, now);
    report.host = host;
    report.notes.extend(notes);
    Ok(report)
}

/// Issues one client's certificate for a known issuer: see [`shared`].
pub fn certify(
    request: &Request,
    standing: &Standing,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    if request.renews.is_none() {
        let first = reference(&request.issuer.authority, &request.name, 1);
        observed.prefetch([Query::Get(first)])?;
    }
    if let Some(report) = existing::completed(request, standing, observed, now)? {
        return Ok(report);
    }
    request
        .existing
        .check_client_ca(Some(&standing.trusted_pem))?;

    let authority = standing.signer(observed, now)?;
    let first = reference(&request.issuer.authority, &request.name, 1);
    let pruned = observed.already_read(&first);
    let pruned = pruned.and_then(|seen| seen.found().map(|first| pruned_to(first)));
    let pruned = pruned
        .transpose()
        .map_err(|error| numbers::unreadable(&error))?;
    let own = entry::own(&authority, pruned.unwrap_or(0), observed)?;
    if !observed.was_delivered() {
        revoked::check(request, own.as_ref(), standing, observed)?;
    }
    if own.is_none() {
        numbers::check_name(request, observed, now)?;
        at_once::check_renewal(request, observed, now)?;
        lookalikes::check_common_names(request, observed)?;
        lookalikes::check(request, standing, observed)?;
    }
    let identity = match observed.identity() {
        Some(identity) if is_signed_by(&identity.certificate, &authority) => identity,
        _ => {
            let make = NewLeaf {
                request: leaf(request, &standing.trust_domains)?,
                key: request.key.clone(),
                authority,
            };
            return Err(Generate::Leaf(Box::new(make)).into());
        }
    };
    let Some(own) = own else {
        observed.answer_to(Question::Password)?;
        return Err(entry::reserve(
            request,
            (identity, standing),
            observed,
            now,
        )?);
    };
    if observed.was_delivered() {
        let entry = entry::book(own, observed)?;
        entry::announce(&entry, request, observed, now)?;
        let certificate = &identity.certificate;
        let mut report = report::report(entry, certificate, request, observed);
        report.cut_short = identity::cut_short(certificate, &authority, request.ttl);
        report.notes.extend(report.cut_short.clone());
        report.unchecked = lookalikes::unchecked(request, observed);
        report.notes.extend(report.unchecked.clone());
        return Ok(report);
    }
    let renewed = request
        .renews
        .map(|number| request.numbers().reference(number));
    // What is renewed and valid is not pruned, so neither is anything after it.
    let may_be_pruned = own.entry.number > 1 && !renews_live(renewed.as_ref(), observed, now);
    let changeable = std::iter::once(standing.reference.clone())
        .chain(renewed)
        .chain(may_be_pruned.then_some(first));
    let unread: Vec<Query> = changeable
        .filter(|name| !observed.was_read_after(name, own.written))
        .map(Query::Get)
        .collect();
    if !unread.is_empty() {
        return Err(Effect::Read(unread).into());
    }
    let credential = Credential {
        identity: identity.clone(),
        trusted_pem: standing.trusted_pem.clone(),
        chain: standing.chain(&authority).to_vec(),
    };
    Err(credential.into())
}

fn renews_live(renewed: Option<&ObjectRef>, observed: &Observed, now: OffsetDateTime) -> bool {
    let object = renewed.and_then(|name| observed.already_read(name));
    let entry = object.and_then(|seen| Entry::read(seen.found()?).ok());
    entry.is_some_and(|entry| entry.is_live(now))
}

fn leaf(request: &Request, trust_domains: &[String]) -> Result<LeafRequest, Failure> {
    lookalikes::check_blanks(request)?;
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
