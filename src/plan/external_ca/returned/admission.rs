//! Whether a gateway would accept a certificate: the chain above it as the gateway builds it, and the revocation lists of the trust bundle.

use time::OffsetDateTime;

use super::Request;
use crate::error::Failure;
use crate::pki::crl::{Crl, succession};
use crate::pki::inspect::Certificate;
use crate::pki::{authority, chain};
use crate::resources::ObjectRef;
use crate::resources::client_ca::ClientCa;

/// Refuses a certificate whose CAs no gateway accepts in a client's chain, whichever of them it trusts.
pub(super) fn check_chain(chain: &[Certificate], now: OffsetDateTime) -> Result<(), Failure> {
    // Of an X.509 v1 root only its dates count.
    let is_v1_root = |ca: &&Certificate| ca.may_be_anchor() && !ca.is_ca();
    let checked = chain.iter().filter(|ca| !is_v1_root(ca));
    authority::check_chain(checked, now).map_err(|error| {
        Failure::refused(
            "every gateway would refuse the certificate, because of one of its issuing CAs",
        )
        .caused_by(error)
        .hint("ask the CA for its current chain, and give it with `--ca-cert FILE`")
    })
}

/// Refuses a certificate whose CA the gateway does not trust, or which is revoked.
pub(super) fn check(
    request: &Request,
    chain: &[Certificate],
    (secret, shown): (&ObjectRef, &ClientCa),
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let path = chain::verified(chain, shown.bundle.certificates());
    if path.is_empty() {
        let subjects = shown.bundle.certificates().iter();
        let subjects: Vec<String> = subjects.map(|ca| format!("`{}`", ca.subject())).collect();
        return Err(not_accepted(&format!(
            "the trust bundle in {secret} has no CA above the issuer `{}`; it holds {}",
            request.certificate.issuer(),
            subjects.join(", ")
        ))
        .hint("if intermediate CAs are missing, give them with `--ca-cert FILE`"));
    }
    if let Some(ended) = path.iter().find(|ca| ca.is_expired(now)) {
        return Err(not_accepted(&format!(
            "the issuing CA `{}` has expired",
            ended.subject()
        )));
    }
    let Some(pem) = &shown.crl else {
        return Ok(());
    };
    let lists = Crl::many_from_pem(pem).map_err(|error| {
        not_accepted(&format!(
            "the revocation lists in {secret} cannot be read, and then every client is refused ({error})"
        ))
    })?;
    check_lists(&request.certificate, path, &lists, secret, now)
}

/// Refuses a certificate if a revocation list names it or one of its CAs, or if a list is missing or not valid.
///
/// With any list, a gateway needs one of every CA up to a root (`BoringSSL`, `X509_V_FLAG_CRL_CHECK_ALL`).
fn check_lists(
    certificate: &Certificate,
    path: &[Certificate],
    lists: &[Crl],
    secret: &ObjectRef,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let mut below = certificate;
    for ca in path {
        let name = ca.subject();
        let Some(list) = succession::newest(ca, lists) else {
            return Err(without_list(&format!(
                "{secret} holds revocation lists, but none of the issuing CA `{name}`"
            )));
        };
        if !ca.may_sign_crls() {
            return Err(not_accepted(&format!(
                "the CA `{name}` may not sign the revocation list in {secret} (its keyUsage lacks cRLSign), and then all clients below it are refused"
            )));
        }
        if now < list.this_update() {
            return Err(without_list(&format!(
                "the revocation list of the CA `{name}` in {secret} is valid only from {} on",
                list.this_update()
            )));
        }
        if list.next_update().is_some_and(|end| end <= now) {
            return Err(without_list(&format!(
                "the revocation list of the CA `{name}` in {secret} has expired"
            )));
        }
        if list
            .revoked()
            .iter()
            .any(|one| one.serial == *below.serial())
        {
            let what = if below == certificate {
                "it".to_owned()
            } else {
                format!("the issuing CA `{}`", below.subject())
            };
            return Err(not_accepted(&format!(
                "{what} is revoked in the list of `{name}` that the gateway reads"
            )));
        }
        below = ca;
    }
    match path.last() {
        Some(last) if !last.is_self_signed() => Err(without_list(&format!(
            "{secret} holds revocation lists, but the root `{}` above the CA `{}` is not trusted, so its list is not used",
            last.issuer(),
            last.subject()
        ))),
        _ => Ok(()),
    }
}

fn without_list(reason: &str) -> Failure {
    not_accepted(&format!(
        "{reason}; then all clients below that CA are refused"
    ))
    .hint("put a valid revocation list of every CA up to the root beside the trust bundle, or none at all")
}

fn not_accepted(reason: &str) -> Failure {
    Failure::refused(format!(
        "the gateway would refuse the certificate: {reason}"
    ))
}
