//! The CRLs of a client-CA Secret.

use time::OffsetDateTime;

use super::{Link, check};
use crate::pki::crl::{Crl, succession};
use crate::plan::commit;
use crate::resources::ObjectRef;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;

/// Envoy refuses the clients of every CA that has no CRL, or an expired or future one, once there is any CRL at all.
pub(super) fn faults(client_ca: &ClientCa, now: OffsetDateTime, link: &mut Link) {
    if client_ca.has_ignored_crl {
        link.find(
            &check::CLIENT_CA_CRL_IGNORED,
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
                &check::CLIENT_CA_CRL_UNREADABLE,
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
                &check::CLIENT_CA_CRL_MISSING,
                format!(
                    "the CA `{}` has no CRL that is valid now: all its clients are refused",
                    ca.subject()
                ),
                "publish a CRL of every CA in the bundle",
            );
        }
    }
}

/// The CRLs as they are, one line each.
pub(super) fn details(client_ca: &ClientCa) -> Vec<String> {
    let crls = published(client_ca);
    let of_ca = client_ca.bundle.certificates().iter().filter_map(|ca| {
        let crl = succession::newest(ca, &crls)?;
        let number = crl.number().map(|number| format!(" {number}"));
        Some(format!(
            "CRL{} of {}: {} revoked",
            number.unwrap_or_default(),
            ca.subject(),
            crl.revoked().len()
        ))
    });
    of_ca.collect()
}

pub(super) fn published(client_ca: &ClientCa) -> Vec<Crl> {
    let pem = client_ca.crl.as_deref().unwrap_or_default();
    Crl::many_from_pem(pem).unwrap_or_default()
}

/// The CRLs must be those of the authority's state, or what was revoked since is admitted.
pub(super) fn authority_faults(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    state: &AuthorityState,
    link: &mut Link,
) {
    let wanted = match commit::crls(state) {
        Ok(wanted) => wanted,
        Err(error) => {
            link.find(
                &check::AUTHORITY_DAMAGED,
                format!(
                    "the revocation lists in the state of `{}` cannot be read: {error}",
                    state.authority
                ),
                "restore the state from a backup",
            );
            return;
        }
    };
    let shown = published(client_ca);
    for ca in &state.trusted {
        let Some(crl) = succession::newest(ca, &wanted) else {
            continue;
        };
        let is_shown = succession::newest(ca, &shown).is_some_and(|live| live.der() == crl.der());
        if client_ca.bundle.contains(ca) && !is_shown {
            link.find(
                &check::CLIENT_CA_CRL_OUTDATED,
                format!(
                    "{reference} does not hold the CRL of the CA `{}` that the authority `{}` published: who is revoked may be admitted",
                    ca.subject(),
                    state.authority
                ),
                "`kubectl mtls revoke-client NAME` of any client that is revoked publishes the lists again",
            );
        }
    }
}
