//! Routes to the Pods of an exposed Service that no client certificate guards.

use std::net::SocketAddr;

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::{Desk, eventually, gateway};

use super::{
    GATEWAYS, exposed, exposed_on_plain_istio, finds, forger, impersonated, is_mallory, plain,
    plain_address,
};

#[test]
fn a_second_api_rule_on_kymas_own_gateway_is_an_external_route() {
    let (desk, host) = exposed("second-rule");
    let open = format!("{}.{}", desk.namespace, desk.instance.domain());
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": desk.namespace, "name": "open"},
        "spec": {
            "gateway": "kyma-system/kyma-gateway", "hosts": [open],
            "service": {"name": "httpbin", "port": 8000},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    desk.instance.create(vec![rule]).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let check = finds(
        &desk,
        &[&host],
        "external-route/open",
        "error",
        "/open sends requests for",
    );
    let remedy = format!(
        "kubectl delete apirules.gateway.kyma-project.io -n {} open",
        desk.namespace
    );
    assert_eq!(check["remedy"], remedy);
    assert!(
        check["why"]
            .as_str()
            .unwrap()
            .contains("can choose the identity headers")
    );
    // `expose` warns of the route, and leaves it to its owner.
    desk.run(&["expose", "httpbin"])
        .exits(0)
        .says(check["seen"].as_str().unwrap())
        .says("can choose the identity headers")
        .says(&remedy);
}

/// Kyma's policy of the `APIRule` admits requests for its own host only, whatever Gateway they came through.
#[test]
fn a_virtual_service_that_sets_the_name_of_the_host_as_a_header_is_an_external_route() {
    let (desk, host) = exposed("other-name");
    let open = format!("{}.{}", desk.namespace, desk.instance.domain());
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "renamed"},
        "spec": {"hosts": [open], "gateways": ["kyma-system/kyma-gateway"], "http": [{
            "headers": {"request": {"set": {"Host": host}}},
            "route": [{"destination": {"host": "httpbin", "port": {"number": 8000}}}],
        }]},
    });
    desk.instance.create(vec![route]).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let words = format!("VirtualService {}/renamed sends requests", desk.namespace);
    finds(&desk, &[&host], "external-route/open", "error", &words);
}

/// The policy of the `APIRule` keeps out what comes for another host; the sandbox has no sidecars, which enforce it.
#[test]
fn a_virtual_service_for_another_host_is_none_where_the_policy_of_the_api_rule_shuts_it() {
    let (desk, host) = exposed("shut-out");
    let open = format!("{}.{}", desk.namespace, desk.instance.domain());
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "other"},
        "spec": {"hosts": [open], "gateways": ["kyma-system/kyma-gateway"], "http": [{
            "route": [{"destination": {"host": "httpbin", "port": {"number": 8000}}}],
        }]},
    });
    desk.instance.create(vec![route]).unwrap();
    eventually("the route leads to the application", || {
        matches!(forger(&desk, &open), Reply::Answered { status: 200, .. })
    });
    let status = desk.run(&["status", &host, "-o", "json"]).exits(0);
    assert_eq!(status.json()["findings"], json!([]));
    let exposed = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(!exposed.stderr.contains("/other sends"), "{exposed:#?}");
}

#[test]
fn a_virtual_service_on_another_gateway_is_an_external_route() {
    let (desk, host) = exposed_on_plain_istio("side-door");
    let own = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let credential = own["spec"]["servers"][0]["tls"]["credentialName"].clone();
    let open = format!("{}.open.example.com", desk.namespace);
    let tls = json!({"mode": "SIMPLE", "credentialName": credential});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "side"},
        "spec": {"hosts": [open], "gateways": ["side"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}]}]},
    });
    let objects = vec![gateway(&desk.namespace, "side", &[&open], &tls), route];
    desk.instance.create(objects).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let words = format!(
        "from port 443 (SIMPLE) of the Gateway {}/side",
        desk.namespace
    );
    finds(&desk, &[&host], "external-route/open", "error", &words);
    desk.run(&["expose", "httpbin"]).exits(0).says(&words);
}

#[test]
fn an_ingress_is_an_external_route() {
    let (desk, host) = exposed_on_plain_istio("ingressed");
    let open = format!("{}.open.example.com", desk.namespace);
    let backend = json!({"service": {"name": "httpbin", "port": {"number": 8000}}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": desk.namespace, "name": "side", "annotations": {"kubernetes.io/ingress.class": "istio"}},
        "spec": {"rules": [{"host": open, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    });
    desk.instance.create(vec![ingress]).unwrap();
    let address = plain_address(&desk);
    is_mallory(&impersonated(|| plain(address, &open)));
    let words = format!("Ingress {}/side sends requests for {open}", desk.namespace);
    finds(&desk, &[&host], "external-route/open", "error", &words);
    desk.run(&["expose", "httpbin"]).exits(0).says(&words);
}

/// The address of the application behind the Service, past every gateway.
fn endpoint(desk: &Desk) -> SocketAddr {
    let service = desk.get(&desk.namespace, "service", "httpbin");
    let entry = desk.get(&desk.namespace, "workloadentry", "httpbin");
    let ip = entry["spec"]["address"].as_str().unwrap();
    let port = &service["spec"]["ports"][0]["targetPort"];
    format!("{ip}:{port}").parse().unwrap()
}

/// A Pod behind the Service on which no policy acts.
fn run_without_sidecar(desk: &Desk) {
    let service = desk.get(&desk.namespace, "service", "httpbin");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": desk.namespace, "name": "bare", "labels": service["spec"]["selector"]},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    });
    desk.instance.create(vec![pod]).unwrap();
}

#[test]
fn services_that_lead_to_the_same_pods_from_outside_are_external_routes() {
    let (desk, host) = exposed_on_plain_istio("outside");
    run_without_sidecar(&desk);
    let service = desk.get(&desk.namespace, "service", "httpbin");
    // Endpoints that nobody selects; those of the exposed Service its controller would write. No slice may hold a loopback address.
    let slices = ["httpbin", "public"].map(|name| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": desk.namespace, "name": format!("{name}-own"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.7"]}],
        })
    });
    for (kind, selects) in [
        ("NodePort", true),
        ("LoadBalancer", true),
        ("LoadBalancer", false),
    ] {
        let mut public = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": desk.namespace, "name": "public"},
            "spec": {"type": kind, "selector": service["spec"]["selector"], "ports": [
                {"port": 80, "targetPort": service["spec"]["ports"][0]["targetPort"]},
            ]},
        });
        if !selects {
            public["spec"]["selector"] = Value::Null;
            desk.instance.create(slices.to_vec()).unwrap();
        }
        desk.instance.create(vec![public]).unwrap();
        // What a node does with such a request: it goes to an endpoint, past every gateway.
        let endpoint = endpoint(&desk);
        is_mallory(&impersonated(|| plain(endpoint, &host)));
        let words = format!("public of type {kind} leads to the Pods");
        finds(&desk, &[&host], "external-route/open", "error", &words);
        desk.run(&["expose", "httpbin"]).exits(0).says(&words);
        desk.kubectl(&["-n", &desk.namespace, "delete", "service", "public"], "");
    }
}

#[test]
fn pods_without_a_sidecar_are_a_warning_where_no_kyma_sees_to_it() {
    let (desk, host) = exposed_on_plain_istio("bare");
    run_without_sidecar(&desk);
    // As another workload of the cluster sends it.
    let endpoint = endpoint(&desk);
    is_mallory(&impersonated(|| plain(endpoint, &host)));
    let words = "1 of 1 Pods of the Service";
    finds(&desk, &[&host], "workload/no-sidecar", "warning", words);
    desk.run(&["expose", "httpbin"]).exits(0).says(words);
}
