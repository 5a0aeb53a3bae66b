use super::*;
use serde_json::json;

fn secret() -> Object {
    Object::new(ObjectRef::new(Kind::Secret, "istio-system", "kyma-mtls"))
        .with("data", json!({"tls.key": "aGlkZGVu"}))
}

#[test]
fn debug_of_an_object_shows_no_data() {
    assert_eq!(
        format!("{:?}", secret()),
        "Object(Secret istio-system/kyma-mtls)"
    );
}

#[test]
fn an_object_is_contained_in_one_that_has_more_fields_but_not_in_one_that_differs() {
    let live = secret()
        .with_label("team", "a")
        .with("spec", json!({"hosts": ["a"], "extra": 1}));
    assert!(
        secret()
            .with("spec", json!({"hosts": ["a"]}))
            .is_contained_in(&live)
    );
    assert!(
        !secret()
            .with("spec", json!({"hosts": ["a", "b"]}))
            .is_contained_in(&live)
    );
    assert!(!secret().with_label("team", "b").is_contained_in(&live));
}

#[test]
fn a_change_keeps_the_labels_and_fields_that_others_set() {
    let live = secret()
        .with_label("team", "a")
        .with("immutable", false.into());
    let changed = Object::new(live.reference().clone())
        .with_label("ours", "b")
        .with("data", json!({"cacert": ""}))
        .changing(&live);
    assert_eq!(
        (changed.label("team"), changed.label("ours")),
        (Some("a"), Some("b"))
    );
    assert!(changed.at(&["immutable"]).is_some());
    assert!(changed.at(&["data", "tls.key"]).is_none());
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_its_values() {
    use std::collections::BTreeMap;
    let read = |data: Value| {
        let secret = secret().with("data", data);
        secret.read::<BTreeMap<String, String>>("data").unwrap_err()
    };
    for data in [
        json!({"tls.key": 4915}),
        json!("4915, expected 4915"),
        json!({"a": {"b": "4915"}}),
    ] {
        let error = read(data).to_string();
        assert!(error.contains("`data`: expected "), "{error}");
    }
    assert!(!read(json!({"tls.key": 4915})).to_string().contains("4915"));
}
