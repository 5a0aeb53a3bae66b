//! Each kind of external route, and who is let in by it.

mod servers;
mod workload;

use serde_json::{Value, json};

use super::*;
use crate::plan::check::Severity;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::ISTIO_NAMESPACE;
use crate::resources::{api_rule, environment, virtual_service};

const PRINCIPAL: &str = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";

/// A Service behind mutual TLS, and what else is in its cluster.
struct Cluster {
    observed: Observed,
    gateways: Vec<Gateway>,
    route: ObjectRef,
    is_listed: bool,
}

fn service() -> ObjectRef {
    ObjectRef::new(Kind::Service, "shop", "httpbin")
}

fn selector() -> BTreeMap<String, String> {
    [("app".to_owned(), "httpbin".to_owned())].into()
}

/// The labels of the mutual-TLS Gateway's proxies.
fn proxies() -> IngressGateway {
    IngressGateway::default()
}

fn object(kind: Kind, name: &str, spec: Value) -> Object {
    Object::new(ObjectRef::new(kind, "shop", name)).with("spec", spec)
}

fn gateway(name: &str, mode: &str, proxies: &str) -> Gateway {
    let spec = json!({
        "selector": {"istio": proxies},
        "servers": [{"hosts": ["*.example.com"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": mode}}],
    });
    Gateway::read(&object(Kind::Gateway, name, spec)).unwrap()
}

fn routed(gateway: &str, host: &str) -> Value {
    json!({
        "hosts": [host], "gateways": [gateway],
        "http": [{"route": [{"destination": {"host": "httpbin"}}]}],
    })
}

impl Cluster {
    fn plain() -> Self {
        let mut cluster = Self {
            observed: Observed::default(),
            gateways: vec![gateway("mtls", "MUTUAL", "ingressgateway")],
            route: virtual_service::reference("shop", "httpbin-mtls"),
            is_listed: false,
        };
        for query in queries(&service(), [ISTIO_NAMESPACE]) {
            cluster.list(query, []);
        }
        cluster.list(pods(&service(), &selector()).unwrap(), []);
        cluster.list(crate::plan::probe::pods(&proxies()), []);
        let mesh = Query::Get(environment::mesh_config());
        cluster.observed.saw(mesh, Seen::Missing);
        let own = object(
            Kind::VirtualService,
            "httpbin-mtls",
            routed("mtls", "httpbin.example.com"),
        );
        cluster.list(Query::everywhere(Kind::VirtualService), [own]);
        cluster.list(
            Query::within(Kind::Service, "shop"),
            [cluster_service("httpbin", &json!({"type": "ClusterIP"}))],
        );
        cluster
    }

    fn list(&mut self, query: Query, objects: impl IntoIterator<Item = Object>) {
        let objects = objects.into_iter().collect();
        self.observed.saw(query, Seen::Found(objects));
    }

    fn add(&mut self, query: Query, object: Object) {
        let mut objects = self.observed.list(&query).unwrap().to_vec();
        objects.push(object);
        self.list(query, objects);
    }

    fn policy(&mut self, spec: Value) {
        let policy = object(Kind::AuthorizationPolicy, "p", spec);
        self.add(Query::within(Kind::AuthorizationPolicy, "shop"), policy);
    }

    /// A route on a Gateway of somebody.
    fn route_by(mut self, gateway: Gateway) -> Self {
        let spec = routed(&gateway.name.name, "open.example.com");
        self.list(crate::plan::probe::pods(&gateway.ingress), []);
        self.gateways.push(gateway);
        let all = Query::everywhere(Kind::VirtualService);
        self.add(all, object(Kind::VirtualService, "web", spec));
        self
    }

    fn checks(&self) -> Vec<Finding> {
        let proxies = proxies();
        let exposed = Exposed {
            service: &service(),
            selector: &selector(),
            route: &self.route,
            gateway: &GatewayName::new("shop", "mtls"),
            host: "httpbin.example.com",
            server: &self.gateways[0].servers[0],
            is_listed: self.is_listed,
            proxies: &proxies,
            policy: None,
            command: "status",
        };
        checks(&exposed, &self.gateways, &self.observed).unwrap()
    }

    fn ids(&self) -> Vec<&'static str> {
        self.checks().iter().map(|check| check.check.id).collect()
    }
}

fn cluster_service(name: &str, spec: &Value) -> Object {
    let mut full =
        json!({"selector": {"app": "httpbin"}, "ports": [{"port": 80, "targetPort": 8080}]});
    for (key, value) in spec.as_object().unwrap() {
        full[key] = value.clone();
    }
    object(Kind::Service, name, full)
}

fn pod(name: &str, containers: &[&str]) -> Object {
    let containers: Vec<Value> = containers
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    object(Kind::Pod, name, json!({"containers": containers}))
        .with_label("app", "httpbin")
        .with("status", json!({"phase": "Running"}))
}

fn only_gateway() -> Value {
    json!({"action": "ALLOW", "rules": [{"from": [{"source": {"principals": [PRINCIPAL]}}]}]})
}

#[test]
fn the_route_of_the_host_itself_and_gateways_with_mutual_tls_are_no_external_routes() {
    let cluster = Cluster::plain();
    assert_eq!(cluster.checks(), []);
    let mutual = Cluster::plain().route_by(gateway("other", "MUTUAL", "ingressgateway"));
    assert_eq!(mutual.checks(), []);
}

#[test]
fn a_virtual_service_on_a_gateway_without_mutual_tls_is_named_with_what_closes_it() {
    for mode in ["SIMPLE", "OPTIONAL_MUTUAL"] {
        let cluster = Cluster::plain().route_by(gateway("web", mode, "ingressgateway"));
        let checks = cluster.checks();
        let [check] = checks.as_slice() else {
            panic!("{checks:#?}");
        };
        assert_eq!(
            (check.check.id, check.severity),
            ("external-route/open", Severity::Error)
        );
        assert_eq!(
            check.seen,
            format!(
                "VirtualService shop/web sends requests for open.example.com from port 443 ({mode}) of the Gateway shop/web to the Service shop/httpbin"
            )
        );
        assert!(
            check.why.contains("can choose the identity headers"),
            "{}",
            check.why
        );
        assert_eq!(
            check.remedy,
            "kubectl delete virtualservices.networking.istio.io -n shop web"
        );
    }
}

#[test]
fn the_own_route_counts_where_it_names_a_further_gateway() {
    let mut cluster = Cluster::plain();
    cluster
        .gateways
        .push(gateway("web", "SIMPLE", "ingressgateway"));
    let mut spec = routed("mtls", "httpbin.example.com");
    spec["gateways"] = json!(["mtls", "web"]);
    let own = object(Kind::VirtualService, "httpbin-mtls", spec);
    cluster.list(Query::everywhere(Kind::VirtualService), [own]);
    assert_eq!(cluster.ids(), ["external-route/open"]);
}

#[test]
fn an_api_rule_is_named_for_the_virtual_service_that_kyma_makes() {
    let mut cluster = Cluster::plain();
    cluster.route = api_rule::reference("shop", "httpbin-mtls");
    cluster
        .gateways
        .push(gateway("web", "SIMPLE", "ingressgateway"));
    let of_rule = |rule: &str, gateway: &str, host: &str| {
        object(
            Kind::VirtualService,
            &format!("{rule}-x"),
            routed(gateway, host),
        )
        .with_label("apirule.gateway.kyma-project.io/name", rule)
        .with_label("apirule.gateway.kyma-project.io/namespace", "shop")
    };
    let both = [
        of_rule("httpbin-mtls", "mtls", "httpbin.example.com"),
        of_rule("open", "web", "open.example.com"),
    ];
    cluster.list(Query::everywhere(Kind::VirtualService), both);
    let of_host = |host: &str| {
        let mut spec = only_gateway();
        spec["rules"][0]["to"] = json!([{"operation": {"hosts": [host], "paths": ["/*"]}}]);
        spec
    };
    cluster.policy(of_host("httpbin.example.com"));
    assert_eq!(cluster.ids(), [] as [&str; 0], "its own policy is missing");
    cluster.policy(of_host("open.example.com"));
    let checks = cluster.checks();
    assert_eq!(checks.len(), 1);
    assert!(
        checks[0].seen.starts_with("APIRule shop/open sends"),
        "{checks:#?}"
    );
    assert_eq!(
        checks[0].remedy,
        "kubectl delete apirules.gateway.kyma-project.io -n shop open"
    );
}

#[test]
fn a_route_that_asks_for_a_token_is_a_warning() {
    let mut cluster = Cluster::plain().route_by(gateway("web", "SIMPLE", "ingressgateway"));
    cluster.policy(
        json!({"rules": [{"from": [{"source": {"requestPrincipals": ["https://idp/*"]}}]}]}),
    );
    let checks = cluster.checks();
    assert_eq!(checks[0].check.id, "external-route/other-check");
    assert_eq!(checks[0].severity, Severity::Warning);
}

#[test]
fn http_routes_ingresses_and_services_that_are_reached_from_outside_are_named() {
    let services = Query::within(Kind::Service, "shop");
    let ingresses = Query::within(Kind::Ingress, "shop");
    let backend = json!({"name": "httpbin", "namespace": "shop"});
    let route = json!({"parentRefs": [{"name": "web"}], "rules": [{"backendRefs": [backend]}]});
    let ingress =
        json!({"ingressClassName": "istio", "defaultBackend": {"service": {"name": "httpbin"}}});
    for (query, object, seen) in [
        (
            Query::everywhere(Kind::HttpRoute),
            object(Kind::HttpRoute, "web", route),
            "HTTPRoute shop/web sends requests for any host to the Service shop/httpbin",
        ),
        (
            ingresses,
            object(Kind::Ingress, "web", ingress),
            "Ingress shop/web sends requests for any host to the Service shop/httpbin",
        ),
        (
            services.clone(),
            cluster_service("public", &json!({"type": "LoadBalancer"})),
            "the Service shop/public of type LoadBalancer leads to the Pods of the Service shop/httpbin",
        ),
        (
            services.clone(),
            cluster_service("public", &json!({"externalIPs": ["192.0.2.9"]})),
            "the Service shop/public with externalIPs leads to the Pods of the Service shop/httpbin",
        ),
    ] {
        let mut cluster = Cluster::plain();
        cluster.add(query, object);
        let unserved = crate::plan::probe::kubernetes_gateways();
        cluster.observed.saw(unserved, Seen::NotServed);
        let checks = cluster.checks();
        assert_eq!(checks.len(), 1, "{checks:#?}");
        assert_eq!(checks[0].seen, seen);
        assert_eq!(checks[0].check.id, "external-route/open");
    }
    let mut itself = Cluster::plain();
    itself.list(
        services,
        [cluster_service("httpbin", &json!({"type": "NodePort"}))],
    );
    assert_eq!(
        itself.checks()[0].seen,
        "the Service shop/httpbin is itself of type NodePort"
    );
}

/// The endpoints of a Service.
fn slice(service: &str, address: &str) -> Object {
    let name = ObjectRef::new(Kind::EndpointSlice, "shop", format!("{service}-abc"));
    Object::new(name)
        .with_label("kubernetes.io/service-name", service)
        .with("endpoints", json!([{"addresses": [address]}]))
}

#[test]
fn a_service_without_selector_leads_to_the_addresses_of_its_endpoints() {
    let slices = Query::within(Kind::EndpointSlice, "shop");
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8080}]});
    let public = object(Kind::Service, "public", spec);
    let with = |endpoints: Seen<Vec<Object>>| {
        let mut cluster = Cluster::plain();
        cluster.add(Query::within(Kind::Service, "shop"), public.clone());
        cluster.observed.saw(slices.clone(), endpoints);
        cluster.checks()
    };
    let own = slice("httpbin", "10.1.0.7");
    let same = with(Seen::Found(vec![own.clone(), slice("public", "10.1.0.7")]));
    assert_eq!(same.len(), 1, "{same:#?}");
    let words = "the Service shop/public of type LoadBalancer leads to the Pods of the Service shop/httpbin";
    assert_eq!(same[0].seen, words);
    let others = with(Seen::Found(vec![own, slice("public", "10.1.0.8")]));
    assert!(others.is_empty(), "{others:#?}");
    let unknown = with(Seen::Denied("no".to_owned()));
    assert_eq!(unknown.len(), 1, "{unknown:#?}");
    assert_eq!(unknown[0].check.id, "external-route/not-checked");
}

#[test]
fn a_service_of_other_pods_leads_elsewhere() {
    let mut cluster = Cluster::plain();
    let other = json!({"type": "LoadBalancer", "selector": {"app": "web"}});
    cluster.add(
        Query::within(Kind::Service, "shop"),
        cluster_service("public", &other),
    );
    assert_eq!(cluster.checks(), []);
    // By another label of the same Pods.
    let tier = json!({"type": "LoadBalancer", "selector": {"tier": "front"}});
    cluster.add(
        Query::within(Kind::Service, "shop"),
        cluster_service("tier", &tier),
    );
    assert_eq!(cluster.checks(), []);
    let pod = pod("a", &["app", "istio-proxy"]).with_label("tier", "front");
    cluster.list(pods(&service(), &selector()).unwrap(), [pod]);
    cluster.policy(json!({"rules": [{}]}));
    let checks = cluster.checks();
    assert!(
        checks[0]
            .seen
            .starts_with("the Service shop/tier of type LoadBalancer"),
        "{checks:#?}"
    );
}

#[test]
fn a_refused_list_is_not_checked_and_one_that_is_not_served_is_empty() {
    let denied = || Seen::Denied("you may not `list` it".to_owned());
    for query in lists("shop") {
        let mut cluster = Cluster::plain();
        cluster.observed.saw(query.clone(), denied());
        let checks = cluster.checks();
        assert_eq!(checks.len(), 1, "{checks:#?}");
        assert_eq!(
            (checks[0].check.id, checks[0].severity),
            ("external-route/not-checked", Severity::Unknown)
        );
        assert_eq!(checks[0].remedy, "kubectl mtls rbac status");
        cluster.observed.saw(query, Seen::NotServed);
        assert_eq!(cluster.checks(), []);
    }
    let mut cluster = Cluster::plain();
    let policies = Query::within(Kind::AuthorizationPolicy, "shop");
    cluster.observed.saw(policies, denied());
    assert_eq!(cluster.checks(), [], "nothing depends on them");
    let cluster = cluster.route_by(gateway("web", "SIMPLE", "ingressgateway"));
    assert_eq!(cluster.ids(), ["external-route/not-checked"]);
    let mut cluster = Cluster::plain();
    cluster
        .observed
        .saw(pods(&service(), &selector()).unwrap(), denied());
    assert_eq!(cluster.ids(), ["workload/not-checked"]);
}
