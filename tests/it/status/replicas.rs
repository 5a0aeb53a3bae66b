//! One replica of two that lags behind or is not Ready, and the Service in front of both: on a cluster that no other test uses.

use sandbox::{Environment, Instance};

use super::*;
use crate::exposed::count;
use crate::lab::{eventually, own_namespace_on, started};
use crate::shell::Shell;

const CERTIFICATES: &str = "certificates.cert.gardener.cloud";
const SERVICES: &str = "services";
const INGRESS: &str = "istio-ingressgateway";

/// Plays the remedy `kubectl delete pods`: there is no Deployment here that starts another replica.
fn restarts_by_remedy(host: &Exposed, instance: &Instance, finding: &Value) {
    let remedy = finding["remedy"].as_str().unwrap();
    let wanted = "kubectl delete pods -n istio-system istio-ingressgateway-1";
    assert_eq!(remedy, wanted);
    Shell::new(&host.desk).runs(&format!("{remedy} --dry-run=server"));
    instance.stop_replica(1).unwrap();
    instance.release_replica(1);
    instance.start_replica(1).unwrap();
    host.is_healthy();
    count("remedy", finding["id"].as_str().unwrap());
}

#[test]
fn a_replica_that_lags_behind_or_is_not_ready_is_told_with_what_it_lacks() {
    let instance = started(Environment::KymaDefault);
    // The first Gateway of a cluster has names of its own.
    let _first = Exposed::on(own_namespace_on(&instance, "first"));
    let host = Exposed::on(own_namespace_on(&instance, "lagging"));
    let issue = ["issue-client", "cleo", "--format", "pem"];
    host.desk.run(&issue).exits(0);
    host.is_healthy();

    instance.hold_replica(1);
    let revoke = ["revoke-client", "cleo", "--timeout", "6s"];
    host.desk.run(&revoke).exits(124);
    let finding = host.finds("proxy/outdated-crl", "error");
    assert!(
        finding["seen"]
            .as_str()
            .unwrap()
            .contains("istio-ingressgateway-1")
    );
    restarts_by_remedy(&host, &instance, &finding);

    instance.hold_replica(1);
    host.desk.run(&["ca-rotate", "--timeout", "6s"]).exits(124);
    let finding = host.finds("proxy/outdated-bundle", "error");
    assert!(
        finding["seen"]
            .as_str()
            .unwrap()
            .contains("istio-ingressgateway-1")
    );
    restarts_by_remedy(&host, &instance, &finding);

    instance.hold_replica(1);
    let certificate = host.names.certificate.as_str();
    let serial = || {
        let secret = host
            .desk
            .get("istio-system", "secret", host.names.credential());
        secret["data"]["tls.crt"].clone()
    };
    let former = serial();
    let renew = json!({"spec": {"renew": true}});
    host.patch("istio-system", CERTIFICATES, certificate, &renew);
    eventually("it is renewed", || serial() != former);
    let finding = host.finds("server-certificate/not-loaded", "error");
    restarts_by_remedy(&host, &instance, &finding);

    instance.hold_replica(1);
    let allow = [
        "expose",
        "httpbin",
        "--allow-any",
        "--guard",
        "--timeout",
        "6s",
    ];
    host.desk.run(&allow).exits(124);
    let finding = host.finds("guard/not-enforced", "error");
    restarts_by_remedy(&host, &instance, &finding);

    instance.stop_replica(1).unwrap();
    let finding = host.finds("proxy/not-ready", "warning");
    let described = host.pastes_remedy(&finding);
    assert!(described.contains("istio-ingressgateway-1"), "{described}");
    instance.start_replica(1).unwrap();
    host.is_healthy();
}

#[test]
fn an_ingress_service_without_port_or_pods_and_kymas_forwarding_of_forged_headers_are_told() {
    let instance = started(Environment::KymaDefault);
    let host = Exposed::on(own_namespace_on(&instance, "fronted"));
    let service = || host.desk.get("istio-system", SERVICES, INGRESS);
    let all = service()["spec"]["ports"].as_array().unwrap().clone();
    let others: Vec<&Value> = all.iter().filter(|port| port["port"] != 443).collect();
    assert!(others.len() < all.len());
    let ports = json!({"spec": {"ports": others}});
    host.patch("istio-system", SERVICES, INGRESS, &ports);
    let finding = host.finds("ingress/no-port", "error");
    host.is_repaired_by_remedy(&finding);

    let selector = json!({"spec": {"selector": {"istio": "nobody"}}});
    host.patch("istio-system", SERVICES, INGRESS, &selector);
    let finding = host.finds("ingress/selector", "error");
    host.is_repaired_by_remedy(&finding);

    // Kyma's own definition of it is no part of the sandbox; this one takes any fields.
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "istios.operator.kyma-project.io"},
        "spec": {
            "group": "operator.kyma-project.io", "scope": "Namespaced",
            "names": {"kind": "Istio", "plural": "istios", "singular": "istio", "listKind": "IstioList"},
            "versions": [{"name": "v1alpha2", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    host.desk
        .kubectl(&["apply", "-f", "-"], &definition.to_string());
    let istio = json!({
        "apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio",
        "metadata": {"name": "default", "namespace": "kyma-system"},
        "spec": {"config": {"forwardClientCertDetails": "ALWAYS_FORWARD_ONLY"}},
    });
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd/istios.operator.kyma-project.io",
    ];
    host.kubectl(&wait);
    host.desk.kubectl(&["apply", "-f", "-"], &istio.to_string());
    let finding = host.finds("route/xfcc-forwarded", "error");
    host.is_repaired_by_remedy(&finding);
}
