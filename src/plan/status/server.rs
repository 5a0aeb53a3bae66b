//! The server certificate: what its issuer says, and what the gateway shows.

use time::{Duration, OffsetDateTime};

use super::facts::{Facts, blind, damaged, readable, remedy};
use super::hosts::Host;
use super::route::because;
use super::way::Looked;
use super::{Link, check, soon};
use crate::pki::inspect;
use crate::pki::server::{RENEWED_BEFORE, is_self_made};
use crate::plan::probe::Outcome;
use crate::resources::ObjectRef;
use crate::resources::certificate::Certificate;
use crate::resources::names::INGRESS_NAMESPACE;

/// Gardener renews 30 days ahead; a certificate with less than this left was not renewed.
const LATE: Duration = Duration::days(14);
const NAME: &str = "server certificate";

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Link {
    let shown: Vec<(inspect::Certificate, String)> =
        looked.group(|observation| observation.server.clone());
    let ends = shown.iter().map(|(shown, _)| shown.not_after()).min();
    let says = ends.map_or("not seen".to_owned(), |end| format!("until {}", end.date()));
    let mut link = Link::new(NAME, says);
    link.details = shown
        .iter()
        .map(|(certificate, _)| super::identify(certificate))
        .collect();
    let is_served = !shown.is_empty()
        && shown.iter().all(|(shown, _)| {
            !shown.is_expired(now) && shown.not_before() <= now && shown.covers_host(&host.probe)
        });
    let issued = issued(host, facts, is_served, &mut link);
    for (certificate, vias) in &shown {
        shown_faults(host, certificate, vias, now, &mut link);
    }
    unseen(host, looked, &mut link);
    if let (true, Some(certificate)) = (shown.is_empty(), issued) {
        names_faults(host, &certificate.hosts, &mut link);
    }
    link
}

fn shown_faults(
    host: &Host,
    certificate: &inspect::Certificate,
    vias: &str,
    now: OffsetDateTime,
    link: &mut Link,
) {
    let probe = &host.probe;
    if certificate.is_expired(now) {
        link.find(
            &check::SERVER_CERTIFICATE_EXPIRED,
            format!("the server certificate of `{probe}` has expired, seen through {vias}"),
            "see why it was not renewed; clients that check it refuse the gateway",
        );
        return;
    }
    if !certificate.covers_host(probe) && !names_faults(host, certificate.dns_sans(), link) {
        link.find(
            &check::SERVER_CERTIFICATE_NOT_COVERING,
            format!(
                "the gateway shows a certificate that does not cover `{probe}`, through {vias}"
            ),
            "a Gateway of the same host was there first, or the certificate is not issued yet",
        );
        return;
    }
    let (late, remedy) = if is_self_made(certificate) {
        (
            RENEWED_BEFORE,
            "`kubectl mtls expose SERVICE`, run again, renews it",
        )
    } else {
        (LATE, "see why its issuer has not renewed it")
    };
    if certificate.not_after() - now < soon(certificate.not_before(), certificate.not_after(), late)
    {
        link.find(
            &check::SERVER_CERTIFICATE_ENDING,
            format!(
                "the server certificate of `{probe}` ends on {}",
                certificate.not_after().date()
            ),
            remedy,
        );
    }
}

/// A certificate's wildcard stands for one label (RFC 6125, 6.4.3), a Gateway's for any number.
fn names_faults(host: &Host, names: &[String], link: &mut Link) -> bool {
    let probe = &host.probe;
    let is_too_deep = |pattern: &&String| {
        let parent = pattern.strip_prefix('*').unwrap_or_default();
        let labels = probe.strip_suffix(parent).unwrap_or_default();
        parent.starts_with('.') && labels.contains('.')
    };
    let is_named = |name: &String| {
        let rest = probe.split_once('.').map(|(_, rest)| rest);
        name == probe || (name.strip_prefix("*.").is_some() && name.strip_prefix("*.") == rest)
    };
    let Some(pattern) = names.iter().find(is_too_deep) else {
        return false;
    };
    if names.iter().any(is_named) {
        return false;
    }
    link.find(
        &check::SERVER_CERTIFICATE_TOO_DEEP,
        format!(
            "`{probe}` has more labels than `{pattern}` of the server certificate covers: clients that check it refuse the gateway"
        ),
        "`kubectl mtls expose SERVICE --host HOST` gives the Service a host with one label in the place of the `*`",
    );
    true
}

/// Ways on which no certificate came at all.
fn unseen(host: &Host, looked: &Looked<'_>, link: &mut Link) {
    if looked.each().next().is_none() {
        let reason = looked
            .ways
            .why_unknown()
            .unwrap_or_else(|| "no way leads to the gateway".to_owned());
        link.find(
            &check::PROXY_NOT_CHECKED,
            format!("`{}` was not looked at: {reason}", host.probe),
            "`--connect-to HOST:PORT` names a way to the gateway",
        );
    }
    let without = looked.group(|observation| match observation.server {
        Some(_) => None,
        None => Some(observation.outcome.clone()),
    });
    for (outcome, vias) in without {
        let check = match outcome {
            Outcome::Denied(_) | Outcome::NotForwarded(_) => &check::PROXY_NOT_CHECKED,
            _ => &check::SERVER_CERTIFICATE_NOT_SHOWN,
        };
        link.find(
            check,
            format!(
                "`{}` showed no certificate through {vias}: the handshake {outcome}",
                host.probe
            ),
            format!(
                "see that the Secret `{INGRESS_NAMESPACE}/{}` exists and that a proxy runs",
                host.server.credential
            ),
        );
    }
}

/// The Certificate that fills the server's Secret, where there is one, and what its issuer says of it.
///
/// While a valid certificate `is_served`, an issuer that works on the next one is no fault.
fn issued<'a>(
    host: &Host,
    facts: &'a Facts<'_>,
    is_served: bool,
    link: &mut Link,
) -> Option<&'a Certificate> {
    if let Some(reason) = blind(&facts.certificates) {
        link.find(
            &check::SERVER_CERTIFICATE_NOT_CHECKED,
            format!(
                "the Certificates in `{INGRESS_NAMESPACE}` could not be listed, so what the issuer says is not known: {reason}"
            ),
            remedy(&facts.certificates),
        );
        return None;
    }
    let fills = |certificate: &Certificate| certificate.secret == host.server.credential;
    let found = readable(&facts.certificates)
        .iter()
        .find(|(_, certificate)| fills(certificate));
    let Some((object, certificate)) = found else {
        let secret = host.server.credential.as_str();
        let might = damaged(&facts.certificates).iter();
        for (_, error) in
            might.filter(|(object, _)| [secret, ""].contains(&object.text(&["spec", "secretName"])))
        {
            link.find(
                &check::SERVER_CERTIFICATE_UNREADABLE,
                error.to_string(),
                "mend it",
            );
        }
        return None;
    };
    let progress = &certificate.progress;
    if is_served && progress.state == "Pending" {
        link.details.push(format!(
            "{} is being renewed{}",
            object.reference(),
            because(&progress.message)
        ));
    } else if !progress.is_ready() {
        issuer_faults(object.reference(), certificate, link);
    }
    Some(certificate)
}

fn issuer_faults(reference: &ObjectRef, certificate: &Certificate, link: &mut Link) {
    let progress = &certificate.progress;
    let state = if progress.is_current && !progress.state.is_empty() {
        &progress.state
    } else {
        "not seen by its controller yet"
    };
    link.find(
        &check::SERVER_CERTIFICATE_ISSUER_FAILED,
        format!("{reference} is {state}{}", because(&progress.message)),
        format!(
            "`kubectl -n {} describe certificates.cert.gardener.cloud {}`",
            reference.namespace, reference.name
        ),
    );
}
