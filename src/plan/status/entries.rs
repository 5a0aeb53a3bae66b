//! The entries of all clients as a report sees them, and what is found about them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::listed::blind;
use super::{Finding, Link, NAMES_SHOWN};
use crate::plan::check::Check;
use crate::plan::{Reconciled, Seen, command_line};
use crate::resources::inventory::{Entry, Inventory};
use crate::resources::listing::shortened;
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

/// The finding with a command on these certificates, and on no others of the same clients.
pub(super) fn revoked_by_serial(finding: Finding, entries: &[&Entry]) -> Finding {
    let serials = entries
        .iter()
        .map(|entry| format!(" --serial {}", entry.serial));
    let serials: String = serials.collect();
    let authority = entries.first().map_or("", |first| first.authority.as_str());
    Finding {
        remedy: format!("kubectl mtls revoke-client{serials} --authority {authority}"),
        ..finding
    }
}

/// A finding on clients, with a command on their names.
pub(super) fn finding(
    check: &'static Check,
    says: &str,
    entries: &[&Entry],
    text: impl Fn(&&Entry) -> String,
    command: &str,
) -> Option<Finding> {
    let first = entries.first()?;
    let texts: Vec<String> = entries.iter().map(text).collect();
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Some(Finding::new(
        check,
        format!("{says}: {}", shortened(&texts, NAMES_SHOWN)),
        command_line::on_clients(command, &names, &first.authority),
    ))
}
