//! The certificates of one name: counted from 1 without a gap, because none is ever deleted.
//!
//! So the first free number is found by doubling and halving, with a few reads instead of one per certificate, and
//! without the right to list.

use time::OffsetDateTime;

use super::{Answer, Request};
use crate::error::Failure;
use crate::plan::{Query, World};
use crate::resources::inventory::{Entry, EntryState, reference};

/// Entries that are read at once.
const AT_ONCE: u32 = 64;

/// The first number that no certificate of the name has.
pub(super) fn first_free(request: &Request, world: &World) -> Answer<u32> {
    let (mut taken, mut free) = (0, 1);
    while is_taken(request, world, free)? {
        taken = free;
        free = free.saturating_mul(2);
    }
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if is_taken(request, world, middle)? {
            taken = middle;
        } else {
            free = middle;
        }
    }
    Ok(free)
}

fn is_taken(request: &Request, world: &World, number: u32) -> Answer<bool> {
    let name = reference(&request.authority, &request.name, number);
    world.need([Query::Get(name.clone())])?;
    Ok(world.required(&name)?.is_some())
}

/// Refuses a name that has a certificate, unless another one is wanted.
pub(super) fn check_name(request: &Request, world: &World, now: OffsetDateTime) -> Answer<()> {
    if request.another {
        return Ok(());
    }
    match find(request, world, |entry| entry.occupies_name(now))? {
        Some(entry) => Err(in_use(&entry).into()),
        None => Ok(()),
    }
}

/// The first certificate of the name that is wanted: looked for at the first, then from the last one downwards.
pub(super) fn find(
    request: &Request,
    world: &World,
    is_wanted: impl Fn(&Entry) -> bool,
) -> Answer<Option<Entry>> {
    if !is_taken(request, world, 1)? {
        return Ok(None);
    }
    let first = entry(request, world, 1)?;
    if is_wanted(&first) {
        return Ok(Some(first));
    }
    let mut end = first_free(request, world)?;
    while end > 2 {
        let start = end.saturating_sub(AT_ONCE).max(2);
        let names = (start..end).map(|number| reference(&request.authority, &request.name, number));
        world.need(names.map(Query::Get))?;
        for number in (start..end).rev() {
            let entry = entry(request, world, number)?;
            if is_wanted(&entry) {
                return Ok(Some(entry));
            }
        }
        end = start;
    }
    Ok(None)
}

fn entry(request: &Request, world: &World, number: u32) -> Answer<Entry> {
    let name = reference(&request.authority, &request.name, number);
    let object = world
        .required(&name)?
        .ok_or_else(|| Failure::failed(format!("{name} vanished while it was read")))?;
    let entry = Entry::read(object).map_err(|error| {
        Failure::refused(error.to_string())
            .hint("restore it; it may stand for a live certificate of this name")
    })?;
    Ok(entry)
}

fn in_use(entry: &Entry) -> Failure {
    let revoked = if entry.state == EntryState::Revoked {
        "revoked, "
    } else {
        ""
    };
    Failure::refused(format!(
        "the name `{}` has a certificate already: serial {}, {revoked}valid until {}",
        entry.name,
        entry.serial,
        entry.not_after.date()
    ))
    .hint("`--another` issues a further one beside it")
}
