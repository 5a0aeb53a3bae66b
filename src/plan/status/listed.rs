//! A list that was read: objects with the shape of their kind, and others.

use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::{Object, Unreadable};

/// The objects of one list.
#[derive(Debug)]
pub(super) struct Listed<'a, T> {
    pub readable: Vec<(&'a Object, T)>,
    /// The objects that do not have the shape of their kind.
    pub damaged: Vec<(&'a Object, Unreadable)>,
}

impl<'a, T> Listed<'a, T> {
    pub fn of(objects: &'a [Object], read: impl Fn(&Object) -> Result<T, Unreadable>) -> Self {
        let mut listed = Self {
            readable: Vec::new(),
            damaged: Vec::new(),
        };
        for object in objects {
            match read(object) {
                Ok(value) => listed.readable.push((object, value)),
                Err(error) => listed.damaged.push((object, error)),
            }
        }
        listed
    }
}

/// The objects that were read and have the shape of their kind; a kind that is not served has none.
pub(super) fn readable<'a, 'w, T>(seen: &'a Seen<Listed<'w, T>>) -> &'a [(&'w Object, T)] {
    seen.found().map_or(&[], |listed| &listed.readable)
}

/// The objects that were read and do not have the shape of their kind.
pub(super) fn damaged<'a, 'w, T>(seen: &'a Seen<Listed<'w, T>>) -> &'a [(&'w Object, Unreadable)] {
    seen.found().map_or(&[], |listed| &listed.damaged)
}

/// Why a list is not known. A kind that is not served is known: it has no objects.
pub(super) fn blind<T>(seen: &Seen<T>) -> Option<String> {
    match seen {
        Seen::NotServed => None,
        seen => seen.unknown(),
    }
}

/// Parses the objects of a list.
pub(super) fn listed<'a, T>(
    observed: &'a Observed,
    query: &Query,
    read: impl Fn(&Object) -> Result<T, Unreadable>,
) -> Reconciled<Seen<Listed<'a, T>>> {
    let seen = observed.try_list(query)?;
    Ok(seen.map(|&objects| Listed::of(objects, read)))
}
