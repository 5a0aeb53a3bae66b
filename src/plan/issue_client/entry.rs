//! The inventory entry of the certificate: reserved, issued, or void.

use time::{OffsetDateTime, UtcOffset};

use super::{Place, Request, Scale, Standing, revoked};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::{Blocked, Effect, Identity, Observed, Reconciled, Seen, Write, Written, audit};
use crate::resources::audit::Transition;
use crate::resources::inventory::{Entry, EntryState, is_entry, reference};
use crate::resources::{Kind, ObjectRef};

/// An entry that this run created.
pub(super) struct Own<'a> {
    pub entry: Entry,
    /// The entry's last change.
    pub written: &'a Written,
}

/// Every entry that this run created, in its present state; one that lost a race is read again.
fn all_own(observed: &Observed) -> Reconciled<Vec<Own<'_>>> {
    let mut all: Vec<Own<'_>> = Vec::new();
    for change in observed.changes() {
        let name = &change.object;
        let is_entry = name.kind == Kind::ConfigMap && is_entry(&change.answer);
        if !is_entry || all.iter().any(|own| &own.written.object == name) {
            continue;
        }
        let object = observed
            .get(name)?
            .ok_or_else(|| Failure::failed(format!("{name} vanished")))?;
        all.push(Own {
            entry: Entry::read(object).map_err(|error| Failure::failed(error.to_string()))?,
            written: observed.change_of(name).unwrap_or(change),
        });
    }
    Ok(all)
}

/// The entry of this run's certificate, if there is one; void entries do not count. Makes the entry void if its CA stopped issuing before
/// the delivery, or if its number belonged to another certificate that was pruned meanwhile (`pruned`).
pub(super) fn own<'a>(
    authority: &Authority,
    pruned: u32,
    observed: &'a Observed,
) -> Reconciled<Option<Own<'a>>> {
    let mut all = all_own(observed)?;
    let issuer = authority.certificate().key_id_hex();
    let is_stale = |own: &&Own<'_>| {
        let entry = &own.entry;
        let is_reused = entry.number > 1 && entry.number <= pruned;
        entry.state == EntryState::Reserved && (entry.issuer_ski != issuer || is_reused)
    };
    if !observed.was_delivered()
        && let Some(Own { entry, written }) = all.iter().find(is_stale)
    {
        return Err(restate(entry, EntryState::Void, &written.object, observed)?);
    }
    all.retain(|own| own.entry.state != EntryState::Void);
    Ok(all.pop())
}

/// Reserves the first free number of the name for the certificate.
pub(super) fn reserve(
    request: &Request,
    (identity, standing): (&Identity, &Standing),
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Blocked> {
    let mut entry = Entry::new(
        &request.issuer.authority,
        &request.name,
        request
            .numbers()
            .first_free_after(request.renews.unwrap_or(0), observed)?,
        EntryState::Reserved,
        &identity.certificate,
    );
    entry.renews = request.renews;
    entry.issued_at = Some(now.to_offset(UtcOffset::UTC).truncate_to_second());
    entry.issued_by.clone_from(&standing.who);
    Ok(Effect::Write(Write::Create(entry.object(&request.name))).into())
}

/// Records a delivered certificate as issued. Fails if it was revoked before that.
pub(super) fn book(own: Own<'_>, observed: &Observed) -> Reconciled<Entry> {
    if own.entry.state == EntryState::Reserved {
        let name = &own.written.object;
        return Err(restate(&own.entry, EntryState::Issued, name, observed)?);
    }
    if own.entry.state == EntryState::Revoked {
        return Err(revoked::delivered(&own.entry).into());
    }
    Ok(own.entry)
}

/// Writes an Event about an issued entry.
pub(super) fn announce(
    entry: &Entry,
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let name = reference(&entry.authority, &request.name, entry.number);
    // The certificate is delivered: no further read may fail it.
    let Some(Seen::Found(live)) = observed.already_read(&name) else {
        return Ok(());
    };
    if matches!(request.issuer.place, Place::Directory(_)) || request.scale == Scale::OneOfMany {
        return Ok(());
    }
    let (transition, what) = match entry.renews {
        Some(_) => (
            Transition::Renewed,
            format!("renewed the certificate of {}", entry.name),
        ),
        None => (
            Transition::Issued,
            format!("issued a certificate for {}", entry.name),
        ),
    };
    let ids = vec![entry.serial.clone()];
    let told = audit::entry(transition, what, ids, observed, now)?;
    audit::leave(told.event(live, "issued"), observed)
}

/// Changes only the state of an entry.
pub(super) fn restate(
    entry: &Entry,
    state: EntryState,
    name: &ObjectRef,
    observed: &Observed,
) -> Reconciled<Blocked> {
    let Some(live) = observed.get(name)? else {
        return Err(Failure::failed(format!("{name} vanished")).into());
    };
    let changed = Entry {
        state,
        ..entry.clone()
    };
    let changed = changed
        .restated(live)
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Effect::Write(Write::Replace(changed)).into())
}
