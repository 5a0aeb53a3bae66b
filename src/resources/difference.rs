//! The changes that a manifest would make to an existing object, field by field.

use serde_json::Value;

use super::{Kind, Object};

/// The changes that `stated` would make to `live`, one line `path: before -> after` each, without fields that it does not set. Values of a
/// Secret are not shown.
pub fn differences(stated: &Object, live: &Object) -> Vec<String> {
    let mut lines = Vec::new();
    let is_secret = stated.reference().kind == Kind::Secret;
    let show = |path: &str, value: Option<&Value>| match value {
        None => "(none)".to_owned(),
        Some(_) if is_secret && path.starts_with("data") => "(not shown)".to_owned(),
        Some(value) => value.to_string(),
    };
    compare(
        "",
        Some(live.body()),
        stated.body(),
        &mut |path, before, after| {
            lines.push(format!(
                "{path}: {} -> {}",
                show(path, before),
                show(path, Some(after))
            ));
        },
    );
    lines
}

fn compare(
    path: &str,
    live: Option<&Value>,
    stated: &Value,
    tell: &mut impl FnMut(&str, Option<&Value>, &Value),
) {
    match (live, stated) {
        (Some(Value::Object(before)), Value::Object(after)) => {
            for (key, after) in after {
                compare(&join(path, key), before.get(key), after, tell);
            }
        }
        (Some(Value::Array(before)), Value::Array(after)) if before.len() == after.len() => {
            for (number, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{path}[{number}]"), Some(before), after, tell);
            }
        }
        (Some(before), after) if before == after => {}
        (before, after) => tell(path, before, after),
    }
}

/// Adds a key to a path; keys with dots, as those of annotations, are written in brackets.
fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) {
        format!("{path}[{key}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::ObjectRef;

    #[test]
    fn changed_and_new_fields_are_told_with_their_path_and_all_others_are_not() {
        let gateway = || Object::new(ObjectRef::new(Kind::Gateway, "shop", "gw"));
        let live = gateway()
            .with_annotation("example.com/team", "a")
            .with("spec", json!({"servers": [{"hosts": ["a"], "extra": 1}]}));
        let stated = gateway().with_annotation("example.com/team", "b").with(
            "spec",
            json!({"servers": [{"hosts": ["b"]}], "selector": {"app": "x"}}),
        );
        assert_eq!(
            differences(&stated, &live),
            [
                r#"metadata.annotations[example.com/team]: "a" -> "b""#,
                r#"spec.servers[0].hosts[0]: "a" -> "b""#,
                r#"spec.selector: (none) -> {"app":"x"}"#,
            ]
        );
        assert!(differences(&live, &live).is_empty());
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let secret = |value: &str| {
            Object::new(ObjectRef::new(Kind::Secret, "shop", "s")).with("data", json!({"k": value}))
        };
        let said = differences(&secret("aGlkZGVu"), &secret("b3RoZXI="));
        assert_eq!(said, ["data.k: (not shown) -> (not shown)"]);
    }
}
