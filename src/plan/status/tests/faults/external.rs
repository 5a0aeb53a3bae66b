//! Routes to the Service that need no client certificate.

use super::*;

const ERROR: Severity = Severity::Error;

/// A Gateway of another team on the same proxies, which requests no certificates.
fn add_web(cluster: &mut Cluster) {
    let server = json!({
        "hosts": ["*.example.net"], "tls": {"mode": "SIMPLE", "credentialName": "web"},
        "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
    });
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
    let name = GatewayName::new("team", "web").reference();
    add(cluster, &Object::new(name).with("spec", spec));
}

/// A `VirtualService` that leads there from a host of that Gateway.
fn add_open(cluster: &mut Cluster) {
    add_web(cluster);
    let destination = json!({"host": "httpbin.shop.svc.cluster.local", "port": {"number": 8000}});
    let spec = json!({
        "hosts": ["open.example.net"], "gateways": ["team/web"],
        "http": [{"route": [{"destination": destination}]}],
    });
    let name = ObjectRef::new(Kind::VirtualService, "team", "open");
    add(cluster, &Object::new(name).with("spec", spec));
}

/// Lets the Pods take the gateway's requests for a host too.
fn admit_from_gateway(cluster: &mut Cluster, host: &str) {
    let gateway = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";
    let rule = json!({
        "from": [{"source": {"principals": [gateway]}}],
        "to": [{"operation": {"hosts": [host]}}],
    });
    admit(cluster, &rule);
}

/// Lets the Pods take these requests too.
fn admit(cluster: &mut Cluster, rule: &Value) {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "theirs");
    let spec = json!({"selector": {"matchLabels": {"app": "httpbin"}}, "rules": [rule]});
    add(cluster, &Object::new(name).with("spec", spec));
}

#[test]
fn a_virtual_service_on_a_gateway_without_mutual_tls() {
    for mut cluster in both() {
        add_open(&mut cluster);
        // The policy that Kyma makes admits its own host only.
        if cluster.unserved.is_empty() {
            assert_eq!(findings(&mut cluster), []);
            admit_from_gateway(&mut cluster, "open.example.net");
        }
        let finding = only_until_repaired(&mut cluster, "external-route/open", ERROR);
        let words = "VirtualService team/open sends requests for open.example.net";
        assert!(finding.seen.starts_with(words), "{}", finding.seen);
    }
}

#[test]
fn what_no_istiod_of_the_proxies_reads_leads_nowhere() {
    let route = ObjectRef::new(Kind::VirtualService, "team", "open");
    for name in [GatewayName::new("team", "web").reference(), route] {
        let mut cluster = plain();
        add_open(&mut cluster);
        let label = |cluster: &mut Cluster, revision: &str| {
            let object = cluster.objects[&name].clone();
            add(cluster, &object.with_label("istio.io/rev", revision));
        };
        label(&mut cluster, "canary");
        assert_eq!(findings(&mut cluster), [], "{name}");
        label(&mut cluster, "default");
        only(&mut cluster, "external-route/open", ERROR);
    }
}

#[test]
fn a_virtual_service_whose_requests_need_a_token() {
    let mut cluster = plain();
    add_open(&mut cluster);
    let name = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "tokens");
    let rule = json!({
        "from": [{"source": {"notRequestPrincipals": ["*"]}}],
        "to": [{"operation": {"hosts": ["open.example.net"]}}],
    });
    let spec = json!({"action": "DENY", "rules": [rule]});
    add(&mut cluster, &Object::new(name).with("spec", spec));
    let id = "external-route/other-check";
    only_until_repaired(&mut cluster, id, Severity::Warning);
}

#[test]
fn an_ingress_of_the_same_proxies() {
    let mut cluster = plain();
    let backend = json!({"service": {"name": "httpbin", "port": {"number": 8000}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let rule = json!({"host": "open.example.net", "http": {"paths": [path]}});
    let spec = json!({"ingressClassName": "istio", "rules": [rule]});
    let name = ObjectRef::new(Kind::Ingress, "shop", "open");
    add(&mut cluster, &Object::new(name).with("spec", spec));
    let finding = only_until_repaired(&mut cluster, "external-route/open", ERROR);
    assert!(
        finding.seen.starts_with("Ingress shop/open"),
        "{}",
        finding.seen
    );
}

#[test]
fn a_service_that_is_reached_from_outside() {
    for mut cluster in both() {
        let selector = json!({"app": "httpbin"});
        let ports = json!([{"name": "http", "port": 80, "targetPort": 80}]);
        let spec = json!({"type": "NodePort", "selector": selector, "ports": ports});
        let name = ObjectRef::new(Kind::Service, "shop", "public");
        add(&mut cluster, &Object::new(name).with("spec", spec));
        // The Pods admit the ingress gateway only.
        assert_eq!(findings(&mut cluster), []);
        admit(
            &mut cluster,
            &json!({"to": [{"operation": {"ports": ["80"]}}]}),
        );
        let finding = only_until_repaired(&mut cluster, "external-route/open", ERROR);
        let words = "the Service shop/public of type NodePort leads";
        assert!(finding.seen.starts_with(words), "{}", finding.seen);
    }
}

#[test]
fn another_host_of_the_gateway_for_clients_that_are_not_listed() {
    let mut cluster = kyma();
    let mut request = exposure(&cluster);
    request.access.allow = crate::plan::expose::Allow::Only(vec!["alice".to_owned()]);
    cluster.run(&request).unwrap();
    assert_eq!(findings(&mut cluster), []);
    let made = ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls-x7k2p");
    let mut spec = cluster.objects[&made].body()["spec"].clone();
    let host = "open.mtls.c-1.kyma.example.com";
    spec["hosts"] = json!([host]);
    let name = ObjectRef::new(Kind::VirtualService, "shop", "open");
    add(&mut cluster, &Object::new(name).with("spec", spec));
    admit_from_gateway(&mut cluster, host);
    let id = "external-route/unlisted";
    only_until_repaired(&mut cluster, id, Severity::Warning);
}

#[test]
fn pods_without_a_policy_that_keeps_other_workloads_out() {
    let mut cluster = plain();
    let names = cluster.objects.keys();
    let is_own =
        |name: &&ObjectRef| name.kind == Kind::AuthorizationPolicy && name.namespace == "shop";
    let own = names.clone().find(is_own).unwrap().clone();
    remove(&mut cluster, &own);
    only_until_repaired(&mut cluster, "workload/open", Severity::Warning);
}

#[test]
fn a_policy_of_somebody_else_that_admits_other_workloads() {
    for mut cluster in both() {
        admit(&mut cluster, &json!({}));
        let finding = only(&mut cluster, "workload/open", Severity::Warning);
        let words = "AuthorizationPolicy shop/theirs admits other workloads";
        assert!(finding.seen.starts_with(words), "{}", finding.seen);
        let edit = "kubectl edit authorizationpolicies.security.istio.io -n shop theirs";
        assert_eq!(finding.remedy, edit);
    }
}
