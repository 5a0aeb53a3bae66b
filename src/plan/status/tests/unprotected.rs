//! Gateways of ours that somebody changed or deleted, and Kyma's own.

use serde_json::Value;

use super::*;

fn asked(only: Option<&str>, namespace: Option<&str>) -> Request {
    Request {
        only: only.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        ..Request::default()
    }
}

/// The healthy cluster with other servers on its Gateway.
fn with_servers(servers: Value) -> Cluster {
    let mut cluster = Cluster::healthy();
    let mut spec = gateway("kyma-mtls-gateway").at(&["spec"]).unwrap().clone();
    spec["servers"] = servers;
    let changed = gateway("kyma-mtls-gateway").with("spec", spec);
    cluster.list(Query::everywhere(Kind::Gateway), [changed]);
    cluster
}

fn server(mode: &str) -> Value {
    json!({
        "hosts": [PATTERN], "port": {"name": "mtls", "number": 443, "protocol": "HTTPS"},
        "tls": {"mode": mode, "credentialName": "kyma-mtls", "caCertCredentialName": FIELD},
    })
}

#[test]
fn a_gateway_of_ours_in_another_mode_is_an_error_however_it_is_asked_for() {
    for mode in ["SIMPLE", "OPTIONAL_MUTUAL"] {
        for request in [
            asked(None, None),
            asked(Some(HOST), None),
            asked(Some("httpbin"), None),
            asked(None, Some("shop")),
            asked(Some("httpbin"), Some("shop")),
        ] {
            let report = with_servers(json!([server(mode)]))
                .report_on(&request)
                .unwrap();
            let check = check(&report, "gateway/weakened");
            assert_eq!(check.severity, Severity::Error);
            assert!(
                check
                    .seen
                    .contains(&format!("`{HOST}` on port 443 in mode {mode}, not MUTUAL"))
            );
            assert_eq!(check.remedy, "kubectl mtls expose httpbin -n shop");
            assert_eq!(report.hosts[0].host, HOST);
        }
    }
    let elsewhere = asked(None, Some("other"));
    let report = with_servers(json!([server("SIMPLE")]))
        .report_on(&elsewhere)
        .unwrap();
    assert_eq!(report.hosts, []);
}

/// `expose` does not change a Gateway that it did not make.
#[test]
fn a_weakened_gateway_of_somebody_else_is_patched_or_edited() {
    let tls = |mode: &str| server(mode);
    let mut plain = server("");
    plain["port"] = json!({"name": "http", "number": 443, "protocol": "HTTP"});
    plain.as_object_mut().unwrap().remove("tls");
    let patch = r#"kubectl patch gateways.networking.istio.io -n shop kyma-mtls-gateway --type=json -p '[{"op":"replace","path":"/spec/servers/0/tls/mode","value":"MUTUAL"}]'"#;
    let edit = "kubectl edit gateways.networking.istio.io -n shop kyma-mtls-gateway";
    let moved = json!({
        "hosts": [PATTERN], "port": {"name": "mtls", "number": 8443, "protocol": "HTTPS"},
        "tls": {"mode": "MUTUAL", "credentialName": "kyma-mtls", "caCertCredentialName": FIELD},
    });
    for (server, id, remedy) in [
        (tls("SIMPLE"), "gateway/weakened", patch),
        (tls("OPTIONAL_MUTUAL"), "gateway/weakened", patch),
        (tls("PASSTHROUGH"), "gateway/weakened", edit),
        (plain, "gateway/weakened", edit),
        (moved, "gateway/no-server", edit),
    ] {
        let mut cluster = with_servers(json!([server]));
        let query = Query::everywhere(Kind::Gateway);
        let theirs = cluster.observed.list(&query).unwrap()[0].clone();
        let theirs = theirs.without_label("app.kubernetes.io/managed-by");
        cluster.list(query, [theirs]);
        let report = cluster.report();
        assert_eq!(check(&report, id).remedy, remedy);
    }
}

/// Without a guard it never was a Gateway of the host: other clients use it, and the route is what was changed.
#[test]
fn a_gateway_that_was_never_mutual_stays_as_it_is() {
    let mut cluster = with_servers(json!([server("SIMPLE")]));
    let query = Query::everywhere(Kind::Gateway);
    let theirs = cluster.observed.list(&query).unwrap()[0].clone();
    let theirs = theirs.without_label("app.kubernetes.io/managed-by");
    cluster.list(query, [theirs]);
    cluster.list(crate::plan::status::policies("istio-system"), []);
    let report = cluster.report();
    let check = check(&report, "gateway/weakened");
    assert_eq!(check.remedy, "kubectl mtls expose httpbin -n shop");
}

#[test]
fn a_weakened_gateway_is_an_error_even_while_nothing_is_routed() {
    let mut cluster = with_servers(json!([server("SIMPLE")]));
    cluster.list(Query::everywhere(Kind::ApiRule), []);
    let report = cluster
        .report_on(&asked(Some("new.mtls.example.com"), None))
        .unwrap();
    let check = check(&report, "gateway/weakened");
    assert_eq!(
        check.remedy,
        "kubectl delete gateways.networking.istio.io -n shop kyma-mtls-gateway"
    );
}

#[test]
fn a_route_of_ours_whose_gateway_is_gone_is_an_error_however_it_is_asked_for() {
    for request in [
        asked(None, None),
        asked(Some(HOST), None),
        asked(Some("httpbin"), None),
        asked(None, Some("shop")),
    ] {
        let mut cluster = Cluster::healthy();
        cluster.list(Query::everywhere(Kind::Gateway), []);
        let report = cluster.report_on(&request).unwrap();
        let check = check(&report, "gateway/missing");
        assert!(
            check
                .seen
                .contains("APIRule shop/httpbin-mtls still names that Gateway"),
            "{check:?}"
        );
        assert_eq!(link(&report, "Service").says, "shop/httpbin");
    }
}

#[test]
fn routes_and_gateways_of_others_may_be_as_they_are() {
    let open = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{"hosts": ["*.shop.example.com"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"}}],
    });
    let other = Object::new(GatewayName::new("shop", "web").reference()).with("spec", open);
    let route = |gateway: &str| {
        let name = ObjectRef::new(Kind::VirtualService, "shop", "web");
        Object::new(name).with(
            "spec",
            json!({
                "hosts": ["web.shop.example.com"], "gateways": [gateway],
                "http": [{"route": [{"destination": {"host": "web"}}]}],
            }),
        )
    };
    for gateway_of_route in ["web", "gone"] {
        let mut cluster = Cluster::healthy();
        let gateways = [gateway("kyma-mtls-gateway"), other.clone()];
        cluster.list(Query::everywhere(Kind::Gateway), gateways);
        cluster.list(
            Query::everywhere(Kind::VirtualService),
            [route(gateway_of_route)],
        );
        assert_eq!(findings(&cluster.report()), []);
    }
}

#[test]
fn a_further_gateway_of_our_route_is_an_external_route_and_the_mesh_is_none() {
    let open = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{"hosts": ["*.example.com"], "port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"}}],
    });
    let other = Object::new(GatewayName::new("shop", "web").reference()).with("spec", open);
    let mut cluster = Cluster::healthy();
    cluster.list(Query::everywhere(Kind::ApiRule), []);
    let gateways = [gateway("kyma-mtls-gateway"), other];
    cluster.list(Query::everywhere(Kind::Gateway), gateways);
    let route =
        |gateways: &[&str]| {
            let name = ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls");
            Object::new(name)
            .with_label("app.kubernetes.io/managed-by", "kubectl-mtls")
            .with("spec", json!({
                "hosts": [HOST], "gateways": gateways,
                "http": [{
                    "route": [{"destination": {"host": "httpbin", "port": {"number": 8000}}}],
                    "headers": {"request": {"set": api_rule::IdentityHeaders::Plain.headers()}},
                }],
            }))
        };
    let all = Query::everywhere(Kind::VirtualService);
    cluster.list(all.clone(), [route(&["kyma-mtls-gateway", "mesh"])]);
    assert_eq!(findings(&cluster.report()), []);
    cluster.list(all, [route(&["kyma-mtls-gateway", "web"])]);
    let report = cluster.report();
    check(&report, "external-route/open");
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
}

#[test]
fn routes_that_may_not_be_listed_are_not_checked_where_no_host_is_left() {
    let mut cluster = Cluster::healthy();
    cluster.list(Query::everywhere(Kind::Gateway), []);
    cluster.deny(Query::everywhere(Kind::ApiRule));
    let report = cluster.report();
    found(&report, Mark::Unknown, "the apirules could not be listed");
}
