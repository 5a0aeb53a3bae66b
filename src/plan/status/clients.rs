//! The clients: who has a certificate that opens the gateway, and for how long.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::facts::{Facts, Owner, blind, damaged_state, readable, remedy};
use super::hosts::Host;
use super::{Finding, Link, check, client_ca, crl, soon};
use crate::pki::inspect::Certificate;
use crate::plan::revocations::RevokedSet;
use crate::plan::{Reconciled, Seen};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::listing::shortened;
use crate::resources::names::CLIENTS_NAMESPACE;

const NAME: &str = "clients";
const SOON: Duration = Duration::days(14);
/// How many names a line of the report gives.
pub(super) const NAMES_SHOWN: usize = 5;

pub(super) fn examine(host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> Reconciled<Link> {
    let source = host.server.client_ca_source();
    let seen = client_ca::seen(&host.server, facts.observed)?;
    let state = match facts.owner(&source, seen.found()) {
        Owner::Ours(state) => state,
        Owner::Nobody if matches!(seen, Seen::Found(_)) => {
            let link = Link::new(NAME, "not known: their CA is not of this plugin");
            return Ok(link);
        }
        Owner::Nobody | Owner::Lost(_) => {
            let mut link = Link::new(NAME, "not known: it was not seen whose the client CA is");
            link.was_not_seen();
            return Ok(link);
        }
        Owner::Damaged(object, error) => {
            let mut link = Link::new(NAME, "not known: the authority's state cannot be read");
            link.add(damaged_state(object.name(), error));
            return Ok(link);
        }
        Owner::Unknown(finding) => {
            let mut link = Link::new(NAME, "not known: the authority's state was not read");
            link.add(finding);
            return Ok(link);
        }
    };
    if let Some(reason) = blind(&facts.inventory) {
        return Ok(Link::new(NAME, "not read").with(
            &check::INVENTORY_NOT_CHECKED,
            format!("the inventory in `{CLIENTS_NAMESPACE}` could not be listed: {reason}"),
            remedy(&facts.inventory),
        ));
    }
    let live: Vec<&Entry> = readable(&facts.inventory)
        .iter()
        .map(|(_, entry)| entry)
        .filter(|entry| entry.authority == state.authority && entry.is_live(now))
        .collect();
    let revoked: Vec<&Entry> = readable(&facts.inventory)
        .iter()
        .map(|(_, entry)| entry)
        .filter(|entry| entry.authority == state.authority)
        .filter(|entry| entry.state == EntryState::Revoked && entry.not_after > now)
        .collect();
    let mut text = says(&live, state);
    if !revoked.is_empty() {
        text += &format!("; {} revoked", revoked.len());
    }
    let mut link = Link::new(NAME, text);
    let trusted = seen.found();
    if let Some(check) = trusted.and_then(|trusted| admitted_again(&revoked, trusted)) {
        link.add(check);
    }
    ending_faults(&live, now, &mut link);
    for (_, error) in facts.damaged_entries(&state.authority) {
        link.find(
            &check::INVENTORY_DAMAGED,
            error.to_string(),
            "restore it; it may stand for a live certificate",
        );
    }
    Ok(link)
}

fn says(live: &[&Entry], state: &AuthorityState) -> String {
    let Some(first) = live.iter().map(|entry| entry.not_after).min() else {
        return "none has a certificate; `kubectl mtls issue-client NAME` issues one".to_owned();
    };
    let plural = if live.len() == 1 { "" } else { "s" };
    let trusted: Vec<String> = state.trusted.iter().map(Certificate::key_id_hex).collect();
    let untrusted = live
        .iter()
        .filter(|entry| !trusted.contains(&entry.issuer_ski))
        .count();
    let suffix = if untrusted > 0 {
        format!("; {untrusted} of a CA that is no longer trusted")
    } else {
        String::new()
    };
    format!(
        "{} live certificate{plural}, the first ends on {}{suffix}",
        live.len(),
        first.date()
    )
}

/// Certificates that the inventory calls revoked, of CAs whose revocation list does not have them: the list was edited, or an
/// old one put back.
fn admitted_again(revoked: &[&Entry], trusted: &ClientCa) -> Option<Finding> {
    let cas = trusted.bundle.certificates();
    let refused = RevokedSet::of(cas, &crl::published(trusted));
    let is_admitted = |entry: &&&Entry| {
        let is_trusted = cas.iter().any(|ca| ca.key_id_hex() == entry.issuer_ski);
        is_trusted && !refused.contains(entry)
    };
    let admitted: Vec<&&Entry> = revoked.iter().filter(is_admitted).collect();
    let first = admitted.first()?;
    let names: Vec<String> = admitted
        .iter()
        .map(|entry| format!("`{}` (serial {})", entry.name, entry.serial))
        .collect();
    Some(
        Finding::new(
            &check::REVOCATION_NOT_LISTED,
            format!(
                "certificates that the inventory calls revoked are on no revocation list: {}",
                shortened(&names, NAMES_SHOWN)
            ),
            format!(
                "kubectl mtls revoke-client {} --authority {}",
                first.name, first.authority
            ),
        )
        .because("the gateway admits them again: the list was edited, or an old one was put back"),
    )
}

/// Names whose last certificate ends soon: one that was renewed since does not count.
fn ending_faults(live: &[&Entry], now: OffsetDateTime, link: &mut Link) {
    let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in live {
        let known = last.entry(&entry.name).or_insert(entry);
        if rank(entry) > rank(known) {
            *known = entry;
        }
    }
    let ending: Vec<String> = last
        .values()
        .filter(|entry| entry.not_after - now < soon(entry.not_before, entry.not_after, SOON))
        .map(|entry| format!("`{}` on {}", entry.name, entry.not_after.date()))
        .collect();
    if ending.is_empty() {
        return;
    }
    link.find(
        &check::CLIENT_ENDING,
        format!(
            "certificates end soon: {}",
            shortened(&ending, NAMES_SHOWN)
        ),
        "renew them: `kubectl mtls renew-client NAME`, or all that end soon with `--expiring-within`",
    );
}

/// A certificate that was delivered counts before one that perhaps was not, then the one that lives longer.
fn rank(entry: &Entry) -> (bool, OffsetDateTime) {
    (entry.state == EntryState::Issued, entry.not_after)
}
