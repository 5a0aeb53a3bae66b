//! The capacity of a `ConfigMap` or a Secret.

use super::{Kind, Object, ObjectRef};

/// The API server's limit for all values of one object, in bytes (`MaxSecretSize` in Kubernetes' `pkg/apis/core`; the same for both).
pub const LIMIT: usize = 1024 * 1024;

/// Bytes kept free in an authority's state for a rotation of the CA, which adds a certificate, a list and lines of the history: without
/// them a full state could not be repaired.
pub const ROTATION: usize = 32 * 1024;

/// The percentage of the capacity from which on a warning is given.
pub const NEARLY_FULL: usize = 80;

/// The size of an object, in percent of its capacity.
pub fn taken(object: &Object) -> usize {
    size(object) * 100 / LIMIT
}

/// An object that is larger than the API server accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} would hold {size} bytes, and can hold {LIMIT}{}", kept(*.room))]
pub struct TooLarge {
    /// The object.
    pub object: ObjectRef,
    /// The size of all values of the object, in bytes.
    pub size: usize,
    /// The bytes that must stay free.
    pub room: usize,
}

fn kept(room: usize) -> String {
    match room {
        0 => String::new(),
        room => format!(", of which {room} are kept for a rotation"),
    }
}

/// The bytes of all values of a `ConfigMap` or a Secret.
pub fn size(object: &Object) -> usize {
    let is_encoded = object.reference().kind == Kind::Secret;
    let data = object.at(&["data"]).and_then(|data| data.as_object());
    let values = data
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_str());
    values
        .map(|value| {
            if is_encoded {
                value.trim_end_matches('=').len() * 3 / 4
            } else {
                value.len()
            }
        })
        .sum()
}

/// Refuses an object that is too large, or leaves less than `room` bytes free.
pub fn check(object: &Object, room: usize) -> Result<(), TooLarge> {
    let size = size(object);
    if size + room <= LIMIT {
        return Ok(());
    }
    Err(TooLarge {
        object: object.reference().clone(),
        size,
        room,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_values_of_a_secret_count_decoded() {
        let object = |kind| {
            let data = json!({"a": "QUJD", "b": "QQ=="});
            Object::new(ObjectRef::new(kind, "a", "b")).with("data", data)
        };
        assert_eq!(size(&object(Kind::Secret)), 4);
        assert_eq!(size(&object(Kind::ConfigMap)), 8);
        let full = |bytes| {
            let data = json!({"a": "x".repeat(bytes)});
            Object::new(ObjectRef::new(Kind::ConfigMap, "a", "b")).with("data", data)
        };
        let fits = |bytes, room| check(&full(bytes), room).is_ok();
        assert!(fits(LIMIT, 0) && !fits(LIMIT + 1, 0));
        assert!(fits(LIMIT - 5, 5) && !fits(LIMIT - 5, 6));
    }
}
