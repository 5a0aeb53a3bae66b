//! `list-clients`: who has a certificate, until when, from which CA, and in which state. Only metadata is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::authority::others;
use super::command_line::of_clients;
use super::{Observed, Query, Reconciled, Seen, spelling};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{self, Entry, EntryState, Revocation};
use crate::resources::names::{CLIENTS_NAMESPACE, CredentialNames};
use crate::resources::witness::reference;
use crate::resources::{Kind, Object};

/// The request of the user.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The authority whose clients are listed.
    pub authority: String,
    /// Whether the clients of all authorities are listed instead.
    pub all_authorities: bool,
    /// The directory that the user named, which must hold a CA.
    pub directory: Option<String>,
    /// Only these clients; empty for all.
    pub names: Vec<ClientName>,
    /// Only certificates that the gateway accepts now and that end within this time.
    pub expiring_within: Option<Duration>,
    /// Only these states; empty for all.
    pub states: Vec<State>,
    /// Only serial numbers that begin with one of these, in lower-case hexadecimal; all without any.
    pub serials: Vec<String>,
}

/// The state of a certificate now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The certificate is signed, and not known to be delivered.
    Reserved,
    /// The certificate is delivered and valid.
    Issued,
    /// The certificate was never delivered.
    Void,
    /// Revoked.
    Revoked,
    /// The certificate has expired.
    Expired,
}

impl State {
    /// The state of an entry's certificate: revoked and void ones stay so after their end.
    pub fn of(entry: &Entry, now: OffsetDateTime) -> Self {
        match entry.state {
            EntryState::Void => Self::Void,
            EntryState::Revoked => Self::Revoked,
            _ if entry.not_after <= now => Self::Expired,
            EntryState::Reserved => Self::Reserved,
            EntryState::Issued => Self::Issued,
        }
    }
}

/// The status of a CA in its authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// The CA signs.
    Issuing,
    /// The CA is trusted, but does not sign.
    Trusted,
    /// The CA was dropped: gateways reject its clients.
    Dropped,
    /// The authority's state was not read.
    Unknown,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The authority that signed the certificate.
    pub authority: String,
    /// The client's exact name.
    pub name: String,
    /// The number of the certificate among those of the name, counted from 1.
    pub number: u32,
    /// The state of the certificate now.
    pub state: State,
    /// Start of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// The URI SAN that names the client.
    pub uri: String,
    /// The issuing CA's SKI, hex.
    pub issuer_ski: String,
    /// The SHA-256 fingerprint of that CA, hex, while the authority trusts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_fingerprint: Option<String>,
    /// The status of that CA now.
    pub generation: Generation,
    /// The number of the certificate that this one renews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<u32>,
    /// The number of the delivered certificate that renews this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<u32>,
    /// When the certificate was signed, UTC; entries of earlier versions lack it.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued_at: Option<OffsetDateTime>,
    /// The user who had it signed, by the API server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<String>,
    /// Time and reason of the revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// The user who revoked it, by the API server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

/// The outcome of `list-clients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The authority whose clients are listed; `None` for those of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The time of the list, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The selected certificates, sorted by expiry.
    pub clients: Vec<Client>,
    /// Entries that cannot be read, each with the reason: they may belong to live certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Notes for the user.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// The whole inventory of an authority, metadata only; Istio puts `ConfigMaps` of its own into every namespace.
pub fn inventory(authority: &str) -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(inventory::selector(authority)),
        metadata_only: true,
    }
}

/// The inventories of all authorities, metadata only.
pub fn inventories() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(inventory::any_authority()),
        metadata_only: true,
    }
}

/// Which certificate of a name was renewed by which, in one inventory: delivered ones only.
pub fn renewals(entries: &[Entry]) -> BTreeMap<(&str, u32), u32> {
    let delivered = entries
        .iter()
        .filter(|entry| matches!(entry.state, EntryState::Issued | EntryState::Revoked));
    delivered
        .filter_map(|entry| Some(((entry.name.as_str(), entry.renews?), entry.number)))
        .collect()
}

/// Lists certificates.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    if request.all_authorities {
        return all(request, observed, now);
    }
    let state = CredentialNames::of_authority(&request.authority).state();
    let is_in_cluster = request.directory.is_none();
    let witness = is_in_cluster.then(|| Query::Get(reference(&request.authority)));
    let first_reads = request.first_reads().into_iter();
    let with_state = first_reads.chain([Query::Get(state.clone())]);
    observed.prefetch(with_state.chain(witness))?;
    let objects = &*match request.entries_of_names(observed)? {
        Some(objects) => Cow::Owned(objects),
        None => Cow::Borrowed(observed.list(&inventory(&request.authority))?),
    };
    let state = observed.try_get(&state)?;
    if let (Some(folder), Seen::Missing) = (&request.directory, &state) {
        return Err(Failure::refused(format!("there is no CA in `{folder}`"))
            .hint("name the folder of `issue-client --ca-dir`")
            .into());
    }
    let mut notes = Vec::new();
    let (entries, unreadable) = entries(objects);
    let generations = Generations::of_entries(&request.authority, &entries, &state, &mut notes);
    if is_in_cluster {
        losses::add_notes(&request.authority, &state, &mut notes, observed)?;
    }
    if objects.is_empty() && notes.is_empty() {
        notes.push(match state {
            Seen::Missing => format!("there is no authority `{}`", request.authority),
            _ => format!("the authority `{}` has issued nothing", request.authority),
        });
    }
    let clients = request.clients(&entries, &generations, now);
    let report = Report {
        authority: Some(request.authority.clone()),
        at: now,
        clients,
        unreadable,
        notes,
    };
    Ok(request.checked(report, &entries, objects.is_empty())?)
}

/// Lists the certificates of all authorities.
fn all(request: &Request, observed: &Observed, now: OffsetDateTime) -> Reconciled<Report> {
    observed.prefetch([inventories(), others()])?;
    let objects = observed.list(&inventories())?;
    let (entries, unreadable) = entries(objects);
    let mut by_authority: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in &entries {
        let known = by_authority.entry(entry.authority.clone()).or_default();
        known.push(entry.clone());
    }
    // Of an authority whose inventory was lost no entry tells.
    for authority in observed
        .try_list(&others())?
        .found()
        .copied()
        .unwrap_or_default()
    {
        by_authority.entry(authority.name().to_owned()).or_default();
    }
    let state = |authority: &str| CredentialNames::of_authority(authority).state();
    let reads = by_authority
        .keys()
        .flat_map(|name| [state(name), reference(name)].map(Query::Get));
    observed.prefetch(reads)?;
    let (mut clients, mut notes) = (Vec::new(), Vec::new());
    for (authority, entries) in &by_authority {
        let seen = observed.try_get(&state(authority))?;
        let generations = Generations::of_entries(authority, entries, &seen, &mut notes);
        losses::add_notes(authority, &seen, &mut notes, observed)?;
        clients.extend(request.clients(entries, &generations, now));
    }
    sort(&mut clients);
    if objects.is_empty() && notes.is_empty() {
        notes.push("no authority has issued anything".to_owned());
    }
    let report = Report {
        authority: None,
        at: now,
        clients,
        unreadable,
        notes,
    };
    Ok(request.checked(report, &entries, objects.is_empty())?)
}

fn sort(clients: &mut [Client]) {
    clients.sort_by(|one, other| {
        let key = |client: &Client| (client.not_after, client.name.clone(), client.number);
        key(one)
            .cmp(&key(other))
            .then_with(|| one.authority.cmp(&other.authority))
    });
}

impl Request {
    /// The selected certificates of one authority, sorted by expiry.
    fn clients(
        &self,
        entries: &[Entry],
        generations: &Generations,
        now: OffsetDateTime,
    ) -> Vec<Client> {
        let renewals = renewals(entries);
        let wanted = entries.iter().filter(|entry| self.wants(entry, now));
        let mut clients: Vec<Client> = wanted
            .map(|entry| Client {
                authority: entry.authority.clone(),
                name: entry.name.clone(),
                number: entry.number,
                state: State::of(entry, now),
                not_before: entry.not_before,
                not_after: entry.not_after,
                serial: entry.serial.clone(),
                uri: entry.uri.clone(),
                issuer_ski: entry.issuer_ski.clone(),
                issuer_fingerprint: generations.fingerprint(&entry.issuer_ski),
                generation: generations.generation(&entry.issuer_ski),
                renews: entry.renews,
                renewed_by: renewals.get(&(entry.name.as_str(), entry.number)).copied(),
                issued_at: entry.issued_at,
                issued_by: entry.issued_by.clone(),
                revocation: entry.revocation,
                revoked_by: entry.revoked_by.clone(),
            })
            .collect();
        sort(&mut clients);
        clients
    }

    /// The report, after checking that the requested names exist.
    fn checked(
        &self,
        mut report: Report,
        entries: &[Entry],
        is_empty: bool,
    ) -> Result<Report, Failure> {
        if report.unreadable.is_empty() {
            self.check_names(entries)?;
        }
        if report.clients.is_empty() && !is_empty {
            report.notes.push("no certificates match".to_owned());
        }
        Ok(report)
    }

    fn wants(&self, entry: &Entry, now: OffsetDateTime) -> bool {
        let is_named =
            self.names.is_empty() || self.names.iter().any(|name| name.as_str() == entry.name);
        let is_of_state = self.states.is_empty() || self.states.contains(&State::of(entry, now));
        let ends = self
            .expiring_within
            .is_none_or(|within| entry.is_live(now) && entry.not_after - now <= within);
        let begins = |digits: &String| entry.serial.starts_with(digits.as_str());
        let has_serial = self.serials.is_empty() || self.serials.iter().any(begins);
        is_named && is_of_state && ends && has_serial
    }

    /// Refuses names that no certificate has.
    fn check_names(&self, entries: &[Entry]) -> Result<(), Failure> {
        let known: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let names = self.names.iter().map(ClientName::as_str);
        let unknown: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let quoted: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let quoted = quoted.join(", ");
        let issuer = &self.authority;
        let (what, flag) = match &self.directory {
            _ if self.all_authorities => (
                format!("no authority has issued anything for {quoted}"),
                "-A".to_owned(),
            ),
            directory => (
                format!("the authority `{issuer}` has issued nothing for {quoted}"),
                of_clients(issuer, directory.as_deref()),
            ),
        };
        let meant = unknown.iter().filter(|_| !known.is_empty());
        let meant: BTreeSet<Vec<String>> = meant
            .map(|name| spelling::unknown(name, known.iter().copied(), ("list-clients", &flag)))
            .collect();
        let failure = meant
            .into_iter()
            .flatten()
            .fold(Failure::refused(what), Failure::hint)
            .hint(format!(
                "`kubectl mtls list-clients {flag}` shows all names"
            ));
        Err(match (self.all_authorities, &self.directory) {
            (false, None) => {
                failure.hint("`kubectl mtls list-clients -A` shows those of all authorities")
            }
            _ => failure,
        })
    }
}

mod entries;
mod generations;
mod losses;
mod named;
#[cfg(test)]
mod tests;

pub use entries::entries;
pub(super) use entries::{entry, with_serials};
use generations::Generations;
