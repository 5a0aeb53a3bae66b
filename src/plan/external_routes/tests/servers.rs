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
