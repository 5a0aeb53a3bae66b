//! `list-clients --prune`: removes inventory entries a month after their end.
//!
//! The first entry of a name stays, and records the range of removed entries before any is removed: so no number of a name is issued twice,
//! and the name stays known. Only entries that follow the first one without a gap are removed. An entry of a revoked certificate is removed
//! when no revocation list needs it any more.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::list_clients::{State, entry, inventory};
use super::{Observed, Query, Reconciled, Write, audit, witness};
use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::resources::audit::Transition;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState, pruned_to, reference};
use crate::resources::names::CredentialNames;
use crate::resources::{Object, ObjectRef, Unreadable};

/// How long an entry is kept after its certificate has ended.
const KEPT: Duration = Duration::days(30);

/// The entries of one name that are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// The authority.
    pub authority: String,
    /// The client.
    pub name: ClientName,
    /// The last removed number, recorded in the first entry.
    pub to: u32,
    /// The entries.
    pub entries: Vec<Removed>,
}

/// One entry that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// The client.
    pub name: String,
    /// The number of the certificate among those of the name, counted from 1.
    pub number: u32,
    /// The last state of the certificate.
    pub state: State,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
}

/// The entries that can be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The removable entries, by name.
    pub prunable: Vec<Prunable>,
    /// Entries that cannot be read, or have another object's name, each with the reason; they are kept.
    pub unreadable: Vec<String>,
}

/// The outcome of `list-clients --prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The authority.
    pub authority: String,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// The removed entries, by name.
    pub removed: Vec<Removed>,
}

/// Finds the entries that can be removed.
pub fn select(
    authority: &str,
    in_cluster: bool,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Selection> {
    let list = inventory(authority);
    let name = CredentialNames::of_authority(authority).state();
    observed.prefetch([list.clone(), Query::Get(name.clone())])?;
    let Some(object) = observed.get(&name)? else {
        let lost = witness::lost(authority, observed)?;
        let unknown = || {
            Failure::refused(format!("there is no authority `{authority}`"))
                .hint("`--authority` names another authority, `--ca-dir` a directory")
        };
        return Err(lost.unwrap_or_else(unknown).into());
    };
    let state =
        AuthorityState::read(object).map_err(|error| witness::unreadable(authority, &error))?;
    if in_cluster {
        witness::check(&state, false, observed)?;
    }
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for object in observed.list(&list)? {
        match entry(object).and_then(|entry| placed(entry, object)) {
            Ok(entry) => entries.push(entry),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    let mut by_name: BTreeMap<&str, BTreeMap<u32, &Entry>> = BTreeMap::new();
    for entry in &entries {
        let of_name = by_name.entry(entry.name.as_str()).or_default();
        of_name.insert(entry.number, entry);
    }
    let prunable = by_name
        .values()
        .filter_map(|of_name| prunable(of_name, &state, now));
    Ok(Selection {
        prunable: prunable.collect(),
        unreadable,
    })
}

/// Refuses an entry in an object with another name than the entry's own.
fn placed(entry: Entry, object: &Object) -> Result<Entry, Unreadable> {
    match entry.reference() {
        Some(own) if own == *object.reference() => Ok(entry),
        own => Err(object.unreadable(format!(
            "the entry of client `{}` with this number is {}",
            entry.name,
            own.map(|own| own.name).unwrap_or_default()
        ))),
    }
}

fn prunable(
    of_name: &BTreeMap<u32, &Entry>,
    state: &AuthorityState,
    now: OffsetDateTime,
) -> Option<Prunable> {
    let first = of_name.get(&1)?;
    let mut to = first.pruned_to.max(1);
    let mut removed = Vec::new();
    for (number, entry) in of_name.range(2..) {
        let follows = *number <= to + 1;
        if !follows || !is_over(entry, state, now) {
            break;
        }
        to = to.max(*number);
        removed.push(Removed {
            name: entry.name.clone(),
            number: *number,
            state: State::of(entry, now),
            serial: entry.serial.clone(),
            not_after: entry.not_after,
        });
    }
    (!removed.is_empty()).then_some(())?;
    Some(Prunable {
        authority: first.authority.clone(),
        name: first.name.parse().ok()?,
        to,
        entries: removed,
    })
}

/// Whether an entry is no longer needed: a month after its end, and for a revoked certificate of an imported CA, once that CA is not
/// trusted. Such a CA may have signed a longer certificate with the same serial number.
fn is_over(entry: &Entry, state: &AuthorityState, now: OffsetDateTime) -> bool {
    let is_needed = entry.state == EntryState::Revoked && state.is_of_given(&entry.issuer_ski);
    now - entry.not_after >= KEPT && !is_needed
}

/// Removes the entries of one name: first the range of their numbers is recorded, then they are deleted. In a cluster, an Event is written
/// about the first entry.
pub fn reconcile(
    prunable: &Prunable,
    in_cluster: bool,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Vec<Removed>> {
    let name = |number: u32| reference(&prunable.authority, &prunable.name, number);
    let first = name(1);
    let entries: Vec<(ObjectRef, &Removed)> = prunable
        .entries
        .iter()
        .map(|entry| (name(entry.number), entry))
        .filter(|(name, _)| observed.change_of(name).is_none())
        .collect();
    let queries = entries.iter().map(|(name, _)| Query::Get(name.clone()));
    let who = in_cluster.then_some(Query::WhoAmI);
    observed.prefetch(queries.chain([Query::Get(first.clone())]).chain(who))?;
    let Some(live) = observed.get(&first)? else {
        return Err(vanished(&first).into());
    };
    let pruned = pruned_to(live).map_err(|error| Failure::refused(error.to_string()))?;
    if pruned < prunable.to {
        for (name, entry) in &entries {
            check(name, entry, observed.get(name)?)?;
        }
        let kept = Entry::pruned(live, prunable.to);
        let kept = kept.map_err(|error| Failure::refused(error.to_string()))?;
        return Err(Write::Replace(kept).into());
    }
    for (name, entry) in &entries {
        if let Some(object) = observed.get(name)? {
            check(name, entry, Some(object))?;
            return Err(Write::Delete(object.clone()).into());
        }
    }
    if in_cluster {
        let entries = match prunable.entries.as_slice() {
            [one] => format!("entry {}", one.number),
            several => format!("{} entries up to {}", several.len(), prunable.to),
        };
        let what = format!("removed {entries} of {} from the inventory", prunable.name);
        let serials = prunable.entries.iter().map(|entry| entry.serial.clone());
        let told = audit::entry(Transition::Pruned, what, serials.collect(), observed, now)?;
        audit::leave(
            told.event(live, &format!("pruned-to-{}", prunable.to)),
            observed,
        )?;
    }
    Ok(prunable.entries.clone())
}

/// Refuses to continue if an entry differs from the listed one.
fn check(name: &ObjectRef, listed: &Removed, live: Option<&Object>) -> Result<(), Failure> {
    let Some(live) = live else {
        return Ok(());
    };
    let entry = Entry::read(live).map_err(|error| Failure::refused(error.to_string()))?;
    if (&entry.serial, entry.not_after) == (&listed.serial, listed.not_after) {
        return Ok(());
    }
    Err(
        Failure::refused(format!("{name} changed while it was read"))
            .hint("run the same command again"),
    )
}

fn vanished(name: &ObjectRef) -> Failure {
    Failure::refused(format!(
        "{name} vanished while entries after it were removed"
    ))
    .hint("restore the entry: it keeps the numbers of its client's certificates")
}
