//! The policies of the workload, and Pods that enforce none.

use super::*;

#[test]
fn a_policy_for_the_gateway_only_shuts_others_out_and_not_what_comes_by_the_same_gateway() {
    let mut same = Cluster::plain().route_by(gateway("web", "SIMPLE", "ingressgateway"));
    same.policy(only_gateway());
    assert_eq!(same.ids(), ["external-route/open"]);
    let mut outside = Cluster::plain();
    let public = cluster_service("public", &json!({"type": "NodePort"}));
    outside.add(Query::within(Kind::Service, "shop"), public);
    assert_eq!(outside.ids(), ["external-route/open"]);
    outside.policy(only_gateway());
    assert_eq!(outside.ids(), [] as [&str; 0]);
    let mut other = Cluster::plain().route_by(gateway("web", "SIMPLE", "other"));
    other.policy(only_gateway());
    assert_eq!(other.ids(), ["external-route/not-checked"]);
}

#[test]
fn a_guard_of_the_proxies_decides_nothing_on_workloads_and_a_policy_of_the_mesh_does() {
    let root = |selector: Value| {
        let name = ObjectRef::new(Kind::AuthorizationPolicy, ISTIO_NAMESPACE, "p");
        let when = json!([{"key": "connection.sni", "notValues": ["x"]}]);
        Object::new(name).with(
            "spec",
            json!({"selector": selector, "action": "DENY", "rules": [{"when": when}]}),
        )
    };
    let mut cluster = Cluster::plain().route_by(gateway("web", "SIMPLE", "ingressgateway"));
    cluster.list(
        policies_in(ISTIO_NAMESPACE),
        [root(json!({"matchLabels": {"istio": "ingressgateway"}}))],
    );
    assert_eq!(cluster.ids(), ["external-route/open"]);
    cluster.list(policies_in(ISTIO_NAMESPACE), [root(json!({}))]);
    assert_eq!(cluster.ids(), ["external-route/not-checked"]);
}

#[test]
fn pods_without_a_sidecar_are_open_whatever_the_policies_say() {
    let mut cluster = Cluster::plain();
    let both = [pod("a", &["app", "istio-proxy"]), pod("b", &["app"])];
    cluster.list(pods(&service(), &selector()).unwrap(), both);
    cluster.policy(only_gateway());
    let checks = cluster.checks();
    assert_eq!(checks.len(), 1, "{checks:#?}");
    assert_eq!(checks[0].check.id, "workload/no-sidecar");
    assert_eq!(
        checks[0].seen,
        "1 of 2 Pods of the Service shop/httpbin have no sidecar: b"
    );
    let public = cluster_service("public", &json!({"type": "NodePort"}));
    cluster.add(Query::within(Kind::Service, "shop"), public);
    assert_eq!(
        cluster.ids(),
        ["external-route/open", "workload/no-sidecar"]
    );
}

#[test]
fn pods_with_sidecars_need_a_policy_and_ambient_pods_count_as_such() {
    let mut cluster = Cluster::plain();
    let ambient = pod("b", &["app"]).with_annotation("ambient.istio.io/redirection", "enabled");
    let both = [pod("a", &["app", "istio-proxy"]), ambient];
    cluster.list(pods(&service(), &selector()).unwrap(), both);
    assert_eq!(cluster.ids(), ["workload/open"]);
    cluster.policy(only_gateway());
    assert_eq!(cluster.ids(), [] as [&str; 0]);
}
