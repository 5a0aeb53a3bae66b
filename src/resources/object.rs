//! One object of the cluster as JSON, with accessors for all kinds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::names::{CERTIFICATE_NAME_ANNOTATION, FIELD_MANAGER, ISSUED_LABEL, MANAGED_BY};
use super::unreadable::{Unreadable, misshapen};
use super::{Kind, ObjectRef};

/// One object in the API server's form.
///
/// `Debug` shows no data, because an object may be a Secret. Copies share their content until one of them is changed.
#[derive(Clone, PartialEq)]
pub struct Object {
    reference: ObjectRef,
    body: Arc<Value>,
}

impl Object {
    /// Wraps an object that the API server sent for `kind`; fills in `apiVersion` and `kind`, which list items lack.
    ///
    /// `None` if it has no name, or an invalid one.
    pub fn from_server(kind: Kind, mut body: Value) -> Option<Self> {
        let metadata = body.get("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let reference = ObjectRef::new(kind, namespace, name);
        reference.check().ok()?;
        let fields = body.as_object_mut()?;
        fields.insert("apiVersion".into(), kind.api_version().into());
        fields.insert("kind".into(), kind.name().into());
        let body = Arc::new(body);
        Some(Self { reference, body })
    }

    /// A new object with only its name.
    pub fn new(reference: ObjectRef) -> Self {
        let mut metadata = Map::new();
        metadata.insert("name".into(), reference.name.clone().into());
        if !reference.namespace.is_empty() {
            metadata.insert("namespace".into(), reference.namespace.clone().into());
        }
        let mut body = Map::new();
        body.insert("apiVersion".into(), reference.kind.api_version().into());
        body.insert("kind".into(), reference.kind.name().into());
        body.insert("metadata".into(), metadata.into());
        Self {
            reference,
            body: Arc::new(body.into()),
        }
    }

    /// Sets a top-level field (`spec`, `data`, `type`).
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        if let Some(fields) = self.body_mut().as_object_mut() {
            fields.insert(field.into(), value);
        }
        self
    }

    /// Sets a label.
    #[must_use]
    pub fn with_label(self, key: &str, value: &str) -> Self {
        self.with_metadata("labels", key, value)
    }

    /// Removes a label.
    #[must_use]
    pub fn without_label(self, key: &str) -> Self {
        self.without_metadata("labels", key)
    }

    /// Removes an annotation.
    #[must_use]
    pub fn without_annotation(self, key: &str) -> Self {
        self.without_metadata("annotations", key)
    }

    fn without_metadata(mut self, field: &str, key: &str) -> Self {
        if let Some(Value::Object(metadata)) = self.body_mut().get_mut("metadata") {
            let entries = metadata.get_mut(field).and_then(Value::as_object_mut);
            let is_last = entries.is_some_and(|entries| {
                entries.shift_remove(key);
                entries.is_empty()
            });
            if is_last {
                metadata.shift_remove(field);
            }
        }
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn with_annotation(self, key: &str, value: &str) -> Self {
        self.with_metadata("annotations", key, value)
    }

    /// Adds a finalizer, if it is missing.
    #[must_use]
    pub fn with_finalizer(self, finalizer: &str) -> Self {
        let mut finalizers = self.finalizers();
        if !finalizers.iter().any(|known| known == finalizer) {
            finalizers.push(finalizer.to_owned());
        }
        self.with_finalizers(finalizers)
    }

    /// Removes a finalizer.
    #[must_use]
    pub fn without_finalizer(self, finalizer: &str) -> Self {
        let mut finalizers = self.finalizers();
        finalizers.retain(|known| known != finalizer);
        self.with_finalizers(finalizers)
    }

    /// Whether the object has this finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers().iter().any(|known| known == finalizer)
    }

    fn finalizers(&self) -> Vec<String> {
        let listed = self
            .at(&["metadata", "finalizers"])
            .and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        listed.map(str::to_owned).collect()
    }

    fn with_finalizers(mut self, finalizers: Vec<String>) -> Self {
        if let Some(Value::Object(metadata)) = self.body_mut().get_mut("metadata") {
            metadata.insert("finalizers".into(), finalizers.into());
        }
        self
    }

    fn with_metadata(mut self, field: &str, key: &str, value: &str) -> Self {
        if let Some(Value::Object(metadata)) = self.body_mut().get_mut("metadata") {
            let entry = metadata.entry(field).or_insert_with(|| Map::new().into());
            if let Some(entry) = entry.as_object_mut() {
                entry.insert(key.into(), value.into());
            }
        }
        self
    }

    /// The object's reference.
    pub fn reference(&self) -> &ObjectRef {
        &self.reference
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// The object's namespace; empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        &self.reference.namespace
    }

    /// The whole object as JSON. It may hold secrets: only for the API server and for output that asks for it.
    pub fn body(&self) -> &Value {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Value {
        Arc::make_mut(&mut self.body)
    }

    /// The value at a path of field names.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter()
            .try_fold(&*self.body, |value, field| value.get(field))
    }

    /// The text at a path; empty if there is none.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "labels", key])
            .and_then(Value::as_str)
    }

    /// All labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.at(&["metadata", "labels"]).and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        labels
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// Whether a label selector of the form `key` or `key=value` selects the object.
    pub fn is_selected_by(&self, selector: &str) -> bool {
        match selector.split_once('=') {
            Some((key, value)) => self.label(key) == Some(value),
            None => self.label(selector).is_some(),
        }
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "annotations", key])
            .and_then(Value::as_str)
    }

    /// `metadata.uid`, which the API server gives each object that is created; `None` in a manifest.
    pub fn uid(&self) -> Option<&str> {
        self.at(&["metadata", "uid"]).and_then(Value::as_str)
    }

    /// Whether the object has this plugin's managed-by label.
    pub fn is_ours(&self) -> bool {
        self.label(MANAGED_BY) == Some(FIELD_MANAGER)
    }

    /// Whether Gardener's cert-management or cert-manager wrote the object for some Certificate.
    pub fn is_issued(&self) -> bool {
        self.reference.kind == Kind::Secret
            && (self.label(ISSUED_LABEL) == Some("true") || self.certificate_name().is_some())
    }

    /// The Certificate for which cert-manager wrote this Secret, from its annotation.
    pub fn certificate_name(&self) -> Option<&str> {
        let name = self.annotation(CERTIFICATE_NAME_ANNOTATION);
        name.filter(|name| !name.is_empty())
    }

    /// The resourceVersion under which the object was read; empty if it was never stored.
    pub fn resource_version(&self) -> &str {
        self.text(&["metadata", "resourceVersion"])
    }

    /// Reads a top-level field into a typed value; a missing field counts as `{}`.
    pub fn read<T: DeserializeOwned>(&self, field: &str) -> Result<T, Unreadable> {
        let value = self
            .body
            .get(field)
            .cloned()
            .unwrap_or_else(|| Map::new().into());
        serde_json::from_value(value)
            .map_err(|error| self.unreadable(format!("`{field}`: {}", misshapen(&error))))
    }

    /// An error about this object, with a reason.
    pub fn unreadable(&self, reason: impl Into<String>) -> Unreadable {
        Unreadable {
            object: self.reference.clone(),
            reason: reason.into(),
        }
    }

    /// Sets the resourceVersion; `None` removes it.
    #[must_use]
    pub fn with_resource_version(mut self, version: Option<&str>) -> Self {
        if let Some(Value::Object(metadata)) = self.body_mut().get_mut("metadata") {
            match version {
                Some(version) => metadata.insert("resourceVersion".into(), version.into()),
                None => metadata.shift_remove("resourceVersion"),
            };
        }
        self
    }

    /// Sets the resourceVersion of the object that was read, so that a PUT fails if it changed meanwhile.
    #[must_use]
    pub fn replacing(self, seen: &Object) -> Self {
        self.with_resource_version(Some(seen.resource_version()))
    }

    /// This object in place of `live`, for a PUT: with its labels and annotations and those that others set, under the resourceVersion that
    /// was read; with the other fields that either has, this object's first.
    #[must_use]
    pub fn changing(self, live: &Object) -> Self {
        let mut changed = live.clone();
        for (field, key, value) in ["labels", "annotations"].iter().flat_map(|field| {
            let stated = self.at(&["metadata", field]).and_then(Value::as_object);
            stated
                .into_iter()
                .flatten()
                .map(move |(key, value)| (*field, key, value.as_str().unwrap_or_default()))
        }) {
            changed = changed.with_metadata(field, key, value);
        }
        for finalizer in self.finalizers() {
            changed = changed.with_finalizer(&finalizer);
        }
        if let Value::Object(fields) = Arc::unwrap_or_clone(self.body) {
            for (field, value) in fields.into_iter().filter(|(field, _)| field != "metadata") {
                changed = changed.with(&field, value);
            }
        }
        changed
    }

    /// Whether the object was applied with kubectl.
    pub fn was_applied_by_kubectl(&self) -> bool {
        self.annotation(LAST_APPLIED).is_some()
    }

    /// The object as a manifest: without status and without fields that only the API server sets.
    #[must_use]
    pub fn manifest(mut self) -> Self {
        if let Some(fields) = self.body_mut().as_object_mut() {
            fields.shift_remove("status");
        }
        if let Some(Value::Object(metadata)) = self.body_mut().get_mut("metadata") {
            metadata.retain(|field, _| STATED_METADATA.contains(&field.as_str()));
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                annotations.shift_remove(LAST_APPLIED);
            }
        }
        self
    }

    /// The object as a YAML document that YAML 1.1 readers understand too.
    pub fn yaml(&self) -> String {
        // A JSON value has no form that YAML lacks.
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    /// Whether `live` has all values of `self`; further fields of `live` do not count.
    ///
    /// Lists must be equal in length and order: those of the kinds written here are atomic.
    pub fn is_contained_in(&self, live: &Object) -> bool {
        contains(&live.body, &self.body)
    }
}

/// The metadata fields of a manifest.
const STATED_METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// The annotation in which `kubectl apply` keeps the whole object of its last run.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(super) fn contains(live: &Value, stated: &Value) -> bool {
    match (live, stated) {
        (Value::Object(live), Value::Object(stated)) => stated
            .iter()
            .all(|(key, value)| live.get(key).is_some_and(|live| contains(live, value))),
        (Value::Array(live), Value::Array(stated)) => {
            live.len() == stated.len()
                && live
                    .iter()
                    .zip(stated)
                    .all(|(live, stated)| contains(live, stated))
        }
        (live, stated) => live == stated,
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.reference)
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (*self.body).serialize(serializer)
    }
}
