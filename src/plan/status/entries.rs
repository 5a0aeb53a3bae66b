//! The inventory: the entries of all clients, by authority.

use std::cell::RefCell;
use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::facts::remedy;
use super::listed::{Listed, blind, listed};
use super::{Link, inventory};
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
    /// The links of the clients of a client CA at a time.
    links: RefCell<BTreeMap<(ObjectRef, OffsetDateTime), Link>>,
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

    /// The link of the clients of a client CA, which `examine` examines once: many hosts may accept them.
    pub fn link_of(
        &self,
        client_ca: &ObjectRef,
        now: OffsetDateTime,
        examine: impl FnOnce() -> Reconciled<Link>,
    ) -> Reconciled<Link> {
        let key = (client_ca.clone(), now);
        if let Some(known) = self.links.borrow().get(&key) {
            return Ok(known.clone());
        }
        let link = examine()?;
        self.links.borrow_mut().insert(key, link.clone());
        Ok(link)
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
