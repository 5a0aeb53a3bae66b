//! The server certificate: the issuer's status, and the certificates that the gateway uses.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::facts::Facts;
use super::hosts::Host;
use super::probes::Handshakes;
use super::server_chain::{self, Issuer};
use super::server_source::Source;
use super::validity::soon;
use super::{Finding, Link, Severity, check, listeners, rejected};
use crate::pki::inspect::Certificate;
use crate::pki::server::{RENEWED_BEFORE, is_self_made};
use crate::plan::Reconciled;
use crate::plan::probe::Outcome;
use crate::resources::ingress::pod_name;

/// Gardener renews certificates 30 days ahead; one with less than this left was not renewed.
const LATE: Duration = Duration::days(14);
/// Ends that differ by at most this are the same: they may have been rounded.
const SAME: Duration = Duration::minutes(1);
const NAME: &str = "server certificate";

/// The certificates on some ways: the server's own certificate, and its CAs.
type Shown = (Certificate, Vec<Certificate>);

pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Link> {
    let shown: Vec<(Shown, String)> = handshakes.group(|observation| {
        let server = observation.server.clone()?;
        Some((server, observation.chain.clone()))
    });
    let servers = || shown.iter().map(|((server, _), _)| server);
    let mut link = Link::new(NAME, says(handshakes));
    link.details = servers().map(super::validity::identify).collect();
    let is_served = !shown.is_empty()
        && servers().all(|server| server.is_valid_at(now) && server.covers_host(&host.probe));
    let source = Source::of(host, facts)?;
    source.faults(facts, is_served, &mut link)?;
    let known: Vec<Certificate> = shown
        .iter()
        .flat_map(|((_, chain), _)| chain.clone())
        .collect();
    let issuer = Issuer {
        is_acme: source.is_of_acme(),
        known: &known,
    };
    let (old, current): (Vec<_>, Vec<_>) = shown
        .iter()
        .partition(|((server, _), _)| is_outdated(server, servers(), &source));
    if let Some(stale) = stale(host, &old, now) {
        link.add(stale);
    }
    link.extend(rejected(host, handshakes, facts, &source, now)?);
    for ((server, chain), vias) in current {
        let fault = fault(host, server, &source, vias, (now, facts.within)).or_else(|| {
            let remedy = source.renewal(false, now);
            server_chain::fault(server, chain, &issuer, &called(server), &remedy, now)
        });
        if let Some(fault) = fault {
            link.add(fault);
        }
    }
    unseen(host, handshakes, &mut link);
    if let (true, Some(hosts)) = (shown.is_empty(), source.hosts())
        && let Some(fault) = too_deep(host, hosts, || source.renewal(false, now))
    {
        link.add(fault);
    }
    Ok(link)
}

/// Until when all certificates are valid that are shown.
pub(super) fn says(handshakes: &Handshakes<'_>) -> String {
    let servers = handshakes
        .each()
        .filter_map(|(_, observation)| observation.server.as_ref());
    let end = servers.map(Certificate::not_after).min();
    end.map_or("not seen".to_owned(), |end| format!("until {}", end.date()))
}

/// A server certificate as text: its first name and the digits that distinguish it from others.
fn called(server: &Certificate) -> String {
    let name = server
        .dns_sans()
        .first()
        .map_or(server.subject(), String::as_str);
    format!("the server certificate {} of `{name}`", server.id())
}

/// Whether a newer certificate exists, in the Secret or on other ways.
fn is_outdated<'a>(
    server: &Certificate,
    mut all: impl Iterator<Item = &'a Certificate>,
    source: &Source<'_>,
) -> bool {
    let end = source.end(server);
    end.is_some_and(|end| end > server.not_after() + SAME)
        || all.any(|other| {
            other.not_before() > server.not_before() && other.dns_sans() == server.dns_sans()
        })
}

/// The finding on proxies that have not loaded the certificate in the Secret.
fn stale(host: &Host, old: &[&(Shown, String)], now: OffsetDateTime) -> Option<Finding> {
    let ((first, _), _) = old
        .iter()
        .min_by_key(|((server, _), _)| server.not_after())?;
    let mut vias: Vec<&str> = old.iter().flat_map(|(_, vias)| vias.split(", ")).collect();
    vias.sort_unstable();
    // A way that is no Pod is an address, and holds a colon.
    let remedy = if vias.iter().any(|via| via.contains(':')) {
        "restart the Pods of the ingress gateway that still use the old certificate".to_owned()
    } else {
        let pods = vias.join(" ");
        let namespace = &host.gateway.ingress.namespace;
        format!("kubectl delete pods -n {namespace} {pods}")
    };
    let seen = format!(
        "{} still show {}, which ends on {} and was renewed",
        vias.join(", "),
        called(first),
        first.not_after().date()
    );
    let finding = Finding::new(&check::SERVER_CERTIFICATE_NOT_LOADED, seen, remedy);
    Some(if first.is_valid_at(now) {
        finding
    } else {
        let why = "clients that verify the outdated proxies refuse them";
        finding.because(why)
    })
}

/// The finding on proxies that rejected the newest content of the server Secret.
fn rejected(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    source: &Source<'_>,
    now: OffsetDateTime,
) -> Reconciled<Option<Finding>> {
    let pods = rejected::rejecting_server(host, &handshakes.ways, facts.observed)?;
    let names: Vec<String> = pods.iter().map(|pod| pod_name(pod)).collect();
    let secret = host.server.secret(&host.server.credential);
    let blocks = listeners::server_secret_is_cause(host, &handshakes.ways, facts.observed)?;
    Ok((!names.is_empty()).then(|| {
        let seen = format!(
            "{} rejected the newest content of {secret}",
            names.join(", ")
        );
        let check = &check::SERVER_CERTIFICATE_REJECTED;
        let finding = Finding::new(check, seen, source.renewal(false, now));
        if blocks {
            let why = check::PROXY_LISTENER_REJECTED.why;
            finding.graded(Severity::Error).because(why)
        } else {
            finding
        }
    }))
}

/// The finding on a certificate itself.
fn fault(
    host: &Host,
    server: &Certificate,
    source: &Source<'_>,
    vias: &str,
    (now, within): (OffsetDateTime, Duration),
) -> Option<Finding> {
    let called = called(server);
    let is_self_made = is_self_made(server);
    if server.is_expired(now) {
        return Some(Finding::new(
            &check::SERVER_CERTIFICATE_EXPIRED,
            format!(
                "{called} expired on {}, seen through {vias}",
                server.not_after().date()
            ),
            source.renewal(is_self_made, now),
        ));
    }
    if now < server.not_before() {
        return Some(Finding::new(
            &check::SERVER_CERTIFICATE_NOT_YET_VALID,
            format!(
                "{called} is valid only from {} on, seen through {vias}",
                server.not_before().format(&Rfc3339).unwrap_or_default()
            ),
            "wait until the certificate is valid, and check the clock of the issuer",
        ));
    }
    if !server.covers_host(&host.probe) {
        let probe = &host.probe;
        let covering = || {
            let covering = source.covering();
            covering.unwrap_or_else(|| source.renewal(is_self_made, now))
        };
        return too_deep(host, server.dns_sans(), covering).or_else(|| {
            Some(Finding::new(
                &check::SERVER_CERTIFICATE_NOT_COVERING,
                format!("{called}, seen through {vias}, does not cover `{probe}`"),
                covering(),
            ))
        });
    }
    if !server.allows_server_auth() {
        return Some(Finding::new(
            &check::SERVER_CERTIFICATE_NOT_FOR_SERVERS,
            format!("{called}, seen through {vias}, has an extended key usage without serverAuth"),
            source.renewal(is_self_made, now),
        ));
    }
    let late = if is_self_made { RENEWED_BEFORE } else { LATE };
    let soon = soon(server.not_before(), server.not_after(), late).max(within);
    (server.not_after() - now < soon).then(|| {
        Finding::new(
            &check::SERVER_CERTIFICATE_ENDING,
            format!("{called} ends on {}", server.not_after().date()),
            source.renewal(is_self_made, now),
        )
    })
}

/// The finding on a host with more labels than the certificate's wildcard covers: it stands for one
/// label (RFC 6125, 6.4.3), a Gateway's for any number. `covering` makes the command for a host
/// whose Gateway has no pattern with so few labels.
fn too_deep(host: &Host, names: &[String], covering: impl FnOnce() -> String) -> Option<Finding> {
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
    let pattern = names.iter().find(is_too_deep)?;
    if names.iter().any(is_named) {
        return None;
    }
    let parent = pattern.trim_start_matches("*.");
    let label = host.backend().map(|behind| behind.service.name);
    let label = label.as_deref().or(probe.split('.').next());
    let shallow = format!("{}.{parent}", label.unwrap_or_default());
    Some(Finding::new(
        &check::SERVER_CERTIFICATE_TOO_DEEP,
        format!("`{probe}` has more labels than `{pattern}` of the server certificate covers"),
        if host.server.serves(&shallow) {
            format!("{} --host {shallow}", host.expose_command())
        } else {
            covering()
        },
    ))
}

/// Adds the findings on ways that showed no certificate.
fn unseen(host: &Host, handshakes: &Handshakes<'_>, link: &mut Link) {
    if handshakes.each().next().is_none() {
        let reason = handshakes
            .ways
            .why_unknown()
            .unwrap_or_else(|| "no address of the gateway is known".to_owned());
        link.find(
            &check::PROXY_NOT_CHECKED,
            format!("`{}` was not probed: {reason}", host.probe),
            "give an address of the gateway: `kubectl mtls status --connect-to HOST:PORT`",
        );
    }
    let without = handshakes.group(|observation| match observation.server {
        Some(_) => None,
        None => Some(observation.outcome.clone()),
    });
    for (outcome, vias) in without {
        let check = match outcome {
            Outcome::Denied(_) | Outcome::NotForwarded(_) => &check::PROXY_NOT_CHECKED,
            Outcome::Unreachable(_) => &check::PROXY_UNREACHABLE,
            _ => &check::SERVER_CERTIFICATE_NOT_SHOWN,
        };
        let pod = vias.split(", ").find(|via| !via.contains(':'));
        link.find(
            check,
            format!(
                "`{}` showed no certificate through {vias}: the handshake {outcome}",
                host.probe
            ),
            match pod {
                Some(pod) => format!(
                    "kubectl logs -n {} {pod} --tail=50",
                    host.gateway.ingress.namespace
                ),
                None => "check the logs of the ingress gateway's Pods".to_owned(),
            },
        );
    }
}
