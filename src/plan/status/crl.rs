//! The CRLs of a client-CA Secret.

use time::OffsetDateTime;

use super::{Link, Mark};
use crate::pki::crl::Crl;
use crate::resources::client_ca::ClientCa;

/// Envoy refuses the clients of every CA that has no CRL, or an expired or future one, once there is any CRL at all.
pub(super) fn faults(client_ca: &ClientCa, now: OffsetDateTime, link: &mut Link) {
    if client_ca.has_ignored_crl {
        link.find(
            Mark::Error,
            "the CRL stands under a key that istiod ignores beside this one: nobody is revoked",
            "use `cacert` with `crl`, or `ca.crt` with `ca.crl`",
        );
    }
    let Some(pem) = &client_ca.crl else {
        return;
    };
    let crls = match Crl::many_from_pem(pem) {
        Ok(crls) => crls,
        Err(error) => {
            link.find(
                Mark::Error,
                format!("the CRL cannot be read: {error}"),
                "publish it again",
            );
            return;
        }
    };
    for ca in client_ca.bundle.certificates() {
        let current = crls
            .iter()
            .any(|crl| crl.is_signed_by(ca) && crl.is_current_at(now));
        if !current {
            link.find(
                Mark::Error,
                format!(
                    "the CA `{}` has no CRL that is valid now: all its clients are refused",
                    ca.subject()
                ),
                "publish a CRL of every CA in the bundle",
            );
        }
    }
}
