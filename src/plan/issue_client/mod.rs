//! `issue-client` with the cluster's authority: reserve in the inventory, sign, look again at who signs, deliver, book.
//!
//! A certificate is in the inventory before it can reach anybody, and it reaches nobody when its CA stopped issuing
//! meanwhile: so a rotation that counts the inventory has counted everything.

mod entry;
mod held;
mod report;
mod trust;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

pub use entry::check_name;
pub use held::{Held, check_client_ca, check_files};
pub use report::Report;

use super::authority::{NewAuthority, namespaces};
use super::{Delivery, MakeLeaf, Query, Step, World, Write, identity};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::names::ClientName;
use crate::resources::authority::{AuthorityState, Keys};
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Kind, ObjectRef, client_ca, environment};

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority that signs.
    pub authority: String,
    /// The client.
    pub name: ClientName,
    /// How long the certificate is valid.
    pub ttl: Duration,
    /// The kind of key that is made.
    pub key_type: KeyType,
    /// Whether a further certificate for a name in use is wanted.
    pub another: bool,
    /// How a new authority is made.
    pub new_authority: NewAuthority,
    /// What the output folder holds already.
    pub held: Held,
}

/// Refuses a certificate that would outlive the authority that is about to be made.
pub fn check_lifetime(ttl: Duration, new: &NewAuthority) -> Result<(), Failure> {
    if ttl <= new.ttl {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the certificate would outlive the new CA, which is valid for {} days",
        new.ttl.whole_days()
    ))
    .hint("give a shorter `--ttl`, or a longer `--ca-ttl`; nothing was written"))
}

/// The next step.
pub fn next(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Report>, Failure> {
    let names = CredentialNames::of_authority(&request.authority);
    if let Some(step) = world.read_first(queries(&names)) {
        return Ok(step);
    }
    let state = match trust::state(request, &names, world)? {
        trust::Answer::Known(state) => state,
        trust::Answer::Ask(step) => return Ok(step),
    };
    if let Some(step) = world.read_first(report::routes(&state).map(|(_, query)| query)) {
        return Ok(step);
    }
    if let Some(step) = trust::catch_up(&state, world, now)? {
        return Ok(step);
    }
    if let Some(step) = entry::finish_held(request, &state, world)? {
        return Ok(step);
    }
    check_client_ca(
        &request.held,
        Some(
            &state
                .trusted
                .iter()
                .map(Certificate::pem)
                .collect::<String>(),
        ),
    )?;
    let authority = match signer(&state, world, now)? {
        trust::Answer::Known(authority) => authority,
        trust::Answer::Ask(step) => return Ok(step),
    };
    if let Some(step) = entry::void_stale(request, &authority, world) {
        return Ok(step);
    }
    let identity = match &world.identity {
        Some(identity)
            if identity.certificate.aki_hex() == Some(authority.certificate().key_id_hex()) =>
        {
            identity
        }
        _ => return Ok(Step::MakeLeaf(Box::new(leaf(request, authority, world)?))),
    };
    match entry::reserve(request, identity, &state, world)? {
        entry::Reservation::Ask(step) => Ok(step),
        entry::Reservation::Made(written) if world.delivered => {
            entry::book(request, identity, &written.object, &state, world)
        }
        entry::Reservation::Made(written) if !world.was_read_after(&names.state(), written) => {
            Ok(Step::Read(vec![Query::Get(names.state())]))
        }
        entry::Reservation::Made(_) => Ok(Step::Deliver(Box::new(Delivery {
            trusted_pem: state.trusted.iter().map(Certificate::pem).collect(),
            issuer: authority.certificate().clone(),
        }))),
    }
}

fn queries(names: &CredentialNames) -> Vec<Query> {
    let secrets = [names.fail_closed_client_ca(), names.derived_client_ca()];
    let secrets = secrets
        .iter()
        .map(|name| Query::Get(client_ca::reference(name)));
    let others = [names.state(), environment::mesh_config()]
        .into_iter()
        .chain(namespaces());
    others.map(Query::Get).chain(secrets).collect()
}

/// The CA that signs, with its key, checked as no other tool does.
fn signer(
    state: &AuthorityState,
    world: &World,
    now: OffsetDateTime,
) -> Result<trust::Answer<Arc<Authority>>, Failure> {
    let Some(ca) = state.issuing_ca() else {
        return Err(Failure::refused(format!(
            "the authority `{}` does not issue yet",
            state.authority
        ))
        .hint("`kubectl mtls ca-rotate` goes on until every gateway has loaded its CA"));
    };
    if let Some(minted) = world
        .minted
        .as_ref()
        .filter(|minted| minted.certificate() == ca)
    {
        return Ok(trust::Answer::Known(minted.clone()));
    }
    let keys = ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, &state.keys_secret);
    if let Some(step) = world.read_first([Query::Get(keys.clone())]) {
        return Ok(trust::Answer::Ask(step));
    }
    let damaged = |what: String| {
        Failure::refused(what).hint("nothing was changed; restore the Secret from a backup, or start anew with `kubectl mtls ca-rotate`")
    };
    let Some(object) = world.required(&keys)? else {
        return Err(damaged(format!(
            "{keys}, which holds the keys of `{}`, does not exist",
            state.authority
        )));
    };
    let all = Keys::read(object).map_err(|error| damaged(error.to_string()))?;
    let Some(key) = all.of(ca) else {
        return Err(damaged(format!(
            "{keys} has no key for the CA `{}`",
            ca.subject()
        )));
    };
    let authority = Authority::load(ca.pem().as_bytes(), key, now).map_err(|error| {
        damaged(format!("the authority `{}` cannot sign", state.authority)).caused_by(error)
    })?;
    Ok(trust::Answer::Known(Arc::new(authority)))
}

fn leaf(request: &Request, authority: Arc<Authority>, world: &World) -> Result<MakeLeaf, Failure> {
    let mesh = world.seen(&environment::mesh_config());
    let trust_domains = environment::trust_domains(mesh.found().copied());
    let leaf = identity::client(
        &request.authority,
        &request.name,
        request.ttl,
        &trust_domains,
    )
    .map_err(|error| {
        Failure::usage(format!("no certificate for `{}`", request.name)).caused_by(error)
    })?;
    Ok(MakeLeaf {
        authority,
        request: leaf,
        key_type: request.key_type,
    })
}

fn new_entry(
    request: &Request,
    certificate: &Certificate,
    number: u32,
    state: EntryState,
) -> Entry {
    Entry::new(
        &request.authority,
        &request.name,
        number,
        state,
        certificate,
    )
}

fn replace_entry(
    request: &Request,
    entry: &Entry,
    world: &World,
    reference: &ObjectRef,
) -> Option<Write> {
    let seen = world.seen(reference).found().copied()?;
    Some(Write::Replace(entry.object(&request.name).replacing(seen)))
}
