//! Who still depends on a CA that is to leave: what the inventory knows of, and no more.

use std::collections::BTreeSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::Run;
use crate::plan::{Effect, Query, Reconciled, Seen, list_clients};
use crate::resources::inventory::{Entry, EntryState};

/// A live certificate of a CA that is to leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependent {
    /// UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The client's exact name.
    pub name: String,
    /// Counts the certificates of this name from 1.
    pub number: u32,
    /// Whether it is delivered, or only reserved.
    pub state: EntryState,
    /// Lower-case hex.
    pub serial: String,
    /// The CA, by its hex SKI.
    pub issuer_ski: String,
    /// The number of the certificate that renews it, delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<u32>,
}

/// What the inventory says of CAs that are to leave.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependents {
    /// What ends first first.
    pub live: Vec<Dependent>,
    /// Entries that cannot be read: they may stand for live certificates.
    pub unreadable: Vec<String>,
}

impl Run<'_> {
    /// The inventory's metadata.
    pub(super) fn inventory(&self) -> Query {
        list_clients::inventory(&self.request.authority)
    }

    /// Live certificates of these CAs, by hex SKI, in an inventory that was read after the authority's state.
    ///
    /// The order is what makes the count complete: whoever reserved an entry later finds the CA that issues now, and
    /// delivers nothing of another one.
    pub(super) fn counted(&self, skis: &BTreeSet<String>) -> Reconciled<Dependents> {
        let list = self.inventory();
        if !self.observed.was_listed_after(&list, &self.names.state()) {
            return Err(Effect::Read(vec![list]).into());
        }
        let objects = self.observed.list(&list)?;
        Ok(of(objects, skis, self.now))
    }

    /// The same as far as it was read; else why not.
    pub(super) fn known(&self, skis: &BTreeSet<String>) -> Reconciled<Result<Dependents, String>> {
        Ok(match self.observed.try_list(&self.inventory())? {
            Seen::Found(objects) => Ok(of(objects, skis, self.now)),
            Seen::Missing => Ok(Dependents::default()),
            other => Err(other.unknown().unwrap_or_default()),
        })
    }
}

fn of(
    objects: &[crate::resources::Object],
    skis: &BTreeSet<String>,
    now: OffsetDateTime,
) -> Dependents {
    let (entries, unreadable) = list_clients::entries(objects);
    let renewals = list_clients::renewals(&entries);
    let is_live = |entry: &&Entry| entry.is_live(now) && skis.contains(&entry.issuer_ski);
    let mut live: Vec<Dependent> = entries
        .iter()
        .filter(is_live)
        .map(|entry| Dependent {
            not_after: entry.not_after,
            name: entry.name.clone(),
            number: entry.number,
            state: entry.state,
            serial: entry.serial.clone(),
            issuer_ski: entry.issuer_ski.clone(),
            renewed_by: renewals.get(&(entry.name.as_str(), entry.number)).copied(),
        })
        .collect();
    live.sort();
    Dependents { live, unreadable }
}
