//! Gateways of the Kubernetes Gateway API, as far as Istio lets them configure the proxies of an ingress gateway.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::ingress::IngressGateway;
use super::names::{GatewayName, derived_client_ca};
use super::{Kind, Object, ObjectRef, backends, client_ca};

/// The label of the proxies that istiod creates for a Gateway.
pub const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// The option of a listener that sets the mode of its server (`pilot/pkg/config/kube/gateway/conversion.go`).
const MODE_OPTION: &str = "gateway.istio.io/tls-terminate-mode";
/// The class that istiod makes (`pilot/pkg/config/kube/gateway/gatewayclass.go`).
const CLASS: &str = "istio";

/// The listeners of a Gateway as servers of a Gateway of Istio, where they are on these proxies, behind these Services.
pub fn on_proxies(
    object: &Object,
    ingress: &IngressGateway,
    services: &BTreeSet<ObjectRef>,
) -> Option<Gateway> {
    configures(object, ingress, services).then(|| translated(object, ingress))?
}

/// A Gateway as the Gateway of Istio that istiod makes of it, on these proxies.
///
/// Host names of a listener's `TLSRoutes` lie within the listener's; of a listener without one they may be any.
pub fn translated(object: &Object, ingress: &IngressGateway) -> Option<Gateway> {
    let frontend = object.at(&["spec", "tls", "frontend"]);
    let servers: Vec<Value> = items(object, &["spec", "listeners"])
        .filter(|listener| listener["protocol"] != "UDP")
        .map(|listener| {
            let text = |pointer: &str| listener.pointer(pointer).and_then(Value::as_str);
            let host = text("/hostname").filter(|name| !name.is_empty());
            let validation = frontend.and_then(|said| validation(said, &listener["port"]));
            let is_passthrough = text("/tls/mode") == Some("Passthrough");
            let validation = validation.filter(|_| !is_passthrough);
            let client_ca = validation.and_then(|said| client_ca(said, object.namespace()));
            let checking = validation.map(|said| match said["mode"].as_str() {
                Some("AllowInsecureFallback") => "OPTIONAL_MUTUAL",
                _ => "MUTUAL",
            });
            let option = listener["tls"]["options"][MODE_OPTION].as_str();
            let mode = if is_passthrough {
                "PASSTHROUGH"
            } else {
                option.or(checking).unwrap_or("SIMPLE")
            };
            let tls = json!({
                "mode": mode,
                "credentialNames": server_secrets(listener, object.namespace(), &ingress.namespace),
                "caCertCredentialName": client_ca.unwrap_or_default(),
            });
            json!({
                "hosts": [host.unwrap_or("*")],
                "port": {"name": listener["name"], "number": listener["port"], "protocol": listener["protocol"]},
                "tls": listener.get("tls").map(|_| tls),
            })
        })
        .collect();
    let name = GatewayName::new(object.namespace(), object.name());
    let spec = json!({"selector": ingress.selector, "servers": servers});
    let gateway = Gateway::read(&Object::new(name.reference()).with("spec", spec)).ok()?;
    Some(gateway.configuring(ingress.clone()))
}

/// Whether a listener of a Gateway needs a Secret: with its key pair, or with the client CA that istiod derives from its name.
pub fn names_secret(object: &Object, secret: &ObjectRef) -> bool {
    let beside = IngressGateway::new(&secret.namespace, BTreeMap::new());
    translated(object, &beside).is_some_and(|gateway| gateway.names_secret(&secret.name))
}

/// The names of a listener's server Secrets in the namespace of its proxies; there may be others elsewhere.
fn server_secrets<'a>(listener: &'a Value, namespace: &str, proxies: &str) -> Vec<&'a str> {
    let references = listener.pointer("/tls/certificateRefs");
    let references = references.and_then(Value::as_array).into_iter().flatten();
    references
        .filter(|one| one["kind"].as_str().unwrap_or("Secret") == "Secret")
        .filter(|one| one["namespace"].as_str().unwrap_or(namespace) == proxies)
        .filter_map(|one| one["name"].as_str())
        .collect()
}

/// How a port's listeners check their clients: by what is said of the port, else by the default.
fn validation<'a>(frontend: &'a Value, port: &Value) -> Option<&'a Value> {
    let mut ports = frontend["perPort"].as_array().into_iter().flatten();
    let tls = match ports.find(|said| said["port"] == *port) {
        Some(said) => &said["tls"],
        None => &frontend["default"],
    };
    tls.get("validation")
}

/// The `ConfigMap` with the client CA, as istiod names it in a Gateway of Istio. Istio takes exactly one reference.
fn client_ca(validation: &Value, namespace: &str) -> Option<String> {
    let [one] = validation["caCertificateRefs"].as_array()?.as_slice() else {
        return None;
    };
    let text = |field: &str| one[field].as_str();
    if text("kind") != Some("ConfigMap") || !text("group").unwrap_or_default().is_empty() {
        return None;
    }
    let namespace = text("namespace").unwrap_or(namespace);
    let reference = ObjectRef::new(Kind::ConfigMap, namespace, text("name")?);
    Some(client_ca::field(&reference))
}

/// The name by which proxies ask istiod for the client CA of such a Gateway: that of a Secret derived from the object's
/// (`pilot/pkg/model/credentials`).
pub fn client_ca_resource(source: &ObjectRef) -> String {
    derived_client_ca(&client_ca::field(source))
}

/// What messages add to the name of a Gateway that is not Istio's.
pub const OF_GATEWAY_API: &str = " of the Kubernetes Gateway API";

/// The class of a Gateway, which tells its controller.
pub fn class(object: &Object) -> &str {
    object.text(&["spec", "gatewayClassName"])
}

/// Whether the controller of a Gateway is istiod, by its class.
pub fn is_of_istio(object: &Object) -> bool {
    class(object) == CLASS
}

/// Why istiod does not serve the listeners of a Gateway with this client CA, or not all of them; `None` if it does.
///
/// Who may write a Gateway may name any `ConfigMap`. istiod takes it where a `ReferenceGrant` permits that, and then says so in the
/// listener's status.
pub fn why_unserved(object: &Object) -> Option<String> {
    let class = class(object);
    if class != CLASS {
        return Some(format!("its class is `{class}`, not `{CLASS}`"));
    }
    let mut listeners = items(object, &["spec", "listeners"]);
    let unserved = listeners.find(|listener| !is_resolved(object, &listener["name"]))?;
    let name = unserved["name"].as_str().unwrap_or_default();
    Some(format!("istiod has not accepted its listener `{name}`"))
}

/// Whether istiod says that it has found all objects that a listener names.
fn is_resolved(object: &Object, listener: &Value) -> bool {
    let mut told = items(object, &["status", "listeners"]).filter(|said| said["name"] == *listener);
    let conditions = told.next().and_then(|said| said["conditions"].as_array());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "ResolvedRefs" && condition["status"] == "True")
}

/// The servers of a [translated](translated) Gateway that istiod serves.
pub fn served(object: &Object, ingress: &IngressGateway) -> Option<Gateway> {
    let mut gateway = translated(object, ingress)?;
    let is_istios = is_of_istio(object);
    let is_served = |name: &str| is_istios && is_resolved(object, &name.into());
    gateway.servers.retain(|server| is_served(&server.name));
    Some(gateway)
}

/// The Services whose proxies a Gateway configures; of a Gateway without any, istiod creates proxies.
pub fn services(object: &Object) -> Vec<ObjectRef> {
    let addresses = items(object, &["spec", "addresses"]);
    addresses
        .filter(|address| address["type"] == "Hostname")
        .filter_map(|address| address["value"].as_str())
        .map(|host| backends::of_host(host, object.namespace()))
        .collect()
}

/// The proxies that istiod creates for a Gateway without Services.
pub fn own_proxies(object: &Object) -> IngressGateway {
    let label = (GATEWAY_NAME_LABEL.to_owned(), object.name().to_owned());
    IngressGateway::new(object.namespace(), [label].into())
}

/// Whether istiod creates these proxies for a Gateway, by their labels.
///
/// From Istio 1.31 on no Gateway of Istio in another namespace configures them (`filterStrictGatewayMerging` in
/// `pilot/pkg/model/push_context.go`).
pub fn are_managed(ingress: &IngressGateway) -> bool {
    ingress.selector.contains_key(GATEWAY_NAME_LABEL)
}

/// Whether a Gateway configures these proxies, behind these Services.
///
/// A Gateway whose address is a host name configures the proxies behind that Service; any other one those that istiod creates for it
/// (istiod, `pilot/pkg/config/kube/gateway/conversion.go`).
fn configures(object: &Object, ingress: &IngressGateway, services: &BTreeSet<ObjectRef>) -> bool {
    let named = self::services(object);
    if !named.is_empty() {
        return named.iter().any(|service| services.contains(service));
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

    #[test]
    fn the_client_ca_of_a_port_is_the_one_that_is_said_of_it_else_the_default() {
        let validation = |name: &str, more: Value| {
            let reference = json!({"group": "", "kind": "ConfigMap", "name": name, "namespace": "kubectl-mtls"});
            let mut validation = json!({"caCertificateRefs": [reference]});
            validation
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json!({"validation": validation})
        };
        let listener = |port: u16, protocol: &str, mode: &str| json!({"name": "l", "port": port, "protocol": protocol, "tls": {"mode": mode}});
        let spec = json!({
            "addresses": [{"type": "Hostname", "value": "istio-ingressgateway.istio-system.svc.cluster.local"}],
            "listeners": [
                listener(443, "HTTPS", "Terminate"),
                listener(444, "HTTPS", "Terminate"),
                listener(445, "HTTPS", "Terminate"),
                listener(446, "TLS", "Passthrough"),
                {"name": "l", "port": 80, "protocol": "HTTP"},
            ],
            "tls": {"frontend": {
                "default": validation("default", json!({})),
                "perPort": [
                    {"port": 444, "tls": validation("other", json!({"mode": "AllowInsecureFallback"}))},
                    {"port": 445, "tls": {}},
                ],
            }},
        });
        let gateway = read("team", "web", spec).unwrap();
        let servers: Vec<(&str, &str)> = gateway
            .servers
            .iter()
            .map(|server| (server.mode.as_str(), server.client_ca.as_str()))
            .collect();
        assert_eq!(
            servers,
            [
                ("MUTUAL", "configmap://kubectl-mtls/default"),
                ("OPTIONAL_MUTUAL", "configmap://kubectl-mtls/other"),
                ("SIMPLE", ""),
                ("PASSTHROUGH", ""),
                ("", ""),
            ]
        );
    }

    #[test]
    fn a_client_ca_that_is_no_config_map_or_one_of_several_is_none_of_ours() {
        let reference = |kind: &str| json!({"group": "", "kind": kind, "name": "a"});
        let one = |references: Value| client_ca(&json!({"caCertificateRefs": references}), "team");
        assert_eq!(
            one(json!([reference("ConfigMap")])).as_deref(),
            Some("configmap://team/a")
        );
        assert_eq!(one(json!([reference("Secret")])), None);
        assert_eq!(
            one(json!([reference("ConfigMap"), reference("ConfigMap")])),
            None
        );
        assert_eq!(one(json!([])), None);
    }
}
