//! The rules for CRLs beside a trust bundle: no valid client is rejected, and no revoked one is accepted again.

use super::Crl;
use crate::pki::inspect::Certificate;
use thiserror::Error;
use time::OffsetDateTime;

/// Why CRLs may not be published beside a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A CA without a CRL, while another CA has one: a gateway rejects all its clients.
    #[error(
        "the CA `{subject}` has no valid CRL, and others have one: all its clients would be refused"
    )]
    Missing {
        /// The CA's subject as RFC 4514 text.
        subject: String,
    },
    /// A CRL older than the published one: it would undo revocations, or be ignored, because the
    /// newest of two CRLs counts.
    #[error(
        "the CRL of the CA `{subject}` is older than the published one: clients revoked since then would be accepted again"
    )]
    Older {
        /// The CA's subject as RFC 4514 text.
        subject: String,
    },
}

/// Checks the CRLs that are to be published beside a bundle instead of those in `before`.
///
/// If there is any CRL, or was one: every CA needs one that is valid now and not older than the previous one, by number (RFC 5280, 5.2.3)
/// and thisUpdate.
pub fn check<'a>(
    bundle: impl IntoIterator<Item = &'a Certificate>,
    before: &[Crl],
    after: &[Crl],
    now: OffsetDateTime,
) -> Result<(), Error> {
    if before.is_empty() && after.is_empty() {
        return Ok(());
    }
    for ca in bundle {
        let subject = || ca.subject().to_owned();
        let Some(crl) = newest(ca, after).filter(|crl| crl.is_current_at(now)) else {
            return Err(Error::Missing { subject: subject() });
        };
        let is_older = |old: &Crl| {
            old.der() != crl.der()
                && (old.number() >= crl.number() || old.this_update() >= crl.this_update())
        };
        if newest(ca, before).is_some_and(is_older) {
            return Err(Error::Older { subject: subject() });
        }
    }
    Ok(())
}

/// The newest CRL of a CA, the one that counts.
pub fn newest<'a>(ca: &Certificate, crls: &'a [Crl]) -> Option<&'a Crl> {
    crls.iter()
        .filter(|crl| crl.is_signed_by(ca))
        .max_by_key(|crl| crl.this_update())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::authority::Authority;
    use crate::pki::tests::{NOW, authority};

    fn crl(authority: &Authority, number: u64, before: Option<&Crl>) -> Crl {
        let previous = before.map(Crl::this_update);
        Crl::sign(authority, number, &[], previous, NOW).unwrap()
    }

    #[test]
    fn with_any_crl_every_ca_needs_one() {
        let (one, other) = (authority(), authority());
        let bundle = [one.certificate(), other.certificate()];
        let lists = [crl(&one, 1, None), crl(&other, 1, None)];
        assert_eq!(check(bundle, &[], &[], NOW), Ok(()));
        assert_eq!(check(bundle, &[], &lists, NOW), Ok(()));
        let lacks = |result| matches!(result, Err(Error::Missing { .. }));
        assert!(lacks(check(bundle, &[], &lists[..1], NOW)));
        assert!(lacks(check(bundle, &lists, &[], NOW)));
        let late = one.certificate().not_after();
        assert!(lacks(check(bundle, &[], &lists, late)));
    }

    #[test]
    fn a_list_is_never_followed_by_an_older_one() {
        let ca = authority();
        let bundle = [ca.certificate()];
        let first = crl(&ca, 1, None);
        let second = crl(&ca, 2, Some(&first));
        let both = std::slice::from_ref;
        assert_eq!(check(bundle, both(&first), both(&second), NOW), Ok(()));
        assert_eq!(check(bundle, both(&first), both(&first), NOW), Ok(()));
        let older = |result| matches!(result, Err(Error::Older { .. }));
        assert!(older(check(bundle, both(&second), both(&first), NOW)));
        let same_number = crl(&ca, 2, Some(&second));
        assert!(older(check(bundle, both(&second), both(&same_number), NOW)));
        let same_time = crl(&ca, 3, Some(&first));
        assert!(older(check(bundle, both(&second), both(&same_time), NOW)));
    }
}
