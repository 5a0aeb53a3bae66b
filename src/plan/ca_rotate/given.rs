//! CAs that were not made here: which may be rotated to, which may be taken in, and what is wrong with them.

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

/// Refuses a CA as the one to go to which gateways cannot trust and revoke clients of.
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
        .hint("once a client is revoked, a gateway refuses everybody below an intermediate CA that stands alone")
        .hint("and with its root beside it, a gateway admits the clients of every other CA below that root")
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

/// Refuses a CA beside others from which verifiers could not tell it: they pick issuers by subject and key identifier.
pub(super) fn check_distinct<'a>(
    given: &Certificate,
    others: impl IntoIterator<Item = &'a Certificate>,
) -> Result<(), Failure> {
    for other in others.into_iter().filter(|other| *other != given) {
        let shared = if other.subject_der() == given.subject_der() {
            "subject"
        } else if other.key_id_hex() == given.key_id_hex() {
            "key identifier"
        } else {
            continue;
        };
        return Err(Failure::refused(format!(
            "the CA `{}` has the same {shared} as another trusted one, from which gateways could not tell it",
            given.subject()
        ))
        .hint("make it anew with another subject and another key"));
    }
    Ok(())
}

impl Run<'_> {
    /// Refuses a CA that a rotation cannot go to.
    pub(super) fn check_target(&self, given: &Authority) -> Result<(), Failure> {
        check_anchor(given)?;
        let ca = given.certificate();
        let state = &self.standing.state;
        check_distinct(ca, self.published().iter().chain(&state.trusted))?;
        self.check_not_dropped(ca)
    }

    fn check_not_dropped(&self, ca: &Certificate) -> Result<(), Failure> {
        let state = &self.standing.state;
        if state.dropped.contains(&ca.fingerprint()) || state.retired.contains(&ca.key_id_hex()) {
            return Err(Failure::refused(format!(
                "the CA `{}` was dropped from this authority, and does not come back",
                ca.subject()
            ))
            .hint("make a new one, with a new key"));
        }
        Ok(())
    }

    /// Takes in the key of a CA that gateways trust already.
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

    /// Refuses to take in what gateways do not trust.
    pub(super) fn check_taken_in(&self, ca: &Certificate) -> Result<(), Failure> {
        self.check_not_dropped(ca)?;
        let others = self.published().iter().chain(&self.standing.state.trusted);
        check_distinct(ca, others)?;
        check_shown(ca, self.published())
    }

    /// The state with a CA of before as its oldest.
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

/// Refuses a CA that is not among those that gateways read.
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

/// What is wrong with a CA that was not made here.
pub(super) fn flaws(ca: &Certificate, now: OffsetDateTime) -> Vec<String> {
    let name = ca.subject();
    let mut flaws = vec![format!(
        "what `{name}` signed before is not in the inventory, and nobody can list it: it stays admitted until that CA leaves"
    )];
    flaws.push(format!(
        "clients made by hand with `openssl x509 -req`, as in Kyma's tutorial, are often X.509 v1 without a URI SAN and all with serial 0 or 1: revoking one of `{name}` revokes all that share its serial"
    ));
    if !ca.may_sign_crls() {
        flaws.push(format!(
            "`{name}` may not sign revocation lists (its keyUsage lacks cRLSign): nobody can be revoked while it is trusted"
        ));
    }
    if ca.ski_hex().is_none() {
        flaws.push(format!(
            "`{name}` has no subject key identifier: beside another CA of the same subject its clients would be refused"
        ));
    }
    if !ca.is_self_signed() {
        flaws.push(format!(
            "`{name}` is an intermediate CA: once a client is revoked, gateways refuse everybody below it"
        ));
    }
    if ca.not_after() - now < CLIENT_TTL {
        flaws.push(format!(
            "`{name}` ends on {}, and with it every certificate of it",
            ca.not_after().date()
        ));
    }
    flaws
}
