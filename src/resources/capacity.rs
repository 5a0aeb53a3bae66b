//! How much a `ConfigMap` or a Secret can hold.

use super::{Kind, Object, ObjectRef};

/// The API server takes no more in all values of one (`MaxSecretSize` in Kubernetes' `pkg/apis/core`; the same for both).
pub const LIMIT: usize = 1024 * 1024;

/// An object that the API server would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} would hold {size} bytes, and can hold {LIMIT}")]
pub struct TooLarge {
    /// Which one.
    pub object: ObjectRef,
    /// The bytes of all its values.
    pub size: usize,
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

/// Refuses an object that is too large.
pub fn check(object: &Object) -> Result<(), TooLarge> {
    let size = size(object);
    if size <= LIMIT {
        return Ok(());
    }
    Err(TooLarge {
        object: object.reference().clone(),
        size,
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
        assert!(check(&full(LIMIT)).is_ok() && check(&full(LIMIT + 1)).is_err());
    }
}
