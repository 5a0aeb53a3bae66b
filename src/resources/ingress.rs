//! The ingress gateway: its Pods, one proxy each, and their HTTPS port.

use std::collections::BTreeMap;

use serde_json::Value;

use super::listing::label_selector;
use super::names::INGRESS_NAMESPACE;
use super::service::Port;
use super::{Object, ObjectRef};

/// The selector of the tutorial's Gateway, and the labels of Istio's default ingress.
pub const DEFAULT_SELECTOR: [(&str, &str); 2] =
    [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];

/// The default labels as a Gateway's selector.
pub fn default_selector() -> BTreeMap<String, String> {
    DEFAULT_SELECTOR
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// An ingress gateway: the proxies of one namespace that have certain labels.
///
/// A proxy reads only the Secrets of its own namespace, and only policies of that namespace select it (istiod, `pilot/pkg/xds/sds.go`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IngressGateway {
    /// The namespace of the Pods.
    pub namespace: String,
    /// The labels of the Pods.
    pub selector: BTreeMap<String, String>,
}

impl IngressGateway {
    /// The proxies with these labels in `istio-system`.
    pub fn in_istio_system(selector: BTreeMap<String, String>) -> Self {
        Self {
            namespace: INGRESS_NAMESPACE.to_owned(),
            selector,
        }
    }

    /// Whether this is the ingress gateway that `istioctl install` and Kyma create.
    pub fn is_default(&self) -> bool {
        let is_default = |(key, value): (&String, &String)| {
            DEFAULT_SELECTOR.contains(&(key.as_str(), value.as_str()))
        };
        self.namespace == INGRESS_NAMESPACE && self.selector.iter().all(is_default)
    }

    /// The labels of the Pods, as an argument of kubectl's `-l`.
    pub fn labels(&self) -> String {
        label_selector(&self.selector)
    }
}

/// The ingress gateway that `istioctl install` and Kyma create.
impl Default for IngressGateway {
    fn default() -> Self {
        Self::in_istio_system(default_selector())
    }
}

/// One proxy of the ingress gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proxy {
    /// The proxy's Pod.
    pub pod: ObjectRef,
    /// The Pod's port for HTTPS.
    pub port: u16,
}

/// The proxy in a Pod, if the Pod runs and has the Service's HTTPS port.
///
/// A Service's `targetPort` may be a name, which each Pod resolves for itself.
pub fn proxy(pod: &Object, https: &Port) -> Option<Proxy> {
    let is_leaving = pod.at(&["metadata", "deletionTimestamp"]).is_some();
    if is_leaving || pod.text(&["status", "phase"]) != "Running" {
        return None;
    }
    let port = target(pod, https)?;
    Some(Proxy {
        pod: pod.reference().clone(),
        port,
    })
}

/// Whether a Pod runs a proxy of an ingress or egress gateway: Istio's image with the arguments `proxy router`
/// (<https://github.com/istio/istio>, `manifests/charts/gateway`; the injected template `gateway`).
pub fn is_router(pod: &Object) -> bool {
    let containers = pod.at(&["spec", "containers"]).and_then(Value::as_array);
    let begins_with = |container: &Value, words: &[&str]| {
        let arguments = container.get("args").and_then(Value::as_array);
        let arguments = arguments.into_iter().flatten().map(Value::as_str);
        arguments
            .take(words.len())
            .eq(words.iter().copied().map(Some))
    };
    let is_proxy = |container: &Value| {
        container.get("name").and_then(Value::as_str) == Some("istio-proxy")
            && begins_with(container, &["proxy", "router"])
    };
    containers.into_iter().flatten().any(is_proxy)
}

/// Whether a Pod accepts connections at its node, so that they need no Service.
pub fn is_on_node(pod: &Object) -> bool {
    let on_network = pod.at(&["spec", "hostNetwork"]).and_then(Value::as_bool);
    on_network == Some(true) || ports(pod).any(|port| port.get("hostPort").is_some())
}

/// The Pod's port for a port of its Service.
pub fn target(pod: &Object, port: &Port) -> Option<u16> {
    match &port.target_port {
        Value::Null => Some(port.port),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u16::try_from(number).ok()),
        Value::String(name) => named_port(pod, name),
        _ => None,
    }
}

/// The ports of a Pod's containers.
fn ports(pod: &Object) -> impl Iterator<Item = &Value> {
    let containers = pod.at(&["spec", "containers"]).and_then(Value::as_array);
    let containers = containers.into_iter().flatten();
    containers
        .filter_map(|container| container.get("ports")?.as_array())
        .flatten()
}

/// The number of a port that a container of a Pod names.
pub fn named_port(pod: &Object, name: &str) -> Option<u16> {
    let is_it = |port: &&Value| port.get("name").and_then(Value::as_str) == Some(name);
    let port = ports(pod).find(is_it)?;
    port.get("containerPort")?.as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;
    use serde_json::json;

    fn pod(phase: &str) -> Object {
        Object::new(ObjectRef::new(Kind::Pod, "istio-system", "gw-1"))
            .with(
                "spec",
                json!({"containers": [{"ports": [{"name": "https", "containerPort": 8443}]}]}),
            )
            .with("status", json!({"phase": phase}))
    }

    fn https(target_port: Value) -> Port {
        Port {
            name: "https".into(),
            port: 443,
            protocol: "TCP".into(),
            target_port,
        }
    }

    #[test]
    fn a_named_target_port_is_resolved_in_the_pod() {
        assert_eq!(
            proxy(&pod("Running"), &https(json!("https"))).unwrap().port,
            8443
        );
        assert_eq!(
            proxy(&pod("Running"), &https(json!(10443))).unwrap().port,
            10443
        );
        assert_eq!(proxy(&pod("Running"), &https(json!("other"))), None);
    }

    #[test]
    fn a_pod_that_does_not_run_is_no_proxy() {
        assert_eq!(proxy(&pod("Pending"), &https(json!("https"))), None);
    }
}
