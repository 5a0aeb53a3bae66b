//! Faults of the Service in front of the gateway.

use serde_json::{Value, json};

use super::dns::edit;
use super::{findings, kyma, only, plain};
use crate::plan::check::{Finding, Severity};
use crate::plan::probe::ingress_service;
use crate::plan::testing::Cluster;

/// The one finding after a change of the Service.
#[track_caller]
fn after(change: impl FnOnce(&mut Value), id: &str, severity: Severity) -> Finding {
    let mut cluster = kyma();
    edit(&mut cluster, &ingress_service(), change);
    only(&mut cluster, id, severity)
}

/// A Service of this type without an address.
fn of_type(kind: &str) -> impl FnOnce(&mut Value) {
    move |body| {
        body["spec"]["type"] = kind.into();
        body["status"] = json!({});
    }
}

#[test]
fn a_gateway_without_service_is_one_finding() {
    let mut cluster = kyma();
    cluster.objects.remove(&ingress_service());
    only(&mut cluster, "ingress/service-missing", Severity::Error);
}

#[test]
fn a_service_without_port_443_gets_it_back() {
    let change = |body: &mut Value| {
        body["spec"]["ports"].as_array_mut().unwrap().pop();
    };
    let finding = after(change, "ingress/no-port", Severity::Error);
    assert!(finding.remedy.starts_with(
        "kubectl patch services -n istio-system istio-ingressgateway --type=json -p '["
    ));
}

#[test]
fn a_selector_without_pods_is_put_right() {
    let change = |body: &mut Value| body["spec"]["selector"] = json!({"app": "old"});
    let finding = after(change, "ingress/selector", Severity::Error);
    assert!(
        finding.remedy.contains(r#""istio":"ingressgateway""#),
        "{}",
        finding.remedy
    );
    let other = |body: &mut Value| body["spec"]["selector"] = json!({"release": "old"});
    let finding = after(other, "ingress/selector", Severity::Error);
    assert!(
        finding.remedy.contains(r#""release":null"#),
        "{}",
        finding.remedy
    );
}

#[test]
fn a_type_that_nobody_outside_reaches_is_an_error() {
    let finding = after(of_type("ClusterIP"), "ingress/type", Severity::Error);
    assert_eq!(
        finding.remedy,
        r#"kubectl patch services -n istio-system istio-ingressgateway --type=merge -p '{"spec":{"type":"LoadBalancer"}}'"#
    );
}

#[test]
fn node_ports_may_be_reached_by_something_else() {
    after(of_type("NodePort"), "ingress/type", Severity::Note);
}

#[test]
fn a_load_balancer_without_address_is_an_error() {
    let cause = of_type("LoadBalancer");
    after(cause, "ingress/no-address", Severity::Error);
}

fn on_nodes(mut cluster: Cluster, change: impl Fn(&mut Value)) -> Cluster {
    edit(&mut cluster, &ingress_service(), of_type("ClusterIP"));
    for pod in cluster.proxy_pods() {
        edit(&mut cluster, &pod, &change);
    }
    cluster
}

#[test]
fn pods_on_the_network_of_their_nodes_need_no_load_balancer() {
    let of_network = |body: &mut Value| body["spec"]["hostNetwork"] = true.into();
    let of_port = |body: &mut Value| {
        body["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8443, "hostPort": 443}]);
    };
    assert_eq!(findings(&mut on_nodes(plain(), of_network)), []);
    assert_eq!(findings(&mut on_nodes(kyma(), of_port)), []);
}

#[test]
fn addresses_that_somebody_wrote_down_are_those_of_a_load_balancer() {
    let mut cluster = kyma();
    edit(&mut cluster, &ingress_service(), |body| {
        of_type("ClusterIP")(body);
        body["spec"]["externalIPs"] = json!(["192.0.2.10"]);
    });
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_port_443_that_is_not_tcp_is_no_port_443() {
    let change = |body: &mut Value| body["spec"]["ports"][1]["protocol"] = "UDP".into();
    after(change, "ingress/no-port", Severity::Error);
}

#[test]
fn a_target_port_that_no_pod_names() {
    let change = |body: &mut Value| body["spec"]["ports"][1]["targetPort"] = "htps".into();
    let finding = after(change, "ingress/target-port", Severity::Error);
    assert!(
        finding.remedy.ends_with(r#""value":8443}]'"#),
        "{}",
        finding.remedy
    );
}
