//! The entries of all clients as a report sees them, and what is found about them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::Link;
use super::listed::blind;
use crate::plan::{Reconciled, Seen};
use crate::resources::inventory::{Entry, Inventory};
use crate::resources::{ObjectRef, Unreadable};

/// The entries of all clients, as far as they were read.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a>(pub &'a Seen<Inventory>);

/// Why the inventory could not be listed.
pub(super) struct Unread {
    pub reason: String,
    /// The command that helps.
    pub remedy: String,
}

impl<'a> Entries<'a> {
    /// Why the inventory could not be listed, if it could not.
    pub fn unread(self) -> Option<Unread> {
        blind(self.0).map(|reason| Unread {
            reason,
            remedy: self.0.remedy("status"),
        })
    }

    /// The entries of an authority's clients.
    pub fn of(self, authority: &str) -> &'a [Entry] {
        let known = self.0.found();
        known.map_or(&[], |inventory| inventory.of(authority))
    }

    /// The entries of an authority's clients that cannot be read.
    pub fn damaged(self, authority: &str) -> &'a [(ObjectRef, Unreadable)] {
        let known = self.0.found();
        known.map_or(&[], |inventory| inventory.damaged(authority))
    }
}

/// The link of the clients, by client CA and time of the report: many hosts may accept the same clients.
#[derive(Debug, Default)]
pub(super) struct ClientLinks(RefCell<BTreeMap<(ObjectRef, OffsetDateTime), Link>>);

impl ClientLinks {
    /// The link of the clients of a client CA, which `examine` examines once.
    pub fn of(
        &self,
        client_ca: &ObjectRef,
        now: OffsetDateTime,
        examine: impl FnOnce() -> Reconciled<Link>,
    ) -> Reconciled<Link> {
        let key = (client_ca.clone(), now);
        if let Some(known) = self.0.borrow().get(&key) {
            return Ok(known.clone());
        }
        let link = examine()?;
        self.0.borrow_mut().insert(key, link.clone());
        Ok(link)
    }
}
