//! A Service, as far as a route needs it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Object, Unreadable};

/// A Service as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// The labels of the Service's Pods; empty for a Service without selector.
    pub selector: BTreeMap<String, String>,
    /// The ports in order.
    pub ports: Vec<Port>,
    /// The load balancer's addresses, IPs or hostnames.
    pub load_balancer: Vec<String>,
    /// Addresses of nodes that accept connections for the Service (`externalIPs`).
    pub external: Vec<String>,
    /// The address families of the load balancer's host name.
    pub ip_stack: IpStack,
    /// The client addresses that the load balancer accepts, as CIDRs; none if it accepts all.
    pub source_ranges: Vec<String>,
    /// The annotation that makes the load balancer send headers of the PROXY protocol, and its value.
    pub proxy_protocol: Option<(&'static str, String)>,
}

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpStack {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// IPv4 and IPv6.
    Dual,
}

/// The annotation that makes the AWS load balancer controller assign addresses of both families, whatever the cluster's own are.
const AWS_DUAL_STACK: (&str, &str) = (
    "service.beta.kubernetes.io/aws-load-balancer-ip-address-type",
    "dualstack",
);

/// The annotations that make load balancers send headers of the PROXY protocol: those of AWS, `OpenStack`, Hetzner and `DigitalOcean`.
const PROXY_PROTOCOL: [&str; 4] = [
    AWS_PROXY_PROTOCOL,
    "loadbalancer.openstack.org/proxy-protocol",
    "load-balancer.hetzner.cloud/uses-proxyprotocol",
    "service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol",
];
const AWS_PROXY_PROTOCOL: &str = "service.beta.kubernetes.io/aws-load-balancer-proxy-protocol";
/// The type of load balancer for which AWS's cloud provider ignores that annotation (<https://github.com/kubernetes/cloud-provider-aws>).
const AWS_WITHOUT_PROXY_PROTOCOL: (&str, &str) =
    ("service.beta.kubernetes.io/aws-load-balancer-type", "nlb");
/// The annotation from before `spec.loadBalancerSourceRanges`, separated by commas (<https://github.com/kubernetes/cloud-provider>).
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The port's name; may be empty if it is the only one.
    #[serde(default)]
    pub name: String,
    /// The number that clients of the Service use.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default)]
    pub protocol: String,
    /// The port of the nodes that leads to it, if the Service's type has one.
    #[serde(default)]
    pub node_port: Option<u16>,
    /// The target port: a number, or the name of a port of the Pod.
    #[serde(default)]
    pub target_port: Value,
    /// The application protocol, before which the port's name does not count.
    #[serde(default)]
    pub app_protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, rename = "externalIPs")]
    external: Vec<String>,
    #[serde(default)]
    selector: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    ip_families: Vec<String>,
    #[serde(default)]
    load_balancer_source_ranges: Vec<String>,
}

impl Service {
    /// Reads a Service.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let ingress = object
            .at(&["status", "loadBalancer", "ingress"])
            .and_then(Value::as_array);
        let address = |entry: &Value| {
            let found = entry.get("ip").or_else(|| entry.get("hostname"));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        let (annotation, both) = AWS_DUAL_STACK;
        Ok(Self {
            source_ranges: source_ranges(object, &spec),
            proxy_protocol: proxy_protocol(object, &spec),
            ip_stack: match spec.ip_families.as_slice() {
                _ if object.annotation(annotation) == Some(both) => IpStack::Dual,
                [_, _, ..] => IpStack::Dual,
                [one] if one == "IPv6" => IpStack::V6,
                _ => IpStack::V4,
            },
            kind: spec.kind,
            external: spec.external,
            selector: spec.selector,
            ports: spec.ports,
            load_balancer: ingress.into_iter().flatten().filter_map(address).collect(),
        })
    }

    /// All addresses at which clients outside the cluster reach the Service.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let all = self.load_balancer.iter().chain(&self.external);
        all.map(String::as_str)
    }

    /// The ports that can carry HTTP.
    pub fn tcp_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports
            .iter()
            .filter(|port| port.protocol.is_empty() || port.protocol == "TCP")
    }
}

fn source_ranges(object: &Object, spec: &Spec) -> Vec<String> {
    let annotated = object.annotation(SOURCE_RANGES).unwrap_or_default();
    let annotated = annotated
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty());
    let ranges: Vec<String> = match spec.load_balancer_source_ranges.as_slice() {
        [] => annotated.map(str::to_owned).collect(),
        ranges => ranges.to_vec(),
    };
    let is_all = |range: &String| range.ends_with("/0");
    if spec.kind != "LoadBalancer" || ranges.iter().any(is_all) {
        return Vec::new();
    }
    ranges
}

fn proxy_protocol(object: &Object, spec: &Spec) -> Option<(&'static str, String)> {
    if spec.kind != "LoadBalancer" {
        return None;
    }
    let (key, value) = AWS_WITHOUT_PROXY_PROTOCOL;
    let is_ignored = |annotation: &str| {
        annotation == AWS_PROXY_PROTOCOL && object.annotation(key) == Some(value)
    };
    let set = PROXY_PROTOCOL
        .into_iter()
        .filter(|annotation| !is_ignored(annotation));
    let mut set = set.filter_map(|annotation| Some((annotation, object.annotation(annotation)?)));
    let on = set.find(|(_, value)| !["", "false"].contains(value))?;
    Some((on.0, on.1.to_owned()))
}

/// Ports whose traffic Istio does not look at, so that it is TCP where no protocol is said: those of mail, DNS and two databases.
const WELL_KNOWN: [u16; 4] = [25, 53, 3306, 27017];

impl Port {
    /// Whether Istio takes the port's traffic for something else than HTTP, by `appProtocol`, or by the begin of the port's name; an unknown
    /// word leaves that to the traffic (<https://github.com/istio/istio>, `pkg/config/kube/conversion.go`, `ConvertProtocol`).
    pub fn is_opaque(&self) -> bool {
        let said = self.app_protocol.as_deref().unwrap_or(&self.name);
        let said = said.to_ascii_lowercase();
        match said.split('-').next().unwrap_or_default() {
            "tcp" | "https" | "tls" | "mongo" | "redis" | "mysql" | "kubernetes.io/wss" => true,
            "http" | "http2" | "http_proxy" | "grpc" | "kubernetes.io/h2c" | "kubernetes.io/ws" => {
                false
            }
            _ => WELL_KNOWN.contains(&self.port),
        }
    }

    /// The port as text: `8000 (http)`, or the bare number if it has no name.
    pub fn describe(&self) -> String {
        if self.name.is_empty() {
            self.port.to_string()
        } else {
            format!("{} ({})", self.port, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::Kind;

    #[test]
    fn a_ports_protocol_is_that_of_its_app_protocol_or_name() {
        let is_opaque = |name: &str, said: Option<&str>, port: u16| {
            let port = json!({"name": name, "appProtocol": said, "port": port});
            serde_json::from_value::<Port>(port).unwrap().is_opaque()
        };
        for name in ["tcp", "tcp-api", "TLS-a", "https", "mysql-x", "redis"] {
            assert!(is_opaque(name, None, 80), "{name}");
            assert!(is_opaque("http", Some(name), 80), "{name}");
            assert!(!is_opaque(name, Some("http"), 80), "{name}");
        }
        for name in ["", "http", "http2-a", "grpc-web", "grpc", "web", "tcpx"] {
            assert!(!is_opaque(name, None, 80), "{name}");
        }
        assert!(is_opaque("web", None, 3306) && !is_opaque("http-web", None, 3306));
        assert!(!is_opaque("tcp", Some("kubernetes.io/h2c"), 80));
    }

    #[test]
    fn its_families_and_aws_annotation_tell_what_its_load_balancer_resolves_to() {
        let stack = |families: &[&str], annotations: Value| {
            let body = json!({
                "metadata": {"namespace": "a", "name": "b", "annotations": annotations},
                "spec": {"ipFamilies": families},
            });
            let object = Object::from_server(Kind::Service, body).unwrap();
            Service::read(&object).unwrap().ip_stack
        };
        assert_eq!(stack(&[], json!({})), IpStack::V4);
        assert_eq!(stack(&["IPv4"], json!({})), IpStack::V4);
        assert_eq!(stack(&["IPv6"], json!({})), IpStack::V6);
        assert_eq!(stack(&["IPv6", "IPv4"], json!({})), IpStack::Dual);
        let (key, both) = AWS_DUAL_STACK;
        assert_eq!(stack(&["IPv4"], json!({key: both})), IpStack::Dual);
        assert_eq!(stack(&["IPv6"], json!({key: "ipv4"})), IpStack::V6);
    }
}
