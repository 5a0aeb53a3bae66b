//! The start of a rotation: the key of a new CA is stored first, then the CA is trusted beside the
//! old one.

use std::sync::Arc;

use super::{Report, Run};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, succession};
use crate::plan::revocations::number_after;
use crate::plan::{Generate, Reconciled, commit};
use crate::resources::audit::RotationStep;
use crate::resources::authority::Origin;
use crate::resources::rotation::Entrance;

impl Run<'_> {
    /// Starts a rotation; not in a run that had to complete an interrupted one.
    pub(super) fn start(&self, given: Option<&Arc<Authority>>) -> Reconciled<Report> {
        let state = &self.standing.state;
        if given.is_some_and(|given| state.trusted.contains(given.certificate())) {
            return self.done();
        }
        let Some(ca) = self.observed.generated_authority() else {
            // Nor in one that continued a rotation which somebody else has ended since.
            if !self.observed.changes().is_empty() || !self.observed.waited().is_zero() {
                return self.done();
            }
            return Err(self.new_ca(given)?.into());
        };
        if state.trusted.contains(ca.certificate()) {
            return self.done();
        }
        if state.dropped.contains(&ca.certificate().fingerprint()) {
            return Err(Failure::refused("somebody else has ended this rotation meanwhile").into());
        }
        let origin = Origin::of(given.is_some());
        self.keep(ca, origin)?;
        let next = self.started(ca, given.is_some())?;
        let next = self.retire_orphans(ca, next)?;
        Err(self.commit(next, RotationStep::Started)?)
    }

    /// The target CA of the rotation: the given one, or a new one.
    pub(super) fn new_ca(&self, given: Option<&Arc<Authority>>) -> Result<Generate, Failure> {
        if let Some(given) = given {
            self.check_target(given)?;
            return Ok(Generate::Given(given.clone()));
        }
        self.check_subject()?;
        Ok(Generate::Authority(self.request.new.clone()))
    }

    /// Refuses a subject that another CA of the bundle has: proxies find the issuer of a certificate by its subject.
    fn check_subject(&self) -> Result<(), Failure> {
        let Some(subject) = &self.request.new.subject else {
            return Ok(());
        };
        let der = subject.to_der();
        let mut others = self.published().iter().chain(&self.standing.state.trusted);
        if others.all(|ca| ca.subject_der() != der) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the authority has a CA with the subject `{subject}` already"
        ))
        .hint("give another subject with `--ca-subject`, or leave that flag out"))
    }

    /// The state that also trusts the new CA.
    pub(super) fn started(
        &self,
        ca: &Authority,
        is_given: bool,
    ) -> Reconciled<crate::resources::authority::AuthorityState> {
        let entrance = Entrance {
            crl: self.entering_crl(ca)?,
            is_given,
        };
        let state = self.standing.state.clone();
        Ok(state.going_to(ca.certificate().clone(), entrance))
    }

    /// The first CRL of a CA that joins others with CRLs; its number follows the CA's published one.
    pub(super) fn entering_crl(&self, ca: &Authority) -> Reconciled<Option<String>> {
        let published = commit::crls(&self.standing.state);
        let published = published.map_err(|error| self.damaged(&error.to_string()))?;
        if published.is_empty() {
            return Ok(None);
        }
        let before = succession::newest(ca.certificate(), &published);
        Ok(Some(following(ca, before, self.now)?))
    }
}

/// The next CRL of a CA, with all revocations of the previous one.
fn following(
    ca: &Authority,
    before: Option<&Crl>,
    now: time::OffsetDateTime,
) -> Result<String, Failure> {
    let number = number_after(before, ca.certificate(), now)?;
    let revoked = before.map(Crl::revoked).unwrap_or_default();
    let previous = before.map(Crl::this_update);
    let crl = Crl::sign(ca, number, revoked, previous, now).map_err(|error| {
        Failure::refused(format!(
            "the CA `{}` cannot have a revocation list, and the other CAs have one",
            ca.certificate().subject()
        ))
        .caused_by(error)
    })?;
    Ok(crl.pem())
}
