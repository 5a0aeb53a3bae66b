//! The labels of a workload, and the selectors that match it.

use serde_json::Value;

/// The workload's labels.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The known labels, as pairs.
    pub known: &'a [(String, String)],
    /// Whether the workload has no other labels.
    pub are_complete: bool,
}

impl Labels<'_> {
    /// Whether a selector of the form of `meta/v1.LabelSelector` selects the workload; `None` if that is not known. An absent or empty
    /// selector selects everything.
    pub fn are_selected_by(&self, selector: Option<&Value>) -> Option<bool> {
        let field = |name: &str| selector.and_then(|selector| selector.get(name));
        let pairs = field("matchLabels").and_then(Value::as_object);
        let pairs = pairs.into_iter().flatten();
        let pairs = pairs.map(|(key, value)| {
            let is_equal = || self.value(key) == value.as_str();
            self.is_known(key).then(is_equal)
        });
        let expressions = field("matchExpressions").and_then(Value::as_array);
        let expressions = expressions.into_iter().flatten();
        let parts = pairs.chain(expressions.map(|expression| self.meets(expression)));
        let parts: Vec<Option<bool>> = parts.collect();
        if parts.contains(&Some(false)) {
            return Some(false);
        }
        (!parts.contains(&None)).then_some(true)
    }

    /// Whether the workload's value of a label, or its absence, is known.
    fn is_known(&self, key: &str) -> bool {
        self.are_complete || self.value(key).is_some()
    }

    /// The value of a label, if it is known and present.
    fn value(&self, key: &str) -> Option<&str> {
        let mut known = self.known.iter();
        let found = known.find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    fn meets(&self, expression: &Value) -> Option<bool> {
        let text = |name: &str| expression.get(name).and_then(Value::as_str);
        let key = text("key").filter(|key| self.is_known(key))?;
        let value = self.value(key);
        let values = expression.get("values").and_then(Value::as_array);
        let mut values = values.into_iter().flatten();
        match text("operator")? {
            "In" => Some(value.is_some() && values.any(|one| one.as_str() == value)),
            "NotIn" => Some(value.is_none() || values.all(|one| one.as_str() != value)),
            "Exists" => Some(value.is_some()),
            "DoesNotExist" => Some(value.is_none()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_of_the_labels_leaves_open_whether_they_are_selected() {
        let known = [("app".to_owned(), "web".to_owned())];
        let selected = |selector: &Value, are_complete: bool| {
            let known = &known;
            let labels = Labels {
                known,
                are_complete,
            };
            labels.are_selected_by(Some(selector))
        };
        let expression = |operator: &str, key: &str| json!({"matchExpressions": [{"key": key, "operator": operator, "values": ["web"]}]});
        for (selector, complete, partial) in [
            (json!({}), Some(true), Some(true)),
            (
                json!({"matchLabels": {"app": "web"}}),
                Some(true),
                Some(true),
            ),
            (
                json!({"matchLabels": {"app": "db"}}),
                Some(false),
                Some(false),
            ),
            (json!({"matchLabels": {"tier": "db"}}), Some(false), None),
            (
                json!({"matchLabels": {"tier": "db", "app": "db"}}),
                Some(false),
                Some(false),
            ),
            (expression("In", "app"), Some(true), Some(true)),
            (expression("NotIn", "app"), Some(false), Some(false)),
            (expression("NotIn", "tier"), Some(true), None),
            (expression("Exists", "tier"), Some(false), None),
            (expression("DoesNotExist", "tier"), Some(true), None),
            (expression("Other", "app"), None, None),
        ] {
            assert_eq!(selected(&selector, true), complete, "{selector}");
            assert_eq!(selected(&selector, false), partial, "{selector}");
        }
    }
}
