//! Commands as text that can be pasted, for remedies and hints.

use serde_json::Value;

use crate::resources::ObjectRef;

/// A command of kubectl's on one object.
pub fn kubectl(verb: &str, object: &ObjectRef) -> String {
    format!(
        "kubectl {verb} {} -n {} {}",
        object.kind.resource(),
        object.namespace,
        object.name
    )
}

/// The command that opens an object in an editor.
pub fn edit(object: &ObjectRef) -> String {
    kubectl("edit", object)
}

/// The command that patches an object; `kind` is that of kubectl's `--type`.
pub fn patch(object: &ObjectRef, kind: &str, patch: &Value) -> String {
    format!("{} --type={kind} -p '{patch}'", kubectl("patch", object))
}

/// The command that sets an annotation of an object.
pub fn annotate(object: &ObjectRef, (key, value): (&str, &str)) -> String {
    let annotate = kubectl("annotate --overwrite", object);
    format!("{annotate} {key}={value}")
}

/// `expose` on a Service.
pub fn expose(service: &ObjectRef) -> String {
    format!(
        "kubectl mtls expose {} -n {}",
        service.name, service.namespace
    )
}

/// `ca-rotate` on an authority; flags begin with a blank.
pub fn ca_rotate(flags: &str, authority: &str) -> String {
    format!("kubectl mtls ca-rotate{flags} --authority {authority}")
}

/// The command that makes an authority what it was.
pub fn restore(authority: &str) -> String {
    ca_rotate(" --restore --accept-loss", authority)
}
