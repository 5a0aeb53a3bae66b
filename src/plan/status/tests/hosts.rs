//! Which hosts there are, and who else wants them.

use super::*;

fn only(text: &str) -> Request {
    Request {
        only: Some(text.to_owned()),
        ..Request::default()
    }
}

#[test]
fn a_host_its_service_and_an_unrouted_host_can_be_asked_for() {
    let report = |text: &str| Cluster::healthy().report_on(&only(text));
    assert_eq!(report("httpbin").unwrap().hosts[0].host, HOST);
    assert_eq!(report(HOST).unwrap().hosts.len(), 1);
    let free = report("free.mtls.example.com").unwrap();
    assert_eq!(free.hosts[0].host, "free.mtls.example.com");
    assert_eq!(
        report("elsewhere.example.com").unwrap_err().to_string(),
        "no host and no Service `elsewhere.example.com` was found behind mutual TLS"
    );
}

#[test]
fn a_namespace_shows_the_hosts_whose_gateway_or_route_lives_there() {
    let within = |namespace: &str| {
        let request = Request {
            namespace: Some(namespace.to_owned()),
            ..Request::default()
        };
        Cluster::healthy().report_on(&request).unwrap()
    };
    assert_eq!(within("shop").hosts.len(), 1);
    assert_eq!(within("other").hosts, []);
}

#[test]
fn redirects_on_port_80_and_gateways_of_other_proxies_are_no_rivals() {
    let other = |name: &str, selector: &str, port: serde_json::Value| {
        let spec = json!({"selector": {"istio": selector}, "servers": [{"hosts": [PATTERN], "port": port, "tls": {"mode": "SIMPLE"}}]});
        Object::new(GatewayName::new("shop", name).reference()).with("spec", spec)
    };
    let mut cluster = Cluster::healthy();
    let http = json!({"number": 80, "protocol": "HTTP"});
    let https = json!({"number": 443, "protocol": "HTTPS"});
    let gateways = [
        gateway("kyma-mtls-gateway"),
        other("redirect", "ingressgateway", http),
        other("internal", "internal", https),
    ];
    cluster.list(Query::everywhere(Kind::Gateway), gateways);
    assert_eq!(findings(&cluster.report()), []);
}

#[test]
fn an_api_rule_may_name_the_first_label_only() {
    let mut cluster = Cluster::healthy();
    cluster.list(
        Query::everywhere(Kind::ApiRule),
        [rule("httpbin", "httpbin")],
    );
    assert_eq!(cluster.report().hosts[0].host, HOST);
}

#[test]
fn a_service_of_another_namespace_is_told_with_its_namespace() {
    for (only, words) in [
        (
            "httpbin",
            "`httpbin` is in the namespace `shop`: kubectl mtls status httpbin -n shop".to_owned(),
        ),
        (
            HOST,
            format!("`{HOST}` is in the namespace `shop`: kubectl mtls status {HOST} -n shop"),
        ),
    ] {
        let request = Request {
            only: Some(only.to_owned()),
            namespace: Some("wrong".to_owned()),
            ..Request::default()
        };
        let failure = Cluster::healthy().report_on(&request).unwrap_err();
        assert!(
            failure.to_string().ends_with("in the namespace `wrong`"),
            "{failure}"
        );
        assert_eq!(failure.what_to_do(), [words]);
    }
}
