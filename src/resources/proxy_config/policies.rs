//! The `AuthorizationPolicies` in the RBAC filters of a listener (`envoy.extensions.filters.http.rbac.v3.RBAC`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Collects the policies of a listener. Its newer version enforces nothing until all that it needs has been loaded, and never if it is
/// rejected, while another listener may enforce the same policy already.
pub(super) fn enforced(listener: &Value, told: &mut BTreeSet<String>) {
    // A listener that was never accepted serves nothing.
    let Some(active) = listener.get("active_state").map(Rules::of) else {
        return;
    };
    let newer = [
        (listener.get("warming_state"), "is warming"),
        (
            listener.pointer("/error_state/failed_configuration"),
            "is rejected",
        ),
    ];
    let name = listener.get("name").and_then(Value::as_str);
    let name = name.unwrap_or("a listener");
    for (newer, state) in newer {
        let Some(newer) = newer.map(Rules::of) else {
            continue;
        };
        let names = active.0.keys().chain(newer.0.keys());
        let changed = names.filter(|policy| !active.has_same(&newer, policy));
        told.extend(changed.map(|policy| format!("{policy} {name} {state}")));
    }
    for (policy, rules) in active.0 {
        told.insert(policy.clone());
        for rule in rules {
            told.insert(format!("{policy} action {}", rule.action));
            matched(&rule_name(&policy, rule.number), rule.matches, told);
        }
    }
}

/// The name of an `AuthorizationPolicy` in the lines of [`Part::Policies`].
pub fn policy_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The name of a rule in the lines of [`Part::Policies`], by its place among the policy's rules, from 0 on.
pub fn rule_name(policy: &str, number: &str) -> String {
    format!("{policy} rule[{number}]")
}

/// The rules of a configuration by [the name](policy_name) of their `AuthorizationPolicy`.
#[derive(Default)]
struct Rules<'a>(BTreeMap<String, Vec<Rule<'a>>>);

/// One rule of an `AuthorizationPolicy`.
#[derive(Clone, PartialEq)]
struct Rule<'a> {
    number: &'a str,
    action: &'a str,
    matches: &'a Value,
}

impl<'a> Rules<'a> {
    fn of(configuration: &'a Value) -> Self {
        let mut rules = Self::default();
        rules.collect(configuration);
        rules
    }

    /// Whether both have the same rules of a policy.
    fn has_same(&self, other: &Self, policy: &str) -> bool {
        let of = |rules: &'_ Self| rules.0.get(policy).cloned().unwrap_or_default();
        let (own, others) = (of(self), of(other));
        own.len() == others.len() && own.iter().all(|rule| others.contains(rule))
    }

    /// Collects the rules of RBAC filters (`envoy.config.rbac.v3.RBAC`), which istiod names `ns[NAMESPACE]-policy[NAME]-rule[NUMBER]`
    /// (`pilot/pkg/security/authz/builder`). Those of a trial, `shadow_rules`, enforce nothing.
    fn collect(&mut self, value: &'a Value) {
        match value {
            Value::Object(fields) => {
                // The default of the protocol.
                let action = fields.get("action").and_then(Value::as_str);
                let action = action.unwrap_or("ALLOW");
                let policies = fields.get("policies").and_then(Value::as_object);
                for (key, matches) in policies.into_iter().flatten() {
                    if let Some((policy, number)) = policy_of(key) {
                        let rules = self.0.entry(policy).or_default();
                        let rule = Rule {
                            number,
                            action,
                            matches,
                        };
                        // istiod repeats it in every filter chain.
                        if !rules.contains(&rule) {
                            rules.push(rule);
                        }
                    }
                }
                let inner = fields
                    .iter()
                    .filter(|(key, _)| !["policies", "shadow_rules"].contains(&key.as_str()));
                inner.for_each(|(_, field)| self.collect(field));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }
}

/// The name of the policy of a rule, and the rule's number.
fn policy_of(rule: &str) -> Option<(String, &str)> {
    let (namespace, rest) = rule.strip_prefix("ns[")?.split_once("]-policy[")?;
    let (name, rest) = rest.split_once("]-rule[")?;
    let (number, _) = rest.split_once(']')?;
    Some((policy_name(namespace, name), number))
}

/// Collects what a rule matches, each after the rule's name: identities and headers as they are, and `host`, `port` and `sni` with their
/// values, where `*` stands for what a prefix or suffix leaves open.
fn matched(rule: &str, value: &Value, told: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str);
            let identity = text("exact").filter(|exact| exact.starts_with("spiffe://"));
            let header = text("name").filter(|name| !name.starts_with(':'));
            let found = identity.into_iter().chain(header);
            told.extend(found.map(|found| format!("{rule} {found}")));
            if text("name") == Some(":authority") {
                let host = fields.get("string_match").and_then(pattern);
                told.extend(host.map(|host| format!("{rule} host {host}")));
            }
            let name = fields.get("requested_server_name").and_then(pattern);
            told.extend(name.map(|name| format!("{rule} sni {name}")));
            let port = fields.get("destination_port").and_then(Value::as_u64);
            told.extend(port.map(|port| format!("{rule} port {port}")));
            fields.values().for_each(|field| matched(rule, field, told));
        }
        Value::Array(items) => items.iter().for_each(|item| matched(rule, item, told)),
        _ => {}
    }
}

/// The value of a `StringMatcher` as an `AuthorizationPolicy` has it; `None` if it matches anything.
fn pattern(matcher: &Value) -> Option<String> {
    let text = |key: &str| matcher.get(key).and_then(Value::as_str);
    let exact = text("exact").map(str::to_owned);
    let prefix = || text("prefix").map(|prefix| format!("{prefix}*"));
    let suffix = || text("suffix").map(|suffix| format!("*{suffix}"));
    exact.or_else(prefix).or_else(suffix)
}
