//! An object that is not ready yet, in the words of its controller.

use crate::resources::progress::Progress;
use crate::resources::{Object, ObjectRef};

/// The hint after a timeout: what is left behind, and what to do.
pub(super) const AFTERWARDS: &str = "the objects stay; run the same command again to continue";

/// An object that is not ready yet.
pub(super) struct Pending {
    pub object: ObjectRef,
    /// The state in the object's status; empty before its controller has seen the object.
    pub state: String,
    /// The controller's message.
    pub message: String,
}

impl Pending {
    /// The pending state of an object, from its controller's progress.
    pub fn of(live: &Object, progress: Progress) -> Self {
        Self {
            object: live.reference().clone(),
            state: progress.state,
            message: progress.message,
        }
    }

    /// The line for messages.
    pub fn line(&self) -> String {
        let progress = Progress {
            state: self.state.clone(),
            message: self.message.clone(),
            is_current: true,
        };
        format!("{}: {}", self.object, progress.said())
    }
}
