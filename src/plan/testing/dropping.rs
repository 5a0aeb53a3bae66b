//! An update that proxies drop, because they reject something else in it.

use std::collections::BTreeMap;

use crate::resources::{Object, ObjectRef};

/// One change of an object that no proxy loads.
#[derive(Clone)]
pub struct Dropping {
    object: ObjectRef,
    /// The version before the change.
    before: String,
    /// The version that the proxies dropped.
    dropped: Option<String>,
}

impl Dropping {
    /// The next change of an object.
    pub fn next_of(object: &Object) -> Self {
        Self {
            object: object.reference().clone(),
            before: object.resource_version().to_owned(),
            dropped: None,
        }
    }

    /// Whether the proxies have dropped what stands now.
    pub fn drops(&mut self, objects: &BTreeMap<ObjectRef, Object>) -> bool {
        let Some(object) = objects.get(&self.object) else {
            return false;
        };
        let version = object.resource_version();
        if version == self.before {
            return false;
        }
        version == *self.dropped.get_or_insert_with(|| version.to_owned())
    }
}
