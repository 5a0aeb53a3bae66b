//! Other Gateways that have the host, or a more specific one.

use super::*;

/// A Gateway of another team, made at this time, with one server.
fn other(created: &str, hosts: &Value, tls: &Value) -> Object {
    let server = json!({
        "hosts": hosts, "tls": tls,
        "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
    });
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
    let object = Object::new(GatewayName::new("team", "theirs").reference()).with("spec", spec);
    let mut body = object.body().clone();
    body["metadata"]["creationTimestamp"] = created.into();
    Object::from_server(Kind::Gateway, body).unwrap()
}

/// TLS without client certificates, and with those of the same CA.
fn modes() -> [Value; 2] {
    [
        json!({"mode": "SIMPLE", "credentialName": "kyma-mtls"}),
        json!({
            "mode": "MUTUAL", "credentialName": "kyma-mtls",
            "caCertCredentialName": "configmap://kubectl-mtls/kyma-mtls",
        }),
    ]
}

/// The host strings of our Gateway, and the host of our route.
fn hosts(cluster: &Cluster) -> (Value, String) {
    let pattern = cluster.objects[&own_gateway()].body()["spec"]["servers"][0]["hosts"].clone();
    let route = &cluster.objects[&own_route(cluster)].body()["spec"]["hosts"][0];
    (pattern, route.as_str().unwrap().to_owned())
}

#[test]
fn an_older_gateway_with_the_host_wins() {
    for tls in modes() {
        for mut cluster in both() {
            let (pattern, _) = hosts(&cluster);
            add(&mut cluster, &other("2020-01-01T00:00:00Z", &pattern, &tls));
            let id = "gateway/duplicate-host";
            let finding = only_until_repaired(&mut cluster, id, Severity::Error);
            assert!(finding.seen.starts_with("the older Gateway team/theirs"));
        }
    }
}

#[test]
fn a_younger_gateway_with_the_host_is_dropped() {
    for tls in modes() {
        for mut cluster in both() {
            let (pattern, _) = hosts(&cluster);
            add(&mut cluster, &other("2099-01-01T00:00:00Z", &pattern, &tls));
            let id = "gateway/duplicate-host";
            let finding = only_until_repaired(&mut cluster, id, Severity::Warning);
            assert!(finding.seen.starts_with("the younger Gateway team/theirs"));
        }
    }
}

/// A route of another team from its Gateway to our Service.
fn route(host: &str) -> Object {
    let destination = json!({"host": "httpbin.shop.svc.cluster.local", "port": {"number": 8000}});
    let spec = json!({
        "hosts": [host], "gateways": ["team/theirs"],
        "http": [{"route": [{"destination": destination}]}],
    });
    Object::new(ObjectRef::new(Kind::VirtualService, "team", "theirs")).with("spec", spec)
}

#[test]
fn a_gateway_that_has_the_exact_host_below_our_wildcard() {
    for tls in modes() {
        for is_routed in [false, true] {
            let mut cluster = kyma();
            let (_, host) = hosts(&cluster);
            let created = "2099-01-01T00:00:00Z";
            add(&mut cluster, &other(created, &json!([host]), &tls));
            let is_open = tls["mode"] == "SIMPLE";
            if is_routed && is_open {
                add(&mut cluster, &route(&host));
            }
            let finding = only(&mut cluster, "gateway/shadowed", Severity::Error);
            assert!(finding.seen.contains("team/theirs"), "{}", finding.seen);
            assert!(finding.remedy.ends_with("-n team theirs"));
        }
    }
}

#[test]
fn gateways_with_other_hosts_or_broader_ones_take_nothing() {
    for mut cluster in both() {
        let hosts = json!(["*.example.com", "other.example.com", "*"]);
        let [simple, _] = modes();
        add(
            &mut cluster,
            &other("2020-01-01T00:00:00Z", &hosts, &simple),
        );
        assert_eq!(findings(&mut cluster), []);
    }
}
