//! CAs that were not generated here: which of them may be a rotation's target or be imported, and their flaws.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Report, Run};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::plan::Reconciled;
use crate::plan::identity::CLIENT_TTL;
use crate::resources::audit::RotationStep;
use crate::resources::authority::Origin;
use crate::resources::rotation::{Entrance, Phase};

/// Refuses a CA as a rotation's target if gateways cannot trust it or check revocations of its
/// clients.
pub(super) fn check_anchor(given: &Authority) -> Result<(), Failure> {
    let ca = given.certificate();
    if !ca.is_self_signed() {
        // Envoy wants a revocation list for every CA up to a self-signed one as soon as it has one (BoringSSL,
        // `X509_V_FLAG_CRL_CHECK_ALL`), and the root's can only be signed with the root's key.
        return Err(Failure::refused(format!(
            "the CA `{}` is an intermediate one, signed by `{}`",
            ca.subject(),
            ca.issuer()
        ))
        .hint("once a client is revoked, a gateway rejects every client of an intermediate CA whose root is not in the trust bundle")
        .hint("with the root in the trust bundle, a gateway accepts the clients of every other CA below that root")
        .hint("give a self-signed CA that signs clients only"));
    }
    if !ca.may_sign_crls() {
        return Err(Failure::refused(format!(
            "the CA `{}` may not sign revocation lists (its keyUsage lacks cRLSign): no client could ever be revoked",
            ca.subject()
        )));
    }
    Ok(())
}

/// Refuses a CA that verifiers could not tell from another trusted one: they find issuers by subject and key identifier. Refuses the key of
/// another trusted CA, too.
pub(super) fn check_distinct<'a>(
    given: &Certificate,
    others: impl IntoIterator<Item = &'a Certificate>,
) -> Result<(), Failure> {
    for other in others.into_iter().filter(|other| *other != given) {
        let (shared, so) = if other.subject_der() == given.subject_der() {
            ("subject", "gateways could not tell them apart")
        } else if other.key_id_hex() == given.key_id_hex() {
            ("key identifier", "gateways could not tell them apart")
        } else if other.public_key_der() == given.public_key_der() {
            (
                "key",
                "a holder of the key could issue certificates of both CAs",
            )
        } else {
            continue;
        };
        return Err(Failure::refused(format!(
            "the CA `{}` has the same {shared} as another trusted CA, so {so}",
            given.subject()
        ))
        .hint("create the CA again with another subject and another key"));
    }
    Ok(())
}

impl Run<'_> {
    /// Refuses a CA as a rotation's target.
    pub(super) fn check_target(&self, given: &Authority) -> Result<(), Failure> {
        check_anchor(given)?;
        let ca = given.certificate();
        let state = &self.standing.state;
        check_distinct(ca, self.published().iter().chain(&state.trusted))?;
        self.check_not_dropped(ca)
    }

    fn check_not_dropped(&self, ca: &Certificate) -> Result<(), Failure> {
        let state = &self.standing.state;
        let is_retired = |ski: &String| state.retired.contains(ski);
        if state.dropped.contains(&ca.fingerprint()) || ca.key_ids_hex().iter().any(is_retired) {
            return Err(Failure::refused(format!(
                "the CA `{}` was dropped from this authority, and cannot be added again",
                ca.subject()
            ))
            .hint("create a new CA, with a new key"));
        }
        Ok(())
    }

    /// Imports the key of a CA that gateways trust already.
    pub(super) fn take_in(&self, given: &Arc<Authority>) -> Reconciled<Report> {
        let state = &self.standing.state;
        let ca = given.certificate();
        if state.trusted.contains(ca) {
            let is_first = state.issuing.is_none() && state.target_ca() == Some(ca);
            return if state.phase() == Phase::Spreading && is_first {
                self.promote()
            } else {
                self.done()
            };
        }
        self.check_taken_in(ca)?;
        self.keep(given, Origin::Given)?;
        Err(self.commit(self.taken_in(given)?, RotationStep::CaTakenIn)?)
    }

    /// Refuses to import the key of a CA that gateways do not trust.
    pub(super) fn check_taken_in(&self, ca: &Certificate) -> Result<(), Failure> {
        self.check_not_dropped(ca)?;
        let others = self.published().iter().chain(&self.standing.state.trusted);
        check_distinct(ca, others)?;
        check_shown(ca, self.published())
    }

    /// The state with an imported CA as its oldest.
    pub(super) fn taken_in(
        &self,
        given: &Authority,
    ) -> Reconciled<crate::resources::authority::AuthorityState> {
        let entrance = Entrance {
            crl: self.entering_crl(given)?,
            is_given: true,
        };
        let state = self.standing.state.clone();
        let ca = given.certificate().clone();
        Ok(
            if state.phase() == Phase::Stopped && state.trusted.is_empty() {
                state.going_to(ca, entrance)
            } else {
                state.descending_from(ca, entrance)
            },
        )
    }
}

/// Refuses a CA that is not in the bundle that gateways read.
pub(super) fn check_shown(ca: &Certificate, shown: &[Certificate]) -> Result<(), Failure> {
    if shown.contains(ca) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "no gateway of this authority trusts the CA `{}` (SHA-256 {})",
        ca.subject(),
        ca.fingerprint()
    ))
    .hint("`--to-cert` and `--to-key` rotate to a CA that is not trusted yet"))
}

/// The flaws of a CA that was not generated here.
pub(super) fn flaws(ca: &Certificate, now: OffsetDateTime) -> Vec<String> {
    let name = ca.subject();
    let mut flaws = vec![format!(
        "certificates that `{name}` signed before are not in the inventory: they stay accepted until this CA is removed"
    )];
    flaws.push(format!(
        "clients made by hand with `openssl x509 -req`, as in Kyma's tutorial, are often X.509 v1 without a URI SAN and all with serial 0 or 1: revoking one of `{name}` revokes all that share its serial"
    ));
    if !ca.may_sign_crls() {
        flaws.push(format!(
            "`{name}` may not sign revocation lists (its keyUsage lacks cRLSign): nobody can be revoked while this CA is trusted"
        ));
    }
    if ca.ski_hex().is_none() {
        flaws.push(format!(
            "`{name}` has no subject key identifier: beside another CA of the same subject its clients would be refused"
        ));
    }
    if !ca.is_self_signed() {
        flaws.push(format!(
            "`{name}` is an intermediate CA: once a client is revoked, gateways reject all its clients"
        ));
    }
    if ca.not_after() - now < CLIENT_TTL {
        flaws.push(format!(
            "`{name}` ends on {}, and so does every certificate that it signed",
            ca.not_after().date()
        ));
    }
    flaws
}
