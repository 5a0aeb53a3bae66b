//! The clients that still use a CA that is being removed, as far as the inventory knows them.

use std::collections::BTreeSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::Run;
use crate::plan::{Effect, Query, Reconciled, Seen, list_clients};
use crate::resources::inventory::{Entry, EntryState};

/// A live certificate of a CA that is being removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependent {
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The client's exact name.
    pub name: String,
    /// The number of the certificate among those of the name, counted from 1.
    pub number: u32,
    /// Whether the certificate is delivered, or only reserved.
    pub state: EntryState,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// The issuing CA's SKI, hex.
    pub issuer_ski: String,
    /// The number of the delivered certificate that renews this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<u32>,
}

/// The inventory's entries for CAs that are being removed.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependents {
    /// The live certificates, sorted by expiry.
    pub live: Vec<Dependent>,
    /// Entries that cannot be read: they may belong to live certificates.
    pub unreadable: Vec<String>,
}

impl Run<'_> {
    /// The query for the inventory's metadata.
    pub(super) fn inventory(&self) -> Query {
        list_clients::inventory(&self.request.authority)
    }

    /// Live certificates of these CAs (hex SKIs), in an inventory that was read after the authority's state.
    ///
    /// That order makes the count complete: a run that reserves an entry later reads the new issuing CA, and delivers no certificate of
    /// another one.
    pub(super) fn counted(&self, skis: &BTreeSet<String>) -> Reconciled<Dependents> {
        let list = self.inventory();
        if !self.observed.was_listed_after(&list, &self.names.state()) {
            return Err(Effect::Read(vec![list]).into());
        }
        let objects = self.observed.list(&list)?;
        Ok(of(objects, skis, self.now))
    }

    /// As [`Self::counted`], as far as the inventory was read; else the reason why not.
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
