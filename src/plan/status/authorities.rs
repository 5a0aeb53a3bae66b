//! The authorities behind the hosts of a report: who can get in, and where their rotations stand.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use super::facts::{Facts, blind, readable};
use crate::pki::crl::{Crl, succession};
use crate::pki::inspect::Certificate;
use crate::resources::audit;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::rotation::Phase;

/// How many clients the next command names.
const NAMES_IN_COMMAND: usize = 20;

/// One authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityReport {
    /// Its name.
    pub name: String,
    /// Where a rotation of its CA stands.
    pub phase: Phase,
    /// The command that goes on with the rotation.
    pub next: Option<String>,
    /// The CAs in its trust bundle, the newest first, external ones last.
    pub cas: Vec<CaReport>,
    /// Its clients; `None` where the inventory was not read.
    pub clients: Option<ClientsReport>,
    /// What was done to it, the oldest first.
    pub history: Vec<HistoryReport>,
}

/// What a CA is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It issues.
    Issuing,
    /// It is to issue next.
    New,
    /// Its clients are still accepted.
    Retired,
    /// This plugin does not hold its key.
    External,
}

/// One CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaReport {
    /// The first eight hexadecimal digits of its fingerprint.
    pub id: String,
    /// SHA-256, lower-case hexadecimal.
    pub fingerprint: String,
    /// RFC 4514.
    pub subject: String,
    /// What it is for.
    pub role: Role,
    /// Its end, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Its live certificates; `None` where the inventory was not read, and for external CAs.
    pub clients: Option<usize>,
    /// Its revocation list, once there is one.
    pub crl: Option<CrlReport>,
}

/// One revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CrlReport {
    /// RFC 5280, 5.2.3.
    pub number: Option<u64>,
    /// When the next one is due, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_update: Option<OffsetDateTime>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// The clients of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsReport {
    /// Live certificates: neither expired, revoked nor void.
    pub live: usize,
    /// Those of them that were reserved, and perhaps never delivered.
    pub reserved: usize,
    /// Revoked certificates that would be valid otherwise.
    pub revoked: usize,
    /// When the first live certificate ends, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_end: Option<OffsetDateTime>,
}

/// One line of an authority's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryReport {
    /// RFC 3339, UTC; empty where the line cannot be read.
    pub time: String,
    /// Who did it, as the API server knows them.
    pub user: String,
    /// What they did.
    pub action: String,
}

/// The authorities of these names, as far as their states can be read.
pub(super) fn report(
    names: &[String],
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Vec<AuthorityReport> {
    readable(&facts.states)
        .iter()
        .filter(|(_, state)| names.contains(&state.authority))
        .map(|(_, state)| of_authority(state, facts, now))
        .collect()
}

fn of_authority(state: &AuthorityState, facts: &Facts<'_>, now: OffsetDateTime) -> AuthorityReport {
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
    AuthorityReport {
        name: state.authority.clone(),
        phase: state.phase(),
        next: next(state, &live, is_inventory_read),
        cas: own_cas.chain(external).collect(),
        clients: is_inventory_read.then_some(clients),
        history: state.history.iter().map(|line| of_line(line)).collect(),
    }
}

fn of_ca_report(ca: &Certificate, role: Role, clients: Option<usize>, crls: &[Crl]) -> CaReport {
    let crl = succession::newest(ca, crls);
    CaReport {
        id: ca.id(),
        fingerprint: ca.fingerprint(),
        subject: ca.subject().to_owned(),
        role,
        not_after: ca.not_after(),
        clients,
        crl: crl.map(|crl| CrlReport {
            number: crl.number(),
            next_update: crl.next_update(),
            revoked: crl.revoked().len(),
        }),
    }
}

/// The command that goes on with a rotation: the clients that still need a new certificate first.
fn next(state: &AuthorityState, live: &[&Entry], is_inventory_read: bool) -> Option<String> {
    let authority = &state.authority;
    let rotate = |flags: &str| format!("kubectl mtls ca-rotate{flags} --authority {authority}");
    match state.phase() {
        Phase::Settled => None,
        Phase::Spreading | Phase::Stopped => Some(rotate("")),
        Phase::Overlap => {
            let retired: Vec<String> = state.leaving().map(Certificate::key_id_hex).collect();
            let mut names: Vec<&str> = live
                .iter()
                .filter(|entry| retired.contains(&entry.issuer_ski))
                .map(|entry| entry.name.as_str())
                .collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(NAMES_IN_COMMAND);
            Some(if !is_inventory_read {
                rotate(" --status")
            } else if names.is_empty() {
                rotate(" --finish")
            } else {
                format!(
                    "kubectl mtls renew-client {} --authority {authority}",
                    names.join(" ")
                )
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
