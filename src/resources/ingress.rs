//! The ingress gateway: its Pods, one proxy each, and their HTTPS port.

use std::collections::{BTreeMap, BTreeSet};

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

/// An ingress gateway: the proxies that have certain labels, in one namespace or in several.
///
/// A proxy reads the Secrets of its own namespace only, and a policy acts on it from there (istiod, `pilot/pkg/xds/sds.go`). So what
/// lies beside proxies is that of one of [its parts](Self::parts).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IngressGateway {
    /// The namespace of its Pods; of several, the one in which its Service is looked for first, and which names and messages use.
    pub namespace: String,
    /// The other namespaces in which its Pods run.
    pub further: BTreeSet<String>,
    /// The labels of the Pods.
    pub selector: BTreeMap<String, String>,
}

impl IngressGateway {
    /// The proxies with these labels in one namespace.
    pub fn new(namespace: &str, selector: BTreeMap<String, String>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            further: BTreeSet::new(),
            selector,
        }
    }

    /// The proxies with these labels in the namespace of Istio itself.
    pub fn in_istio_system(selector: BTreeMap<String, String>) -> Self {
        Self::new(INGRESS_NAMESPACE, selector)
    }

    /// All its namespaces, the first one first.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        let further = self.further.iter().map(String::as_str);
        std::iter::once(self.namespace.as_str()).chain(further)
    }

    /// The proxies of each of its namespaces, as an ingress gateway of one namespace; the first one first.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        self.namespaces()
            .map(|namespace| Self::new(namespace, self.selector.clone()))
    }

    /// The same with proxies in these namespaces too.
    #[must_use]
    pub fn also_in(mut self, namespaces: impl IntoIterator<Item = String>) -> Self {
        self.further.extend(namespaces);
        self.further.remove(&self.namespace);
        self
    }

    /// The same with another of its namespaces as the first one.
    #[must_use]
    pub fn led_by(mut self, namespace: &str) -> Self {
        let first = std::mem::replace(&mut self.namespace, namespace.to_owned());
        self.also_in([first])
    }

    /// Its namespaces as an annotation notes them, separated by commas; none where that is `istio-system` alone.
    pub fn note(&self) -> Option<String> {
        let namespaces: Vec<&str> = self.namespaces().collect();
        (namespaces != [INGRESS_NAMESPACE]).then(|| namespaces.join(","))
    }

    /// The proxies with these labels in the namespaces that an annotation notes.
    pub fn noted(note: Option<&str>, selector: BTreeMap<String, String>) -> Self {
        let mut namespaces = noted_namespaces(note).into_iter();
        let first = namespaces.next();
        let first = first.unwrap_or_else(|| INGRESS_NAMESPACE.to_owned());
        Self::new(&first, selector).also_in(namespaces)
    }

    /// Whether this is the ingress gateway that `istioctl install` and Kyma create.
    pub fn is_default(&self) -> bool {
        let is_default = |(key, value): (&String, &String)| {
            DEFAULT_SELECTOR.contains(&(key.as_str(), value.as_str()))
        };
        let is_there = self.namespaces().eq([INGRESS_NAMESPACE]);
        is_there && self.selector.iter().all(is_default)
    }

    /// Whether a proxy can belong to both: they have a namespace in common, and compatible labels.
    pub fn may_share_proxies_with(&self, other: &Self) -> bool {
        let mut namespaces = self.namespaces();
        namespaces.any(|namespace| other.namespaces().any(|one| one == namespace))
            && self.has_compatible_labels(other)
    }

    /// Whether a Pod can have the labels of both: neither selector requires another value of a label than the other.
    pub fn has_compatible_labels(&self, other: &Self) -> bool {
        let differs = |(key, value): (&String, &String)| {
            let there = other.selector.get(key);
            there.is_some_and(|there| there != value)
        };
        !self.selector.iter().any(differs)
    }

    /// The labels of the Pods, as an argument of kubectl's `-l`.
    pub fn labels(&self) -> String {
        label_selector(&self.selector)
    }
}

/// The namespaces that an annotation notes, the first one first; `istio-system` where there is no annotation.
pub fn noted_namespaces(note: Option<&str>) -> Vec<String> {
    let names = note.unwrap_or(INGRESS_NAMESPACE).split(',');
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
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

/// The name of a proxy's Pod in messages: with its namespace unless that is `istio-system`, since Pods of several namespaces may have the same
/// name.
pub fn pod_name(pod: &ObjectRef) -> String {
    if pod.namespace == INGRESS_NAMESPACE {
        pod.name.clone()
    } else {
        format!("{}/{}", pod.namespace, pod.name)
    }
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
            node_port: None,
            name: "https".into(),
            port: 443,
            protocol: "TCP".into(),
            target_port,
            app_protocol: None,
        }
    }

    #[test]
    fn the_namespaces_of_an_ingress_gateway_are_noted_with_the_first_one_first() {
        let read = |note| IngressGateway::noted(note, default_selector());
        assert_eq!(read(None), IngressGateway::default());
        assert_eq!(read(None).note(), None);
        assert_eq!(read(Some("edge")).note().unwrap(), "edge");
        let several = read(Some("edge, a,istio-system"));
        assert_eq!(several.note().unwrap(), "edge,a,istio-system");
        let led = several.led_by("istio-system");
        assert_eq!(led.note().unwrap(), "istio-system,a,edge");
        let mut parts = led.parts();
        assert!(!led.is_default() && parts.all(|part| part.further.is_empty()));
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
