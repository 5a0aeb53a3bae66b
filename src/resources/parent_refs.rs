//! The parents of an `HTTPRoute`: the listeners of Gateways of the Kubernetes Gateway API that use its rules.

use serde_json::Value;

use super::gateway::{Server, overlap};
use super::{Kind, Object, ObjectRef};

/// A parent of a route that is no Service of the mesh.
#[derive(Debug, PartialEq, Eq)]
pub enum Parent<'a> {
    /// Listeners of a Gateway.
    Listeners(ListenerRef<'a>),
    /// An object of another kind, such as a `ListenerSet`.
    Other,
}

/// Listeners of a Gateway, as a route names them.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerRef<'a> {
    /// The Gateway.
    pub gateway: ObjectRef,
    /// The only listener; all of them if there is none.
    section: Option<&'a str>,
    /// The only port; all of them if there is none.
    port: Option<u64>,
}

/// The parents that a route names.
pub fn parents(route: &Object) -> Vec<Parent<'_>> {
    let named = route.at(&["spec", "parentRefs"]).and_then(Value::as_array);
    let named = named.into_iter().flatten();
    named.filter_map(|named| parent(named, route)).collect()
}

fn parent<'a>(named: &'a Value, route: &Object) -> Option<Parent<'a>> {
    let text = |field: &str| named.get(field).and_then(Value::as_str);
    match text("kind").unwrap_or("Gateway") {
        "Service" => None,
        "Gateway" => {
            let namespace = text("namespace").unwrap_or(route.namespace());
            let name = text("name").unwrap_or_default();
            Some(Parent::Listeners(ListenerRef {
                gateway: ObjectRef::new(Kind::KubernetesGateway, namespace, name),
                section: text("sectionName"),
                port: named.get("port").and_then(Value::as_u64),
            }))
        }
        _ => Some(Parent::Other),
    }
}

/// The host names of a route; `*` if it has none.
pub fn host_names(route: &Object) -> Vec<String> {
    let named = route.at(&["spec", "hostnames"]).and_then(Value::as_array);
    let named = named.into_iter().flatten().filter_map(Value::as_str);
    let named: Vec<String> = named.map(str::to_lowercase).collect();
    if named.is_empty() {
        return vec!["*".to_owned()];
    }
    named
}

impl ListenerRef<'_> {
    /// Whether a listener of the Gateway uses the route, by its Gateway's and the route's own words; `server` is the listener's, as
    /// [`translated`](super::gateway_api::translated) names it.
    ///
    /// Which namespaces a label selector of the listener selects is not known here: it may select all.
    pub fn uses(&self, route: &Object, gateway: &Object, server: &Server) -> bool {
        let is_named = self.section.is_none_or(|name| name == server.name)
            && self.port.is_none_or(|port| port == u64::from(server.port));
        let serves = |host: &String| server.hosts.iter().any(|pattern| overlap(pattern, host));
        is_named
            && !server.forwards_tcp()
            && allows(gateway, &server.name, route.namespace())
            && host_names(route).iter().any(serves)
    }
}

/// Whether a listener lets `HTTPRoutes` of a namespace attach themselves; without more words only those of its own namespace.
fn allows(gateway: &Object, listener: &str, namespace: &str) -> bool {
    let listeners = gateway.at(&["spec", "listeners"]).and_then(Value::as_array);
    let mut listeners = listeners.into_iter().flatten();
    let Some(listener) = listeners.find(|one| one["name"] == *listener) else {
        return false;
    };
    let allowed = &listener["allowedRoutes"];
    let kinds = allowed["kinds"].as_array().filter(|all| !all.is_empty());
    let is_kind = kinds.is_none_or(|all| all.iter().any(|one| one["kind"] == "HTTPRoute"));
    let is_near = match allowed["namespaces"]["from"].as_str() {
        None | Some("Same") => gateway.namespace() == namespace,
        Some("None") => false,
        Some(_) => true,
    };
    is_kind && is_near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::gateway_api::{own_proxies, translated};
    use serde_json::json;

    /// The names of the listeners that use a route of the namespace `shop`.
    fn used(parent: &Value, host: Option<&str>) -> Vec<String> {
        let all = json!({"namespaces": {"from": "All"}});
        let listeners = json!([
            {"name": "web", "port": 443, "protocol": "HTTPS", "hostname": "*.example.com", "tls": {}, "allowedRoutes": all},
            {"name": "any", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector"}}},
            {"name": "own", "port": 80, "protocol": "HTTP"},
            {"name": "none", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "None"}}},
            {"name": "grpc", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}},
            {"name": "tcp", "port": 9000, "protocol": "TCP", "allowedRoutes": all},
        ]);
        let reference = ObjectRef::new(Kind::KubernetesGateway, "team", "web");
        let gateway = Object::new(reference).with("spec", json!({"listeners": listeners}));
        let reference = ObjectRef::new(Kind::HttpRoute, "shop", "web");
        let hosts: Vec<&str> = host.into_iter().collect();
        let route = Object::new(reference)
            .with("spec", json!({"parentRefs": [parent], "hostnames": hosts}));
        let [Parent::Listeners(named)] = &parents(&route)[..] else {
            return Vec::new();
        };
        if named.gateway != *gateway.reference() {
            return Vec::new();
        }
        let servers = translated(&gateway, &own_proxies(&gateway))
            .unwrap()
            .servers;
        let used = servers
            .iter()
            .filter(|server| named.uses(&route, &gateway, server));
        used.map(|server| server.name.clone()).collect()
    }

    #[test]
    fn a_route_is_used_by_the_listeners_that_it_names_and_that_allow_it() {
        let of_team = |more: Value| {
            let mut parent = json!({"name": "web", "namespace": "team"});
            parent
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            parent
        };
        let all = of_team(json!({}));
        assert_eq!(used(&all, None), ["web", "any"]);
        assert_eq!(used(&all, Some("a.example.com")), ["web", "any"]);
        assert_eq!(used(&all, Some("a.example.org")), ["any"]);
        assert_eq!(used(&of_team(json!({"sectionName": "web"})), None), ["web"]);
        assert_eq!(used(&of_team(json!({"port": 80})), None), ["any"]);
        let group = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway"});
        assert_eq!(used(&of_team(group), None), ["web", "any"]);
        // Of a parent without a namespace the Gateway is in that of the route.
        assert_eq!(used(&json!({"name": "web"}), None), [] as [&str; 0]);
    }

    #[test]
    fn parents_of_other_kinds_are_told_apart_from_services() {
        let kinds = |kind: &str| {
            let reference = ObjectRef::new(Kind::HttpRoute, "shop", "web");
            let spec = json!({"parentRefs": [{"kind": kind, "name": "a"}]});
            let route = Object::new(reference).with("spec", spec);
            parents(&route)
                .iter()
                .map(|parent| *parent == Parent::Other)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds("Service"), [] as [bool; 0]);
        assert_eq!(kinds("ListenerSet"), [true]);
        assert_eq!(kinds("Gateway"), [false]);
    }
}
