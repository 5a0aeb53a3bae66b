//! The clients: who has a certificate that the gateway accepts, and until when.

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use super::entries::{Unread, finding, revoked_by_serial};
use super::facts::{Facts, Owner};
use super::hosts::Host;
use super::revoked::{Differences, revoked};
use super::validity::soon;
use super::{Finding, Link, NAMES_SHOWN, Severity, check, client_ca};
use crate::pki::inspect::Certificate;
use crate::pki::when;
use crate::plan::command_line;
use crate::plan::{Reconciled, Seen};
use crate::resources::authority::AuthorityState;
use crate::resources::gateway::Server;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::CLIENTS_NAMESPACE;

const NAME: &str = "clients";
const SOON: Duration = Duration::days(14);
/// A client whose last certificate expired longer ago is probably not used any more.
const FORGOTTEN: Duration = Duration::days(30);
/// A certificate that is not delivered after this time is considered lost.
const DELIVERY: Duration = Duration::hours(1);

/// The link of the clients that a host accepts.
pub(super) fn examine(host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> Reconciled<Link> {
    let source = host.server.client_ca_source();
    let links = &facts.client_links;
    links.of(&source, now, || of_server(&host.server, facts, now))
}

fn of_server(server: &Server, facts: &Facts<'_>, now: OffsetDateTime) -> Reconciled<Link> {
    let source = server.client_ca_source();
    let seen = client_ca::seen(server, facts.observed)?;
    let state = match facts.owner(&source, seen.found()) {
        Owner::Ours(state) => state,
        Owner::Nobody if matches!(seen, Seen::Found(_)) => {
            let link = Link::new(
                NAME,
                "not known: kubectl-mtls does not manage the client CA",
            );
            return Ok(link);
        }
        Owner::Nobody | Owner::Lost(_) => {
            let mut link = Link::new(NAME, "not known: the client CA could not be read");
            link.was_not_seen();
            return Ok(link);
        }
        Owner::Damaged(finding) | Owner::Unknown(finding) => {
            let mut link = Link::new(NAME, "not known: the authority could not be read");
            link.add(finding);
            return Ok(link);
        }
    };
    let inventory = facts.entries()?;
    if let Some(Unread { reason, remedy }) = inventory.unread() {
        return Ok(Link::new(NAME, "not read").with(
            &check::INVENTORY_NOT_CHECKED,
            format!(
                "the inventory in the namespace `{CLIENTS_NAMESPACE}` could not be listed: {reason}"
            ),
            remedy,
        ));
    }
    let entries = inventory.of(&state.authority);
    let live: Vec<&Entry> = entries.iter().filter(|entry| entry.is_live(now)).collect();
    let mut text = says(&live, state);
    let revoked = revoked(entries, state, now);
    match revoked.filter(|entry| entry.not_after > now).count() {
        0 => {}
        count => text += &format!("; {count} revoked"),
    }
    let mut link = Link::new(NAME, text);
    if let Some(shown) = seen.found() {
        link.extend(Differences::of(entries, state, shown, now).findings());
    }
    let examined = OfAuthority {
        state,
        live,
        now,
        within: facts.within,
    };
    link.extend(examined.faults(entries));
    for (damaged, error) in inventory.damaged(&state.authority) {
        link.find(
            &check::INVENTORY_DAMAGED,
            error.to_string(),
            command_line::edit(damaged),
        );
    }
    Ok(link)
}

fn says(live: &[&Entry], state: &AuthorityState) -> String {
    let Some(first) = live.iter().map(|entry| entry.not_after).min() else {
        return format!(
            "no client has a certificate; issue one: kubectl mtls issue-client NAME --authority {}",
            state.authority
        );
    };
    let plural = if live.len() == 1 { "" } else { "s" };
    let trusted: Vec<String> = state.trusted.iter().map(Certificate::key_id_hex).collect();
    let untrusted = live
        .iter()
        .filter(|entry| !trusted.contains(&entry.issuer_ski))
        .count();
    let suffix = if untrusted > 0 {
        format!("; {untrusted} of a removed CA")
    } else {
        String::new()
    };
    format!(
        "{} live certificate{plural}, the first ends on {}{suffix}",
        live.len(),
        first.date()
    )
}

/// The entries of one authority's clients.
struct OfAuthority<'a> {
    state: &'a AuthorityState,
    live: Vec<&'a Entry>,
    now: OffsetDateTime,
    /// Expiry within this time is reported.
    within: Duration,
}

impl OfAuthority<'_> {
    fn faults(&self, entries: &[Entry]) -> Vec<Finding> {
        let found = [
            self.ending(),
            self.expired(entries),
            self.of_removed_ca(),
            self.undelivered(),
        ];
        found.into_iter().flatten().collect()
    }

    fn is_trusted(&self, entry: &Entry) -> bool {
        let mut cas = self.state.trusted.iter().chain(&self.state.external);
        cas.any(|ca| ca.key_id_hex() == entry.issuer_ski)
    }

    /// The relevant certificate of each client: a delivered one before a reserved one, then the one with the latest end.
    fn last(&self) -> impl Iterator<Item = &Entry> {
        let rank = |entry: &Entry| {
            let is_issued = entry.state == EntryState::Issued;
            (self.is_trusted(entry), is_issued, entry.not_after)
        };
        let mut last: BTreeMap<&str, (_, &Entry)> = BTreeMap::new();
        for entry in &self.live {
            let ranked = (rank(entry), *entry);
            let known = last.entry(&entry.name).or_insert(ranked);
            if ranked.0 > known.0 {
                *known = ranked;
            }
        }
        last.into_values().map(|(_, entry)| entry)
    }

    /// The finding on clients whose last certificate ends soon; renewed certificates do not count.
    fn ending(&self) -> Option<Finding> {
        let is_ending = |entry: &&Entry| {
            let left = entry.not_after - self.now;
            let soon = soon(entry.not_before, entry.not_after, SOON).max(self.within);
            left < soon && self.is_trusted(entry)
        };
        let ending: Vec<&Entry> = self.last().filter(is_ending).collect();
        let finding = finding(
            &check::CLIENT_ENDING,
            "certificates end soon",
            &ending,
            |entry| {
                format!(
                    "`{}` on {}",
                    entry.name,
                    when::end(entry.not_after, self.now)
                )
            },
            "renew-client",
        )?;
        let last = ending.iter().map(|entry| entry.not_after).max()?;
        let left = last - self.now;
        let whole = left.whole_days();
        let days = whole + i64::from(left > Duration::days(whole));
        // The command by time leaves out what was perhaps never delivered, and renews all else that ends by then.
        let ends_too = |entry: &&&Entry| entry.not_after - self.now <= Duration::days(days);
        let are_issued = ending.iter().all(|entry| entry.state == EntryState::Issued);
        let is_same = self.live.iter().filter(ends_too).count() == ending.len();
        if ending.len() <= NAMES_SHOWN || !are_issued || !is_same {
            return Some(finding);
        }
        let authority = &self.state.authority;
        let remedy =
            format!("kubectl mtls renew-client --expiring-within {days}d --authority {authority}");
        Some(Finding { remedy, ..finding })
    }

    /// The finding on clients whose certificates have all expired, and that nobody revoked.
    fn expired(&self, entries: &[Entry]) -> Option<Finding> {
        let live: BTreeSet<&str> = self.live.iter().map(|entry| entry.name.as_str()).collect();
        let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in entries {
            let counts = matches!(entry.state, EntryState::Issued | EntryState::Revoked);
            if counts && !live.contains(entry.name.as_str()) {
                let known = last.entry(&entry.name).or_insert(entry);
                if entry.number > known.number {
                    *known = entry;
                }
            }
        }
        let expired = last.into_values();
        let expired: Vec<&Entry> = expired
            .filter(|entry| entry.state == EntryState::Issued)
            .collect();
        let is_recent = |entry: &&Entry| self.now - entry.not_after < FORGOTTEN;
        let recent: Vec<&Entry> = expired.iter().copied().filter(is_recent).collect();
        let (told, severity) = if recent.is_empty() {
            (expired, Severity::Note)
        } else {
            (recent, Severity::Warning)
        };
        let finding = finding(
            &check::CLIENT_EXPIRED,
            "the last certificates of clients have expired",
            &told,
            |entry| format!("`{}` on {}", entry.name, entry.not_after.date()),
            "renew-client",
        )?;
        Some(finding.graded(severity))
    }

    /// The finding on clients that only have certificates of removed CAs.
    fn of_removed_ca(&self) -> Option<Finding> {
        let is_lost = |entry: &&Entry| entry.state == EntryState::Issued && !self.is_trusted(entry);
        let lost: Vec<&Entry> = self.last().filter(is_lost).collect();
        finding(
            &check::CLIENT_REMOVED_CA,
            "clients have certificates of a removed CA only",
            &lost,
            |entry| format!("`{}`", entry.name),
            // `renew-client` takes the names from the certificate, which must be signed by a CA of the authority.
            "issue-client --another",
        )
    }

    fn undelivered(&self) -> Option<Finding> {
        let is_lost = |entry: &&Entry| {
            entry.state == EntryState::Reserved
                && self.now - entry.not_before > DELIVERY
                && self.is_trusted(entry)
        };
        let lost: Vec<&Entry> = self.live.iter().copied().filter(is_lost).collect();
        let finding = finding(
            &check::CLIENT_NEVER_DELIVERED,
            "certificates were reserved and never delivered",
            &lost,
            |entry| format!("`{}` (serial {})", entry.name, entry.serial),
            "",
        )?;
        Some(revoked_by_serial(finding, &lost))
    }
}
