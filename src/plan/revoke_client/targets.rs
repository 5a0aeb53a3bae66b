//! Which certificates are meant.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{Answer, Request, Which};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::serial::Serial;
use crate::plan::spelling;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};

/// Fewer digits of a serial number tell nothing.
const SHORTEST_SERIAL: usize = 8;

/// One certificate that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The client's name; the subject of a certificate that the inventory does not hold.
    pub name: String,
    pub serial: Serial,
    /// Its CA, by the hex SKI.
    pub issuer: String,
    pub not_after: OffsetDateTime,
    /// Its entry in the inventory, where it has one.
    pub entry: Option<Entry>,
}

impl Target {
    fn of(entry: &Entry) -> Result<Self, Failure> {
        let serial =
            entry
                .serial
                .parse()
                .map_err(|error: crate::pki::serial::Error| {
                    Failure::refused(format!(
                "the inventory entry of `{}` is damaged",
                entry.name
            ))
            .caused_by(error)
            .hint("`--certificate FILE` revokes a certificate that you have; nothing was changed")
                })?;
        Ok(Self {
            name: entry.name.clone(),
            serial,
            issuer: entry.issuer_ski.clone(),
            not_after: entry.not_after,
            entry: Some(entry.clone()),
        })
    }
}

/// The certificates that the user means, each once.
pub(super) fn find(
    request: &Request,
    state: &AuthorityState,
    entries: &[Entry],
    now: OffsetDateTime,
) -> Answer<Vec<Target>> {
    let found: Result<Vec<Vec<Target>>, Failure> = match &request.which {
        Which::Names(names) => names
            .iter()
            .map(|name| by_name(name.as_str(), entries, now))
            .collect(),
        Which::Serials(serials) => serials
            .iter()
            .map(|serial| by_serial(serial, entries))
            .collect(),
        Which::Certificates(certificates) => certificates
            .iter()
            .map(|certificate| given(certificate, state, entries).map(|target| vec![target]))
            .collect(),
    };
    let mut seen = BTreeSet::new();
    let mut targets: Vec<Target> = found?.into_iter().flatten().collect();
    targets.retain(|target| seen.insert((target.issuer.clone(), target.serial.clone())));
    Ok(targets)
}

/// Every certificate of a name that opens the gateway, or would; where there is none, its last one, to tell what became of it.
fn by_name(name: &str, entries: &[Entry], now: OffsetDateTime) -> Result<Vec<Target>, Failure> {
    let of_name: Vec<&Entry> = entries.iter().filter(|entry| entry.name == name).collect();
    if of_name.is_empty() {
        return Err(unknown(name, entries));
    }
    let counts = |entry: &&&Entry| entry.not_after > now && entry.state != EntryState::Void;
    let mut meant: Vec<&&Entry> = of_name.iter().filter(counts).collect();
    if meant.is_empty() {
        meant.extend(of_name.iter().max_by_key(|entry| entry.not_after));
    }
    meant.into_iter().map(|entry| Target::of(entry)).collect()
}

fn unknown(name: &str, entries: &[Entry]) -> Failure {
    let names = entries.iter().map(|entry| entry.name.as_str());
    Failure::refused(format!("no client named `{name}`"))
        .hint(spelling::meant(name, names))
        .hint("`kubectl mtls list-clients` shows all of them; nothing was changed")
}

/// The certificate of a serial number, or of its first digits where no other begins so.
fn by_serial(wanted: &str, entries: &[Entry]) -> Result<Vec<Target>, Failure> {
    let serial: Serial = wanted.parse().map_err(|error: crate::pki::serial::Error| {
        Failure::usage(error.to_string()).hint("nothing was changed")
    })?;
    let whole = serial.to_string();
    let exact: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.serial == whole)
        .collect();
    let digits: String = wanted
        .chars()
        .filter(|character| *character != ':')
        .collect::<String>()
        .to_lowercase();
    let found = if exact.is_empty() && digits.len() >= SHORTEST_SERIAL {
        let begins = |entry: &&Entry| entry.serial.starts_with(&digits);
        entries.iter().filter(begins).collect()
    } else {
        exact
    };
    match found.as_slice() {
        [] => Err(Failure::refused(format!(
            "no certificate of this authority has the serial number `{wanted}`"
        ))
        .hint("`kubectl mtls list-clients -o wide` shows them; `--certificate FILE` revokes one that the inventory does not hold; nothing was changed")),
        [entry] => Ok(vec![Target::of(entry)?]),
        several => Err(several.iter().fold(
            Failure::refused(format!(
                "{} certificates have a serial number that begins with `{wanted}`",
                several.len()
            )),
            |failure, entry| failure.hint(format!("{} of `{}`", entry.serial, entry.name)),
        )
        .hint("give all digits; nothing was changed")),
    }
}

/// A certificate from a file: it must be of one of the authority's CAs.
fn given(
    certificate: &Certificate,
    state: &AuthorityState,
    entries: &[Entry],
) -> Result<Target, Failure> {
    if state.trusted.contains(certificate) {
        return Err(Failure::refused(format!(
            "`{}` is a CA of this authority, no client",
            certificate.subject()
        ))
        .hint("`kubectl mtls ca-rotate` replaces it; nothing was changed"));
    }
    let Some(ca) = state.trusted.iter().find(|ca| certificate.is_signed_by(ca)) else {
        let cas: Vec<String> = state
            .trusted
            .iter()
            .map(|ca| format!("`{}`", ca.subject()))
            .collect();
        return Err(Failure::refused(format!(
            "the certificate `{}` is not of the authority `{}`: `{}` signed it",
            certificate.subject(),
            state.authority,
            certificate.issuer()
        ))
        .hint(format!(
            "this authority's CAs are {}; only who holds the other CA's key can revoke it; nothing was changed",
            cas.join(", ")
        )));
    };
    let issuer = ca.key_id_hex();
    let serial = certificate.serial_hex();
    let entry = entries
        .iter()
        .find(|entry| entry.serial == serial && entry.issuer_ski == issuer);
    match entry {
        Some(entry) => Target::of(entry),
        None => Ok(Target {
            name: certificate.subject().to_owned(),
            serial: certificate.serial().clone(),
            issuer,
            not_after: certificate.not_after(),
            entry: None,
        }),
    }
}
