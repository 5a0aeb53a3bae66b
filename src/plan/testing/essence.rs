//! What two clusters must have in common when a command has come to the same end in both.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::Cluster;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{AUTHORITY_LABEL, AUTHORITY_NAMESPACE};
use crate::resources::witness;
use crate::resources::{Kind, Object};

/// What the API server sets, and what no two runs have alike.
const OF_THE_SERVER: [&str; 5] = [
    "resourceVersion",
    "uid",
    "managedFields",
    "generation",
    "creationTimestamp",
];
const OF_CONTROLLERS: [&str; 2] = ["observedGeneration", "lastProcessedTime"];
/// From so many on, hexadecimal digits are a fingerprint, a key id or random.
const SHORTEST_DIGEST: usize = 16;

impl Cluster {
    /// All objects, without versions, times, keys and random names, and without keys that no authority names.
    pub fn essence(&self) -> BTreeMap<String, Value> {
        let states = self.objects.values().filter(|object| is_state(object));
        let keys: Vec<(String, String)> = states
            .filter_map(|object| AuthorityState::read(object).ok())
            .map(|state| (state.authority, state.keys_secret))
            .collect();
        let mut essence = BTreeMap::new();
        for (reference, object) in &self.objects {
            if reference.kind == Kind::Event {
                continue;
            }
            let mut name = reference.to_string();
            if is_keys(object) {
                let named = keys.iter().find(|(_, keys)| *keys == reference.name);
                let Some((authority, _)) = named else {
                    continue;
                };
                name = format!("keys of {authority}");
            }
            let mut body = object.body().clone();
            if let Some(metadata) = body["metadata"].as_object_mut() {
                metadata.retain(|field, _| !OF_THE_SERVER.contains(&field.as_str()));
                metadata["name"] = name.clone().into();
            }
            if let Some(status) = body.get_mut("status").and_then(Value::as_object_mut) {
                status.retain(|field, _| !OF_CONTROLLERS.contains(&field.as_str()));
            }
            for (authority, keys) in &keys {
                rename(&mut body, keys, authority);
            }
            blur(&mut body);
            essence.insert(name, body);
        }
        essence
    }

    /// Asserts that a command came to the same end here as there.
    #[track_caller]
    pub fn assert_same_end(&self, other: &Self, after: &str) {
        let (own, other) = (self.essence(), other.essence());
        let names = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&own), names(&other), "after {after}");
        for (name, body) in &own {
            assert_eq!(body, &other[name], "{name} after {after}");
        }
    }
}

fn is_state(object: &Object) -> bool {
    let reference = object.reference();
    reference.kind == Kind::ConfigMap
        && reference.namespace == AUTHORITY_NAMESPACE
        && object.label(AUTHORITY_LABEL).is_some()
        && object.label(witness::LABEL).is_none()
}

fn is_keys(object: &Object) -> bool {
    let reference = object.reference();
    reference.kind == Kind::Secret
        && reference.namespace == AUTHORITY_NAMESPACE
        && !reference.name.ends_with("-server-ca")
}

/// Names the Secret with the keys as an undisturbed run does.
fn rename(value: &mut Value, keys: &str, authority: &str) {
    match value {
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| rename(field, keys, authority)),
        Value::String(text) => {
            *text = text.replace(&format!("\"{keys}\""), &format!("\"{authority}\""));
        }
        _ => {}
    }
}

/// Takes away what is random in texts.
fn blur(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let taken = std::mem::take(fields);
            for (name, mut field) in taken {
                blur(&mut field);
                fields.insert(blurred(&name), field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blur),
        Value::String(text) => {
            let decoded = BASE64.decode(text.as_bytes()).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let plain = decoded.filter(|decoded| decoded.contains("-----BEGIN "));
            *text = blurred(plain.as_deref().unwrap_or(text));
        }
        _ => {}
    }
}

fn blurred(text: &str) -> String {
    if text.contains("-----BEGIN ") {
        return format!("{} parts of PEM", text.matches("-----BEGIN ").count());
    }
    let mut blurred = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() {
            digits.push(character);
            continue;
        }
        if digits.len() >= SHORTEST_DIGEST {
            digits = "#".to_owned();
        }
        blurred.push_str(&digits);
        digits.clear();
        if character != '\0' {
            blurred.push(character);
        }
    }
    blurred
}
