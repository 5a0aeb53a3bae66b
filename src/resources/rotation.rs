//! How an authority's state changes while its CA is replaced. Every transition keeps all CAs trusted except [`dropped`] ones, so none of
//! them rejects a client.
//!
//! [`dropped`]: AuthorityState::without

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::authority::AuthorityState;
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;

/// The phase of a rotation, determined by `trusted`, `issuing` and `target` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One CA is trusted, and it issues: no rotation is under way.
    Settled,
    /// A CA is trusted that does not issue yet: every gateway must load it first.
    Spreading,
    /// One CA issues, and others are still trusted for their present clients.
    Overlap,
    /// No CA issues, and none is the target: the first rotation was aborted before its CA issued.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settled => "settled: no rotation is under way",
            Self::Spreading => "spreading: the new CA is trusted and does not issue yet",
            Self::Overlap => "overlap: the new CA issues; clients of the old CA are still accepted",
            Self::Stopped => "not started: the gateway trusts external CAs only",
        })
    }
}

/// The parameters of a CA that is added to the trusted ones.
#[derive(Debug, Clone, Default)]
pub struct Entrance {
    /// The CA's CRL as PEM, if the other CAs have one.
    pub crl: Option<String>,
    /// Whether the CA was imported.
    pub is_given: bool,
}

impl AuthorityState {
    /// The phase of the rotation.
    pub fn phase(&self) -> Phase {
        match (&self.issuing, &self.target) {
            (None, None) => Phase::Stopped,
            (issuing, target) if issuing != target => Phase::Spreading,
            _ if self.trusted.len() > 1 => Phase::Overlap,
            _ => Phase::Settled,
        }
    }

    /// The target CA of the rotation.
    pub fn target_ca(&self) -> Option<&Certificate> {
        self.trusted_ca(self.target.as_deref())
    }

    /// The trusted CAs that neither issue nor are the target.
    pub fn leaving(&self) -> impl Iterator<Item = &Certificate> {
        self.trusted.iter().filter(|ca| {
            let fingerprint = Some(ca.fingerprint());
            fingerprint != self.issuing && fingerprint != self.target
        })
    }

    /// Adds a new trusted CA, which becomes the target.
    #[must_use]
    pub fn going_to(mut self, ca: Certificate, entrance: Entrance) -> Self {
        self.target = Some(ca.fingerprint());
        self.admit(&ca, entrance);
        self.trusted.insert(0, ca);
        self
    }

    /// Adds an imported CA as the oldest one.
    #[must_use]
    pub fn descending_from(mut self, ca: Certificate, entrance: Entrance) -> Self {
        self.admit(&ca, entrance);
        self.trusted.push(ca);
        self
    }

    /// Replaces the external CA by the authority's own one.
    fn admit(&mut self, ca: &Certificate, entrance: Entrance) {
        let is_it = |external: &Certificate| external == ca;
        if self.external.iter().any(is_it) {
            self.external.retain(|external| !is_it(external));
            self.intruders.remove(&ca.fingerprint());
            self.crls
                .retain(|pem| !is_of(pem, std::slice::from_ref(ca)));
        }
        self.crls.extend(entrance.crl);
        if entrance.is_given {
            self.given.insert(ca.fingerprint());
        }
    }

    /// Makes the target the issuing CA.
    #[must_use]
    pub fn issuing_its_target(mut self) -> Self {
        self.issuing.clone_from(&self.target);
        self
    }

    /// Makes the newest CA the target again.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        self.target = self.trusted.first().map(Certificate::fingerprint);
        self
    }

    /// The CA before the issuing one, or before the target.
    pub fn turning_back_to(&self) -> Option<&Certificate> {
        if self.issuing != self.target {
            return self.issuing_ca();
        }
        // Only the newest one has a rotation behind it: after an abort an older one issues.
        let newest = self.trusted.first()?;
        (Some(newest.fingerprint()) == self.issuing)
            .then(|| self.trusted.get(1))
            .flatten()
    }

    /// Makes that CA issue again, or none if none did before; the newer one stays trusted.
    #[must_use]
    pub fn turned_back(mut self) -> Self {
        let ca = self.turning_back_to().map(Certificate::fingerprint);
        self.issuing.clone_from(&ca);
        self.target = ca;
        self
    }

    /// Removes these CAs, also external ones, with their CRLs; their keys are marked for removal, and never become those of a CA again.
    #[must_use]
    pub fn without(mut self, fingerprints: &BTreeSet<String>) -> Self {
        let (leaving, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.trusted)
            .into_iter()
            .partition(|ca| fingerprints.contains(&ca.fingerprint()));
        self.trusted = staying;
        let (outsiders, external): (Vec<_>, Vec<_>) = std::mem::take(&mut self.external)
            .into_iter()
            .partition(|ca| fingerprints.contains(&ca.fingerprint()));
        self.external = external;
        self.intruders.retain(|ca| !fingerprints.contains(ca));
        let keys = |cas: &[Certificate]| -> BTreeSet<String> {
            let ids = cas.iter().flat_map(Certificate::key_ids_hex);
            ids.collect()
        };
        // A renewed certificate of an external CA has the same key, and stays.
        let left = &keys(&outsiders) - &(&keys(&self.trusted) | &keys(&self.external));
        self.retired.extend(keys(&leaving));
        self.retired.extend(left);
        self.given
            .retain(|fingerprint| !fingerprints.contains(fingerprint));
        self.dropped.extend(fingerprints.iter().cloned());
        let crls = std::mem::take(&mut self.crls);
        self.lists.clear();
        self.crls = crls
            .into_iter()
            .filter(|pem| {
                let is_gone = is_of(pem, &leaving) || is_of(pem, &outsiders);
                !is_gone || is_of(pem, &self.trusted) || is_of(pem, &self.external)
            })
            .collect();
        self
    }
}

/// Whether a CRL belongs to one of these CAs; an unreadable one belongs to none.
fn is_of(pem: &str, cas: &[Certificate]) -> bool {
    let crls = Crl::many_from_pem(pem).unwrap_or_default();
    crls.iter()
        .any(|crl| cas.iter().any(|ca| crl.is_signed_by(ca)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::authority::Authority;
    use crate::pki::tests::{NOW, authority};

    fn state(ca: &Authority) -> AuthorityState {
        AuthorityState::new("kyma-mtls", ca.certificate().clone(), "kyma-mtls")
    }

    fn crl(ca: &Authority) -> String {
        Crl::sign(ca, 1, &[], None, NOW).unwrap().pem()
    }

    fn entrance(ca: &Authority) -> Entrance {
        Entrance {
            crl: Some(crl(ca)),
            is_given: false,
        }
    }

    #[test]
    fn a_rotation_goes_through_its_phases_and_ends_settled() {
        let (old, new) = (authority(), authority());
        let state = state(&old);
        assert_eq!(state.phase(), Phase::Settled);
        let state = state.going_to(new.certificate().clone(), Entrance::default());
        assert_eq!(state.phase(), Phase::Spreading);
        assert_eq!(state.issuing_ca(), Some(old.certificate()));
        assert_eq!(state.leaving().count(), 0, "what issues does not leave");
        let state = state.issuing_its_target();
        assert_eq!(state.phase(), Phase::Overlap);
        assert!(state.leaving().eq([old.certificate()]));
        let state = state.without(&[old.certificate().fingerprint()].into());
        assert_eq!(state.phase(), Phase::Settled);
        assert!(state.knows(&old.certificate().fingerprint()));
        assert!(state.retired.contains(&old.certificate().key_id_hex()));
    }

    #[test]
    fn turning_back_leaves_every_ca_trusted_and_is_done_once() {
        let (old, new) = (authority(), authority());
        let spreading = state(&old).going_to(new.certificate().clone(), Entrance::default());
        let overlap = spreading.clone().issuing_its_target();
        for state in [spreading, overlap] {
            let state = state.turned_back();
            assert_eq!(state.issuing_ca(), Some(old.certificate()));
            assert_eq!(state.phase(), Phase::Overlap);
            assert!(state.leaving().eq([new.certificate()]));
            assert_eq!(state.turning_back_to(), None, "{state:?}");
        }
    }

    #[test]
    fn a_first_ca_that_never_issued_is_taken_back_to_none() {
        let ca = authority();
        let mut first = state(&ca);
        first.issuing = None;
        assert_eq!(first.phase(), Phase::Spreading);
        let stopped = first.turned_back();
        assert_eq!(stopped.phase(), Phase::Stopped);
        assert_eq!(stopped.trusted.len(), 1);
    }

    #[test]
    fn the_crl_of_a_ca_leaves_with_it_and_no_other_does() {
        let (old, new) = (authority(), authority());
        let mut state = state(&old);
        state.crls = vec![crl(&old)];
        let state = state.going_to(new.certificate().clone(), entrance(&new));
        let kept = state.crls[1].clone();
        let state = state
            .issuing_its_target()
            .without(&[old.certificate().fingerprint()].into());
        assert_eq!(state.crls, [kept]);
    }

    #[test]
    fn what_a_state_says_of_a_rotation_reads_back() {
        let (old, new) = (authority(), authority());
        let given = Entrance {
            is_given: true,
            ..Entrance::default()
        };
        let state = state(&old)
            .going_to(new.certificate().clone(), given)
            .issuing_its_target()
            .without(&[old.certificate().fingerprint()].into());
        assert_eq!(AuthorityState::read(&state.object()).unwrap(), state);
        assert_eq!(state.given, [new.certificate().fingerprint()].into());
    }
}
