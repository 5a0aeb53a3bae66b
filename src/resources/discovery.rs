//! The namespaces that istiod sees: the `discoverySelectors` of the mesh configuration
//! (<https://github.com/istio/istio>, `pkg/kube/namespace/filter.go`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Object, Unreadable};

/// The label that the API server itself sets on every Namespace, with its name.
pub const NAME: &str = "kubernetes.io/metadata.name";

/// The labels of a Namespace.
pub type Labels = BTreeMap<String, String>;

/// One of the selectors: istiod sees a namespace that any of them selects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    #[serde(default, alias = "match_labels")]
    match_labels: Labels,
    #[serde(default, alias = "match_expressions")]
    match_expressions: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Requirement {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// The relevant part of the mesh configuration; istiod accepts either spelling of a field.
#[derive(Deserialize)]
struct Mesh {
    #[serde(rename = "discoverySelectors", alias = "discovery_selectors")]
    discovery_selectors: Option<Vec<Selector>>,
}

/// The selectors of a mesh configuration; without any, istiod sees every namespace.
pub fn selectors(mesh_config: &Object) -> Result<Vec<Selector>, Unreadable> {
    let text = mesh_config.text(&["data", "mesh"]);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mesh: Mesh = serde_saphyr::from_str(text)
        .map_err(|_| mesh_config.unreadable("`mesh` is not a mesh configuration"))?;
    Ok(mesh.discovery_selectors.unwrap_or_default())
}

impl Selector {
    /// Whether the selector selects a namespace with these labels; an empty selector selects all.
    pub fn selects(&self, labels: &Labels) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has)
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.is_met(labels))
    }

    /// Whether the selector only requires labels with one value each.
    pub fn is_plain(&self) -> bool {
        self.match_expressions.is_empty()
    }

    /// The labels with the fewest changes that make the selector select them; `None` if no change does.
    pub fn satisfied(&self, labels: &Labels) -> Option<Labels> {
        let mut satisfied = labels.clone();
        for requirement in &self.match_expressions {
            requirement.meet(&mut satisfied);
        }
        satisfied.extend(self.match_labels.clone());
        let keeps_its_name = satisfied.get(NAME) == labels.get(NAME);
        (keeps_its_name && self.selects(&satisfied)).then_some(satisfied)
    }
}

impl Requirement {
    fn is_met(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_listed,
            Operator::NotIn => !is_listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    /// Changes the label of the requirement, if it is not met.
    fn meet(&self, labels: &mut Labels) {
        if self.is_met(labels) {
            return;
        }
        let wanted = match self.operator {
            Operator::In => self.values.first().cloned(),
            Operator::Exists => Some("true".to_owned()),
            Operator::NotIn | Operator::DoesNotExist => None,
        };
        match wanted {
            Some(value) => labels.insert(self.key.clone(), value),
            None => labels.remove(&self.key),
        };
    }
}

/// The labels with those of a selector added; `None` if every selector needs more than labels, or another value of an existing label.
pub fn added(selectors: &[Selector], labels: &Labels) -> Option<Labels> {
    let plain = selectors.iter().filter(|selector| selector.is_plain());
    let mut satisfied = plain.filter_map(|selector| selector.satisfied(labels));
    satisfied.find(|after| {
        labels
            .iter()
            .all(|(key, value)| after.get(key) == Some(value))
    })
}

/// The arguments of `kubectl label` that turn labels into others: `a=b c-`, with `--overwrite` if a value changes.
pub fn changes(before: &Labels, after: &Labels) -> String {
    let set = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    let mut changes: Vec<String> = set.map(|(key, value)| format!("{key}={value}")).collect();
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    changes.extend(removed.map(|key| format!("{key}-")));
    let is_overwritten =
        |(key, value): (&String, &String)| after.get(key).is_some_and(|after| after != value);
    if before.iter().any(is_overwritten) {
        changes.push("--overwrite".to_owned());
    }
    changes.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::environment::mesh_config;

    fn read(mesh: &str) -> Result<Vec<Selector>, Unreadable> {
        let object = Object::new(mesh_config()).with("data", json!({"mesh": mesh}));
        selectors(&object)
    }

    fn one(selector: &str) -> Selector {
        let mesh = format!("discoverySelectors:\n- {selector}\n");
        let [selector] = read(&mesh).unwrap().try_into().unwrap();
        selector
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_mesh_configuration_without_selectors_selects_nothing_away() {
        for mesh in [
            "",
            "trustDomain: corp.example\n",
            "discoverySelectors: []",
            "discoverySelectors: null",
        ] {
            assert_eq!(read(mesh).unwrap(), [], "{mesh}");
        }
        assert_eq!(
            read("discovery_selectors: [{match_labels: {a: b}}]")
                .unwrap()
                .len(),
            1
        );
        // istiod keeps what it had.
        let unknown = "discoverySelectors: [{matchExpressions: [{key: a, operator: Like}]}]";
        for mesh in ["[", "discoverySelectors: a", unknown] {
            let read = read(mesh).unwrap_err();
            assert_eq!(read.reason, "`mesh` is not a mesh configuration", "{mesh}");
        }
    }

    #[test]
    fn labels_are_selected_as_kubernetes_does_it() {
        let given = labels(&[("a", "b"), ("tier", "1")]);
        for (selector, selects) in [
            ("{}", true),
            ("matchLabels: {a: b}", true),
            ("matchLabels: {a: c}", false),
            ("matchLabels: {a: b, x: y}", false),
            (
                "matchExpressions: [{key: tier, operator: In, values: ['1', '2']}]",
                true,
            ),
            (
                "matchExpressions: [{key: x, operator: In, values: ['1']}]",
                false,
            ),
            (
                "matchExpressions: [{key: tier, operator: NotIn, values: ['1']}]",
                false,
            ),
            (
                "matchExpressions: [{key: x, operator: NotIn, values: ['1']}]",
                true,
            ),
            ("matchExpressions: [{key: tier, operator: Exists}]", true),
            (
                "matchExpressions: [{key: tier, operator: DoesNotExist}]",
                false,
            ),
            (
                "{matchLabels: {a: b}, matchExpressions: [{key: x, operator: Exists}]}",
                false,
            ),
        ] {
            assert_eq!(one(selector).selects(&given), selects, "{selector}");
        }
    }

    #[test]
    fn labels_are_changed_as_little_as_needed_and_the_name_never() {
        let given = labels(&[("a", "b"), (NAME, "kubectl-mtls")]);
        for (selector, changed) in [
            ("matchLabels: {mesh: shop}", Some("mesh=shop")),
            ("matchLabels: {a: c}", Some("a=c --overwrite")),
            (
                "matchExpressions: [{key: x, operator: In, values: [y, z]}]",
                Some("x=y"),
            ),
            (
                "matchExpressions: [{key: x, operator: Exists}]",
                Some("x=true"),
            ),
            (
                "matchExpressions: [{key: a, operator: DoesNotExist}]",
                Some("a-"),
            ),
            (
                "matchExpressions: [{key: a, operator: NotIn, values: [b]}]",
                Some("a-"),
            ),
            ("matchExpressions: [{key: x, operator: In}]", None),
            (
                "{matchLabels: {x: y}, matchExpressions: [{key: x, operator: DoesNotExist}]}",
                None,
            ),
            ("matchLabels: {kubernetes.io/metadata.name: shop}", None),
            (
                "matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop]}]",
                None,
            ),
        ] {
            let satisfied = one(selector).satisfied(&given);
            let said = satisfied.map(|after| changes(&given, &after));
            assert_eq!(said.as_deref(), changed, "{selector}");
        }
    }
}
