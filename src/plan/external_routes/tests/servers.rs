//! Which servers of a Gateway a `VirtualService` has routes for.

use super::*;

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
