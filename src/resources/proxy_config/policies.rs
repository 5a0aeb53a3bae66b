//! The `AuthorizationPolicies` in the RBAC filters of a listener (`envoy.extensions.filters.http.rbac.v3.RBAC`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A dump of listeners. Only what their rules match is kept, and that once: istiod repeats all filters in the filter chain of every server,
/// which are tens of megabytes for some dozens of Gateways.
#[derive(Deserialize)]
struct Dump<'a> {
    #[serde(borrow, default)]
    configs: Vec<Listener<'a>>,
}

#[derive(Deserialize)]
struct Listener<'a> {
    name: Option<String>,
    #[serde(borrow)]
    active_state: Option<Filters<'a>>,
    #[serde(borrow)]
    warming_state: Option<Filters<'a>>,
    #[serde(borrow)]
    error_state: Option<ErrorState<'a>>,
}

#[derive(Deserialize)]
struct ErrorState<'a> {
    #[serde(borrow)]
    failed_configuration: Option<Filters<'a>>,
}

/// The lines of [`Part::Policies`](super::Part::Policies); `None` if the dump is not JSON.
pub(super) fn read(dump: &[u8]) -> Option<BTreeSet<String>> {
    let dump: Dump<'_> = serde_json::from_slice(dump).ok()?;
    let mut told = BTreeSet::new();
    for listener in &dump.configs {
        enforced(listener, &mut told).ok()?;
    }
    Some(told)
}

/// Collects the policies of a listener. Its newer version enforces nothing until all that it needs has been loaded, and never if it is
/// rejected, while another listener may enforce the same policy already.
fn enforced(listener: &Listener<'_>, told: &mut BTreeSet<String>) -> serde_json::Result<()> {
    // A listener that was never accepted serves nothing.
    let Some(active) = &listener.active_state else {
        return Ok(());
    };
    let active = Rules::of(active)?;
    let failed = listener.error_state.as_ref();
    let failed = failed.and_then(|state| state.failed_configuration.as_ref());
    let newer = [
        (listener.warming_state.as_ref(), "is warming"),
        (failed, "is rejected"),
    ];
    let name = listener.name.as_deref().unwrap_or("a listener");
    for (newer, state) in newer {
        let Some(newer) = newer else {
            continue;
        };
        let newer = Rules::of(newer)?;
        let names = active.0.keys().chain(newer.0.keys());
        let changed = names.filter(|policy| active.0.get(*policy) != newer.0.get(*policy));
        told.extend(changed.map(|policy| format!("{policy} {name} {state}")));
    }
    for (policy, rules) in active.0 {
        told.insert(policy.clone());
        for rule in rules {
            told.insert(format!("{policy} action {}", rule.action));
            let matches = rule.matches.parse()?;
            matched(&rule_name(&policy, &rule.number), &matches, told);
        }
    }
    Ok(())
}

/// The name of an `AuthorizationPolicy` in the lines of [`Part::Policies`].
pub fn policy_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// The name of a rule in the lines of [`Part::Policies`], by its place among the policy's rules, from 0 on.
pub fn rule_name(policy: &str, number: &str) -> String {
    format!("{policy} rule[{number}]")
}

/// The RBAC filters of a configuration (`envoy.config.rbac.v3.RBAC`), each once: its action, and its policies in the proxy's JSON. Those of
/// a trial, `shadow_rules`, enforce nothing.
#[derive(Default)]
struct Filters<'a>(BTreeSet<(String, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Filters<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut filters = Self::default();
        Search(&mut filters).deserialize(deserializer)?;
        Ok(filters)
    }
}

/// Searches a JSON value for RBAC filters.
struct Search<'f, 'a>(&'f mut Filters<'a>);

impl<'de: 'a, 'a> DeserializeSeed<'de> for Search<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Search<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<(), M::Error> {
        let (mut action, mut policies) = (None, None);
        while let Some(key) = fields.next_key::<String>()? {
            match key.as_str() {
                "action" => action = Some(fields.next_value::<&RawValue>()?.get()),
                "policies" => policies = Some(fields.next_value::<&RawValue>()?.get()),
                "shadow_rules" => drop(fields.next_value::<IgnoredAny>()?),
                _ => fields.next_value_seed(Search(self.0))?,
            }
        }
        if let Some(policies) = policies {
            let action = action.and_then(|action| serde_json::from_str(action).ok());
            // The default of the protocol.
            let action = action.unwrap_or_else(|| "ALLOW".to_owned());
            self.0.0.insert((action, policies));
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(), S::Error> {
        while items.next_element_seed(Search(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The rules of a configuration by [the name](policy_name) of their `AuthorizationPolicy`, as istiod names them:
/// `ns[NAMESPACE]-policy[NAME]-rule[NUMBER]` (`pilot/pkg/security/authz/builder`).
struct Rules<'a>(BTreeMap<String, BTreeSet<Rule<'a>>>);

/// One rule of an `AuthorizationPolicy`. Envoy prints the same rule as the same text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rule<'a> {
    number: String,
    action: &'a str,
    /// In the proxy's JSON.
    matches: &'a str,
}

impl<'a> Rules<'a> {
    fn of(filters: &'a Filters<'_>) -> serde_json::Result<Self> {
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (action, policies) in &filters.0 {
            // Other filters may have a field of this name.
            if !policies.starts_with('{') {
                continue;
            }
            let policies: BTreeMap<String, &RawValue> = serde_json::from_str(policies)?;
            for (key, matches) in policies {
                if let Some((policy, number)) = policy_of(&key) {
                    found.entry(policy).or_default().insert(Rule {
                        number: number.to_owned(),
                        action,
                        matches: matches.get(),
                    });
                }
            }
        }
        Ok(Self(found))
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
