//! What `unexpose` tells in the end.

use serde::Serialize;

use super::Request;
use crate::plan::{Action, World};
use crate::resources::ObjectRef;

/// The outcome of `unexpose`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was, or would be, deleted, in order.
    pub deleted: Vec<Deleted>,
    /// Whether nothing was deleted.
    pub dry_run: bool,
}

/// One deleted object.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `kind.group/name`, as kubectl prints it.
    pub object: String,
    /// Its namespace.
    pub namespace: String,
}

pub(super) fn done(request: &Request, world: &World, doomed: &[ObjectRef]) -> Report {
    let is_gone = |object: &&ObjectRef| {
        let was_deleted = world
            .change_of(object)
            .is_some_and(|written| written.action == Action::Deleted);
        was_deleted || (request.dry_run && world.seen(object).found().is_some())
    };
    let deleted = doomed.iter().filter(is_gone).map(|object| Deleted {
        object: format!("{}/{}", object.kind.singular_resource(), object.name),
        namespace: object.namespace.clone(),
    });
    Report {
        deleted: deleted.collect(),
        dry_run: request.dry_run,
    }
}
