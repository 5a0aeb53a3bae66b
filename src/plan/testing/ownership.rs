//! Server-side apply: who owns which field, in `metadata.managedFields`. Lists count as one field, as in the kinds written here.

use serde_json::{Map, Value, json};

use crate::error::Failure;
use crate::plan::Action;
use crate::resources::Object;
use crate::resources::field_managers::claims;
use crate::resources::names::FIELD_MANAGER;

/// What applying an object stores. A field of another manager that would change is an error, unless it is taken over.
pub fn apply(
    object: &Object,
    live: Option<&Object>,
    takes_over: bool,
) -> Result<(Object, Action), Failure> {
    let Some(live) = live else {
        return Ok((managed(object.body().clone(), object), Action::Created));
    };
    if !takes_over && let Some(claim) = claims(object, live).first() {
        return Err(Failure::refused(format!(
            "conflict: `{}` has written {} of {}",
            claim.manager,
            claim.field,
            object.reference()
        )));
    }
    let mut body = live.body().clone();
    let former = own_fields(live).unwrap_or_default();
    remove(&mut body, &Value::Object(former), object.body());
    merge(&mut body, object.body());
    Ok((managed(body, object), Action::Configured))
}

fn own_fields(live: &Object) -> Option<Map<String, Value>> {
    let entries = live.at(&["metadata", "managedFields"])?.as_array()?;
    let own = entries
        .iter()
        .find(|entry| entry["manager"] == FIELD_MANAGER)?;
    own["fieldsV1"].as_object().cloned()
}

/// Takes away what was applied before and is not applied any more.
fn remove(body: &mut Value, former: &Value, applied: &Value) {
    let (Some(fields), Some(former)) = (body.as_object_mut(), former.as_object()) else {
        return;
    };
    for (key, below) in former {
        let Some(name) = key.strip_prefix("f:") else {
            continue;
        };
        let is_leaf = below.as_object().is_none_or(Map::is_empty);
        match (applied.get(name), is_leaf) {
            (None, true) => drop(fields.shift_remove(name)),
            (next, false) => {
                if let Some(field) = fields.get_mut(name) {
                    remove(field, below, next.unwrap_or(&Value::Null));
                }
            }
            (Some(_), true) => {}
        }
    }
}

fn merge(body: &mut Value, applied: &Value) {
    match (body, applied) {
        (Value::Object(fields), Value::Object(applied)) => {
            for (name, value) in applied {
                merge(fields.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (body, applied) => *body = applied.clone(),
    }
}

/// The body with our fields marked as ours, and as nobody else's.
fn managed(mut body: Value, applied: &Object) -> Object {
    let mut own = Map::new();
    for (name, value) in applied.body().as_object().into_iter().flatten() {
        if !["apiVersion", "kind"].contains(&name.as_str()) {
            own.insert(format!("f:{name}"), fields(value));
        }
    }
    if let Some(metadata) = own.get_mut("f:metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| ["f:labels", "f:annotations", "f:finalizers"].contains(&&**key));
    }
    let others = body["metadata"]["managedFields"].take();
    let others = others.as_array().cloned().unwrap_or_default();
    let mut entries: Vec<Value> = others
        .into_iter()
        .filter(|entry| entry["manager"] != FIELD_MANAGER)
        .collect();
    entries.push(json!({
        "manager": FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": own,
    }));
    body["metadata"]["managedFields"] = entries.into();
    Object::from_server(applied.reference().kind, body).unwrap()
}

fn fields(value: &Value) -> Value {
    match value {
        Value::Object(inner) => inner
            .iter()
            .map(|(name, value)| (format!("f:{name}"), fields(value)))
            .collect::<Map<_, _>>()
            .into(),
        _ => json!({}),
    }
}
