//! The authorities behind the hosts of a report: their clients, and the phases of their rotations.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::facts::{Facts, blind, readable};
use super::report::{
    AuthorityReport, CaReport, ClientCaReport, ClientEnd, ClientsReport, HistoryReport, Role,
};
use super::{NAMES_SHOWN, authority};
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::plan::{Reconciled, command_line};
use crate::resources::audit;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::rotation::Phase;

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
    let is_inventory_read = blind(&facts.inventory).is_none();
    let entries = readable(&facts.inventory).iter().map(|(_, entry)| entry);
    let own: Vec<&Entry> = entries
        .filter(|entry| entry.authority == state.authority)
        .collect();
    let live: Vec<&Entry> = own
        .iter()
        .copied()
        .filter(|entry| entry.is_live(now))
        .collect();
    let reserved = live
        .iter()
        .filter(|entry| entry.state == EntryState::Reserved);
    let is_refused = |entry: &&&Entry| entry.state == EntryState::Revoked && entry.not_after > now;
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
        next: next(state, &live, is_inventory_read),
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

/// The command that continues a rotation; if clients still need a new certificate, the one that
/// renews theirs.
fn next(state: &AuthorityState, live: &[&Entry], is_inventory_read: bool) -> Option<String> {
    let authority = &state.authority;
    let rotate = |flags| command_line::ca_rotate(flags, authority);
    match state.phase() {
        Phase::Settled => None,
        Phase::Spreading | Phase::Stopped => Some(rotate("")),
        Phase::Overlap => {
            let retired: Vec<String> = state.leaving().map(Certificate::key_id_hex).collect();
            let is_old = |entry: &&&Entry| retired.contains(&entry.issuer_ski);
            let has_new = |old: &Entry| {
                let mut issued = live
                    .iter()
                    .filter(|entry| entry.state == EntryState::Issued);
                issued.any(|entry| entry.name == old.name && !is_old(&entry))
            };
            let old: Vec<&Entry> = live.iter().filter(is_old).copied().collect();
            let waiting = old.iter().filter(|entry| !has_new(entry));
            let waiting: Vec<&Entry> = waiting.copied().collect();
            let mut names: Vec<&str> = waiting.iter().map(|entry| entry.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            // The command for all leaves out what was perhaps never delivered.
            let are_issued = waiting
                .iter()
                .all(|entry| entry.state == EntryState::Issued);
            Some(if !is_inventory_read {
                rotate(" --status")
            } else if old.is_empty() {
                rotate(" --finish")
            } else if names.is_empty() {
                format!("kubectl mtls revoke-client --superseded --authority {authority}")
            } else if names.len() > NAMES_SHOWN && are_issued {
                format!("kubectl mtls renew-client --retired-ca --authority {authority}")
            } else {
                command_line::on_clients("renew-client", &names, authority)
            })
        }
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
