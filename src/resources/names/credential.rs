//! The values of `caCertCredentialName`, in istiod's notation.

use crate::resources::{Kind, ObjectRef};

/// The prefix of a `caCertCredentialName` for a `ConfigMap` (istiod 1.28, `pilot/pkg/model/credentials`).
const OF_CONFIG_MAP: &str = "configmap://";
const OF_SECRET: &str = "kubernetes://";

/// The object that a `caCertCredentialName` names: a Secret in the namespace of the proxies, or a `ConfigMap` of any namespace.
pub fn reference(field: &str, proxy_namespace: &str) -> ObjectRef {
    let config_map = field.strip_prefix(OF_CONFIG_MAP);
    match config_map.and_then(|name| name.split_once('/')) {
        Some((namespace, name)) => ObjectRef::new(Kind::ConfigMap, namespace, name),
        None => secret(
            proxy_namespace,
            field.strip_prefix(OF_SECRET).unwrap_or(field),
        ),
    }
}

/// The `caCertCredentialName` for an object.
pub fn field(reference: &ObjectRef) -> String {
    match reference.kind {
        Kind::ConfigMap => format!("{OF_CONFIG_MAP}{}/{}", reference.namespace, reference.name),
        _ => reference.name.clone(),
    }
}

/// A Secret in the namespace of the proxies.
pub fn secret(proxy_namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, proxy_namespace, name)
}
