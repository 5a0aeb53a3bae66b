//! Which certificates are due: delivered, still valid, ending soon, and not renewed yet.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use crate::pki::names::ClientName;
use crate::plan::list_clients::{entries, inventory, renewals};
use crate::plan::{Observed, Reconciled};
use crate::resources::inventory::{Entry, EntryState};

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority.
    pub authority: String,
    /// What ends within this time is due.
    pub within: Duration,
}

/// A certificate to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The client.
    pub name: ClientName,
    /// The certificate's number.
    pub number: u32,
    /// The number of the client's last certificate, whatever became of it.
    pub last: u32,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What ends first first.
    pub due: Vec<Due>,
    /// Entries that cannot be read, each with the reason.
    pub unreadable: Vec<String>,
}

/// Finds the certificates that are due.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let (entries, unreadable) = entries(observed.list(&inventory(&request.authority))?);
    let renewals = renewals(&entries);
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in &entries {
        let last = last.entry(entry.name.as_str()).or_default();
        *last = entry.number.max(*last);
    }
    let is_due = |entry: &&Entry| {
        entry.state == EntryState::Issued
            && entry.is_live(now)
            && entry.not_after - now <= request.within
            && !renewals.contains_key(&(entry.name.as_str(), entry.number))
    };
    let mut ending: Vec<&Entry> = entries.iter().filter(is_due).collect();
    ending.sort_by_key(|entry| (entry.not_after, &entry.name, entry.number));
    let due = ending.into_iter().filter_map(|entry| {
        Some(Due {
            name: entry.name.parse().ok()?,
            number: entry.number,
            last: last.get(entry.name.as_str()).copied()?,
        })
    });
    Ok(Report {
        due: due.collect(),
        unreadable,
    })
}
