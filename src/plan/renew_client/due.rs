//! The certificates that are due for renewal: delivered, still valid, not renewed yet, and ending soon or signed by a retired CA.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::plan::list_clients::{entries, inventory, renewals};
use crate::plan::{Observed, Query, Reconciled, witness};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::CredentialNames;
use crate::resources::witness::reference;

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority.
    pub authority: String,
    /// Only certificates that end within this time.
    pub within: Option<Duration>,
    /// Only certificates of a CA that is trusted and no longer issues.
    pub retired_ca: bool,
}

/// A certificate to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The client.
    pub name: ClientName,
    /// The certificate's number.
    pub number: u32,
    /// The number of the client's last certificate, in whatever state.
    pub last: u32,
}

/// The certificates that are due for renewal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The certificates, sorted by expiry.
    pub due: Vec<Due>,
    /// Entries that cannot be read, each with the reason.
    pub unreadable: Vec<String>,
    /// Certificates that are due but cannot be renewed, each with the reason.
    pub left_out: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Finds the certificates that are due.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let list = inventory(&request.authority);
    let name = CredentialNames::of_authority(&request.authority).state();
    let witness = reference(&request.authority);
    observed.prefetch([list.clone(), Query::Get(name.clone()), Query::Get(witness)])?;
    let Some(object) = observed.get(&name)? else {
        let lost = witness::lost(&request.authority, observed)?;
        let unknown = || {
            Failure::refused(format!("there is no authority `{}`", request.authority))
                .hint("`--authority` names another authority, `--ca-dir` a directory")
        };
        return Err(lost.unwrap_or_else(unknown).into());
    };
    let state = AuthorityState::read(object)
        .map_err(|error| witness::unreadable(&request.authority, &error))?;
    let mut report = Report::default();
    let retired = request.retired_ca.then(|| {
        report.notes = notes(&state);
        let cas: BTreeSet<String> = state.leaving().map(Certificate::key_id_hex).collect();
        cas
    });
    let (entries, unreadable) = entries(observed.list(&list)?);
    report.unreadable = unreadable;
    let renewals = renewals(&entries);
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in &entries {
        let last = last.entry(entry.name.as_str()).or_default();
        *last = entry.number.max(entry.pruned_to).max(*last);
    }
    let is_meant = |entry: &&Entry| {
        entry.is_live(now)
            && request
                .within
                .is_none_or(|within| entry.not_after - now <= within)
            && retired
                .as_ref()
                .is_none_or(|cas| cas.contains(&entry.issuer_ski))
            && !renewals.contains_key(&(entry.name.as_str(), entry.number))
    };
    let mut meant: Vec<&Entry> = entries.iter().filter(is_meant).collect();
    meant.sort_by_key(|entry| (entry.not_after, &entry.name, entry.number));
    let (delivered, reserved): (Vec<&Entry>, Vec<&Entry>) = meant
        .into_iter()
        .partition(|entry| entry.state == EntryState::Issued);
    report.left_out = reserved
        .into_iter()
        .map(|entry| {
            format!(
                "certificate {} of `{}` is not renewed: it is reserved, and was perhaps never delivered",
                entry.number, entry.name
            )
        })
        .collect();
    let due = delivered.into_iter().filter_map(|entry| {
        Some(Due {
            name: entry.name.parse().ok()?,
            number: entry.number,
            last: last.get(entry.name.as_str()).copied()?,
        })
    });
    report.due = due.collect();
    if let Some(fault) = witness::fault_of_inventory(&state, observed)? {
        // What was lost may be due: nothing would be said of it.
        if report.due.is_empty() {
            return Err(fault.refusal(&request.authority).into());
        }
        report.notes.push(fault.note(&request.authority));
    }
    Ok(report)
}

/// Notes on clients of CAs whose certificates are not in the inventory, and on a rotation whose new CA does not issue yet.
fn notes(state: &AuthorityState) -> Vec<String> {
    let mut notes = Vec::new();
    if state.leaving().next().is_none() {
        notes.push(match state.target_ca() {
            Some(target) if state.issuing_ca() != Some(target) => format!(
                "no CA is retired yet: `kubectl mtls ca-rotate --authority {}` continues until the new CA issues",
                state.authority
            ),
            _ => format!("the authority `{}` has no retired CA", state.authority),
        });
    }
    let external = state.external.iter().map(|ca| {
        format!(
            "clients of the external CA `{}` are not in the inventory: only the issuer of their certificates can renew them",
            ca.subject()
        )
    });
    notes.extend(external);
    notes
}
