//! Revoked clients: whether the inventory and the revocation lists say the same of them.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::entries::{finding, revoked_by_serial};
use super::facts::{Facts, Owner};
use super::hosts::Host;
use super::proxies::{SETTLED, wait_for};
use super::queries::states;
use super::{Finding, Request, check, client_ca, crl};
use crate::plan::revocations::RevokedSet;
use crate::plan::{Query, Reconciled, probe};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::proxy_config::Part;

/// The revoked certificates that belong on a revocation list.
pub(super) fn revoked<'a>(
    entries: &'a [Entry],
    state: &AuthorityState,
    now: OffsetDateTime,
) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(move |entry| {
        let is_kept = || state.keeps_revocation(&entry.issuer_ski, entry.not_after, now);
        entry.state == EntryState::Revoked && is_kept()
    })
}

/// The certificates of which the inventory and the revocation lists differ.
pub(super) struct Differences<'a> {
    /// Revoked in the inventory, and on no list of a CA that is trusted.
    unlisted: Vec<&'a Entry>,
    /// Valid in the inventory, and on a list.
    unrecorded: Vec<&'a Entry>,
}

impl<'a> Differences<'a> {
    pub fn of(
        entries: &'a [Entry],
        state: &AuthorityState,
        trusted: &ClientCa,
        now: OffsetDateTime,
    ) -> Self {
        let cas = trusted.bundle.certificates();
        let listed = RevokedSet::of(cas, &crl::published(trusted));
        let is_let_in = |entry: &&Entry| {
            let is_trusted = cas.iter().any(|ca| ca.key_id_hex() == entry.issuer_ski);
            is_trusted && !listed.contains(entry)
        };
        let live = entries.iter().filter(|entry| entry.is_live(now));
        Self {
            unlisted: revoked(entries, state, now).filter(is_let_in).collect(),
            unrecorded: live.filter(|entry| listed.contains(entry)).collect(),
        }
    }

    fn are_none(&self) -> bool {
        self.unlisted.is_empty() && self.unrecorded.is_empty()
    }

    /// The findings: a list that was edited, or an old one restored; an inventory in which a revocation is missing.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let named = |entry: &&Entry| format!("`{}` (serial {})", entry.name, entry.serial);
        let unlisted = finding(
            &check::REVOCATION_NOT_LISTED,
            "clients that are revoked in the inventory are on no revocation list",
            &self.unlisted,
            named,
            "",
        );
        let unrecorded = finding(
            &check::REVOCATION_NOT_RECORDED,
            "clients on a revocation list are valid in the inventory",
            &self.unrecorded,
            named,
            "revoke-client",
        );
        let unlisted = unlisted.map(|finding| revoked_by_serial(finding, &self.unlisted));
        unlisted.into_iter().chain(unrecorded)
    }
}

/// Reads the inventory and the revocation lists again for a moment if they differ: they are read one after the other, and somebody may be
/// revoking a client meanwhile.
pub(super) fn settle(
    hosts: &[Host],
    request: &Request,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let observed = facts.observed;
    if observed.waited() >= SETTLED {
        return Ok(());
    }
    let inventory = facts.entries()?;
    let mut examined = BTreeSet::new();
    let mut reread = BTreeSet::new();
    for host in hosts.iter().flat_map(Host::parts) {
        let source = host.server.client_ca_source();
        if host.is_from_outside || !examined.insert(source.clone()) {
            continue;
        }
        let seen = client_ca::seen(&host.server, observed)?;
        if let (Owner::Ours(state), Some(shown)) =
            (facts.owner(&source, seen.found()), seen.found())
        {
            let entries = inventory.of(&state.authority);
            if !Differences::of(entries, state, shown, now).are_none() {
                let connect_to = request.connect_to.as_deref();
                let ways = probe::ways(observed, &host.gateway.ingress, connect_to)?;
                let pods = ways.pods();
                // What they are compared with is read again too.
                reread.extend(pods.map(|pod| Query::Proxy(pod.clone(), Part::ClientCas)));
                reread.extend([Query::Get(source), Query::Inventory, states()]);
            }
        }
    }
    let progress = "the inventory and the revocation lists differ".to_owned();
    wait_for(BTreeSet::from([progress]), reread)
}
