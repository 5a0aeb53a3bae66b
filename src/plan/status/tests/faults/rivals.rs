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

#[test]
fn a_gateway_for_an_istiod_of_another_revision_takes_no_host() {
    for mut cluster in both() {
        let (pattern, _) = hosts(&cluster);
        let rival = other("2020-01-01T00:00:00Z", &pattern, &modes()[0]);
        add(&mut cluster, &rival.with_label("istio.io/rev", "canary"));
        assert_eq!(findings(&mut cluster), []);
    }
}

/// Gives one of the proxies to the istiod of another revision.
fn upgrade_one(cluster: &mut Cluster) {
    let is_proxy = |object: &&Object| {
        object.reference().kind == Kind::Pod && object.namespace() == "istio-system"
    };
    let pod = cluster.objects.values().find(is_proxy).unwrap().clone();
    add(cluster, &pod.with_annotation("istio.io/rev", "canary"));
}

#[test]
fn a_gateway_for_the_istiod_of_some_of_the_proxies_takes_the_host_there() {
    for (created, severity) in [
        ("2020-01-01T00:00:00Z", Severity::Error),
        ("2099-01-01T00:00:00Z", Severity::Warning),
    ] {
        for mut cluster in both() {
            upgrade_one(&mut cluster);
            assert_eq!(findings(&mut cluster), []);
            let (pattern, _) = hosts(&cluster);
            let rival = other(created, &pattern, &modes()[0]);
            add(
                &mut cluster,
                &rival.clone().with_label("istio.io/rev", "1-30"),
            );
            assert_eq!(findings(&mut cluster), []);
            add(&mut cluster, &rival.with_label("istio.io/rev", "canary"));
            let id = "gateway/duplicate-host";
            let finding = only_until_repaired(&mut cluster, id, severity);
            let words = "at the proxies of the revision `canary`";
            assert!(finding.seen.contains(words), "{}", finding.seen);
        }
    }
}

#[test]
fn a_closer_gateway_for_the_istiod_of_some_of_the_proxies_takes_the_host_there() {
    let mut cluster = kyma();
    upgrade_one(&mut cluster);
    let (_, host) = hosts(&cluster);
    let rival = other("2099-01-01T00:00:00Z", &json!([host]), &modes()[0]);
    add(&mut cluster, &rival.with_label("istio.io/rev", "canary"));
    let finding = only(&mut cluster, "gateway/shadowed", Severity::Error);
    let words = "at the proxies of the revision `canary`";
    assert!(finding.seen.contains(words), "{}", finding.seen);
}

/// A Gateway of the Kubernetes Gateway API on the same proxies, made at this time, with a listener for this host.
fn of_kubernetes(created: &str, host: &Value) -> Object {
    let service = "istio-ingressgateway.istio-system.svc.cluster.local";
    let spec = json!({
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": service}],
        "listeners": [{
            "name": "web", "port": 443, "protocol": "HTTPS", "hostname": host,
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "web-tls"}]},
        }],
    });
    let name = ObjectRef::new(Kind::KubernetesGateway, "team", "web");
    let resolved = json!([{"type": "ResolvedRefs", "status": "True"}]);
    let status = json!({"listeners": [{"name": "web", "conditions": resolved}]});
    let object = Object::new(name).with("spec", spec).with("status", status);
    let mut body = object.body().clone();
    body["metadata"]["creationTimestamp"] = created.into();
    Object::from_server(Kind::KubernetesGateway, body).unwrap()
}

#[test]
fn a_gateway_of_the_kubernetes_gateway_api_with_the_host() {
    let id = "gateway/duplicate-host";
    for (created, word, severity) in [
        ("2020-01-01T00:00:00Z", "older", Severity::Error),
        ("2099-01-01T00:00:00Z", "younger", Severity::Warning),
    ] {
        for mut cluster in both() {
            let (pattern, _) = hosts(&cluster);
            let rival = of_kubernetes(created, &pattern[0]);
            cluster.unserved.remove(&Kind::KubernetesGateway);
            add(&mut cluster, &rival);
            let finding = only(&mut cluster, id, severity);
            let words = format!("the {word} Gateway team/web of the Kubernetes Gateway API has");
            assert!(finding.seen.starts_with(&words), "{}", finding.seen);
            assert_eq!(
                finding.remedy,
                "kubectl edit gateways.gateway.networking.k8s.io -n team web"
            );
            add(
                &mut cluster,
                &of_kubernetes(created, &json!("web.example.org")),
            );
            assert_eq!(findings(&mut cluster), []);
        }
    }
}
