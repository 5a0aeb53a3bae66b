//! The server certificate: what its issuer says, and what the gateway shows.

use time::{Duration, OffsetDateTime};

use super::hosts::Host;
use super::way::Looked;
use super::{Link, Mark};
use crate::plan::look::Outcome;
use crate::plan::{Query, World};
use crate::resources::certificate::Certificate;
use crate::resources::names::INGRESS_NAMESPACE;
use crate::resources::{Kind, ObjectRef};

/// Gardener renews 30 days ahead; a certificate with less than this left was not renewed.
const LATE: Duration = Duration::days(14);
const NAME: &str = "server certificate";

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    world: &World,
    now: OffsetDateTime,
) -> Link {
    let issued = issued(host, world);
    let shown = looked
        .each()
        .find_map(|(_, sighting)| sighting.server.as_ref());
    let mut link = match shown {
        Some(certificate) => Link::new(NAME, format!("until {}", certificate.not_after().date())),
        None => Link::new(NAME, "not seen"),
    };
    if let Some((reference, certificate)) = &issued
        && !certificate.progress.is_ready()
    {
        let progress = &certificate.progress;
        let state = if progress.state.is_empty() {
            "not seen by its controller"
        } else {
            &progress.state
        };
        link.find(
            Mark::Error,
            format!("{reference} is {state}: {}", progress.message),
            format!(
                "`kubectl -n {} describe certificates.cert.gardener.cloud {}`",
                reference.namespace, reference.name
            ),
        );
    }
    match shown {
        Some(certificate) if certificate.is_expired(now) => link.find(
            Mark::Error,
            format!("the server certificate of `{}` has expired", host.probe),
            "see why it was not renewed; clients that check it refuse the gateway",
        ),
        Some(certificate) if !certificate.covers_host(&host.probe) => link.find(
            Mark::Error,
            format!(
                "the gateway shows a certificate that does not cover `{}`",
                host.probe
            ),
            "a Gateway of the same host was there first, or the certificate is not issued yet",
        ),
        Some(certificate) if certificate.not_after() - now < LATE => link.find(
            Mark::Warning,
            format!(
                "the server certificate of `{}` ends on {}",
                host.probe,
                certificate.not_after().date()
            ),
            "see why its issuer has not renewed it",
        ),
        Some(_) => {}
        None => unseen(host, looked, &mut link),
    }
    link
}

fn unseen(host: &Host, looked: &Looked<'_>, link: &mut Link) {
    let Some((via, sighting)) = looked.each().next() else {
        let reason = looked
            .ways
            .replicas_unknown
            .as_deref()
            .unwrap_or("no way leads to the gateway");
        link.find(
            Mark::Unknown,
            format!("`{}` was not looked at: {reason}", host.probe),
            "`--connect-to HOST:PORT` names a way to the gateway",
        );
        return;
    };
    let is_denied = matches!(sighting.outcome, Outcome::Denied(_));
    link.find(
        if is_denied {
            Mark::Unknown
        } else {
            Mark::Error
        },
        format!(
            "`{}` showed no certificate through {via}: the handshake {}",
            host.probe, sighting.outcome
        ),
        format!(
            "see that the Secret `{INGRESS_NAMESPACE}/{}` exists and that a proxy runs",
            host.server.credential
        ),
    );
}

/// The Certificate that fills the server's Secret, where there is one.
fn issued(host: &Host, world: &World) -> Option<(ObjectRef, Certificate)> {
    let listed = world.list(&Query::within(Kind::Certificate, INGRESS_NAMESPACE));
    let mut certificates = listed.found().copied()?.iter().filter_map(|object| {
        let certificate = Certificate::read(object).ok()?;
        Some((object.reference().clone(), certificate))
    });
    certificates.find(|(_, certificate)| certificate.secret == host.server.credential)
}
