//! Ingress gateways in other namespaces than `istio-system`: the whole life of a host on real proxies there.

use sandbox::{Caller, Environment, IngressGateway, Reply, Rule};
use serde_json::Value;

use crate::lab::{Desk, call, call_new, started};

const HOST: &str = "httpbin.mtls.local.kyma.dev";
const NAMESPACE: &str = "shop";

fn start(environment: Environment) -> Desk {
    let instance = started(environment);
    instance.deploy_echo(NAMESPACE, "httpbin").unwrap();
    Desk::new(&instance, NAMESPACE)
}

/// A client at the load balancer of an ingress gateway, with the certificate of a name.
fn client(desk: &Desk, ingress: &IngressGateway, name: Option<&str>) -> Caller {
    let caller = Caller::new(&ingress.connect_to, &desk.read("server-ca.crt"));
    match name.map(|name| ["crt", "key"].map(|suffix| desk.read(&format!("{name}.{suffix}")))) {
        Some([certificate, key]) => caller.with_certificate(&certificate, &key),
        None => caller,
    }
}

#[track_caller]
fn admits(desk: &Desk, ingress: &IngressGateway, name: &str) {
    let reply = call_new(&client(desk, ingress, Some(name)), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{name}: {reply:?}"
    );
}

/// Exposes, issues, revokes, rotates, looks and removes, with the proxies of one ingress gateway.
fn life(desk: &Desk, ingress: &IngressGateway, expose: &[&str]) {
    let first = desk
        .run(&[&["expose", "httpbin"], expose].concat())
        .exits(0);
    for replica in &ingress.replicas {
        assert!(first.stdout.contains(&replica.pod), "{first:#?}");
    }
    desk.run(&["issue-client", "alice", "bob"]).exits(0);
    admits(desk, ingress, "alice");
    let nobody = call(&client(desk, ingress, None), HOST, &[]);
    assert!(matches!(nobody, Reply::Refused(_)), "{nobody:?}");

    desk.run(&["expose", "httpbin", "--allow", "alice"])
        .exits(0);
    admits(desk, ingress, "alice");
    let reply = call_new(&client(desk, ingress, Some("bob")), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 403, .. }),
        "{reply:?}"
    );
    desk.run(&["expose", "httpbin", "--allow-any"]).exits(0);
    admits(desk, ingress, "bob");

    desk.run(&["revoke-client", "bob"]).exits(0);
    let revoked = call(&client(desk, ingress, Some("bob")), HOST, &[]);
    assert_eq!(revoked, Reply::Refused("certificate_revoked".to_owned()));

    desk.run(&["ca-rotate"]).exits(0);
    admits(desk, ingress, "alice");
    desk.run(&["renew-client", "alice", "--force"]).exits(0);
    admits(desk, ingress, "alice");

    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let status = desk.run(&["status", "-o", "json"]);
    let report = status.json();
    let findings = report["findings"].as_array().unwrap().iter();
    let faults = findings.filter(|finding| {
        let severity = finding["severity"].as_str().unwrap();
        ["error", "unknown"].contains(&severity)
    });
    let faults: Vec<&Value> = faults.collect();
    assert_eq!(faults, Vec::<&Value>::new(), "{status:#?}");

    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    let left = ["secrets", "authorizationpolicies"].map(|kind| {
        let labelled = "app.kubernetes.io/managed-by=kubectl-mtls";
        let list = [
            "get",
            kind,
            "-n",
            &ingress.namespace,
            "-l",
            labelled,
            "-o",
            "name",
        ];
        desk.kubectl(&list, "")
    });
    assert_eq!(left, [String::new(), String::new()]);
}

#[test]
fn a_gateway_of_the_helm_chart_is_found_and_serves_a_host_for_all_its_life() {
    let desk = start(Environment::Helm);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    assert_eq!(ingress.namespace, "istio-ingress");
    life(&desk, ingress, &[]);
}

#[test]
fn where_gateways_are_scoped_to_their_namespace_the_gateway_lies_beside_its_proxies() {
    let desk = start(Environment::Scoped);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    desk.run(&["expose", "httpbin", "--gateway", "shop/own"])
        .exits(2)
        .says("PILOT_SCOPE_GATEWAY_TO_NAMESPACE")
        .says("--gateway istio-ingress/NAME");
    gateway_is_printed_for_an_administrator(&desk);
    life(&desk, ingress, &[]);
}

/// Who may not write Gateways beside the proxies gets it as YAML, and goes on when it stands there.
fn gateway_is_printed_for_an_administrator(desk: &Desk) {
    let all = ["*"];
    let rules = [
        Rule::in_cluster("", &all, &all),
        Rule::in_cluster("apps", &["deployments"], &["get", "list"]),
        Rule::in_cluster("cert.gardener.cloud", &all, &["get"]),
        Rule::in_cluster("gateway.kyma-project.io", &all, &["get", "list"]),
        Rule::in_cluster("security.istio.io", &all, &all),
        Rule::in_cluster("networking.istio.io", &["virtualservices"], &all),
        Rule::in_cluster("networking.istio.io", &["gateways"], &["get", "list"]),
    ];
    let user = desk.instance.user(&rules).unwrap();
    let limited = desk.with_kubeconfig(&user.kubeconfig);
    let refused = limited.run(&["expose", "httpbin"]).exits(2);
    let refused = refused.says("ask an administrator");
    let yaml = refused.stderr.split_once("apiVersion:").unwrap().1;
    desk.kubectl(&["apply", "-f", "-"], &format!("apiVersion:{yaml}"));
    limited.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
}
