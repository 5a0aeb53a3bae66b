//! An existing guard, compared with the one that this plugin would write.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::resources::istiod::REVISION;
use crate::resources::proxy_config::{policy_name, rule_name};
use crate::resources::{Object, ObjectRef};

/// The annotation that makes a policy a trial: Istio reports its result and does not enforce it.
const DRY_RUN: &str = "istio.io/dry-run";

/// Why a guard does not deny what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The guard is a trial, which Istio does not enforce.
    DryRun,
    /// The guard is read only by an istiod of this revision, which does not configure the proxies.
    Revision(String),
    /// The guard selects other proxies.
    Selector,
    /// The guard's action is not DENY.
    Action(String),
    /// The guard does not deny requests with this `Host` value.
    Host(String),
    /// The guard's rules differ in another way.
    Rules,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DryRun => write!(f, "the annotation `{DRY_RUN}` disables the guard"),
            Self::Revision(revision) => write!(
                f,
                "the label `{REVISION}={revision}` hides the guard from the istiod of the gateway's proxies"
            ),
            Self::Selector => f.write_str("the selector of the guard selects other proxies"),
            Self::Action(action) => write!(f, "the action of the guard is `{action}`, not `DENY`"),
            Self::Host(host) => write!(f, "no rule of the guard is about the host `{host}`"),
            Self::Rules => f.write_str("the rules of the guard were changed"),
        }
    }
}

/// Why a guard differs from `wanted`, the most important reason first; `revision` is that of the proxies' istiod.
///
/// `wanted` is the manifest with the clients that the live guard lists, unless that list does not count any more.
pub fn faults(live: &Object, wanted: &Object, revision: Option<&str>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if is_dry_run(live) {
        faults.push(Fault::DryRun);
    }
    faults.extend(foreign_revision(live, revision).map(|label| Fault::Revision(label.to_owned())));
    let field = |object: &Object, name: &str| object.at(&["spec", name]).cloned();
    if field(live, "selector") != field(wanted, "selector") {
        faults.push(Fault::Selector);
    }
    let action = live.text(&["spec", "action"]);
    if action != wanted.text(&["spec", "action"]) {
        // The API's default.
        let action = if action.is_empty() { "ALLOW" } else { action };
        faults.push(Fault::Action(action.to_owned()));
    }
    // Each rule denies by itself: their order means nothing.
    if !has_same_rules(live, wanted) {
        let known = hosts(live);
        let lost = hosts(wanted).into_iter().find(|host| !known.contains(host));
        faults.push(lost.map_or(Fault::Rules, Fault::Host));
    }
    faults
}

/// The live guard with all fields of `wanted`, and without settings that disable it; for a PUT under the resourceVersion that was read.
pub fn repaired(live: &Object, wanted: &Object, revision: Option<&str>) -> Object {
    let mut base = live.clone();
    if is_dry_run(live) {
        base = base.without_annotation(DRY_RUN);
    }
    if foreign_revision(live, revision).is_some() {
        base = base.without_label(REVISION);
    }
    wanted.clone().changing(&base)
}

/// The live guard with its rules in another order: it has the same meaning, but is a change, which drains the connections of the proxies.
pub fn turned(live: &Object) -> Object {
    let mut spec = live.at(&["spec"]).cloned().unwrap_or_default();
    if let Some(rules) = spec.get_mut("rules").and_then(Value::as_array_mut)
        && !rules.is_empty()
    {
        rules.rotate_left(1);
    }
    live.clone().with("spec", spec)
}

/// The guard with its rules in the order of the live one, if that has the same rules.
pub fn arranged(wanted: Object, live: &Object) -> Object {
    let mut spec = wanted.at(&["spec"]).cloned().unwrap_or_default();
    match live.at(&["spec", "rules"]) {
        Some(order) if has_same_rules(live, &wanted) => {
            spec["rules"] = order.clone();
            wanted.with("spec", spec)
        }
        _ => wanted,
    }
}

/// Whether two guards have the same rules, in whatever order; the API server has its own order of fields, too.
fn has_same_rules(one: &Object, other: &Object) -> bool {
    let (rules, mut rest) = (rules(one), rules(other).iter().collect::<Vec<_>>());
    let is_among = |rule: &Value| {
        let place = rest.iter().position(|other| *other == rule);
        place.map(|place| rest.remove(place)).is_some()
    };
    rules.iter().all(is_among) && rest.is_empty()
}

fn rules(object: &Object) -> &[Value] {
    let rules = object.at(&["spec", "rules"]).and_then(Value::as_array);
    rules.map(Vec::as_slice).unwrap_or_default()
}

/// Whether a proxy that shows these lines of [`crate::resources::proxy_config::Part::Policies`] enforces exactly these traces of a guard.
pub fn is_enforced(guard: &ObjectRef, traces: &BTreeSet<String>, lines: &BTreeSet<String>) -> bool {
    let name = policy_name(&guard.namespace, &guard.name);
    let of_guard = |line: &&String| {
        let rest = line.strip_prefix(&name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let from = lines.range(name.clone()..);
    from.take_while(of_guard).eq(traces)
}

/// What proxies show of an enforced guard: its namespace and name, alone, with its action, and with each rule's number and each identity,
/// header, host, port and TLS server name in that rule. See [`crate::resources::proxy_config::Part::Policies`].
pub fn traces(guard: &Object) -> BTreeSet<String> {
    let policy = policy_name(guard.namespace(), guard.name());
    let mut traces = BTreeSet::from([policy.clone()]);
    let texts = |value: Option<&Value>| -> Vec<String> {
        let values = value.and_then(Value::as_array).into_iter().flatten();
        values
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    };
    let items = |value: Option<&Value>| -> Vec<Value> {
        value.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let rules = items(guard.at(&["spec", "rules"]));
    if !rules.is_empty() {
        traces.insert(format!(
            "{policy} action {}",
            guard.text(&["spec", "action"])
        ));
    }
    for (number, rule) in rules.into_iter().enumerate() {
        let name = rule_name(&policy, &number.to_string());
        for from in items(rule.get("from")) {
            let principals = texts(from.pointer("/source/notPrincipals"));
            let exact = principals
                .iter()
                .filter(|principal| !principal.contains('*'));
            traces.extend(exact.map(|principal| format!("{name} spiffe://{principal}")));
        }
        for to in items(rule.get("to")) {
            let field = |field: &str| texts(to.pointer(&format!("/operation/{field}")));
            let hosts = field("hosts").into_iter();
            traces.extend(hosts.map(|host| format!("{name} host {host}")));
            let ports = field("ports").into_iter().chain(field("notPorts"));
            traces.extend(ports.map(|port| format!("{name} port {port}")));
        }
        for when in items(rule.get("when")) {
            let key = when.get("key").and_then(Value::as_str).unwrap_or_default();
            let header = key
                .strip_prefix("request.headers[")
                .and_then(|key| key.strip_suffix(']'));
            traces.extend(header.map(|header| format!("{name} {header}")));
            if key == "connection.sni" {
                let values = texts(when.get("values")).into_iter();
                let values = values.chain(texts(when.get("notValues")));
                let values = values.filter(|value| value != "*");
                traces.extend(values.map(|value| format!("{name} sni {value}")));
            }
        }
    }
    traces
}

fn is_dry_run(live: &Object) -> bool {
    live.annotation(DRY_RUN)
        .is_some_and(|value| value != "false")
}

fn foreign_revision<'a>(live: &'a Object, revision: Option<&str>) -> Option<&'a str> {
    live.label(REVISION)
        .filter(|label| Some(*label) != revision)
}

/// The host that a host guard is about.
pub fn host_of(guard: &Object) -> Option<String> {
    hosts(guard).into_iter().next()
}

/// The `Host` values that the rules name.
fn hosts(object: &Object) -> Vec<String> {
    let operations = rules(object)
        .iter()
        .filter_map(|rule| rule.get("to")?.as_array())
        .flatten();
    operations
        .filter_map(|to| to.pointer("/operation/hosts")?.as_array())
        .flatten()
        .filter_map(|host| host.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Kind, ObjectRef};
    use serde_json::json;

    fn guard(hosts: &[&str]) -> Object {
        let rule = json!({"to": [{"operation": {"hosts": hosts}}]});
        let spec =
            json!({"selector": {"matchLabels": {"a": "b"}}, "action": "DENY", "rules": [rule]});
        Object::new(ObjectRef::new(
            Kind::AuthorizationPolicy,
            "istio-system",
            "x",
        ))
        .with("spec", spec)
    }

    fn edited(field: &str, value: Value) -> Object {
        let wanted = guard(&["h", "h:*"]);
        let mut spec = wanted.at(&["spec"]).unwrap().clone();
        spec[field] = value;
        wanted.with("spec", spec)
    }

    #[test]
    fn each_way_to_weaken_a_guard_is_named() {
        let wanted = guard(&["h", "h:*"]);
        let found = |live: &Object| faults(live, &wanted, Some("stable"));
        assert_eq!(found(&wanted), []);
        let dry = wanted.clone().with_annotation(DRY_RUN, "true");
        assert_eq!(found(&dry), [Fault::DryRun]);
        let other = wanted.clone().with_label(REVISION, "canary");
        assert_eq!(found(&other), [Fault::Revision("canary".to_owned())]);
        let same = wanted.clone().with_label(REVISION, "stable");
        assert_eq!(found(&same), []);
        assert_eq!(found(&edited("selector", json!({}))), [Fault::Selector]);
        let audit = edited("action", json!("AUDIT"));
        assert_eq!(found(&audit), [Fault::Action("AUDIT".to_owned())]);
        assert_eq!(found(&guard(&["h"])), [Fault::Host("h:*".to_owned())]);
        assert_eq!(found(&guard(&["h", "h:*", "i"])), [Fault::Rules]);
    }

    #[test]
    fn rules_in_another_order_are_another_object_that_guards_the_same() {
        let rule = |host: &str| json!({"to": [{"operation": {"hosts": [host]}}]});
        let wanted = edited("rules", json!([rule("a"), rule("b"), rule("c")]));
        let turned = turned(&wanted);
        assert_ne!(turned, wanted);
        assert_eq!(faults(&turned, &wanted, None), []);
        let ordered = r#"[{"to": [{"operation": {"hosts": ["a"], "ports": ["1"]}}], "when": []}]"#;
        let sorted = r#"[{"when": [], "to": [{"operation": {"ports": ["1"], "hosts": ["a"]}}]}]"#;
        let [ordered, sorted] = [ordered, sorted].map(|rules| {
            let rules: Value = serde_json::from_str(rules).unwrap();
            edited("rules", rules)
        });
        assert_eq!(faults(&sorted, &ordered, None), []);
        let less = edited("rules", json!([rule("a"), rule("b")]));
        assert_ne!(faults(&less, &wanted, None), []);
    }

    #[test]
    fn a_repaired_guard_has_no_fault_and_keeps_what_others_noted_on_it() {
        let wanted = guard(&["h", "h:*"]);
        let live = guard(&["h"])
            .with_annotation(DRY_RUN, "true")
            .with_label(REVISION, "canary")
            .with_label("team", "a");
        let repaired = repaired(&live, &wanted, None);
        assert_eq!(faults(&repaired, &wanted, None), []);
        assert_eq!(repaired.label("team"), Some("a"));
    }
}
