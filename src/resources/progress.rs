//! The progress of a controller of Gardener with an object: the part of the status that all of its kinds share.

use serde::Deserialize;

use super::{Object, Unreadable};

/// The progress of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `Pending`, `Ready`, `Error`, `Invalid`, `Stale`, `Revoked` …; empty before the controller has seen it.
    pub state: String,
    /// The controller's message.
    pub message: String,
    /// Whether the status refers to the present generation of the object.
    pub is_current: bool,
}

impl Progress {
    /// Reads the status.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let status: Status = object.read("status")?;
        let generation = object
            .at(&["metadata", "generation"])
            .and_then(serde_json::Value::as_i64);
        Ok(Self {
            state: status.state,
            message: status.message.unwrap_or_default(),
            is_current: status.observed_generation >= generation.unwrap_or_default(),
        })
    }

    /// The state and the controller's message, as text for messages.
    pub fn said(&self) -> String {
        match (self.state.as_str(), self.message.as_str()) {
            ("", _) => "the controller has not seen the object yet".to_owned(),
            ("Ready", _) => "the controller has not seen the change yet".to_owned(),
            (state, "") => state.to_owned(),
            (state, words) => format!("{state}: {words}"),
        }
    }

    /// Whether the controller has finished the present generation.
    pub fn is_ready(&self) -> bool {
        self.is_current && self.state == "Ready"
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    state: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    observed_generation: i64,
}
