//! The Services to which routes of others lead: `VirtualServices`, `HTTPRoutes` and Ingresses of any shape.

use serde_json::Value;

use super::{Kind, Object, ObjectRef};

/// The destinations of a route, as far as they show who reaches a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends {
    /// The Services, including those that only get a copy of each request.
    pub services: Vec<ObjectRef>,
    /// The host names of requests at the Services, in lower case; empty for any.
    pub hosts: Vec<String>,
}

impl Backends {
    /// Whether the route leads to one of these Services.
    pub fn lead_to(&self, services: &[ObjectRef]) -> bool {
        self.services
            .iter()
            .any(|service| services.contains(service))
    }
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    let items = value.get(field).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let texts = items(value, field).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn service(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, namespace, name)
}

/// The Service behind a destination's host: `name`, `name.namespace` or `name.namespace.svc.…`.
pub fn of_host(host: &str, namespace: &str) -> ObjectRef {
    let mut labels = host.split('.');
    let name = labels.next().unwrap_or_default();
    service(labels.next().unwrap_or(namespace), name)
}

/// The destinations of a `VirtualService`, including those of the ones among `others` that it
/// delegates to.
pub fn of_virtual_service(object: &Object, others: &[Object]) -> Backends {
    let spec = object.at(&["spec"]).unwrap_or(&Value::Null);
    let mut backends = own(object);
    for http in items(spec, "http") {
        let Some(name) = text(http, "/delegate/name") else {
            continue;
        };
        let namespace = text(http, "/delegate/namespace").unwrap_or(object.namespace());
        let delegate = ObjectRef::new(Kind::VirtualService, namespace, name);
        let found = others
            .iter()
            .filter(|other| *other.reference() == delegate)
            .map(own);
        for delegated in found {
            backends.services.extend(delegated.services);
            backends.hosts.extend(delegated.hosts);
        }
    }
    backends
}

fn own(object: &Object) -> Backends {
    let spec = object.at(&["spec"]).unwrap_or(&Value::Null);
    let mut backends = Backends {
        hosts: texts(spec, "hosts"),
        ..Backends::default()
    };
    let rules = ["http", "tls", "tcp"];
    for rule in rules.iter().flat_map(|field| items(spec, field)) {
        let routes = items(rule, "route").filter_map(|route| text(route, "/destination/host"));
        let mirrors = items(rule, "mirrors").filter_map(|mirror| text(mirror, "/destination/host"));
        let mirror = text(rule, "/mirror/host");
        let hosts = routes.chain(mirrors).chain(mirror);
        backends
            .services
            .extend(hosts.map(|host| of_host(host, object.namespace())));
        backends
            .hosts
            .extend(text(rule, "/rewrite/authority").map(str::to_owned));
        let routes = items(rule, "route");
        backends
            .hosts
            .extend(std::iter::once(rule).chain(routes).flat_map(set_hosts));
    }
    // Envoy compares them so, and nothing stops an object from holding others.
    for host in &mut backends.hosts {
        host.make_ascii_lowercase();
    }
    backends
}

/// The hosts that a rule or destination of a `VirtualService` sets by a header: Istio uses `Host` and `:authority` as the request's host
/// (`isAuthorityHeader` in its `pilot/pkg/networking/core/route/route.go`).
fn set_hosts(part: &Value) -> impl Iterator<Item = String> + '_ {
    ["set", "add"]
        .into_iter()
        .filter_map(|operation| {
            part.pointer(&format!("/headers/request/{operation}"))?
                .as_object()
        })
        .flatten()
        .filter(|(name, _)| is_host_header(name))
        .filter_map(|(_, value)| value.as_str().map(str::to_owned))
}

fn is_host_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// The destinations of an `HTTPRoute` that is attached to a Gateway; none if it only belongs to a Service of the mesh.
pub fn of_http_route(object: &Object) -> Backends {
    let spec = object.at(&["spec"]).unwrap_or(&Value::Null);
    let is_of_gateway = |parent: &Value| text(parent, "/kind").is_none_or(|kind| kind != "Service");
    if !items(spec, "parentRefs").any(is_of_gateway) {
        return Backends::default();
    }
    let mut backends = Backends {
        hosts: texts(spec, "hostnames"),
        ..Backends::default()
    };
    let has_any = backends.hosts.is_empty();
    for rule in items(spec, "rules") {
        let of_backends = items(rule, "backendRefs").flat_map(|backend| items(backend, "filters"));
        for filter in items(rule, "filters").chain(of_backends) {
            let rewritten = text(filter, "/urlRewrite/hostname");
            let modifier = filter.get("requestHeaderModifier").unwrap_or(&Value::Null);
            let headers = items(modifier, "set").chain(items(modifier, "add"));
            let hosts = headers
                .filter(|header| text(header, "/name").is_some_and(is_host_header))
                .filter_map(|header| text(header, "/value"));
            let hosts = rewritten.into_iter().chain(hosts).filter(|_| !has_any);
            backends.hosts.extend(hosts.map(str::to_owned));
        }
        let filters =
            items(rule, "filters").filter_map(|filter| filter.pointer("/requestMirror/backendRef"));
        for backend in items(rule, "backendRefs").chain(filters) {
            let is_service = text(backend, "/kind").is_none_or(|kind| kind == "Service");
            let namespace = text(backend, "/namespace").unwrap_or(object.namespace());
            let name = text(backend, "/name").filter(|_| is_service);
            backends
                .services
                .extend(name.map(|name| service(namespace, name)));
        }
    }
    backends
}

/// The destinations of an Ingress.
pub fn of_ingress(object: &Object) -> Backends {
    let spec = object.at(&["spec"]).unwrap_or(&Value::Null);
    let mut backends = Backends::default();
    let mut add = |backend: Option<&str>| {
        let found = backend.map(|name| service(object.namespace(), name));
        backends.services.extend(found);
    };
    let default = text(spec, "/defaultBackend/service/name");
    add(default);
    let mut hosts = Vec::new();
    let mut has_any = default.is_some();
    for rule in items(spec, "rules") {
        match text(rule, "/host") {
            Some(host) if !host.is_empty() => hosts.push(host.to_owned()),
            _ => has_any = true,
        }
        let paths = rule.get("http").unwrap_or(&Value::Null);
        for path in items(paths, "paths") {
            add(text(path, "/backend/service/name"));
        }
    }
    if !has_any {
        backends.hosts = hosts;
    }
    backends
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(kind: Kind, name: &str, spec: Value) -> Object {
        Object::new(ObjectRef::new(kind, "web", name)).with("spec", spec)
    }

    fn httpbin() -> Vec<ObjectRef> {
        vec![service("shop", "httpbin")]
    }

    #[test]
    fn every_destination_of_a_virtual_service_counts() {
        let to = |host: &str| json!({"destination": {"host": host}});
        let far = "httpbin.shop.svc.cluster.local";
        let spec =
            |rule: Value| json!({"hosts": ["a.x.org"], "http": [{"route": [to("web")]}, rule]});
        for rule in [
            json!({"route": [to("other"), to(far)]}),
            json!({"route": [to("httpbin.shop")]}),
            json!({"route": [to("other")], "mirror": {"host": far}}),
            json!({"route": [to("other")], "mirrors": [to(far)]}),
        ] {
            let backends = of_virtual_service(&object(Kind::VirtualService, "a", spec(rule)), &[]);
            assert!(backends.lead_to(&httpbin()), "{backends:?}");
            assert_eq!(backends.hosts, ["a.x.org"]);
        }
        let raw = json!({"tcp": [{"route": [to(far)]}]});
        assert!(
            of_virtual_service(&object(Kind::VirtualService, "a", raw), &[]).lead_to(&httpbin())
        );
        let near = spec(json!({"route": [to("httpbin")]}));
        assert!(
            !of_virtual_service(&object(Kind::VirtualService, "a", near), &[]).lead_to(&httpbin())
        );
    }

    #[test]
    fn a_delegate_and_a_rewritten_host_count_too() {
        let delegate = object(
            Kind::VirtualService,
            "part",
            json!({"http": [{"route": [{"destination": {"host": "httpbin.shop"}}], "rewrite": {"authority": "in.x.org"}}]}),
        );
        let spec = json!({"hosts": ["a.x.org"], "http": [{"delegate": {"name": "part"}}]});
        let root = object(Kind::VirtualService, "a", spec);
        let backends = of_virtual_service(&root, &[delegate]);
        assert!(backends.lead_to(&httpbin()));
        assert_eq!(backends.hosts, ["a.x.org", "in.x.org"]);
    }

    #[test]
    fn a_host_that_is_set_as_a_header_counts_too() {
        let to = json!({"host": "httpbin.shop"});
        let sets = |name: &str| json!({"request": {"set": {name: "in.x.org", "X-A": "b.x.org"}}});
        for rule in [
            json!({"route": [{"destination": to}], "headers": sets("Host")}),
            json!({"route": [{"destination": to, "headers": sets(":authority")}]}),
            json!({"route": [{"destination": to}], "headers": {"request": {"add": {"host": "in.x.org"}}}}),
        ] {
            let spec = json!({"hosts": ["a.x.org"], "http": [rule]});
            let backends = of_virtual_service(&object(Kind::VirtualService, "a", spec), &[]);
            assert_eq!(backends.hosts, ["a.x.org", "in.x.org"]);
        }
        for filter in [
            json!({"type": "URLRewrite", "urlRewrite": {"hostname": "in.x.org"}}),
            json!({"requestHeaderModifier": {"set": [{"name": "Host", "value": "in.x.org"}]}}),
        ] {
            let spec = json!({
                "parentRefs": [{"name": "web"}], "hostnames": ["a.x.org"], "rules": [{"filters": [filter]}],
            });
            let backends = of_http_route(&object(Kind::HttpRoute, "a", spec));
            assert_eq!(backends.hosts, ["a.x.org", "in.x.org"]);
        }
    }

    #[test]
    fn an_http_route_of_a_gateway_counts_and_one_of_the_mesh_does_not() {
        let spec = |parent: Value| {
            json!({
                "parentRefs": [parent], "hostnames": ["a.x.org"],
                "rules": [{"backendRefs": [{"name": "httpbin", "namespace": "shop", "port": 80}]}],
            })
        };
        let route = |parent: Value| of_http_route(&object(Kind::HttpRoute, "a", spec(parent)));
        assert!(route(json!({"name": "web"})).lead_to(&httpbin()));
        assert!(!route(json!({"kind": "Service", "name": "web"})).lead_to(&httpbin()));
    }

    #[test]
    fn an_ingress_counts_with_its_default_backend_for_any_host() {
        let path = json!({"paths": [{"path": "/", "backend": {"service": {"name": "httpbin"}}}]});
        let own = [service("web", "httpbin")];
        let rule = json!({"rules": [{"host": "a.x.org", "http": path}]});
        let backends = of_ingress(&object(Kind::Ingress, "a", rule));
        assert!(backends.lead_to(&own));
        assert_eq!(backends.hosts, ["a.x.org"]);
        let default = json!({"defaultBackend": {"service": {"name": "httpbin"}}});
        let backends = of_ingress(&object(Kind::Ingress, "a", default));
        assert!(backends.lead_to(&own) && backends.hosts.is_empty());
    }
}
