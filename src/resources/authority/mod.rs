//! The authority in the cluster: a `ConfigMap`, which gateways read and which is the commit point, and a Secret with its keys.

mod fragments;
mod keys;
mod layout;

pub use fragments::Fragments;
pub use keys::{Keys, Origin, keys_described, keys_object, keys_with, keys_without};

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;

use time::OffsetDateTime;

use super::names::GatewayName;
use crate::pki::crl::Revoked;
use crate::pki::inspect::Certificate;
use crate::pki::serial::Serial;

/// The state of an authority. CAs are named by SHA-256 fingerprints in lower-case hex.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorityState {
    /// The authority's name.
    pub authority: String,
    /// The revision, which grows by one with every change.
    pub revision: u64,
    /// The CAs whose clients are accepted, newest first.
    pub trusted: Vec<Certificate>,
    /// The CA that signs; `None` while gateways have not loaded the first one.
    pub issuing: Option<String>,
    /// The target of a rotation; the same as `issuing` if there is none under way.
    pub target: Option<String>,
    /// Trusted CAs whose keys this authority does not have, and whose clients are not known.
    pub external: Vec<Certificate>,
    /// The external CAs that somebody added to the bundle by hand.
    pub intruders: BTreeSet<String>,
    /// Dropped CAs that somebody added to the bundle again by hand; the next change removes them.
    pub readmitted: Vec<Certificate>,
    /// The published CRLs as PEM, one per CA, or none at all.
    pub crls: Vec<String>,
    /// SHA-256 of the authority's own CRLs, as last written.
    pub lists: BTreeSet<String>,
    /// When the revoked certificates end.
    pub ends: Ends,
    /// CAs that were trusted once, and must not be trusted again.
    pub dropped: BTreeSet<String>,
    /// Trusted CAs that were imported: others may have signed clients with their keys.
    pub given: BTreeSet<String>,
    /// Keys of dropped CAs, and keys that never had a CA, by hex SKI: removed once no gateway trusts their CA.
    pub retired: BTreeSet<String>,
    /// The Secret that holds the keys.
    pub keys_secret: String,
    /// The witness's revision when the authority was restored; `None` once gateways have loaded the restored state, or a newer one.
    pub unproven: Option<u64>,
    /// The id of its inventory; `None` for an authority in a directory, and one of a version
    /// without inventory ids.
    pub inventory: Option<String>,
    /// The history, one line each, oldest first.
    pub history: Vec<String>,
    /// The Gateway that reads the authority; `None` until the first `expose`.
    pub gateway: Option<String>,
    /// The Secret with the authority's content that a Gateway reads instead of this object, until it is moved.
    pub client_ca_secret: Option<String>,
    /// The mesh configurations of its gateways, as `namespace/name` separated by commas, where they are others than that of a default
    /// installation.
    pub mesh_configs: Option<String>,
}

impl AuthorityState {
    /// The state of a new authority with one CA.
    pub fn new(authority: &str, ca: Certificate, keys_secret: &str) -> Self {
        let fingerprint = ca.fingerprint();
        Self {
            trusted: vec![ca],
            issuing: Some(fingerprint.clone()),
            target: Some(fingerprint),
            ..Self::of_external(authority, Vec::new(), keys_secret)
        }
    }

    /// The state of a new authority that trusts external CAs only.
    pub fn of_external(authority: &str, external: Vec<Certificate>, keys_secret: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            revision: 1,
            trusted: Vec::new(),
            issuing: None,
            target: None,
            external,
            intruders: BTreeSet::new(),
            readmitted: Vec::new(),
            crls: Vec::new(),
            lists: BTreeSet::new(),
            ends: Ends::default(),
            dropped: BTreeSet::new(),
            given: BTreeSet::new(),
            retired: BTreeSet::new(),
            keys_secret: keys_secret.to_owned(),
            unproven: None,
            inventory: None,
            history: Vec::new(),
            gateway: None,
            client_ca_secret: None,
            mesh_configs: None,
        }
    }

    /// The state with a Gateway that reads it.
    #[must_use]
    pub fn serving(mut self, gateway: &GatewayName) -> Self {
        self.gateway = Some(gateway.to_string());
        self
    }

    /// Every CA whose clients gateways accept, in the order of the bundle: the issuing one first, then the newest, and expired ones last,
    /// since an expired CA before a renewed one of its subject makes Envoy reject every client.
    pub fn admitted(&self) -> Vec<Certificate> {
        let mut all: Vec<Certificate> =
            self.trusted.iter().chain(&self.external).cloned().collect();
        all.sort_by_key(|ca| {
            let is_issuing = Some(ca.fingerprint()) == self.issuing;
            std::cmp::Reverse((is_issuing, ca.not_after(), ca.not_before()))
        });
        all
    }

    /// Whether a CA is, or was, a CA of this authority.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.dropped.contains(fingerprint)
            || self
                .trusted
                .iter()
                .any(|ca| ca.fingerprint() == fingerprint)
    }

    /// Whether a revocation must stay on the list of its CA, given by its hex SKI: until the certificate's end, and of an imported CA as long
    /// as the CA is trusted, since that CA may have signed a longer certificate with the same serial number.
    pub fn keeps_revocation(&self, ski: &str, end: OffsetDateTime, now: OffsetDateTime) -> bool {
        end > now || self.is_of_given(ski)
    }

    /// Whether a trusted CA with this hex SKI was imported.
    pub fn is_of_given(&self, ski: &str) -> bool {
        let is_given = |ca: &&Certificate| self.given.contains(&ca.fingerprint());
        let mut given = self.trusted.iter().filter(is_given);
        given.any(|ca| ca.key_id_hex() == ski)
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

/// The ends of revoked certificates, by the hex SKI of their CA: in hours since 1970, rounded up, in the order of that CA's CRL, which
/// alone holds their serial numbers. A negative number stands for that many revocations without a known end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends(BTreeMap<String, Vec<i64>>);

impl Ends {
    /// The ends of these entries of a CA's CRL. If their number differs, somebody edited the list: then no end is known, and no entry is
    /// dropped.
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

    /// Sets the ends of the entries of a CA's new CRL, as far as they are known.
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

    /// Removes the ends of CAs that are not among these.
    pub fn retain(&mut self, cas: &BTreeSet<String>) {
        self.0.retain(|ca, _| cas.contains(ca));
    }
}

const HOUR: i64 = 3600;

/// The end in hours since 1970, rounded up, so that it is never too early.
fn hours(end: &OffsetDateTime) -> i64 {
    end.unix_timestamp().div_euclid(HOUR).max(0) + 1
}

fn time(hours: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(hours.checked_mul(HOUR)?).ok()
}

#[cfg(test)]
mod tests;
