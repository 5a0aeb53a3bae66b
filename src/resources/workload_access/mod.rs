//! Whether the `AuthorizationPolicies` of a workload admit a request that did not come by its mutual-TLS host.
//!
//! They are evaluated as Istio does (`security/v1beta1/authorization_policy.proto`): CUSTOM and DENY first, then ALLOW, of which one must
//! match as soon as there is any. A condition that cannot be evaluated counts as unknown, never as denied.

mod authorizers;
mod connections;
mod hosts;
mod labels;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::Object;
use crate::resources::istiod::REVISION;

pub use authorizers::{authorizer, denying};
pub use connections::of_connections;
use hosts::host;
pub use labels::Labels;

/// The annotation that makes a policy a trial: Istio reports its result and does not enforce it.
const DRY_RUN: &str = "istio.io/dry-run";

/// Who may call a workload with requests that arrive in some way, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nobody: the policies deny the requests.
    Shut,
    /// The result does not follow from the policies.
    Unknown,
    /// Callers who pass another check than that of a client certificate, such as a token.
    Checked,
    /// Everybody whose requests arrive that way.
    Open,
}

/// The mesh identity of arriving requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// No identity: plain connections from outside the mesh.
    Nobody,
    /// The identity of one of these, each as `ns/NAMESPACE/sa/SERVICEACCOUNT` without the trust
    /// domain.
    OneOf(Vec<String>),
    /// The identity of one of these clients, each a URI SAN without `spiffe://`.
    Clients(Vec<String>),
    /// The identity is not known.
    Unknown,
}

/// How requests arrive at a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The sender of the requests.
    pub principal: Principal,
    /// The hosts of the requests, patterns included; `None` if callers choose them.
    pub hosts: Option<Vec<String>>,
    /// The workload's ports of the requests; `None` if they are not known.
    pub ports: Option<Vec<u16>>,
    /// The server name of the TLS handshake; `None` if it is not known.
    pub server_name: Option<String>,
}

/// Whether a rule matches arriving requests, the rarest result first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Never,
    Unknown,
    /// Requests with a valid token match.
    WithToken,
    /// Some requests match, by a method, path or host that the caller can choose.
    Some,
    /// Requests without a valid token match.
    WithoutToken,
    Always,
}

/// Who may call a workload with requests that arrive in this way, by these policies of its namespace and of the mesh's root namespace.
pub fn access<'a>(
    policies: impl IntoIterator<Item = &'a Object>,
    labels: Labels<'_>,
    arrival: &Arrival,
) -> Access {
    let mut access = Access::Open;
    let mut allowing: Option<Access> = None;
    for policy in policies {
        let Some(is_certain) = applies(policy, labels) else {
            continue;
        };
        let matched = rules(policy, arrival);
        match policy.text(&["spec", "action"]) {
            "DENY" => {
                let left = match matched {
                    Match::Always => Access::Shut,
                    Match::WithoutToken => Access::Checked,
                    Match::Unknown => Access::Unknown,
                    Match::Never | Match::WithToken | Match::Some => Access::Open,
                };
                access = access.min(at_least_unknown(left, is_certain));
            }
            "CUSTOM" if matched != Match::Never => {
                access = access.min(at_least_unknown(Access::Checked, is_certain));
            }
            "CUSTOM" | "AUDIT" => {}
            _ => {
                let admitted = match matched {
                    Match::Never => Access::Shut,
                    Match::Unknown => Access::Unknown,
                    Match::WithToken => Access::Checked,
                    Match::Some | Match::WithoutToken | Match::Always => Access::Open,
                };
                let admitted = at_least_unknown(admitted, is_certain);
                allowing = Some(allowing.map_or(admitted, |other| other.max(admitted)));
            }
        }
    }
    access.min(allowing.unwrap_or(Access::Open))
}

/// The policies that reject some of the requests, or may reject them by what cannot be evaluated: none by which [`access`] is shut or
/// checked.
pub fn selective<'a>(
    policies: impl IntoIterator<Item = &'a Object>,
    labels: Labels<'_>,
    arrival: &Arrival,
) -> Vec<&'a Object> {
    let (mut selective, mut allowing) = (Vec::new(), Vec::new());
    for policy in policies {
        let Some(is_certain) = applies(policy, labels) else {
            continue;
        };
        let matched = rules(policy, arrival);
        match policy.text(&["spec", "action"]) {
            "DENY" => {
                let is_decided =
                    is_certain && matches!(matched, Match::Always | Match::WithoutToken);
                if matched != Match::Never && !is_decided {
                    selective.push(policy);
                }
            }
            "CUSTOM" | "AUDIT" => {}
            _ => allowing.push((matched, is_certain, policy)),
        }
    }
    let matches = allowing
        .iter()
        .map(|(matched, is_certain, _)| (*matched, *is_certain));
    let is_decided = matches!(
        matches.max(),
        None | Some((Match::Never | Match::WithToken | Match::Always, true))
    );
    if !is_decided {
        let admitting = allowing
            .iter()
            .filter(|(matched, ..)| *matched != Match::Never);
        selective.extend(admitting.map(|(.., policy)| policy));
    }
    selective
}

/// The result of a policy; unknown if it is not certain that the policy acts on the workload.
fn at_least_unknown(access: Access, is_certain: bool) -> Access {
    if is_certain {
        access
    } else {
        access.max(Access::Unknown)
    }
}

/// Whether a policy is a trial, which is not enforced.
pub fn is_trial(policy: &Object) -> bool {
    policy
        .annotation(DRY_RUN)
        .is_some_and(|value| value != "false")
}

/// Whether a policy acts on the workload, and whether that is certain; `None` if it does not.
fn applies(policy: &Object, labels: Labels<'_>) -> Option<bool> {
    if is_trial(policy) {
        return None;
    }
    let has_target = |field: &str| policy.at(&["spec", field]).is_some();
    if has_target("targetRef") || has_target("targetRefs") {
        // It acts on a Gateway or a waypoint, not on a sidecar.
        return None;
    }
    match labels.are_selected_by(policy.at(&["spec", "selector"])) {
        Some(true) => Some(policy.label(REVISION).is_none()),
        Some(false) => None,
        None => Some(false),
    }
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The match of any rule; a policy without rules matches nothing.
fn rules(policy: &Object, arrival: &Arrival) -> Match {
    let spec = policy.at(&["spec"]).unwrap_or(&Value::Null);
    let matched = items(spec, "rules").iter().map(|each| rule(each, arrival));
    matched.max().unwrap_or(Match::Never)
}

/// The match of one rule: one of its sources, one of its operations, and all conditions; an absent part matches everything.
fn rule(rule: &Value, arrival: &Arrival) -> Match {
    let one_of = |parts: &[Value], matches: &dyn Fn(&Value) -> Match| {
        parts.iter().map(matches).max().unwrap_or(Match::Always)
    };
    let from = one_of(items(rule, "from"), &|from| {
        source(from.get("source").unwrap_or(&Value::Null), arrival)
    });
    let to = one_of(items(rule, "to"), &|to| {
        operation(to.get("operation").unwrap_or(&Value::Null), arrival)
    });
    let conditions = items(rule, "when").iter();
    let when = conditions.map(|when| condition(when, arrival)).min();
    from.min(to).min(when.unwrap_or(Match::Always))
}

fn source(source: &Value, arrival: &Arrival) -> Match {
    fields(source, |field, values| match field {
        "principals" => principal(values, arrival),
        "notPrincipals" => negated(principal(values, arrival)),
        "namespaces" => namespace(values, arrival),
        "notNamespaces" => negated(namespace(values, arrival)),
        "requestPrincipals" => Match::WithToken,
        "notRequestPrincipals" => Match::WithoutToken,
        _ => Match::Unknown,
    })
}

fn operation(operation: &Value, arrival: &Arrival) -> Match {
    fields(operation, |field, values| match field {
        "hosts" => host(values, arrival),
        "notHosts" => negated(host(values, arrival)),
        "ports" => port(values, arrival),
        "notPorts" => negated(port(values, arrival)),
        "paths" if values.iter().any(|path| ["*", "/*"].contains(path)) => Match::Always,
        "methods" | "notMethods" | "paths" | "notPaths" => Match::Some,
        _ => Match::Unknown,
    })
}

fn condition(when: &Value, arrival: &Arrival) -> Match {
    let key = when.get("key").and_then(Value::as_str).unwrap_or_default();
    // Both lists must match (istiod, `pilot/pkg/security/authz/model`).
    let one = |is_negative: bool| {
        let values = items(when, if is_negative { "notValues" } else { "values" });
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        (!values.is_empty()).then(|| one_list(key, (&values, is_negative), arrival))
    };
    one(false)
        .into_iter()
        .chain(one(true))
        .min()
        .unwrap_or(Match::Unknown)
}

fn one_list(key: &str, (values, is_negative): (&[&str], bool), arrival: &Arrival) -> Match {
    let matched = match key {
        "source.principal" => principal(values, arrival),
        "source.namespace" => namespace(values, arrival),
        "destination.port" => port(values, arrival),
        "connection.sni" => server_name(values, arrival),
        key if key.starts_with("request.auth.") => Match::WithToken,
        _ => return Match::Unknown,
    };
    match (matched, is_negative) {
        (Match::WithToken, true) => Match::WithoutToken,
        (matched, true) => negated(matched),
        (matched, false) => matched,
    }
}

/// The match of all fields of a source or an operation; an empty list is like an absent one.
fn fields(value: &Value, matches: impl Fn(&str, &[&str]) -> Match) -> Match {
    let fields = value.as_object().into_iter().flatten();
    let matched = fields.filter_map(|(field, values)| {
        let values = values.as_array()?;
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        (!values.is_empty()).then(|| matches(field, &values))
    });
    matched.min().unwrap_or(Match::Always)
}

fn negated(matched: Match) -> Match {
    match matched {
        Match::Never => Match::Always,
        Match::Always => Match::Never,
        other => other,
    }
}

/// Whether a value matches one of these patterns: exactly, or by a `*` at one end.
fn is_one_of(patterns: &[&str], value: &str) -> bool {
    patterns.iter().any(|pattern| {
        if let Some(end) = pattern.strip_prefix('*') {
            value.ends_with(end)
        } else if let Some(begin) = pattern.strip_suffix('*') {
            value.starts_with(begin)
        } else {
            *pattern == value
        }
    })
}

fn all_or_some(matching: usize, all: usize) -> Match {
    match matching {
        0 => Match::Never,
        some if some < all => Match::Some,
        _ => Match::Always,
    }
}

fn principal(patterns: &[&str], arrival: &Arrival) -> Match {
    match &arrival.principal {
        Principal::Nobody => Match::Never,
        Principal::Unknown => Match::Unknown,
        Principal::OneOf(known) => {
            let is_meant = |known: &&String| {
                patterns.iter().any(|pattern| {
                    // Istio takes `cluster.local` for the trust domain, whatever that is.
                    let domain = pattern.split_once("/ns/").map_or("x", |(domain, _)| domain);
                    is_one_of(&[pattern], &format!("{domain}/{known}"))
                })
            };
            let matching = known.iter().filter(is_meant).count();
            all_or_some(matching, known.len())
        }
        Principal::Clients(known) => {
            let is_meant = |known: &&String| is_one_of(patterns, known);
            all_or_some(known.iter().filter(is_meant).count(), known.len())
        }
    }
}

fn namespace(patterns: &[&str], arrival: &Arrival) -> Match {
    match &arrival.principal {
        Principal::Nobody => Match::Never,
        Principal::Unknown => Match::Unknown,
        Principal::OneOf(known) | Principal::Clients(known) => {
            let is_meant = |known: &&String| {
                namespace_of(known).is_some_and(|namespace| is_one_of(patterns, namespace))
            };
            let matching = known.iter().filter(is_meant).count();
            all_or_some(matching, known.len())
        }
    }
}

/// The namespace in an identity with the path `ns/NAMESPACE/…`; that of a client usually has none
/// (Istio, `pilot/pkg/security/authz/model/generator.go`, `srcNamespaceGenerator`).
fn namespace_of(identity: &str) -> Option<&str> {
    let of_path = identity.split_once("/ns/").map(|(_, rest)| rest);
    let rest = identity.strip_prefix("ns/").or(of_path)?;
    Some(rest.split_once('/')?.0)
}

fn server_name(patterns: &[&str], arrival: &Arrival) -> Match {
    match &arrival.server_name {
        None => Match::Unknown,
        Some(name) if is_one_of(patterns, name) => Match::Always,
        Some(_) => Match::Never,
    }
}

fn port(ports: &[&str], arrival: &Arrival) -> Match {
    let Some(known) = &arrival.ports else {
        return Match::Unknown;
    };
    let is_meant = |port: &&u16| ports.contains(&port.to_string().as_str());
    all_or_some(known.iter().filter(is_meant).count(), known.len())
}
