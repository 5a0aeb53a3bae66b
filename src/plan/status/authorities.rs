//! The authorities behind the hosts of a report: their clients, and the phases of their rotations.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::facts::{Facts, readable};
use super::report::{
    AuthorityReport, CaReport, ClientCaReport, ClientEnd, ClientsReport, HistoryReport, Role,
};
use super::{authority, next_step};
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::plan::Reconciled;
use crate::resources::audit;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};

/// The authorities of these names, as far as their states can be read.
pub(super) fn report(
    names: &[String],
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Vec<AuthorityReport>> {
    readable(&facts.states)
        .iter()
        .filter(|(_, state)| names.contains(&state.authority))
        .map(|(_, state)| of_authority(state, facts, now))
        .collect()
}

fn of_authority(
    state: &AuthorityState,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<AuthorityReport> {
    let inventory = facts.entries()?;
    let is_inventory_read = inventory.unread().is_none();
    let own = inventory.of(&state.authority);
    let live: Vec<&Entry> = own.iter().filter(|entry| entry.is_live(now)).collect();
    let reserved = live
        .iter()
        .filter(|entry| entry.state == EntryState::Reserved);
    let is_refused = |entry: &&Entry| entry.state == EntryState::Revoked && entry.not_after > now;
    let clients = ClientsReport {
        live: live.len(),
        reserved: reserved.count(),
        revoked: own.iter().filter(is_refused).count(),
        first_end: live.iter().map(|entry| entry.not_after).min(),
        ends: ends(&live),
    };
    let mut of_ca: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &live {
        *of_ca.entry(&entry.issuer_ski).or_default() += 1;
    }
    let count = |ca: &Certificate| {
        is_inventory_read.then(|| of_ca.get(&*ca.key_id_hex()).copied().unwrap_or_default())
    };
    let crls: Vec<Crl> = state
        .crls
        .iter()
        .flat_map(|pem| Crl::many_from_pem(pem).unwrap_or_default())
        .collect();
    let own_cas = state.trusted.iter().map(|ca| {
        let fingerprint = Some(ca.fingerprint());
        let role = if fingerprint == state.issuing {
            Role::Issuing
        } else if fingerprint == state.target {
            Role::New
        } else {
            Role::Retired
        };
        of_ca_report(ca, role, count(ca), &crls)
    });
    let external = state
        .external
        .iter()
        .map(|ca| of_ca_report(ca, Role::External, None, &crls));
    Ok(AuthorityReport {
        name: state.authority.clone(),
        phase: state.phase(),
        next: next_step::of(state, inventory, now),
        cas: own_cas.chain(external).collect(),
        keys: authority::keys_seen(state, facts.observed)?,
        clients: is_inventory_read.then_some(clients),
        history: state.history.iter().map(|line| of_line(line)).collect(),
    })
}

/// The end of each client's last live certificate, the first end first.
fn ends(live: &[&Entry]) -> Vec<ClientEnd> {
    let mut last: BTreeMap<&str, OffsetDateTime> = BTreeMap::new();
    for entry in live {
        let end = last.entry(&entry.name).or_insert(entry.not_after);
        *end = entry.not_after.max(*end);
    }
    let ends = last.into_iter().map(|(name, at)| ClientEnd {
        at,
        name: name.to_owned(),
    });
    let mut ends: Vec<ClientEnd> = ends.collect();
    ends.sort();
    ends
}

fn of_ca_report(ca: &Certificate, role: Role, clients: Option<usize>, crls: &[Crl]) -> CaReport {
    CaReport {
        trusted: ClientCaReport::new(ca, crls),
        role,
        clients,
    }
}

fn of_line(line: &str) -> HistoryReport {
    let (time, user, action) = audit::parts(line).unwrap_or(("", "", line));
    HistoryReport {
        time: time.to_owned(),
        user: user.to_owned(),
        action: action.to_owned(),
    }
}
