//! The inventory entry of the certificate: found, reserved, booked, or made void.

use super::{Report, Request, check_files, new_entry, replace_entry, report};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::{Identity, Query, Seen, Step, World, Write, Written};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState, reference};

/// What a reservation came to.
pub(super) enum Reservation<'a> {
    Made(&'a Written),
    Ask(Step<Report>),
}

/// Takes the first free number of the name for the certificate.
pub(super) fn reserve<'a>(
    request: &Request,
    identity: &Identity,
    state: &AuthorityState,
    world: &'a World,
) -> Result<Reservation<'a>, Failure> {
    for number in 1.. {
        let name = reference(&state.authority, &request.name, number);
        if let Some(written) = world
            .change_of(&name)
            .filter(|_| holds(world, &name, identity))
        {
            return Ok(Reservation::Made(written));
        }
        if !world.is_taken(&name) && world.change_of(&name).is_none() {
            let entry = new_entry(request, &identity.certificate, number, EntryState::Reserved);
            return Ok(Reservation::Ask(Step::Write(Write::Create(
                entry.object(&request.name),
            ))));
        }
        if let Some(step) = world.read_first([Query::Get(name.clone())]) {
            return Ok(Reservation::Ask(step));
        }
        let Some(object) = world.required(&name)? else {
            return Err(Failure::failed(format!(
                "{name} vanished while it was read"
            )));
        };
        let entry = Entry::read(object).map_err(|error| Failure::refused(error.to_string()))?;
        if is_in_use(&entry) && !request.another {
            return Err(in_use(&entry));
        }
    }
    Err(Failure::refused(format!(
        "no number is left for `{}`",
        request.name
    )))
}

fn holds(world: &World, name: &crate::resources::ObjectRef, identity: &Identity) -> bool {
    let entry = world.seen(name).read_as(|object| Entry::read(object));
    entry
        .found()
        .is_some_and(|entry| entry.serial == identity.certificate.serial_hex())
}

/// A reserved certificate was never known to be delivered, and a void one never was: neither occupies the name.
fn is_in_use(entry: &Entry) -> bool {
    matches!(entry.state, EntryState::Issued | EntryState::Revoked)
}

fn in_use(entry: &Entry) -> Failure {
    Failure::refused(format!(
        "the name `{}` has a certificate already: serial {}, {} until {}",
        entry.name,
        entry.serial,
        if entry.state == EntryState::Revoked {
            "revoked, valid"
        } else {
            "valid"
        },
        entry.not_after.date()
    ))
    .hint("`--another` issues a further one beside it")
}

/// Books a delivered certificate as issued.
pub(super) fn book(
    request: &Request,
    identity: &Identity,
    name: &crate::resources::ObjectRef,
    state: &AuthorityState,
    world: &World,
) -> Result<Step<Report>, Failure> {
    let Seen::Found(object) = world.seen(name) else {
        return Err(Failure::failed(format!("{name} vanished")));
    };
    let mut entry = Entry::read(object).map_err(|error| Failure::failed(error.to_string()))?;
    if entry.state == EntryState::Reserved {
        entry.state = EntryState::Issued;
        return Ok(Step::Write(Write::Replace(
            entry.object(&request.name).replacing(object),
        )));
    }
    Ok(Step::Done(report::issued(
        request,
        entry,
        &identity.certificate,
        state,
        world,
    )))
}

/// Makes the entry of a certificate void whose CA stopped issuing before it was delivered.
pub(super) fn void_stale(
    request: &Request,
    authority: &Authority,
    world: &World,
) -> Option<Step<Report>> {
    let identity = world.identity.as_ref()?;
    if identity.certificate.aki_hex() == Some(authority.certificate().key_id_hex()) {
        return None;
    }
    let written = world
        .changes()
        .iter()
        .rev()
        .find(|written| holds(world, &written.object, identity))?;
    let mut entry = Entry::read(world.seen(&written.object).found()?).ok()?;
    if entry.state != EntryState::Reserved {
        return None;
    }
    entry.state = EntryState::Void;
    replace_entry(request, &entry, world, &written.object).map(Step::Write)
}

/// Files in the way are an error, unless they are what an interrupted run of this command left: its reserved certificate.
pub(super) fn finish_held(
    request: &Request,
    state: &AuthorityState,
    world: &World,
) -> Result<Option<Step<Report>>, Failure> {
    let held = &request.held;
    if held.in_the_way.is_empty() || world.delivered {
        return Ok(None);
    }
    let mut entries = Vec::new();
    for number in 1.. {
        let name = reference(&request.authority, &request.name, number);
        if let Some(step) = world.read_first([Query::Get(name.clone())]) {
            return Ok(Some(step));
        }
        let Some(object) = world.required(&name)? else {
            break;
        };
        let entry = Entry::read(object).map_err(|error| Failure::refused(error.to_string()))?;
        if world.change_of(&name).is_some() {
            let report = report::completed(entry, held.certificate.as_ref(), state, world);
            return Ok(Some(Step::Done(report)));
        }
        entries.push(entry);
    }
    if let Some((entry, _)) = held.reserved(&entries) {
        let name = reference(&request.authority, &request.name, entry.number);
        let booked = Entry {
            state: EntryState::Issued,
            ..entry.clone()
        };
        return Ok(replace_entry(request, &booked, world, &name).map(Step::Write));
    }
    check_files(held).map(|()| None)
}

/// Refuses a name that has a certificate, unless another one is wanted.
pub fn check_name(entries: &[Entry], another: bool) -> Result<(), Failure> {
    match entries.iter().find(|entry| is_in_use(entry)) {
        Some(entry) if !another => Err(in_use(entry)),
        _ => Ok(()),
    }
}
