//! The Gateway itself.

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::way::Looked;
use super::{Check, Link, Mark, Severity};
use crate::plan::{Seen, gateway_look};

const NAME: &str = "Gateway";

pub(super) fn examine(host: &Host, looked: &Looked<'_>, facts: &Facts<'_>) -> Link {
    let gateway = &host.gateway;
    let through: Vec<String> = looked.ways.ways.iter().map(ToString::to_string).collect();
    let seen = if through.is_empty() {
        ", not looked at".to_owned()
    } else {
        let header = looked.each().any(|(_, sighting)| sighting.proxy_protocol);
        let how = if header {
            " with a header of the PROXY protocol"
        } else {
            ""
        };
        format!(", looked at through {}{how}", through.join(", "))
    };
    let mut link = Link::new(NAME, format!("{}, MUTUAL{seen}", gateway.name));
    for rival in rivals(host, facts) {
        link.find(
            Mark::Error,
            format!(
                "the Gateways `{}` and `{rival}` have the same host: Istio drops the younger one",
                gateway.name
            ),
            "give one of them another host",
        );
    }
    if let Some(check) = trust_check(host, facts) {
        link.add(check);
    }
    let pods = facts.world.list(&gateway_look::pods(&gateway.selector));
    if let Seen::Found([]) = pods {
        link.find(
            Mark::Error,
            format!(
                "the selector of the Gateway `{}` matches no Pod",
                gateway.name
            ),
            "compare it with the labels of the ingress gateway's Pods",
        );
    } else if let (Some(reason), false) = (&looked.ways.replicas_unknown, through.is_empty()) {
        link.find(
            Mark::Unknown,
            format!("the gateway's replicas could not be told apart: {reason}"),
            reason.remedy(),
        );
    }
    if through.is_empty() {
        link.was_not_seen();
    }
    link
}

/// A Gateway of ours must read the client CA of the authority that serves it.
fn trust_check(host: &Host, facts: &Facts<'_>) -> Option<Check> {
    let name = host.gateway.name.to_string();
    let (_, state) = readable(&facts.states)
        .iter()
        .find(|(_, state)| state.gateway.as_deref() == Some(name.as_str()))?;
    let wanted = state.client_ca_secret.as_ref()?;
    let named = host.server.client_ca_secret();
    if !host.gateway.is_ours || named == *wanted {
        return None;
    }
    Some(Check {
        id: "gateway/client-ca-changed",
        severity: Severity::Error,
        seen: format!(
            "the Gateway {name} checks client certificates by the Secret `{named}`, not by `{wanted}` of the authority `{}`",
            state.authority
        ),
        why: "clients of the authority may be refused, and others let in".to_owned(),
        remedy: host.expose_command(),
    })
}

/// Other Gateways that hand the same host string to the same proxies (istiod, `MergeGateways`).
fn rivals(host: &Host, facts: &Facts<'_>) -> Vec<String> {
    let gateway = &host.gateway;
    let others = facts.gateways.readable.iter().map(|(_, other)| other);
    others
        .filter(|other| other.name != gateway.name && other.shares_proxies_with(&gateway.selector))
        .filter(|other| {
            let mut hosts = host.server.hosts.iter();
            hosts.any(|host| other.server_with_host(host).is_some())
        })
        .map(|other| other.name.to_string())
        .collect()
}
