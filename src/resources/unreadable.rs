//! What is wrong with an object, without what stands in it.

use super::ObjectRef;

/// An object that does not have the shape that its kind has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} cannot be read: {reason}")]
pub struct Unreadable {
    /// Which object.
    pub object: ObjectRef,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a value has not the shape that it must have: the library's words without the value, which may be a secret.
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
        _ => "it has another shape than its kind has".to_owned(),
    }
}
