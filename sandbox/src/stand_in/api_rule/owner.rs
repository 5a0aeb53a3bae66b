//! By which labels an APIRule knows its own objects.

use std::collections::BTreeMap;

use crate::stand_in::resources::ObjectKey;

const OWNER_NAME: &str = "apirule.gateway.kyma-project.io/name";
const OWNER_NAMESPACE: &str = "apirule.gateway.kyma-project.io/namespace";

/// The two labels by which an APIRule knows its own objects; it sets no owner references.
pub(super) fn owner_labels(key: &ObjectKey) -> BTreeMap<String, String> {
    BTreeMap::from([
        (OWNER_NAME.to_owned(), key.name.clone()),
        (OWNER_NAMESPACE.to_owned(), key.namespace.clone()),
    ])
}

/// The labels of the owner as a label selector.
pub(super) fn selector(key: &ObjectKey) -> String {
    format!(
        "{OWNER_NAME}={},{OWNER_NAMESPACE}={}",
        key.name, key.namespace
    )
}

/// Whether the labels name this APIRule as the owner.
pub(super) fn is_owned(labels: &BTreeMap<String, String>, key: &ObjectKey) -> bool {
    owner_labels(key)
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

/// All labels of an object that the APIRule owns.
pub(super) fn labels(key: &ObjectKey) -> BTreeMap<String, String> {
    let module = [
        "kyma-project.io/module",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/component",
        "app.kubernetes.io/part-of",
    ];
    let mut labels = owner_labels(key);
    labels.extend(module.map(|name| (name.to_owned(), "api-gateway".to_owned())));
    labels
}
