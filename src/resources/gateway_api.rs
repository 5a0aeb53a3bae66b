//! Gateways of the Kubernetes Gateway API, as far as Istio lets them configure the proxies of an ingress gateway.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::ingress::IngressGateway;
use super::names::GatewayName;
use super::{Object, ObjectRef, backends};

/// The label of the proxies that istiod creates for a Gateway.
const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The listeners of a Gateway as servers of a Gateway of Istio, where they are on these proxies, behind these Services.
///
/// A Gateway whose address is a host name configures the proxies behind that Service; any other one those that istiod creates for it
/// (istiod, `pilot/pkg/config/kube/gateway/conversion.go`). Host names of a listener's `TLSRoutes` lie within the listener's; of a listener
/// without one they may be any.
pub fn on_proxies(
    object: &Object,
    ingress: &IngressGateway,
    services: &BTreeSet<ObjectRef>,
) -> Option<Gateway> {
    if !configures(object, ingress, services) {
        return None;
    }
    let servers: Vec<Value> = items(object, &["spec", "listeners"])
        .filter(|listener| listener["protocol"] != "UDP")
        .map(|listener| {
            let text = |pointer: &str| listener.pointer(pointer).and_then(Value::as_str);
            let host = text("/hostname").filter(|name| !name.is_empty());
            let mode = match text("/tls/mode") {
                Some("Passthrough") => "PASSTHROUGH",
                _ => "SIMPLE",
            };
            json!({
                "hosts": [host.unwrap_or("*")],
                "port": {"name": listener["name"], "number": listener["port"], "protocol": listener["protocol"]},
                "tls": listener.get("tls").map(|_| json!({"mode": mode})),
            })
        })
        .collect();
    let name = GatewayName::new(object.namespace(), object.name());
    let spec = json!({"selector": ingress.selector, "servers": servers});
    let gateway = Gateway::read(&Object::new(name.reference()).with("spec", spec)).ok()?;
    Some(gateway.configuring(ingress.clone()))
}

fn configures(object: &Object, ingress: &IngressGateway, services: &BTreeSet<ObjectRef>) -> bool {
    let mut named = items(object, &["spec", "addresses"])
        .filter(|address| address["type"] == "Hostname")
        .filter_map(|address| address["value"].as_str())
        .peekable();
    if named.peek().is_some() {
        return named.any(|host| services.contains(&backends::of_host(host, object.namespace())));
    }
    // istiod gives them to the Pods (`extractInfrastructureMetadata` in `pilot/pkg/config/kube/gateway`).
    let own = object.at(&["spec", "infrastructure", "labels"]);
    let own = own.or_else(|| object.at(&["metadata", "labels"]));
    let has_label = |(key, value): (&String, &String)| {
        let own = own.and_then(|labels| labels.get(key)?.as_str());
        own == Some(value.as_str()) || key == GATEWAY_NAME_LABEL && value == object.name()
    };
    ingress.namespaces().any(|name| name == object.namespace())
        && ingress.selector.iter().all(has_label)
}

fn items<'a>(object: &'a Object, path: &[&str]) -> impl Iterator<Item = &'a Value> {
    let items = object.at(path).and_then(Value::as_array);
    items.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;

    fn read(namespace: &str, name: &str, spec: Value) -> Option<Gateway> {
        let reference = ObjectRef::new(Kind::KubernetesGateway, namespace, name);
        let object = Object::new(reference).with("spec", spec);
        let service = ObjectRef::new(Kind::Service, "istio-system", "istio-ingressgateway");
        on_proxies(&object, &IngressGateway::default(), &[service].into())
    }

    #[test]
    fn listeners_on_the_same_proxies_are_servers() {
        let address = "istio-ingressgateway.istio-system.svc.cluster.local";
        let gateway = read(
            "team",
            "web",
            json!({
                "addresses": [{"type": "Hostname", "value": address}],
                "listeners": [
                    {"name": "db", "port": 443, "protocol": "TLS", "hostname": "db.example.com", "tls": {"mode": "Passthrough"}},
                    {"name": "any", "port": 8443, "protocol": "TLS", "tls": {"mode": "Terminate"}},
                    {"name": "web", "port": 443, "protocol": "HTTPS", "hostname": "*.example.com", "tls": {}},
                    {"name": "tcp", "port": 5432, "protocol": "TCP"},
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                ],
            }),
        );
        let gateway = gateway.unwrap();
        let servers: Vec<_> = gateway
            .servers
            .iter()
            .map(|server| {
                let hosts = server.hosts.join(",");
                (
                    hosts,
                    server.port,
                    server.forwards_tcp(),
                    server.selects_by_server_name(),
                )
            })
            .collect();
        let row = |host: &str, port, tcp, by_name| (host.to_owned(), port, tcp, by_name);
        assert_eq!(
            servers,
            [
                row("db.example.com", 443, true, true),
                row("*", 8443, true, true),
                row("*.example.com", 443, false, true),
                row("*", 5432, true, false),
            ]
        );
        assert!(gateway.shares_proxies_with(&IngressGateway::default()));
    }

    #[test]
    fn a_gateway_with_proxies_of_its_own_has_no_server_on_others() {
        let listener = json!({"name": "db", "port": 443, "protocol": "TLS"});
        let with = |more: Value| {
            let mut spec = json!({"listeners": [listener]});
            spec.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            read("istio-system", "web", spec).is_some()
        };
        assert!(!with(json!({})));
        assert!(!with(
            json!({"addresses": [{"type": "IPAddress", "value": "192.0.2.1"}]})
        ));
        assert!(!with(
            json!({"addresses": [{"type": "Hostname", "value": "web-istio.istio-system"}]})
        ));
        let labels = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
        assert!(with(json!({"infrastructure": {"labels": labels}})));
    }
}
