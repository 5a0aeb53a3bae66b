//! Faults of the Service in front of the gateway.

use serde_json::{Value, json};

use super::dns::edit;
use super::{add, both, findings, kyma, only, only_until_repaired, plain};
use crate::plan::check::{Finding, Severity};
use crate::plan::probe::ingress_service;
use crate::plan::testing::Cluster;
use crate::resources::names::INGRESS_NAMESPACE;
use crate::resources::{Kind, Object, ObjectRef};

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

const AWS: &str = "service.beta.kubernetes.io/aws-load-balancer-proxy-protocol";

#[test]
fn a_load_balancer_that_sends_headers_which_the_proxies_do_not_expect() {
    for (annotation, value) in [
        (AWS, "*"),
        ("loadbalancer.openstack.org/proxy-protocol", "v1"),
    ] {
        for mut cluster in both() {
            let set = |body: &mut Value| body["metadata"]["annotations"][annotation] = value.into();
            edit(&mut cluster, &ingress_service(), set);
            let id = "ingress/proxy-protocol";
            let finding = only_until_repaired(&mut cluster, id, Severity::Error);
            assert!(finding.seen.contains(annotation), "{}", finding.seen);
        }
    }
}

#[test]
fn headers_that_are_not_sent_or_are_expected_are_no_fault() {
    let filter = ObjectRef::new(Kind::EnvoyFilter, INGRESS_NAMESPACE, "proxy-protocol");
    let url =
        "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
    let value = json!({"name": "proxy_protocol", "typed_config": {"@type": url, "allow_requests_without_proxy_protocol": true}});
    let patch = json!({"applyTo": "LISTENER_FILTER", "patch": {"operation": "INSERT_FIRST", "value": value}});
    let filter = Object::new(filter).with("spec", json!({"configPatches": [patch]}));
    let nlb = json!({AWS: "*", "service.beta.kubernetes.io/aws-load-balancer-type": "nlb"});
    for (annotations, filter) in [
        (json!({AWS: "*"}), Some(filter)),
        (
            json!({"load-balancer.hetzner.cloud/uses-proxyprotocol": "false"}),
            None,
        ),
        (nlb, None),
    ] {
        for mut cluster in both() {
            let set = |body: &mut Value| body["metadata"]["annotations"] = annotations.clone();
            edit(&mut cluster, &ingress_service(), set);
            if let Some(filter) = &filter {
                add(&mut cluster, filter);
            }
            assert_eq!(findings(&mut cluster), [], "{annotations}");
        }
    }
}

#[test]
fn a_load_balancer_for_some_addresses_only_is_worth_a_note() {
    let ranges = |body: &mut Value| {
        body["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8", "192.0.2.0/24"]);
    };
    let finding = after(ranges, "ingress/source-ranges", Severity::Note);
    assert!(
        finding.seen.ends_with("from 10.0.0.0/8, 192.0.2.0/24 only"),
        "{}",
        finding.seen
    );
    assert_eq!(
        finding.remedy,
        "kubectl edit services -n istio-system istio-ingressgateway"
    );
    let key = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let annotation = |body: &mut Value| body["metadata"]["annotations"][key] = "10.0.0.0/8".into();
    after(annotation, "ingress/source-ranges", Severity::Note);
    let mut cluster = kyma();
    edit(&mut cluster, &ingress_service(), |body| {
        body["spec"]["loadBalancerSourceRanges"] = json!(["0.0.0.0/0"]);
    });
    assert_eq!(findings(&mut cluster), []);
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
