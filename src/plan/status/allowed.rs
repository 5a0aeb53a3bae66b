//! The allow-list of a host, beside its clients: who of them may call it.

use time::OffsetDateTime;

use super::clients::NAMES_SHOWN;
use super::facts::{Facts, Owner, blind, damaged, readable, remedy};
use super::hosts::Host;
use super::{Check, Link, Mark, Severity, client_ca};
use crate::plan::Query;
use crate::resources::guard;
use crate::resources::listing::shortened;
use crate::resources::names::{GatewayName, INGRESS_NAMESPACE};
use crate::resources::{Kind, Object, Unreadable};

/// All policies beside the proxies, of which those of this plugin are read: the others count for whoever calls a workload.
pub(super) fn query() -> Query {
    Query::within(Kind::AuthorizationPolicy, INGRESS_NAMESPACE)
}

/// Tells in the clients' link who may call the host.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, now: OffsetDateTime, link: &mut Link) {
    if let Some(reason) = blind(&facts.host_guards) {
        link.find(
            Mark::Unknown,
            format!("the allow-lists in `{INGRESS_NAMESPACE}` could not be listed: {reason}"),
            remedy(&facts.host_guards),
        );
        return;
    }
    for (_, error) in damaged(&facts.host_guards) {
        link.find(
            Mark::Warning,
            error.to_string(),
            "`kubectl mtls expose SERVICE --allow CLIENT` writes it anew",
        );
    }
    let guards = readable(&facts.host_guards);
    let guard = guards.iter().find(|(_, guard)| guard.host == host.name);
    let Some(listed) = guard.and_then(|(_, guard)| guard.listed.as_deref()) else {
        return;
    };
    let allowed = shortened(listed, NAMES_SHOWN);
    link.says = format!("{}; only these may call it: {allowed}", link.says);
    link.details.extend(listed.iter().cloned());
    if can_nobody_call(listed, host, facts, now) {
        link.add(nobody(listed, host));
    }
}

/// Whether it is known that no client has a certificate with a listed identity: not where an external CA is trusted, or where
/// the inventory was not read completely.
fn can_nobody_call(listed: &[String], host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> bool {
    if listed.is_empty() {
        return true;
    }
    let secret = client_ca::secret(&host.server);
    let seen = client_ca::seen(&host.server, facts.world);
    let (Some(trusted), Owner::Ours(state)) =
        (seen.found(), facts.owner(&secret.name, seen.found()))
    else {
        return false;
    };
    let has_external = trusted.foreign(Some(state)).next().is_some();
    let is_partial = blind(&facts.inventory).is_some() || !damaged(&facts.inventory).is_empty();
    if has_external || is_partial {
        return false;
    }
    let can_call = |identity: &String| {
        readable(&facts.inventory).iter().any(|(_, entry)| {
            entry.authority == state.authority && entry.is_live(now) && entry.uri == *identity
        })
    };
    !listed.iter().any(can_call)
}

fn nobody(listed: &[String], host: &Host) -> Check {
    let allowed = if listed.is_empty() {
        "nobody".to_owned()
    } else {
        format!(
            "only {}, and none of them has a valid certificate",
            shortened(listed, NAMES_SHOWN)
        )
    };
    Check {
        id: "allow-list/nobody",
        severity: Severity::Error,
        seen: format!("the allow-list of `{}` admits {allowed}", host.name),
        why: format!(
            "no client can call `{}`: every request is answered with 403",
            host.name
        ),
        remedy: format!("{} --allow CLIENT", host.expose_command()),
    }
}

/// Whether a guard keeps clients of a Gateway from sending identity headers.
pub(super) fn has_header_guard(gateway: &GatewayName, facts: &Facts<'_>) -> bool {
    let reference = guard::headers_reference(gateway);
    let mut guards = readable(&facts.host_guards).iter();
    guards.any(|(object, _)| {
        *object.reference() == reference && object.text(&["spec", "action"]) == "DENY"
    })
}

/// What a host guard says.
#[derive(Debug)]
pub(super) struct HostGuard {
    /// The host; empty in a policy that is about none, as a header guard is.
    pub host: String,
    /// The identities that may call it; none where every client may.
    pub listed: Option<Vec<String>>,
}

impl HostGuard {
    /// Reads the first rule, which says who may call.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let rules: serde_json::Value = object
            .read("spec")
            .map(|mut spec: serde_json::Value| spec["rules"].take())?;
        let host = rules.pointer("/0/to/0/operation/hosts/0");
        let principals = rules.pointer("/0/from/0/source/notPrincipals");
        let principals = principals.and_then(serde_json::Value::as_array);
        let listed: Option<Vec<String>> = principals.map(|principals| {
            let texts = principals.iter().filter_map(|one| one.as_str());
            texts.map(|one| format!("spiffe://{one}")).collect()
        });
        Ok(Self {
            host: host
                .and_then(|host| host.as_str())
                .unwrap_or_default()
                .to_owned(),
            listed: listed.filter(|listed| !listed.iter().any(|uri| uri.contains('*'))),
        })
    }
}
