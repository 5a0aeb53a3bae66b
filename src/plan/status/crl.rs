//! The revocation lists beside a trust bundle.
//!
//! Once there is a list, Envoy rejects the clients of every CA without a list that is valid now (`BoringSSL`, `x509_vfy.cc`, `check_crl`).

use time::{Duration, OffsetDateTime};

use super::bundle::{Trusted, is_ending};
use super::validity::soon;
use super::{Finding, Link, check};
use crate::pki::crl::{Crl, succession};
use crate::pki::inspect::Certificate;
use crate::pki::when::minute;
use crate::plan::{commit, weakness};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;

/// How long before its end a list of a month or more is usually renewed.
const LATE: Duration = Duration::days(7);

pub(super) fn faults(trusted: &Trusted<'_>, now: OffsetDateTime, link: &mut Link) {
    let Trusted {
        client_ca,
        reference,
        ..
    } = trusted;
    if client_ca.has_ignored_crl {
        link.find(
            &check::CLIENT_CA_CRL_IGNORED,
            format!("istiod ignores the revocation list in {reference}: its key does not belong to the key of the CA"),
            remedy(trusted, || {
                format!("use the keys `ca.crt` and `ca.crl`, or `cacert` and `crl`, in {reference}")
            }),
        );
    }
    let Some(pem) = &client_ca.crl else {
        return;
    };
    let lists = match Crl::many_from_pem(pem) {
        Ok(lists) => lists,
        Err(error) => {
            link.find(
                &check::CLIENT_CA_CRL_UNREADABLE,
                format!("the revocation list in {reference} cannot be read: {error}"),
                remedy(trusted, || {
                    format!("put the current revocation lists into {reference}")
                }),
            );
            return;
        }
    };
    let cas = trusted.cas();
    for ca in &cas {
        // Whoever added a CA by hand is the cause, and the clients of an expired one are rejected anyway.
        if !trusted.was_added(ca) && ca.is_valid_at(now) {
            link.extend(fault(trusted, ca, &cas, &lists, now));
        }
    }
}

fn fault(
    trusted: &Trusted<'_>,
    ca: &Certificate,
    cas: &[&Certificate],
    lists: &[Crl],
    now: OffsetDateTime,
) -> Option<Finding> {
    let (named, reference) = (weakness::name(ca), trusted.reference);
    let publish = |what: &str| {
        remedy(trusted, || {
            format!("put {what} of {named} into {reference}")
        })
    };
    let current = "the current revocation list";
    if !ca.may_sign_crls() {
        let seen = format!(
            "{named} in {reference} has a keyUsage without cRLSign, beside revocation lists"
        );
        let remedy = trusted.replaced(ca, || {
            format!("remove the revocation lists from {reference}, or replace {named}")
        });
        return Some(Finding::new(&check::CLIENT_CA_NO_CRL_SIGN, seen, remedy));
    }
    if !ca.is_self_issued() && !cas.iter().any(|root| ca.is_signed_by(root)) {
        let seen = format!(
            "{named} in {reference} is an intermediate CA, and its issuer `{}` is missing there",
            ca.issuer()
        );
        let remedy = trusted.replaced(ca, || {
            format!(
                "put the CA `{}` and its revocation list into {reference}",
                ca.issuer()
            )
        });
        return Some(Finding::new(
            &check::CLIENT_CA_INTERMEDIATE_ALONE,
            seen,
            remedy,
        ));
    }
    let own = |list: &&Crl| list.is_signed_by(ca);
    let end = |list: &Crl| list.next_update().unwrap_or(list.this_update());
    // Of several lists the last that is valid counts.
    if let Some(list) = lists
        .iter()
        .filter(own)
        .filter(|list| list.is_current_at(now) && !list.has_critical_extension())
        .max_by_key(|list| list.this_update())
    {
        let end = end(list);
        let ends_first = end < ca.not_after() && !is_ending(ca, now);
        let soon = soon(list.this_update(), end, LATE).max(trusted.within);
        let is_late = end - now < soon;
        return (ends_first && is_late).then(|| {
            Finding::new(
                &check::CLIENT_CA_CRL_ENDING,
                format!(
                    "the revocation list of {named} in {reference} ends on {}",
                    minute(end)
                ),
                publish("a new revocation list"),
            )
        });
    }
    let (check, seen, remedy) = match succession::newest(ca, lists) {
        Some(list) if list.is_current_at(now) => (
            &check::CLIENT_CA_CRL_PARTIAL,
            format!(
                "the revocation list of {named} in {reference} has a critical extension, which Envoy does not support"
            ),
            publish("a full revocation list"),
        ),
        Some(list) if list.this_update() > now => (
            &check::CLIENT_CA_CRL_NOT_YET_VALID,
            format!(
                "the revocation list of {named} in {reference} is valid from {} on",
                minute(list.this_update())
            ),
            format!(
                "wait until {}, and check the clock of whoever published it",
                minute(list.this_update())
            ),
        ),
        Some(list) => (
            &check::CLIENT_CA_CRL_EXPIRED,
            format!(
                "the revocation list of {named} in {reference} expired on {}",
                minute(end(list))
            ),
            publish("a new revocation list"),
        ),
        None if lists.iter().any(|list| claims(list, ca)) => (
            &check::CLIENT_CA_CRL_FORGED,
            format!(
                "the revocation list in {reference} that names {named} as its issuer is not signed by that CA"
            ),
            publish(current),
        ),
        None => (
            &check::CLIENT_CA_CRL_MISSING,
            format!("{named} has no revocation list in {reference}, and another CA has one"),
            publish(current),
        ),
    };
    Some(Finding::new(check, seen, remedy))
}

/// Whether a list names this CA as its issuer.
fn claims(list: &Crl, ca: &Certificate) -> bool {
    let has_key = list
        .aki_hex()
        .is_none_or(|key| ca.ski_hex().is_none_or(|own| own == key));
    list.issuer() == ca.subject() && has_key
}

/// The remedy: an authority publishes its lists again.
fn remedy(trusted: &Trusted<'_>, by_hand: impl FnOnce() -> String) -> String {
    trusted.rotate(" --restore --accept-loss", by_hand)
}

/// The CRLs, one line each.
pub(super) fn details(client_ca: &ClientCa) -> Vec<String> {
    let crls = published(client_ca);
    let of_ca = client_ca.bundle.certificates().iter().filter_map(|ca| {
        let crl = succession::newest(ca, &crls)?;
        let number = crl.number().map(|number| format!(" {number}"));
        Some(format!(
            "CRL{} of {}: {} revoked",
            number.unwrap_or_default(),
            weakness::name(ca),
            crl.revoked().len()
        ))
    });
    of_ca.collect()
}

pub(super) fn published(client_ca: &ClientCa) -> Vec<Crl> {
    let pem = client_ca.crl.as_deref().unwrap_or_default();
    Crl::many_from_pem(pem).unwrap_or_default()
}

/// The findings on CRLs that are not those of the authority's state, so that later revocations have
/// no effect.
pub(super) fn authority_faults(trusted: &Trusted<'_>, state: &AuthorityState, link: &mut Link) {
    let (reference, authority) = (trusted.reference, &state.authority);
    // Lists of the state that cannot be read were edited, which is a finding of its own.
    let wanted = commit::crls(state).unwrap_or_default();
    let shown = published(trusted.client_ca);
    for ca in &state.trusted {
        let Some(crl) = succession::newest(ca, &wanted) else {
            continue;
        };
        let is_shown = succession::newest(ca, &shown).is_some_and(|live| live.der() == crl.der());
        if trusted.client_ca.bundle.contains(ca) && !is_shown {
            link.find(
                &check::CLIENT_CA_CRL_OUTDATED,
                format!(
                    "{reference} does not hold the revocation list of {} that the authority `{authority}` published",
                    weakness::name(ca)
                ),
                format!("{} --fail-closed", trusted.host.expose_command()),
            );
        }
    }
}
