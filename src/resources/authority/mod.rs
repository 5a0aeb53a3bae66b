//! The authority in the cluster: its state (a `ConfigMap`, the commit point) and its keys (a Secret).

mod keys;
mod layout;

pub use keys::{Keys, Origin, keys_object, keys_with, keys_without};

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;

use time::OffsetDateTime;

use super::names::GatewayName;
use crate::pki::crl::Revoked;
use crate::pki::inspect::Certificate;
use crate::pki::serial::Serial;

/// What an authority stands for now. SHA-256 fingerprints in lower-case hex name certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorityState {
    /// Its name.
    pub authority: String,
    /// Grows by one with every change that the client-CA Secret must follow.
    pub revision: u64,
    /// The CAs whose clients are admitted, newest first.
    pub trusted: Vec<Certificate>,
    /// The CA that signs; none while a first one has not been seen at the gateway.
    pub issuing: Option<String>,
    /// The CA that a rotation goes to; the same as `issuing` when there is none under way.
    pub target: Option<String>,
    /// The published CRLs as PEM, one per CA, or none at all.
    pub crls: Vec<String>,
    /// When the revoked certificates end.
    pub ends: Ends,
    /// CAs that were trusted once, and must not come back as foreign ones.
    pub dropped: BTreeSet<String>,
    /// Trusted CAs that were not made here: others may have signed clients with their keys.
    pub given: BTreeSet<String>,
    /// Keys of dropped CAs, and keys that never had a CA, by hex SKI: removed once no gateway trusts their CA.
    pub retired: BTreeSet<String>,
    /// The Secret that holds the keys.
    pub keys_secret: String,
    /// What was done, one line each, oldest first.
    pub history: Vec<String>,
    /// The Gateway that it serves; none until the first `expose`.
    pub gateway: Option<String>,
    /// The client-CA Secret that shows it; none until the first `expose`.
    pub client_ca_secret: Option<String>,
}

impl AuthorityState {
    /// The state of a new authority with one CA.
    pub fn new(authority: &str, ca: Certificate, keys_secret: &str) -> Self {
        let fingerprint = ca.fingerprint();
        Self {
            authority: authority.to_owned(),
            revision: 1,
            trusted: vec![ca],
            issuing: Some(fingerprint.clone()),
            target: Some(fingerprint),
            crls: Vec::new(),
            ends: Ends::default(),
            dropped: BTreeSet::new(),
            given: BTreeSet::new(),
            retired: BTreeSet::new(),
            keys_secret: keys_secret.to_owned(),
            history: Vec::new(),
            gateway: None,
            client_ca_secret: None,
        }
    }

    /// The same state, serving a Gateway through a client-CA Secret.
    #[must_use]
    pub fn serving(mut self, gateway: &GatewayName, client_ca_secret: &str) -> Self {
        self.gateway = Some(gateway.to_string());
        self.client_ca_secret = Some(client_ca_secret.to_owned());
        self
    }

    /// Whether a CA is, or was, this authority's.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.dropped.contains(fingerprint)
            || self
                .trusted
                .iter()
                .any(|ca| ca.fingerprint() == fingerprint)
    }

    /// The CA that signs.
    pub fn issuing_ca(&self) -> Option<&Certificate> {
        self.trusted_ca(self.issuing.as_deref())
    }

    /// A trusted CA by its fingerprint.
    pub fn trusted_ca(&self, fingerprint: Option<&str>) -> Option<&Certificate> {
        let fingerprint = fingerprint?;
        self.trusted
            .iter()
            .find(|ca| ca.fingerprint() == fingerprint)
    }
}

/// When revoked certificates end, by the hex SKI of their CA: in hours since 1970, rounded up, in the order of that CA's CRL,
/// which alone holds their serial numbers. A negative number stands for so many of which nobody knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends(BTreeMap<String, Vec<i64>>);

impl Ends {
    /// The ends of these entries of a CA's CRL. Where there is not one for each of them, somebody edited the list: then
    /// none is known, and nothing leaves it.
    pub fn of(&self, ca: &str, entries: &[Revoked]) -> BTreeMap<Serial, OffsetDateTime> {
        let stated = self.0.get(ca).into_iter().flatten();
        let ends = stated.flat_map(|number| match usize::try_from(*number) {
            Ok(_) => repeat_n(time(*number), 1),
            Err(_) => repeat_n(
                None,
                usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX),
            ),
        });
        // However large a number somebody wrote there: one more than the entries is enough to see that they differ.
        let ends: Vec<Option<OffsetDateTime>> = ends.take(entries.len() + 1).collect();
        if ends.len() != entries.len() {
            return BTreeMap::new();
        }
        let known = entries.iter().zip(ends);
        known
            .filter_map(|(entry, end)| Some((entry.serial.clone(), end?)))
            .collect()
    }

    /// States the ends of the entries of a CA's new CRL, as far as they are known.
    pub fn set<'a>(&mut self, ca: &str, ends: impl Iterator<Item = Option<&'a OffsetDateTime>>) {
        let mut stated: Vec<i64> = Vec::new();
        for end in ends {
            match (end, stated.last_mut()) {
                (Some(end), _) => stated.push(hours(end)),
                (None, Some(unknown)) if *unknown < 0 => *unknown -= 1,
                (None, _) => stated.push(-1),
            }
        }
        self.0.insert(ca.to_owned(), stated);
    }

    /// Forgets those of CAs that are not among these.
    pub fn retain(&mut self, cas: &BTreeSet<String>) {
        self.0.retain(|ca, _| cas.contains(ca));
    }
}

const HOUR: i64 = 3600;

/// Never before the end itself.
fn hours(end: &OffsetDateTime) -> i64 {
    end.unix_timestamp().div_euclid(HOUR).max(0) + 1
}

fn time(hours: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(hours.checked_mul(HOUR)?).ok()
}

#[cfg(test)]
mod tests;
