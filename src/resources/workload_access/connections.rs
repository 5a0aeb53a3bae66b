//! Policies on connections that a workload does not take for HTTP.

use serde_json::Value;

use super::items;
use crate::resources::Object;

/// A policy as a workload enforces it on connections that are not taken for HTTP: a rule that allows by fields of HTTP requests is left out
/// (<https://github.com/istio/istio>, `pilot/pkg/security/authz/model/model.go`, `Generate`).
pub fn of_connections(policy: &Object) -> Object {
    let Some(spec) = policy.at(&["spec"]).filter(|_| is_allowing(policy)) else {
        return policy.clone();
    };
    let mut spec = spec.clone();
    if let Some(rules) = spec.get_mut("rules").and_then(Value::as_array_mut) {
        rules.retain(|rule| !is_of_requests(rule));
    }
    policy.clone().with("spec", spec)
}

fn is_allowing(policy: &Object) -> bool {
    ["", "ALLOW"].contains(&policy.text(&["spec", "action"]))
}

/// Whether a rule has a field of HTTP requests.
fn is_of_requests(rule: &Value) -> bool {
    const FIELDS: [&str; 4] = ["hosts", "methods", "paths", "requestPrincipals"];
    let has = |parts: &str, part: &str| {
        let parts = items(rule, parts)
            .iter()
            .filter_map(|one| one.get(part)?.as_object());
        let mut fields = parts.flatten();
        fields.any(|(field, values)| {
            let field = field.strip_prefix("not").unwrap_or(field);
            let is_set = values.as_array().is_some_and(|values| !values.is_empty());
            is_set && FIELDS.iter().any(|known| known.eq_ignore_ascii_case(field))
        })
    };
    let mut keys = items(rule, "when")
        .iter()
        .filter_map(|when| when.get("key")?.as_str());
    has("from", "source") || has("to", "operation") || keys.any(|key| key.starts_with("request."))
}
