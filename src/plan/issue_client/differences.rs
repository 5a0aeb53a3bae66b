//! What a certificate that exists has otherwise than it is asked for now, such as by a table that was changed after its first run.

use std::collections::BTreeSet;

use time::Duration;

use super::Request;
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::leaf::{BACKDATED, lifetime};
use crate::pki::names::differing_attributes;
use crate::plan::{ClientKey, identity};

/// What differs, in the words of a table's columns; nothing for a request that no certificate could fulfil.
pub(super) fn differences(
    request: &Request,
    certificate: &Certificate,
    trusted: &[Certificate],
) -> Vec<String> {
    let Request {
        issuer, name, ttl, ..
    } = request;
    let wanted = identity::client(&issuer.authority, name, &request.names, *ttl, &[]);
    let Ok(wanted) = wanted else {
        return Vec::new();
    };
    let mut found = differing_attributes(&wanted.subject.to_der(), certificate.subject_der());
    let others = [
        ("uri", !are_alike(&wanted.uris, certificate.uri_sans())),
        (
            "dns",
            !are_alike(&lower(&wanted.dns), &lower(certificate.dns_sans())),
        ),
        ("email", !are_alike(&wanted.emails, certificate.emails())),
        ("ip", !are_alike(&wanted.ips, certificate.ips())),
        ("ttl", has_other_lifetime(*ttl, certificate, trusted)),
    ];
    let others = others.into_iter().filter(|(_, differs)| *differs);
    found.extend(others.map(|(what, _)| what.to_owned()));
    found.extend(other_key(&request.key, certificate).map(str::to_owned));
    found
}

/// Whether two lists hold the same, in whatever order.
fn are_alike<T: Ord>(one: &[T], other: &[T]) -> bool {
    sorted(one) == sorted(other)
}

fn sorted<T: Ord>(list: &[T]) -> BTreeSet<&T> {
    list.iter().collect()
}

fn lower(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

/// Whether the lifetime is another one for sure: that of a young CA may lack some minutes, and the end of the CA may have cut it short.
fn has_other_lifetime(
    wanted: Duration,
    certificate: &Certificate,
    trusted: &[Certificate],
) -> bool {
    let has = lifetime(certificate);
    let ends_with_ca = || {
        let mut cas = trusted.iter();
        cas.any(|ca| ca.not_after() <= certificate.not_after())
    };
    (has - wanted).abs() > BACKDATED && !(has < wanted && ends_with_ca())
}

fn other_key(key: &ClientKey, certificate: &Certificate) -> Option<&'static str> {
    let public = certificate.public_key_der();
    match key {
        ClientKey::New(wanted) => (KeyType::of(public) != Some(*wanted)).then_some("key-type"),
        ClientKey::Given(key) => (key.public_key_der() != public).then_some("key"),
        ClientKey::Elsewhere(key) => (key != public).then_some("csr"),
    }
}
