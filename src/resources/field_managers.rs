//! The field managers of an object: who last wrote which field, from `metadata.managedFields`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Object;
use super::names::FIELD_MANAGER;
use super::object::contains;

/// A field of another manager that is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The field manager: `kubectl-edit`, `argocd-controller`.
    pub manager: String,
    /// The path of the field: `.spec.servers`.
    pub field: String,
}

impl Claim {
    /// Whether a person wrote the field with kubectl.
    pub fn is_kubectls(&self) -> bool {
        self.manager == "kubectl" || self.manager.starts_with("kubectl-")
    }
}

/// The labels or annotations by which tools mark the objects that they manage.
const KEEPERS: [(&str, &str); 5] = [
    ("meta.helm.sh/release-name", "Helm"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
];

/// The field managers of the same tools.
const KEEPING_MANAGERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("helm", "Helm"),
];

/// The tool that manages an object, such as Argo CD.
pub fn keeper(object: &Object) -> Option<&'static str> {
    let has = |key: &str| object.label(key).is_some() || object.annotation(key).is_some();
    let by_mark = KEEPERS
        .iter()
        .find_map(|(key, keeper)| has(key).then_some(*keeper));
    by_mark.or_else(|| {
        let entries = entries(object).into_iter();
        let mut writers = entries.filter(|entry| entry.subresource.is_empty());
        writers.find_map(|entry| {
            let mut known = KEEPING_MANAGERS.iter();
            known.find_map(|(manager, keeper)| (entry.manager == *manager).then_some(*keeper))
        })
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    fields_v1: Map<String, Value>,
}

fn entries(live: &Object) -> Vec<Entry> {
    live.at(&["metadata", "managedFields"])
        .and_then(|fields| serde_json::from_value(fields.clone()).ok())
        .unwrap_or_default()
}

/// When the spec was last changed, as far as that is known: when the object was created, or any field but its status was written.
pub fn spec_changed_at(object: &Object) -> Option<OffsetDateTime> {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let generation = object.at(&["metadata", "generation"]);
    if generation.and_then(Value::as_u64) == Some(1) {
        return time(object.text(&["metadata", "creationTimestamp"]));
    }
    let written = entries(object).into_iter();
    written
        .filter(|entry| entry.subresource.is_empty())
        .filter_map(|entry| time(&entry.time))
        .max()
}

/// Whether an earlier run wrote this field.
pub fn is_own(path: &[&str], live: &Object) -> bool {
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    entries(live)
        .iter()
        .any(|entry| entry.manager == FIELD_MANAGER && has_written(&entry.fields_v1, &path))
}

/// When the value at a path was last written, as far as that is known, to the second.
pub fn written_at(path: &[&str], live: &Object) -> Option<OffsetDateTime> {
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    let entries = entries(live).into_iter();
    let writing = entries.filter(|entry| has_written(&entry.fields_v1, &path));
    writing
        .filter_map(|entry| OffsetDateTime::parse(&entry.time, &Rfc3339).ok())
        .max()
}

/// The field managers of the value at a path.
pub fn writers(path: &[&str], live: &Object) -> BTreeSet<String> {
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    let entries = entries(live).into_iter();
    let writing = entries.filter(|entry| has_written(&entry.fields_v1, &path));
    writing.map(|entry| entry.manager).collect()
}

/// The fields of others that `stated` would change in `live`. Lists are written as a whole.
pub fn claims(stated: &Object, live: &Object) -> Vec<Claim> {
    let entries = entries(live);
    let mut changed = Vec::new();
    changes(stated.body(), live.body(), &mut Vec::new(), &mut changed);
    let mut claims = Vec::new();
    for path in changed {
        let others = entries
            .iter()
            .filter(|entry| entry.manager != FIELD_MANAGER && entry.subresource.is_empty());
        for entry in others.filter(|entry| has_written(&entry.fields_v1, &path)) {
            claims.push(Claim {
                manager: entry.manager.clone(),
                field: format!(".{}", path.join(".")),
            });
        }
    }
    claims
}

/// The paths of different values; a value in only one of the two has no other manager.
fn changes(stated: &Value, live: &Value, path: &mut Vec<String>, changed: &mut Vec<Vec<String>>) {
    if let (Value::Object(stated), Value::Object(live)) = (stated, live) {
        for (key, value) in stated {
            let Some(live) = live.get(key) else { continue };
            path.push(key.clone());
            changes(value, live, path, changed);
            path.pop();
        }
    } else if live.is_array() && live != stated || !contains(live, stated) {
        // A list is one field: whatever else stands in its elements goes with it.
        changed.push(path.clone());
    }
}

/// Whether a field is in a manager's set, in the format of `sigs.k8s.io/structured-merge-diff`, `fieldpath`: `{"f:spec": {"f:servers":
/// {}}}`.
fn has_written(fields: &Map<String, Value>, path: &[String]) -> bool {
    let mut fields = fields;
    for (depth, name) in path.iter().enumerate() {
        match fields.get(&format!("f:{name}")) {
            Some(_) if depth + 1 == path.len() => return true,
            Some(Value::Object(deeper)) => fields = deeper,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::names::GatewayName;
    use serde_json::json;

    fn gateway(host: &str) -> Object {
        Object::new(GatewayName::new("shop", "gw").reference()).with(
            "spec",
            json!({"selector": {"a": "b"}, "servers": [{"hosts": [host]}]}),
        )
    }

    fn live(manager: &str) -> Object {
        let mut body = gateway("a.example.com").body().clone();
        body["metadata"]["managedFields"] = json!([
            {"manager": FIELD_MANAGER, "fieldsV1": {"f:spec": {"f:selector": {"f:a": {}}}}},
            {"manager": manager, "fieldsV1": {"f:spec": {"f:servers": {}}}},
        ]);
        Object::from_server(crate::resources::Kind::Gateway, body).unwrap()
    }

    #[test]
    fn only_what_is_to_be_changed_is_claimed_by_whoever_wrote_it() {
        let claim = Claim {
            manager: "kubectl-edit".to_owned(),
            field: ".spec.servers".to_owned(),
        };
        assert_eq!(
            claims(&gateway("b.example.com"), &live("kubectl-edit")),
            [claim]
        );
        assert_eq!(claims(&gateway("a.example.com"), &live("kubectl-edit")), []);
        assert_eq!(claims(&gateway("b.example.com"), &live(FIELD_MANAGER)), []);
    }

    #[test]
    fn kubectls_fields_are_told_from_those_of_controllers() {
        let of = |manager: &str| claims(&gateway("b.example.com"), &live(manager))[0].is_kubectls();
        assert!(of("kubectl-client-side-apply") && of("kubectl"));
        assert!(!of("argocd-controller") && !of("helm") && !of("kustomize-controller"));
    }

    #[test]
    fn an_object_that_a_tool_keeps_bears_its_mark() {
        let helms = gateway("a.example.com").with_annotation("meta.helm.sh/release-name", "shop");
        assert_eq!(keeper(&helms), Some("Helm"));
        assert_eq!(keeper(&gateway("a.example.com")), None);
    }
}
