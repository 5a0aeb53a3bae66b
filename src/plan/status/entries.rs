//! The inventory: the entries of all clients, by authority.

use std::collections::BTreeMap;

use super::facts::remedy;
use super::inventory;
use super::listed::{Listed, blind, listed};
use crate::plan::{Observed, Reconciled, Seen};
use crate::resources::inventory::Entry;
use crate::resources::names::AUTHORITY_LABEL;
use crate::resources::{ObjectRef, Unreadable};

/// The entries of all clients.
#[derive(Debug, Default)]
pub(super) struct Entries {
    unread: Option<Unread>,
    readable: BTreeMap<String, Vec<Entry>>,
    damaged: BTreeMap<String, Vec<(ObjectRef, Unreadable)>>,
}

/// Why the inventory could not be listed.
#[derive(Debug)]
pub(super) struct Unread {
    pub reason: String,
    /// The command that helps.
    pub remedy: String,
}

impl Entries {
    /// Parses the inventory.
    pub fn read(observed: &Observed) -> Reconciled<Self> {
        let seen: Seen<Listed<'_, Entry>> = listed(observed, &inventory(), |object| {
            Entry::read(object)?.with_serial(object)
        })?;
        let mut entries = Self {
            unread: blind(&seen).map(|reason| Unread {
                reason,
                remedy: remedy(&seen),
            }),
            ..Self::default()
        };
        let Seen::Found(listed) = seen else {
            return Ok(entries);
        };
        for (_, entry) in listed.readable {
            let known = entries.readable.entry(entry.authority.clone());
            known.or_default().push(entry);
        }
        for (object, error) in listed.damaged {
            let authority = object.label(AUTHORITY_LABEL).unwrap_or_default();
            let known = entries.damaged.entry(authority.to_owned()).or_default();
            known.push((object.reference().clone(), error));
        }
        Ok(entries)
    }

    /// Why the inventory could not be listed, if it could not.
    pub fn unread(&self) -> Option<&Unread> {
        self.unread.as_ref()
    }

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
