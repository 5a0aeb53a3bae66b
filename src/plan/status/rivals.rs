//! Other Gateways on the same proxies with the same host, or a more specific one.

use super::facts::Facts;
use super::hosts::Host;
use super::unprotected::Unprotected;
use super::{Finding, Severity, check};
use crate::plan::command_line;
use crate::resources::Object;
use crate::resources::gateway::{Gateway, Server, specificity};
use crate::resources::names::GatewayName;

/// How another Gateway's host string compares with the server of a host.
enum Standing {
    /// The same host string, so that istiod drops the younger server.
    Same,
    /// This more specific host string, which handshakes for the host select.
    Closer(String),
}

/// The findings on Gateways that take a host from its own one, or lose it to that.
pub(super) fn checks(host: &Host, facts: &Facts<'_>) -> Vec<Finding> {
    let rivals = rivals(&host.gateway, &host.server, &host.probe, facts);
    let found = rivals
        .into_iter()
        .filter_map(|(rival, standing)| match standing {
            Standing::Closer(pattern) => {
                host.route.as_ref().map(|_| shadowed(host, rival, &pattern))
            }
            Standing::Same if is_older(&rival.name, &host.gateway.name, facts) => {
                Some(duplicate(host, rival))
            }
            // It tells so itself.
            Standing::Same if rival.is_ours => None,
            Standing::Same => Some(dropped(host, rival)),
        });
    found.collect()
}

/// The hosts without those of servers that another host's finding reports already, or whose route is reported elsewhere.
pub(super) fn relevant(
    hosts: Vec<Host>,
    unprotected: &[Unprotected],
    facts: &Facts<'_>,
) -> Vec<Host> {
    let rivals_of = |host: &Host| rivals(&host.gateway, &host.server, &host.probe, facts);
    let rivals: Vec<_> = hosts.iter().map(rivals_of).collect();
    let is_told_at = |host: &Host, other: &Host, standing: &Standing| match standing {
        Standing::Closer(pattern) => {
            other.route.is_some() && host.route.is_none() && host.server.hosts.contains(pattern)
        }
        Standing::Same => {
            let shares = |pattern: &String| other.server.hosts.contains(pattern);
            let is_dropped = is_older(&other.gateway.name, &host.gateway.name, facts);
            host.server.hosts.iter().any(shares) && (is_dropped || host.route.is_none())
        }
    };
    let is_rival = |host: &Host| {
        let mut others = hosts.iter().zip(&rivals);
        others.any(|(other, rivals)| {
            let mut own = rivals
                .iter()
                .filter(|(rival, _)| rival.name == host.gateway.name);
            own.any(|(_, standing)| is_told_at(host, other, standing))
        })
    };
    let is_about = |host: &Host| {
        let mut unprotected = unprotected.iter();
        host.route.is_none() && unprotected.any(|other| other.is_about(&host.gateway.name))
    };
    let is_kept = |host: &Host| !is_about(host) && (host.gateway.is_ours || !is_rival(host));
    let kept: Vec<bool> = hosts.iter().map(is_kept).collect();
    let kept = hosts.into_iter().zip(kept);
    kept.filter_map(|(host, is_kept)| is_kept.then_some(host))
        .collect()
}

/// Other Gateways that give the same host string, or a more specific one, to the same proxies.
fn rivals<'a>(
    gateway: &Gateway,
    server: &Server,
    host: &str,
    facts: &'a Facts<'_>,
) -> Vec<(&'a Gateway, Standing)> {
    let own = server.pattern_for(host).map(specificity);
    let others = facts.gateways.readable.iter().map(|(_, other)| other);
    others
        .filter(|other| other.name != gateway.name && other.shares_proxies_with(&gateway.ingress))
        .filter_map(|other| {
            let mut hosts = server.hosts.iter();
            if hosts.any(|host| other.server_with_host(host).is_some()) {
                return Some((other, Standing::Same));
            }
            let pattern = other.server_for(host)?.pattern_for(host)?;
            (Some(specificity(pattern)) > own)
                .then(|| (other, Standing::Closer(pattern.to_owned())))
        })
        .collect()
}

/// Whether one Gateway is older: istiod merges the older one first (`pilot/pkg/model/config.go`, `sortConfigByCreationTime`), and drops
/// every later server with an existing host string (`pilot/pkg/model/gateway.go`, `MergeGateways`).
fn is_older(one: &GatewayName, other: &GatewayName, facts: &Facts<'_>) -> bool {
    let age = |name: &GatewayName| {
        let reference = name.reference();
        let mut objects = facts.gateways.readable.iter().map(|(object, _)| object);
        let found: Option<&&Object> = objects.find(|object| *object.reference() == reference);
        let created = found.map(|object| object.text(&["metadata", "creationTimestamp"]));
        (created, format!("{}.{}", name.name, name.namespace))
    };
    age(one) < age(other)
}

fn duplicate(host: &Host, rival: &Gateway) -> Finding {
    Finding::new(
        &check::GATEWAY_DUPLICATE_HOST,
        format!(
            "the older Gateway {} has the host `{}` too, so Istio drops the server of the Gateway {}",
            rival.name,
            host.server.hosts.join("`, `"),
            host.gateway.name
        ),
        command_line::kubectl("delete", &rival.name.reference()),
    )
    .because(format!(
        "the Gateway {} answers for `{}`, whatever certificate check this Gateway has",
        rival.name, host.name
    ))
}

fn dropped(host: &Host, rival: &Gateway) -> Finding {
    Finding::new(
        &check::GATEWAY_DUPLICATE_HOST,
        format!(
            "the younger Gateway {} has the host `{}` too, so Istio drops the younger one's server",
            rival.name,
            host.server.hosts.join("`, `")
        ),
        command_line::kubectl("delete", &rival.name.reference()),
    )
    .because(format!(
        "the younger Gateway takes the host as soon as the Gateway {} is deleted and created again",
        host.gateway.name
    ))
    .graded(Severity::Warning)
}

fn shadowed(host: &Host, rival: &Gateway, pattern: &str) -> Finding {
    let server = rival.server_for(&host.probe);
    let mode = server.map_or("", |server| &server.mode);
    Finding::new(
        &check::GATEWAY_SHADOWED,
        format!(
            "the Gateway {} takes the host `{}` from the Gateway {}: the first one serves `{pattern}` in mode {mode}",
            rival.name, host.name, host.gateway.name
        ),
        command_line::edit(&rival.name.reference()),
    )
}
