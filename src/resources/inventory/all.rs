//! The entries of all clients.

use std::collections::BTreeMap;

use super::Entry;
use crate::resources::names::AUTHORITY_LABEL;
use crate::resources::{Object, ObjectRef, Unreadable};

/// The entries of all clients, by authority. Their objects would take ten times the memory.
#[derive(Debug, Default)]
pub struct Inventory {
    readable: BTreeMap<String, Vec<Entry>>,
    damaged: BTreeMap<String, Vec<(ObjectRef, Unreadable)>>,
}

impl Inventory {
    /// The entries of an authority's clients.
    pub fn of(&self, authority: &str) -> &[Entry] {
        let known = self.readable.get(authority);
        known.map(Vec::as_slice).unwrap_or_default()
    }

    /// The entries of an authority's clients that cannot be read.
    pub fn damaged(&self, authority: &str) -> &[(ObjectRef, Unreadable)] {
        let known = self.damaged.get(authority);
        known.map(Vec::as_slice).unwrap_or_default()
    }
}

impl Extend<Object> for Inventory {
    fn extend<T: IntoIterator<Item = Object>>(&mut self, objects: T) {
        for object in objects {
            match Entry::read(&object).and_then(|entry| entry.with_serial(&object)) {
                Ok(entry) => {
                    let known = self.readable.entry(entry.authority.clone());
                    known.or_default().push(entry);
                }
                Err(error) => {
                    let authority = object.label(AUTHORITY_LABEL).unwrap_or_default();
                    let known = self.damaged.entry(authority.to_owned());
                    let known = known.or_default();
                    known.push((object.reference().clone(), error));
                }
            }
        }
    }
}
