//! The policy that admits only the ingress gateway to the Service's Pods, in a cluster without Kyma.
//!
//! Without it every workload of the mesh could bypass the gateway, with identity headers of its own choice. The policy is enforced by a
//! sidecar in the Pods, or by the ztunnel of their node. Kyma's controller writes a similar one for each `APIRule`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::names::{FIELD_MANAGER, MANAGED_BY, route};
use super::{Kind, Object, ObjectRef};

const SIDECAR: &str = "istio-proxy";
/// The annotation by which istiod marks a Pod whose connections ztunnel handles (ambient mode): policies by principal act on it without a
/// sidecar.
const AMBIENT: (&str, &str) = ("ambient.istio.io/redirection", "enabled");
/// The label of a Service, or of its namespace, whose requests from ingress gateways go through a waypoint
/// (<https://istio.io/latest/docs/ambient/usage/waypoint/>).
const THROUGH_WAYPOINT: &str = "istio.io/ingress-use-waypoint";
/// The proxy's setting that disables tunnels to ztunnel, so that ztunnel does not learn the proxy's identity
/// (<https://github.com/istio/istio>, `pilot/pkg/xds/endpoints/endpoint_builder.go`).
const NO_TUNNEL: &str = "ISTIO_META_DISABLE_HBONE_SEND";

/// The reference to the policy of a Service.
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

/// Whether the policy acts on a Pod: by a sidecar, or by ztunnel.
pub fn is_enforced_at(pod: &Object) -> bool {
    has_sidecar(pod) || is_ambient(pod)
}

/// Whether a Pod has Istio's proxy beside the application.
pub fn has_sidecar(pod: &Object) -> bool {
    proxy_container(pod).is_some()
}

/// Whether ztunnel handles a Pod's connections, and no sidecar does.
pub fn is_ambient(pod: &Object) -> bool {
    pod.annotation(AMBIENT.0) == Some(AMBIENT.1) && !has_sidecar(pod)
}

/// Whether the Pods of a namespace join the ambient mesh, unless they say otherwise
/// (<https://istio.io/latest/docs/ambient/usage/add-workloads/>).
pub fn joins_ambient(namespace: &Object) -> bool {
    namespace.label("istio.io/dataplane-mode") == Some("ambient")
}

/// Whether requests of ingress gateways reach a Service, or the Services of a namespace, through a waypoint, with its identity.
pub fn is_behind_waypoint(service_or_namespace: &Object) -> bool {
    service_or_namespace.label(THROUGH_WAYPOINT) == Some("true")
}

/// Whether a gateway's proxy opens tunnels, by which ztunnel learns its identity.
pub fn opens_tunnels(proxy: &Object) -> bool {
    let variables = proxy_container(proxy).and_then(|container| container.get("env")?.as_array());
    let is_off = |variable: &Value| {
        let text = |field: &str| variable.get(field).and_then(Value::as_str);
        text("name") == Some(NO_TUNNEL) && text("value") == Some("true")
    };
    !variables.into_iter().flatten().any(is_off)
}

/// Istio's proxy in a Pod: a container of its own, or a native sidecar.
fn proxy_container(pod: &Object) -> Option<&Value> {
    let containers = ["containers", "initContainers"].into_iter();
    let mut containers = containers
        .filter_map(|field| pod.at(&["spec", field])?.as_array())
        .flatten();
    containers.find(|container| container.get("name").and_then(Value::as_str) == Some(SIDECAR))
}

/// The identity of a Pod in the mesh: `<trust domain>/ns/<namespace>/sa/<ServiceAccount>`.
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
    fn a_native_sidecar_counts_like_a_container_and_ztunnel_like_a_sidecar() {
        let proxy = json!([{"name": "istio-proxy"}]);
        let with_sidecar = pod(json!({"initContainers": proxy}));
        assert!(is_enforced_at(&pod(json!({"containers": proxy}))));
        assert!(is_enforced_at(&with_sidecar));
        let bare = pod(json!({"containers": [{"name": "app"}]}));
        assert!(!is_enforced_at(&bare));
        let ambient = bare.with_annotation("ambient.istio.io/redirection", "enabled");
        assert!(is_enforced_at(&ambient) && is_ambient(&ambient));
        let both = with_sidecar.with_annotation("ambient.istio.io/redirection", "enabled");
        assert!(!is_ambient(&both), "ztunnel leaves it to the sidecar");
    }

    #[test]
    fn a_proxy_opens_tunnels_unless_it_is_told_not_to() {
        let proxy = |value: &str| {
            let env = json!([{"name": "ISTIO_META_DISABLE_HBONE_SEND", "value": value}]);
            pod(json!({"containers": [{"name": "istio-proxy", "env": env}]}))
        };
        assert!(opens_tunnels(&proxy("false")));
        assert!(!opens_tunnels(&proxy("true")));
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
