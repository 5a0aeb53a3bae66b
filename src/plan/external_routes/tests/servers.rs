//! Which servers of a Gateway a `VirtualService` has routes for.

use super::*;
use crate::plan::probe::{ingress_service, kubernetes_gateways};
use crate::resources::guard::headers_reference;

#[test]
fn only_a_server_that_has_routes_of_its_kind_leads_to_the_service() {
    let tcp = json!({"hosts": ["*"], "port": {"number": 9000, "protocol": "TCP"}});
    let through = json!({
        "hosts": ["*"], "port": {"number": 9443, "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"},
    });
    let simple = json!({
        "hosts": ["*"], "port": {"number": 8443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"},
    });
    let seen = |servers: Value, rules: &str| {
        let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": servers});
        let read = Gateway::read(&object(Kind::Gateway, "web", spec)).unwrap();
        let mut cluster = Cluster::plain();
        cluster.gateways.push(read);
        let mut spec = routed("web", "open.example.com");
        let http = spec["http"].take();
        spec["http"] = json!([]);
        spec[rules] = http;
        let all = Query::everywhere(Kind::VirtualService);
        cluster.add(all, object(Kind::VirtualService, "web", spec));
        let checks = cluster.checks();
        checks
            .iter()
            .map(|check| check.seen.clone())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(seen(json!([tcp, through]), "http"), "");
    assert!(seen(json!([tcp, simple]), "http").contains("from port 8443 (SIMPLE)"));
    assert_eq!(seen(json!([simple]), "tcp"), "");
    assert!(seen(json!([simple, tcp]), "tcp").contains("from port 9000 (TCP)"));
    assert!(seen(json!([simple, through]), "tls").contains("from port 9443 (PASSTHROUGH)"));
}

/// A server on port 443 of another Gateway, with this beside its mode.
fn of_mode(mode: &str, more: &Value) -> Gateway {
    let mut tls = json!({"mode": mode});
    tls.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let server = json!({"hosts": ["*.example.com"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": tls});
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
    Gateway::read(&object(Kind::Gateway, "web", spec)).unwrap()
}

#[test]
fn clients_of_another_ca_are_no_clients_of_the_host() {
    let other_ca = json!({"caCertCredentialName": "configmap://team/other"});
    let rows = [
        (
            "MUTUAL",
            other_ca,
            "clients of the CAs in `ConfigMap team/other`",
        ),
        ("ISTIO_MUTUAL", json!({}), "every workload of the mesh"),
    ];
    for (mode, more, clients) in rows {
        let cluster = Cluster::plain().route_by(of_mode(mode, &more));
        let checks = cluster.checks();
        assert_eq!(cluster.ids(), ["external-route/open"], "{mode}");
        assert_eq!(
            checks[0].why,
            format!("this route admits {clients}, and each {FORGED}")
        );
    }
}

/// istiod warns of `httpsRedirect` on a server of HTTPS, and serves its routes.
#[test]
fn a_redirect_closes_a_server_of_plain_http_only() {
    let redirect = json!({"httpsRedirect": true});
    let cluster = Cluster::plain().route_by(of_mode("SIMPLE", &redirect));
    assert_eq!(cluster.ids(), ["external-route/open"]);
    let server =
        json!({"hosts": ["*"], "port": {"number": 80, "protocol": "HTTP"}, "tls": redirect});
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
    let plain = Gateway::read(&object(Kind::Gateway, "web", spec)).unwrap();
    assert_eq!(Cluster::plain().route_by(plain).checks(), []);
}

#[test]
fn another_host_of_the_same_gateway_is_open_to_clients_that_are_not_on_the_list() {
    let mut cluster = Cluster::plain();
    let second = routed("mtls", "internal.example.com");
    let all = Query::everywhere(Kind::VirtualService);
    cluster.add(all, object(Kind::VirtualService, "second", second));
    assert_eq!(cluster.checks(), []);
    cluster.is_listed = true;
    let checks = cluster.checks();
    assert_eq!(cluster.ids(), ["external-route/unlisted"]);
    let words = "VirtualService shop/second sends requests for internal.example.com";
    assert!(checks[0].seen.starts_with(words), "{checks:#?}");
    // A server of the same Gateway that is open to anybody counts more.
    let mtls = cluster.gateways[0].clone();
    let http = json!({"hosts": ["*"], "port": {"number": 80, "protocol": "HTTP"}});
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [http]});
    let open = Gateway::read(&object(Kind::Gateway, "mtls", spec)).unwrap();
    cluster.gateways[0].servers.extend(open.servers);
    assert_eq!(cluster.ids(), ["external-route/open"]);
    cluster.gateways[0] = mtls;
    // The guard of the host holds on every route for it.
    let same = routed("mtls", "httpbin.example.com");
    let all = Query::everywhere(Kind::VirtualService);
    cluster.list(all.clone(), [object(Kind::VirtualService, "second", same)]);
    assert_eq!(cluster.checks(), []);
    // Clients of the same authority come by another Gateway, too.
    cluster
        .gateways
        .push(gateway("other", "MUTUAL", "ingressgateway"));
    let route = routed("other", "other.example.com");
    cluster.add(all, object(Kind::VirtualService, "third", route));
    assert_eq!(cluster.ids(), ["external-route/unlisted"]);
}

#[test]
fn no_guard_of_the_host_holds_on_other_proxies() {
    let all = Query::everywhere(Kind::VirtualService);
    let mut cluster = elsewhere_routed();
    let service = cluster.observed.list(&all).unwrap()[0].clone();
    let checks = cluster.checks();
    assert_eq!(cluster.ids(), ["external-route/open"]);
    let words = "no guard is on this route: each client of the host's own CA can choose";
    assert!(checks[0].why.starts_with(words), "{checks:#?}");
    cluster.is_listed = true;
    assert_eq!(cluster.ids(), ["external-route/unlisted"]);
    // A header guard of that Gateway, or a route that sets the headers, keeps clients from choosing them; no allow-list is there.
    let guard = headers_reference("istio-system", &GatewayName::new("shop", "other"));
    let named = service.with("spec", {
        let mut spec = routed("other", "httpbin.example.com");
        let set: BTreeMap<&str, &str> = [
            ("X-CLIENT-SSL-CN", "%DOWNSTREAM_PEER_SUBJECT%"),
            ("X-CLIENT-SSL-SAN", "%DOWNSTREAM_PEER_URI_SAN%"),
            ("X-CLIENT-SSL-ISSUER", "%DOWNSTREAM_PEER_ISSUER%"),
        ]
        .into();
        spec["http"][0]["headers"] = json!({"request": {"set": set}});
        spec
    });
    let mut guarded = elsewhere_routed();
    let found = Object::new(guard.clone());
    guarded
        .observed
        .saw(Query::Get(guard), Seen::Found(vec![found]));
    let mut naming = elsewhere_routed();
    naming.list(all, [named]);
    for mut cluster in [guarded, naming] {
        assert_eq!(cluster.checks(), []);
        cluster.is_listed = true;
        assert_eq!(cluster.ids(), ["external-route/unlisted"]);
    }
}

/// A route for the exposed host on a Gateway with the host's authority and other proxies.
fn elsewhere_routed() -> Cluster {
    let elsewhere = gateway("other", "MUTUAL", "elsewhere");
    let mut cluster = Cluster::plain();
    cluster.list(crate::plan::probe::pods(&elsewhere.ingress), []);
    let guard = headers_reference(&elsewhere.ingress.namespace, &elsewhere.name);
    cluster.observed.saw(Query::Get(guard), Seen::Missing);
    cluster.gateways.push(elsewhere);
    let route = routed("other", "httpbin.example.com");
    let all = Query::everywhere(Kind::VirtualService);
    cluster.list(all, [object(Kind::VirtualService, "second", route)]);
    cluster
}

#[test]
fn a_host_is_the_same_in_capital_letters() {
    let mut cluster = Cluster::plain();
    cluster.policy(json!({"action": "ALLOW", "rules": [{
        "from": [{"source": {"principals": [PRINCIPAL]}}],
        "to": [{"operation": {"hosts": ["httpbin.example.com"]}}],
    }]}));
    let web = gateway("web", "SIMPLE", "ingressgateway");
    cluster.gateways.push(web);
    let all = Query::everywhere(Kind::VirtualService);
    let route = routed("web", "HTTPBIN.example.com");
    cluster.add(all, object(Kind::VirtualService, "web", route));
    assert_eq!(cluster.ids(), ["external-route/open"]);
}

#[test]
fn a_service_without_selector_is_reached_by_a_route_too() {
    let mut cluster = Cluster::plain();
    let spec = json!({"type": "ClusterIP", "ports": [{"port": 80, "targetPort": 8080}]});
    let services = Query::within(Kind::Service, "shop");
    cluster.add(services, object(Kind::Service, "same", spec));
    let slices = [slice("httpbin", "10.1.0.7"), slice("same", "10.1.0.7")];
    cluster.list(Query::within(Kind::EndpointSlice, "shop"), slices);
    assert_eq!(cluster.checks(), []);
    cluster
        .gateways
        .push(gateway("web", "SIMPLE", "ingressgateway"));
    let mut route = routed("web", "open.example.com");
    route["http"][0]["route"][0]["destination"]["host"] = "same".into();
    let all = Query::everywhere(Kind::VirtualService);
    cluster.add(all, object(Kind::VirtualService, "web", route));
    assert_eq!(cluster.ids(), ["external-route/open"]);
}

/// A Gateway of the Kubernetes Gateway API for `*.example.com` on the proxies behind this Service, which checks its clients so.
fn of_kubernetes(service: &str, frontend: &Value) -> Object {
    let spec = json!({
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": service}],
        "listeners": [{
            "name": "web", "port": 443, "protocol": "HTTPS", "hostname": "*.example.com",
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "web-tls"}]},
        }],
        "tls": {"frontend": frontend},
    });
    object(Kind::KubernetesGateway, "web", spec)
}

/// Clients are those of this authority.
fn of_authority(name: &str) -> Value {
    let reference =
        json!({"group": "", "kind": "ConfigMap", "name": name, "namespace": "kubectl-mtls"});
    json!({"default": {"validation": {"caCertificateRefs": [reference]}}})
}

/// A host of an authority, and an `HTTPRoute` to its Service on a Gateway of the Kubernetes Gateway API.
fn with_http_route(gateways: Seen<Vec<Object>>) -> Cluster {
    let mut cluster = Cluster::plain();
    let own = json!({"caCertCredentialName": "configmap://kubectl-mtls/kyma-mtls"});
    cluster.gateways = vec![of_mode("MUTUAL", &own)];
    cluster.gateways[0].name = GatewayName::new("shop", "mtls");
    let spec = json!({
        "parentRefs": [{"name": "web", "sectionName": "web"}], "hostnames": ["open.example.com"],
        "rules": [{"backendRefs": [{"name": "httpbin"}]}],
    });
    let routes = Query::everywhere(Kind::HttpRoute);
    cluster.list(routes, [object(Kind::HttpRoute, "web", spec)]);
    cluster.observed.saw(kubernetes_gateways(), gateways);
    let in_front =
        json!({"ports": [{"name": "https", "port": 443}], "selector": proxies().selector});
    let in_front = Object::new(ingress_service()).with("spec", in_front);
    let query = Query::Get(ingress_service());
    cluster.observed.saw(query, Seen::Found(vec![in_front]));
    cluster
}

const DEFAULT: &str = "istio-ingressgateway.istio-system.svc.cluster.local";

#[test]
fn an_http_route_admits_whom_the_listeners_of_its_gateway_admit() {
    let ids = |service: &str, frontend: &Value| {
        let gateway = of_kubernetes(service, frontend);
        let mut cluster = with_http_route(Seen::Found(vec![gateway]));
        let of_anybody = cluster.ids();
        cluster.policy(only_gateway());
        (of_anybody, cluster.ids())
    };
    let open = vec!["external-route/open"];
    let not_checked = vec!["external-route/not-checked"];
    // No HTTPRoute sets the identity headers from certificates of the host's own authority. The header guard holds on the same proxies, for
    // names under those of the exposed Gateway.
    let own = of_authority("kyma-mtls");
    let none: [&str; 0] = [];
    assert_eq!(ids(DEFAULT, &own), (none.to_vec(), none.to_vec()));
    assert_eq!(ids("web.shop", &own), (open.clone(), not_checked.clone()));
    let mut wider = of_kubernetes(DEFAULT, &own);
    let mut spec = wider.at(&["spec"]).unwrap().clone();
    spec["listeners"][0]["hostname"] = "*.com".into();
    wider = wider.with("spec", spec);
    assert_eq!(with_http_route(Seen::Found(vec![wider])).ids(), open);
    for frontend in [json!({}), of_authority("other")] {
        assert_eq!(ids(DEFAULT, &frontend), (open.clone(), open.clone()));
        // The policy admits the mutual-TLS Gateway's proxies only; which ones these are is not known.
        let elsewhere = ids("web.shop", &frontend);
        assert_eq!(elsewhere, (open.clone(), not_checked.clone()));
    }
}

#[test]
fn an_http_route_is_named_with_the_listener_that_admits_most() {
    let gateway = of_kubernetes(DEFAULT, &json!({}));
    let seen = &with_http_route(Seen::Found(vec![gateway])).checks()[0].seen;
    assert_eq!(
        seen,
        "HTTPRoute shop/web sends requests for open.example.com from port 443 (SIMPLE) of the Gateway shop/web of the Kubernetes Gateway API to the Service shop/httpbin"
    );
}

#[test]
fn an_http_route_on_the_listed_host_is_for_the_clients_of_the_authority() {
    let gateway = of_kubernetes(DEFAULT, &of_authority("kyma-mtls"));
    let mut cluster = with_http_route(Seen::Found(vec![gateway]));
    cluster.is_listed = true;
    assert_eq!(cluster.ids(), ["external-route/unlisted"]);
}

#[test]
fn an_http_route_whose_gateway_cannot_be_judged_is_for_anybody() {
    let denied = Seen::Denied("you may not `list` them".to_owned());
    let mut of_another = of_kubernetes(DEFAULT, &of_authority("kyma-mtls"));
    let mut of_class = of_another.at(&["spec"]).unwrap().clone();
    of_class["gatewayClassName"] = "another".into();
    of_another = of_another.with("spec", of_class);
    for gateways in [denied, Seen::Found(vec![of_another])] {
        let mut cluster = with_http_route(gateways);
        assert_eq!(cluster.ids(), ["external-route/open"]);
        cluster.policy(only_gateway());
        assert_eq!(cluster.ids(), ["external-route/not-checked"]);
    }
    // Without its Gateway nobody uses it.
    assert_eq!(with_http_route(Seen::Found(Vec::new())).checks(), []);
}
