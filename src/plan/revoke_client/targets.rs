//! The certificates to revoke.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::damaged::Damaged;
use super::{Request, Which};
use crate::error::Failure;
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::pki::serial::Serial;
use crate::plan::command_line::of_clients;
use crate::plan::revocations::RevokedSet;
use crate::plan::{Observed, Query, Reconciled, spelling, witness};
use crate::resources::ObjectRef;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};

/// The least number of digits that identify a serial number.
const SHORTEST_SERIAL: usize = 8;
/// How many certificates are named for digits that are too few.
const MOST_SERIALS: usize = 5;

/// One certificate to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The client's name; the subject of a certificate that the inventory does not hold.
    pub name: String,
    pub serial: Serial,
    /// The issuing CA, by its hex SKI.
    pub issuer: String,
    pub not_after: OffsetDateTime,
    /// The inventory entry, if there is one.
    pub entry: Option<Entry>,
    /// The certificate itself, if the inventory does not hold it.
    pub unlisted: Option<Certificate>,
}

impl Target {
    fn of(entry: &Entry) -> Result<Self, Failure> {
        // Entries whose serial number is damaged are not among those that were read.
        let serial = entry.serial.parse().map_err(Failure::internal)?;
        Ok(Self {
            name: entry.name.clone(),
            serial,
            issuer: entry.issuer_ski.clone(),
            not_after: entry.not_after,
            entry: Some(entry.clone()),
            unlisted: None,
        })
    }

    /// An identity that also distinguishes certificates with the same serial number.
    pub fn identity(&self) -> (String, String) {
        let entry = self.entry.as_ref();
        let number = entry.map(|entry| format!("{} {}", entry.name, entry.number));
        let unlisted = self.unlisted.as_ref().map(Certificate::fingerprint);
        (self.issuer.clone(), number.or(unlisted).unwrap_or_default())
    }
}

/// Further live certificates with the serial number of a target: a gateway rejects them together.
pub(super) fn sharing(
    target: &Target,
    entries: &[Entry],
    now: OffsetDateTime,
) -> Result<Vec<Target>, Failure> {
    let shares = |entry: &&Entry| {
        entry.is_live(now)
            && entry.issuer_ski == target.issuer
            && entry.serial == target.serial.to_string()
            && target.entry.as_ref() != Some(*entry)
    };
    entries.iter().filter(shares).map(Target::of).collect()
}

/// Further certificates that are revoked in the inventory, but on no list: somebody edited a list, or restored an older one.
pub(super) fn unlisted(
    meant: &[Target],
    state: &AuthorityState,
    crls: &[Crl],
    entries: &[Entry],
    now: OffsetDateTime,
) -> Result<Vec<Target>, Failure> {
    let opens = |entry: &&Entry| {
        let is_its = |ca: &Certificate| ca.key_id_hex() == entry.issuer_ski && !ca.is_expired(now);
        entry.state == EntryState::Revoked
            && state.keeps_revocation(&entry.issuer_ski, entry.not_after, now)
            && state.trusted.iter().any(is_its)
    };
    let revoked = RevokedSet::of(&state.trusted, crls);
    let unlisted = entries
        .iter()
        .filter(opens)
        .filter(|entry| !revoked.contains(entry));
    let targets: Result<Vec<Target>, Failure> = unlisted.map(Target::of).collect();
    let is_meant = |target: &Target| meant.iter().any(|one| one.identity() == target.identity());
    Ok(targets?
        .into_iter()
        .filter(|target| !is_meant(target))
        .collect())
}

/// The certificates that the user names, each once.
pub(super) fn find(
    request: &Request,
    state: &AuthorityState,
    (entries, damaged): (&[Entry], &Damaged<'_>),
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Vec<Target>> {
    let found: Reconciled<Vec<Vec<Target>>> = match &request.which {
        Which::Names(names) => names
            .iter()
            .map(|name| {
                let has_damaged = damaged.of(name).next().is_some();
                match by_name(name.as_str(), entries, now)? {
                    found if found.is_empty() && !has_damaged => {
                        Err(unknown(name.as_str(), entries, request).into())
                    }
                    found => Ok(found),
                }
            })
            .collect(),
        Which::Serials(serials) => serials
            .iter()
            .map(|serial| match by_serial(serial, entries)? {
                found if found.is_empty() => Err(match too_short(serial, entries) {
                    Some(failure) => failure,
                    None => unknown_serial(serial, request, state, observed)?,
                }
                .into()),
                found => Ok(found),
            })
            .collect(),
        Which::Certificates(certificates) => certificates
            .iter()
            .map(|certificate| Ok(vec![given(certificate, state, entries, observed)?]))
            .collect(),
        Which::Superseded(older_than) => {
            let superseded = Superseded::among(entries, state, now - *older_than, now);
            let is_meant = |entry: &&Entry| {
                superseded.contains(entry) && (entry.is_live(now) || was_marked(entry, observed))
            };
            entries
                .iter()
                .filter(is_meant)
                .map(|entry| Ok(vec![Target::of(entry)?]))
                .collect()
        }
    };
    let mut seen = BTreeSet::new();
    let mut targets: Vec<Target> = found?.into_iter().flatten().collect();
    targets.retain(|target| seen.insert(target.identity()));
    if targets.is_empty() {
        damaged.refuse()?;
    }
    Ok(targets)
}

/// Whether this run has marked a certificate as revoked.
fn was_marked(entry: &Entry, observed: &Observed) -> bool {
    let name = entry.reference();
    entry.state == EntryState::Revoked
        && name.is_some_and(|name| observed.change_of(&name).is_some())
}

/// The certificates with a successor that clients use instead.
struct Superseded<'a> {
    /// Delivered certificates by their client and the number of the one that they renew.
    renewals: BTreeMap<(&'a str, u32), Vec<&'a Entry>>,
    trusted: BTreeSet<String>,
    issued_before: OffsetDateTime,
    now: OffsetDateTime,
}

impl<'a> Superseded<'a> {
    fn among(
        entries: &'a [Entry],
        state: &AuthorityState,
        issued_before: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Self {
        let mut renewals: BTreeMap<(&str, u32), Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            // A later number: a damaged entry that renews itself ends no search.
            if let Some(former) = entry.renews.filter(|former| *former < entry.number) {
                let key = (entry.name.as_str(), former);
                renewals.entry(key).or_default().push(entry);
            }
        }
        Self {
            renewals,
            trusted: state.trusted.iter().map(Certificate::key_id_hex).collect(),
            issued_before,
            now,
        }
    }

    /// Whether a direct or indirect renewal of the certificate was delivered in time and is accepted by the gateway.
    fn contains(&self, entry: &Entry) -> bool {
        let renewals = self.renewals.get(&(entry.name.as_str(), entry.number));
        renewals.into_iter().flatten().any(|renewal| {
            let is_in_use = renewal.state == EntryState::Issued
                && renewal.is_live(self.now)
                && renewal.not_before <= self.issued_before
                && self.trusted.contains(&renewal.issuer_ski);
            is_in_use || self.contains(renewal)
        })
    }
}

/// Every certificate of a name that is live, or was revoked; else its last one, to report its state. Empty if the name has none.
fn by_name(name: &str, entries: &[Entry], now: OffsetDateTime) -> Result<Vec<Target>, Failure> {
    let of_name: Vec<&Entry> = entries.iter().filter(|entry| entry.name == name).collect();
    let counts = |entry: &&&Entry| entry.not_after > now && entry.state != EntryState::Void;
    let mut meant: Vec<&&Entry> = of_name.iter().filter(counts).collect();
    if meant.is_empty() {
        meant.extend(of_name.iter().max_by_key(|entry| entry.not_after));
    }
    meant.into_iter().map(|entry| Target::of(entry)).collect()
}

pub(super) fn unknown(name: &str, entries: &[Entry], request: &Request) -> Failure {
    let names = entries.iter().map(|entry| entry.name.as_str());
    let flag = of_clients(&request.authority, request.directory.as_deref());
    let failure = Failure::refused(format!("no client named `{name}`"));
    spelling::unknown(name, names, ("revoke-client", &flag))
        .into_iter()
        .fold(failure, Failure::hint)
        .hint(format!(
            "`kubectl mtls list-clients {flag}` lists all clients"
        ))
}

/// The refusal of the first digits of a serial number that are too few to name a certificate; `None` if no certificate has them.
fn too_short(wanted: &str, entries: &[Entry]) -> Option<Failure> {
    let digits = digits(wanted);
    let mut begins = entries
        .iter()
        .filter(|entry| entry.serial.starts_with(&digits))
        .peekable();
    begins.peek()?;
    let failure = Failure::usage(format!("the serial number `{wanted}` is too short"));
    Some(begins.take(MOST_SERIALS).fold(failure, |failure, entry| {
        let first = match entry.serial.get(..SHORTEST_SERIAL) {
            Some(first) => format!("{first}…"),
            None => entry.serial.clone(),
        };
        failure.hint(format!(
            "give at least {SHORTEST_SERIAL} digits of the serial number: {first} is that of `{}`",
            entry.name
        ))
    }))
}

/// The digits of a serial number, without colons.
fn digits(wanted: &str) -> String {
    let digits = wanted.chars().filter(|character| *character != ':');
    digits.collect::<String>().to_lowercase()
}

/// The refusal because of a serial number that no entry has; an inventory that was lost may have held it.
fn unknown_serial(
    wanted: &str,
    request: &Request,
    state: &AuthorityState,
    observed: &Observed,
) -> Reconciled<Failure> {
    let lost = match request.directory {
        None => witness::fault_of_inventory(state, observed)?,
        Some(_) => None,
    };
    let by_file = "`--certificate FILE` revokes a certificate that the inventory does not hold";
    Ok(match lost {
        Some(fault) => fault.refusal(&state.authority).hint(by_file),
        None => Failure::refused(format!(
            "no certificate of this authority has the serial number `{wanted}`"
        ))
        .hint(format!(
            "`kubectl mtls list-clients -o wide {}` shows the serial numbers; {by_file}",
            of_clients(&state.authority, request.directory.as_deref())
        )),
    })
}

/// The certificate with a serial number, or with these first digits if they are unique; empty if there is none.
fn by_serial(wanted: &str, entries: &[Entry]) -> Result<Vec<Target>, Failure> {
    let serial: Serial = wanted
        .parse()
        .map_err(|error: crate::pki::serial::Error| Failure::usage(error.to_string()))?;
    let whole = serial.to_string();
    let exact: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.serial == whole)
        .collect();
    let digits = digits(wanted);
    let found = if exact.is_empty() && digits.len() >= SHORTEST_SERIAL {
        let begins = |entry: &&Entry| entry.serial.starts_with(&digits);
        entries.iter().filter(begins).collect()
    } else {
        exact
    };
    match found.as_slice() {
        [] => Ok(Vec::new()),
        [entry] => Ok(vec![Target::of(entry)?]),
        [first, ..] if found.iter().all(|entry| is_refused_with(entry, first)) => {
            found.iter().map(|entry| Target::of(entry)).collect()
        }
        several => Err(several
            .iter()
            .fold(
                Failure::refused(format!(
                    "{} certificates have a serial number that begins with `{wanted}`",
                    several.len()
                )),
                |failure, entry| failure.hint(format!("{} of `{}`", entry.serial, entry.name)),
            )
            .hint("give all digits, or the certificate itself with `--certificate FILE`")),
    }
}

/// Whether a gateway cannot tell two certificates apart: same CA, same serial number.
fn is_refused_with(entry: &Entry, other: &Entry) -> bool {
    (&entry.issuer_ski, &entry.serial) == (&other.issuer_ski, &other.serial)
}

/// A certificate from a file; it must be signed by a CA of the authority.
fn given(
    certificate: &Certificate,
    state: &AuthorityState,
    entries: &[Entry],
    observed: &Observed,
) -> Reconciled<Target> {
    if state.trusted.contains(certificate) {
        return Err(Failure::refused(format!(
            "`{}` is a CA of this authority, not a client",
            certificate.subject()
        ))
        .hint("`kubectl mtls ca-rotate` replaces a CA")
        .into());
    }
    if certificate.has_negative_serial() {
        return Err(Failure::refused(format!(
            "the certificate `{}` has a negative serial number, which no revocation list of kubectl-mtls can name",
            certificate.subject()
        ))
        .hint("`kubectl mtls ca-rotate` replaces its CA: the certificate is rejected once that CA was removed")
        .into());
    }
    let Some(ca) = state.trusted.iter().find(|ca| certificate.is_signed_by(ca)) else {
        let cas: Vec<String> = state
            .trusted
            .iter()
            .map(|ca| format!("`{}`", ca.subject()))
            .collect();
        return Err(Failure::refused(format!(
            "the certificate `{}` was not issued by the authority `{}`: `{}` signed it",
            certificate.subject(),
            state.authority,
            certificate.issuer()
        ))
        .hint(format!(
            "this authority's CAs are {}; only the owner of the other CA's key can revoke it",
            cas.join(", ")
        ))
        .into());
    };
    let issuer = ca.key_id_hex();
    let serial = certificate.serial_hex();
    let has_serial = |entry: &&Entry| entry.serial == serial && entry.issuer_ski == issuer;
    let alike: Vec<&Entry> = entries.iter().filter(has_serial).collect();
    let names: Vec<Option<ObjectRef>> = alike.iter().map(|entry| entry.reference()).collect();
    observed.prefetch(names.iter().flatten().cloned().map(Query::Get))?;
    // Certificates signed by hand may share a serial number.
    for (entry, name) in alike.iter().zip(&names) {
        let object = match name {
            Some(name) => observed.try_get(name)?.found().copied(),
            None => None,
        };
        let pem = object.map(|object| object.text(&["data", "tls.crt"]).to_owned());
        if pem.and_then(|pem| Certificate::from_pem(pem).ok()).as_ref() == Some(certificate) {
            return Ok(Target::of(entry)?);
        }
    }
    Ok(Target {
        name: certificate.subject().to_owned(),
        serial: certificate.serial().clone(),
        issuer,
        not_after: certificate.not_after(),
        entry: None,
        unlisted: Some(certificate.clone()),
    })
}
