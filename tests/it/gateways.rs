//! Ingress gateways in other namespaces than `istio-system`: the whole life of a host on real proxies there.

use sandbox::{AuditEvent, Caller, Environment, IngressGateway, Reply, Rule};
use serde_json::{Value, json};

use crate::lab::{Desk, call, call_new, started};
use crate::rbac::rules_in;
use crate::situations::used;

const HOST: &str = "httpbin.mtls.local.kyma.dev";
const NAMESPACE: &str = "shop";

fn start(environment: Environment) -> Desk {
    let instance = started(environment);
    instance.deploy_echo(NAMESPACE, "httpbin").unwrap();
    Desk::new(&instance, NAMESPACE)
}

/// A client at an address of an ingress gateway, with the certificate of a name.
fn client(desk: &Desk, door: &str, name: Option<&str>) -> Caller {
    let caller = Caller::new(door, &desk.read("server-ca.crt"));
    match name.map(|name| ["crt", "key"].map(|suffix| desk.read(&format!("{name}.{suffix}")))) {
        Some([certificate, key]) => caller.with_certificate(&certificate, &key),
        None => caller,
    }
}

#[track_caller]
fn admits(desk: &Desk, door: &str, name: &str) {
    let reply = call_new(&client(desk, door, Some(name)), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{name} at {door}: {reply:?}"
    );
}

/// Exposes, issues, revokes, rotates, looks and removes, with the proxies of one ingress gateway.
fn life(desk: &Desk, ingress: &IngressGateway, expose: &[&str]) {
    let doors = [ingress.connect_to.clone()];
    life_at(desk, std::slice::from_ref(ingress), &doors, expose);
}

/// The same with an ingress gateway in several namespaces, looked at through all these addresses.
fn life_at(desk: &Desk, gateways: &[IngressGateway], doors: &[String], expose: &[&str]) {
    let first = desk
        .run(&[&["expose", "httpbin"], expose].concat())
        .exits(0);
    for replica in gateways.iter().flat_map(|ingress| &ingress.replicas) {
        assert!(first.stdout.contains(&replica.pod), "{first:#?}");
    }
    desk.run(&["issue-client", "alice", "bob"]).exits(0);
    let admits = |name| doors.iter().for_each(|door| admits(desk, door, name));
    admits("alice");
    for door in doors {
        let nobody = call(&client(desk, door, None), HOST, &[]);
        assert!(matches!(nobody, Reply::Refused(_)), "{door}: {nobody:?}");
    }

    desk.run(&["expose", "httpbin", "--allow", "alice"])
        .exits(0);
    admits("alice");
    for door in doors {
        let reply = call_new(&client(desk, door, Some("bob")), HOST, &[]);
        assert!(
            matches!(reply, Reply::Answered { status: 403, .. }),
            "{door}: {reply:?}"
        );
    }
    desk.run(&["expose", "httpbin", "--allow-any"]).exits(0);
    admits("bob");

    desk.run(&["revoke-client", "bob"]).exits(0);
    for door in doors {
        let revoked = call(&client(desk, door, Some("bob")), HOST, &[]);
        let refused = Reply::Refused("certificate_revoked".to_owned());
        assert_eq!(revoked, refused, "{door}");
    }

    desk.run(&["ca-rotate"]).exits(0);
    admits("alice");
    desk.run(&["renew-client", "alice", "--force"]).exits(0);
    admits("alice");

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
    for ingress in gateways {
        let namespace = ingress.namespace.as_str();
        let left = ["secrets", "authorizationpolicies"].map(|kind| {
            let labelled = "app.kubernetes.io/managed-by=kubectl-mtls";
            let list = ["get", kind, "-n", namespace, "-l", labelled, "-o", "name"];
            desk.kubectl(&list, "")
        });
        assert_eq!(left, [String::new(), String::new()], "{namespace}");
    }
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
fn two_gateways_with_the_same_labels_serve_a_host_together_for_all_its_life() {
    let desk = start(Environment::TwoGateways);
    let gateways = desk.instance.gateways();
    let [first, second] = gateways else {
        panic!("two gateways");
    };
    assert_eq!(first.labels, second.labels);
    let replicas = gateways.iter().flat_map(|ingress| &ingress.replicas);
    let replicas = replicas.map(|replica| replica.tls().to_string());
    let balancers = gateways.iter().map(|ingress| ingress.connect_to.clone());
    let doors: Vec<String> = replicas.chain(balancers).collect();
    assert_eq!(doors.len(), 6);
    life_at(&desk, gateways, &doors, &[]);
    // Through the Service of the second one: the same proxies, and the same guards.
    let service = format!("{}/{}", second.namespace, second.service);
    desk.run(&["expose", "httpbin", "--ingress", &service])
        .exits(0);
    desk.run(&["issue-client", "carol"]).exits(0);
    for door in &doors {
        admits(&desk, door, "carol");
        let nobody = call(&client(&desk, door, None), HOST, &[]);
        assert!(matches!(nobody, Reply::Refused(_)), "{door}: {nobody:?}");
    }
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
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

#[test]
fn on_aks_the_control_plane_is_looked_at_where_the_proxies_say_that_it_is() {
    let desk = start(Environment::Aks);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    assert_eq!(ingress.namespace, AKS_INGRESS);
    commands_work_under_their_roles_on_aks(&desk);
    life(&desk, ingress, &[]);
    policies_of_the_root_namespace_are_told(&desk, ingress);
}

const AKS_INGRESS: &str = "aks-istio-ingress";
const AKS_ROOT: &str = "aks-istio-system";

/// Each under exactly its Roles, and using each right on the control plane.
fn commands_work_under_their_roles_on_aks(desk: &Desk) {
    let instance = &desk.instance;
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    // They come with the Roles.
    let own = ["kubectl-mtls", "kubectl-mtls-clients"].map(namespace);
    instance.create(own.into()).unwrap();
    let mark = instance.audit_mark().unwrap();
    let mut wrong = Vec::new();
    for (command, arguments) in [
        ("expose", &["httpbin"][..]),
        ("issue-client", &["carol"]),
        ("status", &["httpbin", "-o", "json"]),
        ("unexpose", &["httpbin", "--purge", "--yes"]),
    ] {
        let place = [
            ["--service", "httpbin"],
            ["--ingress-namespace", AKS_INGRESS],
            ["--istio-namespace", AKS_ROOT],
            ["--revision", "asm-1-31"],
        ];
        let rules = rules_in(NAMESPACE, command, place.as_flattened());
        let user = instance.user(&rules).unwrap();
        let run = desk
            .with_kubeconfig(&user.kubeconfig)
            .run(&[&[command], arguments].concat());
        if command == "status" {
            let report = run.json();
            let mut findings = report["findings"].as_array().unwrap().iter();
            let unknown = findings.find(|finding| finding["severity"] == "unknown");
            assert_eq!(unknown, None);
        } else {
            let run = run.exits(0);
            assert!(!run.stderr.contains("not checked"), "{run:#?}");
            assert!(!run.stderr.contains("was not read"), "{run:#?}");
        }
        let events = instance.audit_log_of(&user.name, mark).unwrap();
        // A default installation is guessed first.
        let is_guess = |event: &AuditEvent| event.namespace == "istio-system";
        let denied = events.iter().filter(|event| event.code == 403);
        let denied = denied.filter(|event| !is_guess(event));
        wrong
            .extend(denied.map(|event| {
                format!("{command} was denied: {} {}", event.verb, event.request_uri)
            }));
        // It is asked where proxies of several namespaces have the labels of a Gateway.
        let is_for_several = |rule: &Rule| command == "status" && rule.resources == ["deployments"];
        let of_root = rules
            .iter()
            .filter(|rule| rule.namespace.as_deref() == Some(AKS_ROOT) && !is_for_several(rule));
        for rule in of_root {
            for verb in &rule.verbs {
                if !events.iter().any(|event| used(rule, verb, event)) {
                    wrong.push(format!("{command} never used `{verb}` of {rule:?}"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A policy of the mesh's root namespace keeps everybody out, and `status` names it.
fn policies_of_the_root_namespace_are_told(desk: &Desk, ingress: &IngressGateway) {
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "alice", "--force", "--another"])
        .exits(0);
    admits(desk, &ingress.connect_to, "alice");
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "nobody", "namespace": AKS_ROOT},
        "spec": {"action": "DENY", "rules": [{}]},
    });
    desk.instance.create(vec![policy]).unwrap();
    let status = desk.run(&["status"]).exits(1);
    assert!(
        status.stdout.contains("aks-istio-system/nobody"),
        "{status:#?}"
    );
    let reply = call_new(&client(desk, &ingress.connect_to, Some("alice")), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 403, .. }),
        "{reply:?}"
    );
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
