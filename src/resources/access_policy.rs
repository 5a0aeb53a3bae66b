//! Who may call the Service's Pods where no Kyma guards them: the ingress gateway only.
//!
//! Else every workload of the mesh could call around the gateway, with identity headers of its own choice. It needs a
//! sidecar in the Pods, which enforces it. Kyma's controller makes the like for each `APIRule`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::names::{FIELD_MANAGER, MANAGED_BY, route};
use super::{Kind, Object, ObjectRef};

const SIDECAR: &str = "istio-proxy";

/// Names the policy of a Service.
pub fn reference(namespace: &str, service: &str) -> ObjectRef {
    ObjectRef::new(Kind::AuthorizationPolicy, namespace, route(service))
}

/// The manifest: only these principals may call the Pods that `selector` names.
pub fn object(
    reference: ObjectRef,
    selector: &BTreeMap<String, String>,
    principals: &BTreeSet<String>,
) -> Object {
    let spec = json!({
        "selector": {"matchLabels": selector},
        "action": "ALLOW",
        "rules": [{"from": [{"source": {"principals": principals}}]}],
    });
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with("spec", spec)
}

/// Whether a Pod has Istio's proxy beside the application, as a container or as a native sidecar.
pub fn has_sidecar(pod: &Object) -> bool {
    ["containers", "initContainers"].iter().any(|field| {
        let containers = pod.at(&["spec", field]).and_then(Value::as_array);
        let mut names = containers
            .into_iter()
            .flatten()
            .filter_map(|container| container.get("name")?.as_str());
        names.any(|name| name == SIDECAR)
    })
}

/// The identity with which a Pod speaks in the mesh: `<trust domain>/ns/<namespace>/sa/<ServiceAccount>`.
pub fn principal(pod: &Object, trust_domain: &str) -> String {
    let account = match pod.text(&["spec", "serviceAccountName"]) {
        "" => "default",
        account => account,
    };
    format!("{trust_domain}/ns/{}/sa/{account}", pod.namespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: Value) -> Object {
        Object::new(ObjectRef::new(Kind::Pod, "shop", "httpbin-1")).with("spec", spec)
    }

    #[test]
    fn a_native_sidecar_counts_like_a_container() {
        let proxy = json!([{"name": "istio-proxy"}]);
        assert!(has_sidecar(&pod(json!({"containers": proxy}))));
        assert!(has_sidecar(&pod(json!({"initContainers": proxy}))));
        assert!(!has_sidecar(&pod(json!({"containers": [{"name": "app"}]}))));
    }

    #[test]
    fn a_pod_without_a_named_service_account_has_the_default_one() {
        let named = pod(json!({"serviceAccountName": "gw"}));
        assert_eq!(
            principal(&named, "corp.example"),
            "corp.example/ns/shop/sa/gw"
        );
        assert_eq!(
            principal(&pod(json!({})), "cluster.local"),
            "cluster.local/ns/shop/sa/default"
        );
    }
}
