//! Errors about objects, without their values.

use super::ObjectRef;

/// An object that does not have the shape of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} cannot be read: {reason}")]
pub struct Unreadable {
    /// The object.
    pub object: ObjectRef,
    /// The fault of the object.
    pub reason: String,
}

/// Why a value does not have the expected shape: the library's message without the value, which may be a secret.
pub fn misshapen(error: &serde_json::Error) -> String {
    let text = error.to_string();
    for told in ["missing field ", "duplicate field "] {
        if text.starts_with(told) {
            return text;
        }
    }
    // `invalid type: string "…", expected a map`: what is expected stands in our own code.
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if text.starts_with("invalid ") => format!("expected {expected}"),
        _ => "the object does not have the shape of its kind".to_owned(),
    }
}
