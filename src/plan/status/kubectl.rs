//! Commands of kubectl's, as remedies.

use serde_json::Value;

use crate::resources::ObjectRef;

/// The command that opens an object in an editor.
pub(super) fn edit(reference: &ObjectRef) -> String {
    command("edit", reference)
}

/// The command that patches an object.
pub(super) fn patch(reference: &ObjectRef, kind: &str, patch: &Value) -> String {
    format!("{} --type={kind} -p '{patch}'", command("patch", reference))
}

/// A command of kubectl's on one object.
pub(super) fn command(verb: &str, reference: &ObjectRef) -> String {
    format!(
        "kubectl {verb} {} -n {} {}",
        reference.kind.resource(),
        reference.namespace,
        reference.name
    )
}
