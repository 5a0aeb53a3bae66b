//! The CRLs of an authority: one for every CA, all renewed in one write, each verified by canaries.
//!
//! A canary is a client certificate that lives for ten minutes, and whose key stays in the memory of its run. There are two for every CA:
//! one that the CRL revokes, which gateways must reject as soon as they have loaded the CRL, and one that they must still accept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;

use super::commit;
use super::identity;
use super::probe::Client;
use super::probe::ExpectedAnswer;
use super::{Blocked, Effect, Generate, Observed, Reconciled};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, Reason, Revoked, succession};
use crate::pki::inspect::Certificate;
use crate::pki::serial::Serial;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::Entry;

/// The TLS alert for a client whose certificate is revoked.
const REVOKED: &str = "certificate_revoked";

/// A certificate to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The issuing CA, by its hex SKI.
    pub issuer: String,
    /// The entry in the CRL.
    pub entry: Revoked,
    /// The end of the certificate.
    pub end: OffsetDateTime,
}

fn label(kind: &str, ca: &Certificate) -> String {
    format!("{kind} canary of {}", ca.key_id_hex())
}

/// Generates the missing canaries of all signers, except for a CA that ends before there is time for a probe.
pub fn make_canaries(
    authority: &str,
    signers: &[Arc<Authority>],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let mut canaries = Vec::new();
    for signer in signers {
        for kind in ["revoked", "valid"] {
            let label = label(kind, signer.certificate());
            if observed.canary(&label).is_none()
                && let Some(canary) = identity::canary(authority, signer, now)?
            {
                canaries.push((label, canary));
            }
        }
    }
    if canaries.is_empty() {
        return Ok(());
    }
    Err(Generate::Canaries(canaries).into())
}

/// The expected answers of gateways to the canaries of these CAs, once they have loaded the CRLs that revoke half of them.
///
/// Without CAs that have ended, or end too soon for canaries. An expired canary is included: see [`unless_expired`].
pub fn verdicts<'a>(
    cas: impl IntoIterator<Item = &'a Certificate>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Vec<(Client, ExpectedAnswer)> {
    let provable = cas.into_iter().filter(|ca| has_canaries(ca, observed, now));
    let both = provable.flat_map(|ca| {
        [
            (label("revoked", ca), ExpectedAnswer::Refused(REVOKED)),
            (label("valid", ca), ExpectedAnswer::LetIn),
        ]
    });
    both.map(|(label, answer)| (Client::Shown(label), answer))
        .collect()
}

/// Whether a CA can be verified at gateways: it has not ended, and has canaries.
pub fn has_canaries(ca: &Certificate, observed: &Observed, now: OffsetDateTime) -> bool {
    !ca.is_expired(now) && observed.canary(&label("revoked", ca)).is_some()
}

/// Ends a run that would probe with an expired canary: gateways reject it whatever they have loaded, so it proves nothing.
pub fn unless_expired(
    stop: Blocked,
    observed: &Observed,
    afterwards: &str,
    now: OffsetDateTime,
) -> Blocked {
    let Blocked::On(step) = &stop else {
        return stop;
    };
    let Effect::Probe(looks) = step.as_ref() else {
        return stop;
    };
    let is_expired = |client: &Client| match client {
        Client::Nobody => false,
        Client::Shown(label) => {
            let canary = observed.canary(label);
            canary.is_some_and(|canary| canary.certificate.is_expired(now))
        }
    };
    let unseen: BTreeSet<String> = looks
        .probes
        .iter()
        .filter(|look| is_expired(&look.client))
        .map(|look| format!("{}: not seen to have loaded the change", look.via))
        .collect();
    if unseen.is_empty() {
        return stop;
    }
    Failure::timed_out(
        "the certificates made for the probe expired before every gateway was probed",
    )
    .hints(unseen)
    .hint(afterwards)
    .into()
}

/// The state with new CRLs of all signers: with the existing revocations, `more`, and the canaries.
///
/// Revocations of expired certificates are dropped. `inventory` gives the end of a certificate by its CA's hex SKI and its serial number;
/// of this end and the one in the state the later counts. A revocation without a known end is kept. So are those of an imported CA, as long
/// as that CA: its certificates may share a serial number.
pub fn renewed(
    state: &AuthorityState,
    signers: &[Arc<Authority>],
    more: &[Revocation],
    inventory: impl Fn(&str, &Serial) -> Option<OffsetDateTime>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Result<AuthorityState, Failure> {
    let failed = |error: crate::pki::crl::Error| {
        Failure::refused(format!(
            "the revocation lists of `{}` cannot be written",
            state.authority
        ))
        .caused_by(error)
    };
    let before = commit::crls(state).map_err(failed)?;
    let mut next = state.clone();
    next.crls = Vec::new();
    next.lists.clear();
    for signer in signers {
        let ca = signer.certificate();
        let previous = succession::newest(ca, &before);
        let ski = ca.key_id_hex();
        let is_given = state.given.contains(&ca.fingerprint());
        let mut entries: Vec<Revoked> = previous
            .map(|crl| crl.revoked().to_vec())
            .unwrap_or_default();
        let mut ends = state.ends.of(&ski, &entries);
        if !is_given {
            for entry in &entries {
                let end = inventory(&ski, &entry.serial);
                know(&mut ends, &entry.serial, end);
            }
        }
        entries.retain(|entry| ends.get(&entry.serial).is_none_or(|end| *end > now));
        let of_this = more.iter().filter(|revocation| revocation.issuer == ski);
        let of_this = of_this.map(|revocation| {
            let end = Some(revocation.end).filter(|_| !is_given);
            (revocation.entry.clone(), end)
        });
        let canary = observed.canary(&label("revoked", ca)).map(|canary| {
            let certificate = &canary.certificate;
            let entry = Revoked {
                serial: certificate.serial().clone(),
                at: now,
                reason: Reason::Unspecified,
            };
            (entry, Some(certificate.not_after()))
        });
        let mut known: BTreeSet<Serial> =
            entries.iter().map(|entry| entry.serial.clone()).collect();
        for (entry, end) in of_this.chain(canary) {
            know(&mut ends, &entry.serial, end);
            if known.insert(entry.serial.clone()) {
                entries.push(entry);
            }
        }
        let number = number_after(previous, ca, now)?;
        let crl = Crl::sign(
            signer,
            number,
            &entries,
            previous.map(Crl::this_update),
            now,
        );
        next.crls.push(crl.map_err(failed)?.pem());
        let ends = entries.iter().map(|entry| ends.get(&entry.serial));
        next.ends.set(&ski, ends);
    }
    let signing = signers
        .iter()
        .map(|signer| signer.certificate().key_id_hex());
    next.ends.retain(&signing.collect());
    Ok(next)
}

/// Keeps the latest of several ends of certificates that share a serial number.
fn know(ends: &mut BTreeMap<Serial, OffsetDateTime>, serial: &Serial, end: Option<OffsetDateTime>) {
    if let Some(end) = end {
        let known = ends.entry(serial.clone()).or_insert(end);
        *known = (*known).max(end);
    }
}

/// The CRL number of a CA's next CRL: greater than the previous one's, and at least the Unix time in seconds, so that it is also greater
/// than those after a backup of the state that was restored.
pub fn number_after(
    previous: Option<&Crl>,
    ca: &Certificate,
    now: OffsetDateTime,
) -> Result<u64, Failure> {
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    let Some(previous) = previous else {
        return Ok(seconds);
    };
    let next = previous.number().and_then(|number| number.checked_add(1));
    let next = next.ok_or_else(|| {
        Failure::refused(format!(
            "the CRL of the CA `{}` has no number that can grow: it was not written by kubectl-mtls",
            ca.subject()
        ))
    })?;
    Ok(next.max(seconds))
}

/// The certificates that CRLs revoke: the hex SKI of the CA and the serial number, lower-case hex.
#[derive(Debug)]
pub struct RevokedSet(BTreeSet<(String, String)>);

impl RevokedSet {
    /// The certificates that the newest CRLs of these CAs revoke.
    pub fn of<'a>(cas: impl IntoIterator<Item = &'a Certificate>, crls: &[Crl]) -> Self {
        let mut all = BTreeSet::new();
        for ca in cas {
            let revoked = succession::newest(ca, crls).map_or(&[][..], Crl::revoked);
            let serials = revoked.iter().map(|revoked| revoked.serial.to_string());
            all.extend(serials.map(|serial| (ca.key_id_hex(), serial)));
        }
        Self(all)
    }

    /// Whether the certificate of an inventory entry is revoked.
    pub fn contains(&self, entry: &Entry) -> bool {
        let key = (entry.issuer_ski.clone(), entry.serial.clone());
        self.0.contains(&key)
    }
}

/// The CRL entry of a certificate; `issuer` is the hex SKI of its CA.
pub fn find<'a>(
    state: &AuthorityState,
    crls: &'a [Crl],
    issuer: &str,
    serial: &Serial,
) -> Option<&'a Revoked> {
    let ca = state.trusted.iter().find(|ca| ca.key_id_hex() == issuer)?;
    let crl = succession::newest(ca, crls)?;
    crl.revoked().iter().find(|entry| &entry.serial == serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::crls::unnumbered;
    use crate::pki::tests::{NOW, authority};

    #[test]
    fn a_number_is_above_the_last_one_and_not_below_the_time() {
        let ca = authority();
        let seconds = u64::try_from(NOW.unix_timestamp()).unwrap();
        let numbered = |number| Crl::sign(&ca, number, &[], None, NOW).unwrap();
        let after = |previous: Option<&Crl>| number_after(previous, ca.certificate(), NOW);
        assert_eq!(after(None).unwrap(), seconds);
        for (last, next) in [
            (1, seconds),
            (seconds - 1, seconds),
            (seconds, seconds + 1),
            (seconds + 100, seconds + 101),
            (u64::MAX - 1, u64::MAX),
        ] {
            let last = numbered(last);
            assert_eq!(after(Some(&last)).unwrap(), next, "{:?}", last.number());
        }
        let unnumbered = unnumbered(&ca);
        assert_eq!(unnumbered.number(), None);
        for last in [unnumbered, numbered(u64::MAX)] {
            let failure = after(Some(&last)).unwrap_err();
            let says = "has no number that can grow";
            assert!(failure.to_string().contains(says), "{failure}");
        }
    }
}
