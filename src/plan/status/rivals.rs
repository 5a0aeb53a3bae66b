//! Other Gateways on the same proxies with the same host, or a more specific one.

use super::facts::Facts;
use super::hosts::Host;
use super::unprotected::Unprotected;
use super::{Finding, Severity, check};
use crate::plan::probe::{IngressProxies, kubernetes_gateways};
use crate::plan::{Reconciled, command_line, control_plane};
use crate::resources::gateway::{Gateway, Server, specificity};
use crate::resources::gateway_api::served;
use crate::resources::istiod::REVISION;
use crate::resources::names::GatewayName;
use crate::resources::{Kind, Object, ObjectRef};

/// How another Gateway's host string compares with the server of a host.
enum Standing {
    /// The same host string, so that istiod drops the younger server.
    Same,
    /// This more specific host string, which handshakes for the host select.
    Closer(String),
}

/// The findings on Gateways that take a host from its own one, or lose it to that.
pub(super) fn checks(host: &Host, facts: &Facts<'_>) -> Reconciled<Vec<Finding>> {
    let rivals = rivals(&host.gateway, &host.server, &host.probe, facts);
    let own = age_of(&host.gateway.name, facts);
    let mut found = Vec::new();
    for (rival, standing) in rivals {
        let reference = rival.name.reference();
        let Some(place) = place(rival.revision.as_deref(), host, facts)? else {
            continue;
        };
        let is_older = age_of(&rival.name, facts) < own;
        // A younger one of ours tells so itself.
        if !is_older && rival.is_ours && matches!(standing, Standing::Same) {
            continue;
        }
        let rival = Rival {
            gateway: rival,
            reference: &reference,
            place,
        };
        found.extend(judge(host, &rival, &standing, is_older));
    }
    let listed = facts.observed.try_list(&kubernetes_gateways())?;
    let objects = listed.found().copied().unwrap_or_default();
    let proxies = IngressProxies::of(facts.observed, &host.gateway.ingress)?;
    for rival in proxies.kubernetes_gateways() {
        let GatewayName { namespace, name } = &rival.name;
        let reference = ObjectRef::new(Kind::KubernetesGateway, namespace, name);
        let mut objects = objects.iter();
        // Of listeners that istiod does not serve, nobody takes the host.
        let object = objects.find(|object| *object.reference() == reference);
        let Some(rival) = object.and_then(|object| served(object, &host.gateway.ingress)) else {
            continue;
        };
        // Here istiod resolves tags of revisions too, so that a label that no revision has may still be one that is read.
        let label = object.and_then(|object| object.label(REVISION));
        let place = place(label, host, facts)?.unwrap_or_default();
        if let Some(standing) = standing(&rival, &host.server, &host.probe) {
            let is_older = age(&reference, object) < own;
            let rival = Rival {
                gateway: &rival,
                reference: &reference,
                place,
            };
            found.extend(judge(host, &rival, &standing, is_older));
        }
    }
    Ok(found)
}

/// A Gateway that takes a host from another one, or loses it to that.
struct Rival<'a> {
    gateway: &'a Gateway,
    reference: &'a ObjectRef,
    /// At which proxies, as the end of a sentence; empty for all.
    place: String,
}

/// At which of a host's proxies a Gateway with this label `istio.io/rev` takes part; `None` where no istiod of theirs reads it.
fn place(label: Option<&str>, host: &Host, facts: &Facts<'_>) -> Reconciled<Option<String>> {
    let ingress = &host.gateway.ingress;
    let (reading, others) = control_plane::readers(label, ingress, facts.observed)?;
    Ok(match (label, reading.is_empty(), others.is_empty()) {
        (_, _, true) => Some(String::new()),
        (Some(label), false, false) => Some(format!(" at the proxies of the revision `{label}`")),
        _ => None,
    })
}

fn judge(host: &Host, rival: &Rival<'_>, standing: &Standing, is_older: bool) -> Option<Finding> {
    match standing {
        Standing::Closer(pattern) => {
            let is_routed = host.route.is_some();
            is_routed.then(|| shadowed(host, rival, pattern))
        }
        Standing::Same if is_older => Some(duplicate(host, rival)),
        Standing::Same => Some(dropped(host, rival)),
    }
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
            let age = |host: &Host| age_of(&host.gateway.name, facts);
            let is_dropped = age(other) < age(host);
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
    let others = facts.gateways.readable.iter().map(|(_, other)| other);
    others
        .filter(|other| other.name != gateway.name && other.shares_proxies_with(&gateway.ingress))
        .filter_map(|other| Some((other, standing(other, server, host)?)))
        .collect()
}

/// How another Gateway on the same proxies compares with the server of a host; `None` if it does not want the host.
fn standing(other: &Gateway, server: &Server, host: &str) -> Option<Standing> {
    let mut hosts = server.hosts.iter();
    if hosts.any(|host| other.server_with_host(host).is_some()) {
        return Some(Standing::Same);
    }
    let own = server.pattern_for(host).map(specificity);
    let pattern = other.server_for(host)?.pattern_for(host)?;
    (Some(specificity(pattern)) > own).then(|| Standing::Closer(pattern.to_owned()))
}

/// When a Gateway was made, and its name: istiod merges the older one first (`pilot/pkg/model/config.go`, `sortConfigByCreationTime`), and
/// drops every later server with an existing host string (`pilot/pkg/model/gateway.go`, `MergeGateways`).
type Age = (Option<String>, String);

fn age<'a>(reference: &ObjectRef, objects: impl IntoIterator<Item = &'a Object>) -> Age {
    let mut objects = objects.into_iter();
    let found = objects.find(|object| object.reference() == reference);
    let created = found.map(|object| object.text(&["metadata", "creationTimestamp"]).to_owned());
    (
        created,
        format!("{}.{}", reference.name, reference.namespace),
    )
}

/// The age of a Gateway of Istio.
fn age_of(name: &GatewayName, facts: &Facts<'_>) -> Age {
    let gateways = facts.gateways.readable.iter();
    age(&name.reference(), gateways.map(|(object, _)| *object))
}

/// A Gateway in messages; one of the Kubernetes Gateway API is named as such.
fn called(reference: &ObjectRef) -> String {
    let ObjectRef {
        namespace, name, ..
    } = reference;
    match reference.kind {
        Kind::KubernetesGateway => {
            format!("Gateway {namespace}/{name} of the Kubernetes Gateway API")
        }
        _ => format!("Gateway {namespace}/{name}"),
    }
}

/// The command against a Gateway with the same host; of the Kubernetes Gateway API it may have other listeners.
fn without(reference: &ObjectRef) -> String {
    match reference.kind {
        Kind::KubernetesGateway => command_line::edit(reference),
        _ => command_line::kubectl("delete", reference),
    }
}

fn duplicate(host: &Host, rival: &Rival<'_>) -> Finding {
    let Rival {
        reference, place, ..
    } = rival;
    Finding::new(
        &check::GATEWAY_DUPLICATE_HOST,
        format!(
            "the older {} has the host `{}` too, so Istio drops the server of the Gateway {}{place}",
            called(reference),
            host.server.hosts.join("`, `"),
            host.gateway.name
        ),
        without(reference),
    )
    .because(format!(
        "the {} answers for `{}`, whatever certificate check this Gateway has",
        called(reference),
        host.name
    ))
}

fn dropped(host: &Host, rival: &Rival<'_>) -> Finding {
    let Rival {
        reference, place, ..
    } = rival;
    Finding::new(
        &check::GATEWAY_DUPLICATE_HOST,
        format!(
            "the younger {} has the host `{}` too, so Istio drops the younger one's server{place}",
            called(reference),
            host.server.hosts.join("`, `")
        ),
        without(reference),
    )
    .because(format!(
        "the younger Gateway takes the host as soon as the Gateway {} is deleted and created again",
        host.gateway.name
    ))
    .graded(Severity::Warning)
}

fn shadowed(host: &Host, rival: &Rival<'_>, pattern: &str) -> Finding {
    let Rival {
        gateway,
        reference,
        place,
    } = rival;
    let server = gateway.server_for(&host.probe);
    let mode = server.map_or("", |server| &server.mode);
    Finding::new(
        &check::GATEWAY_SHADOWED,
        format!(
            "the {} takes the host `{}` from the Gateway {}{place}: the first one serves `{pattern}` in mode {mode}",
            called(reference),
            host.name,
            host.gateway.name
        ),
        command_line::edit(reference),
    )
}
