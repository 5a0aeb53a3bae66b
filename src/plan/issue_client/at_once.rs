//! Certificates that another run is issuing at the same time.
//!
//! A reserved entry is that of a run that goes on, or of one that was killed: only time tells them apart. One that was made a moment ago is
//! waited for, until it is issued or void. One that is still reserved after that is taken for that of a killed run.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Place, Request};
use crate::error::Failure;
use crate::plan::reconcile::Wait;
use crate::plan::{Blocked, Effect, Observed, Query, Reconciled};
use crate::resources::ObjectRef;
use crate::resources::inventory::{Entry, EntryState};

/// How long after it was signed a reserved certificate is waited for, and how long a run waits in all: from the reservation to the record
/// as issued, a run takes a second or two. A run that an API server slows down to more than this is taken for a killed one.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for a certificate of the name that another run is delivering, with the reads of the search for one that occupies the name.
pub(super) fn wait_for_others(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let is_awaited = |entry: &Entry| is_awaited(entry, request, observed, now);
    match request.numbers().find(observed, is_awaited)? {
        Some(entry) => Err(wait(&entry, request)),
        None => Ok(()),
    }
}

/// Refuses a renewal that another run has made since this one began, and waits for one that it is making.
pub(super) fn check_renewal(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let Some(renewed) = request.renews else {
        return Ok(());
    };
    // The entry below the first free number was read when that was found.
    let free = request.numbers().first_free_after(renewed, observed)?;
    if free == renewed + 1 {
        return Ok(());
    }
    let name = request.numbers().reference(free - 1);
    let read = observed.already_read(&name);
    let entry = read.and_then(|seen| Entry::read(seen.found()?).ok());
    let Some(entry) = entry.filter(|entry| entry.renews == Some(renewed)) else {
        return Ok(());
    };
    if is_awaited(&entry, request, observed, now) {
        return Err(wait(&entry, request));
    }
    if entry.state == EntryState::Issued && was_issued_meanwhile(&name, observed) {
        let Entry { name, number, .. } = &entry;
        return Err(Failure::refused(format!(
            "certificate {renewed} of `{name}` was renewed by another run meanwhile: certificate {number}, serial {}",
            entry.serial
        ))
        .hint("the other run has delivered the new certificate")
        .hint("to issue one more, run the same command again")
        .into());
    }
    Ok(())
}

/// Whether another run has issued the certificate of an entry since this run began.
pub(in crate::plan) fn was_issued_meanwhile(name: &ObjectRef, observed: &Observed) -> bool {
    let first = observed.first_read(name).map(Entry::read);
    let was_reserved =
        first.is_some_and(|entry| entry.is_ok_and(|entry| entry.state == EntryState::Reserved));
    observed.change_of(name).is_none() && (observed.is_taken(name) || was_reserved)
}

/// Whether the entry is perhaps that of a run that goes on. One of this run with a lost answer to its creation is not.
fn is_awaited(entry: &Entry, request: &Request, observed: &Observed, now: OffsetDateTime) -> bool {
    let own = observed.identity();
    let is_own = own.is_some_and(|own| own.certificate.serial_hex() == entry.serial)
        || observed
            .change_of(&request.numbers().reference(entry.number))
            .is_some();
    let is_fresh = entry
        .issued_at
        .is_some_and(|at| (now - at).abs() < PATIENCE);
    // A directory is used by one person, who runs the command again after a kill.
    let is_shared = matches!(request.issuer.place, Place::Cluster);
    is_shared
        && entry.state == EntryState::Reserved
        && !is_own
        && is_fresh
        && observed.waited() < PATIENCE
}

fn wait(entry: &Entry, request: &Request) -> Blocked {
    let name = request.numbers().reference(entry.number);
    let progress = format!(
        "{name}: another run is issuing a certificate for `{}`, or was killed",
        entry.name
    );
    Effect::Wait(Wait {
        reread: vec![Query::Get(name)],
        progress: vec![progress],
    })
    .into()
}
