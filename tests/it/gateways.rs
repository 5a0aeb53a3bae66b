//! Ingress gateways in other namespaces than `istio-system`: the whole life of a host on real proxies there.

use sandbox::{Caller, Environment, IngressGateway, Mark, Replica, Reply, Rule};
use serde_json::json;

use crate::lab::{Desk, Run, call, call_new, requests, started};
use crate::layout_roles::{Layout, commands_work_under_their_roles};
use crate::pages::{GATEWAYS, run_section};

pub(crate) const HOST: &str = "httpbin.mtls.local.kyma.dev";
pub(crate) const NAMESPACE: &str = "shop";

pub(crate) fn start(environment: Environment) -> Desk {
    let instance = started(environment);
    instance.deploy_echo(NAMESPACE, "httpbin").unwrap();
    Desk::new(&instance, NAMESPACE)
}

/// A client at an address of an ingress gateway, with the certificate of a name.
pub(crate) fn client(desk: &Desk, door: &str, name: Option<&str>) -> Caller {
    let caller = Caller::new(door, &desk.read("server-ca.crt"));
    match name.map(|name| ["crt", "key"].map(|suffix| desk.read(&format!("{name}.{suffix}")))) {
        Some([certificate, key]) => caller.with_certificate(&certificate, &key),
        None => caller,
    }
}

#[track_caller]
pub(crate) fn admits(desk: &Desk, door: &str, name: &str) {
    let reply = call_new(&client(desk, door, Some(name)), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{name} at {door}: {reply:?}"
    );
}

/// Whether a run names a replica among those that it looked at.
pub(crate) fn names(run: &Run, replica: &Replica) -> bool {
    let Replica { namespace, pod, .. } = replica;
    let name = match namespace.as_str() {
        "istio-system" => pod.clone(),
        _ => format!("{namespace}/{pod}"),
    };
    let mut words = run.stdout.split([' ', ',', '\n']);
    words.any(|word| word == name)
}

/// Exposes, issues, revokes, rotates, looks and removes, with the proxies of one ingress gateway.
fn life(desk: &Desk, ingress: &IngressGateway, expose: &[&str]) {
    let doors = [ingress.connect_to.clone()];
    life_at(desk, std::slice::from_ref(ingress), &doors, expose);
}

/// The same with an ingress gateway in several namespaces, looked at through all these addresses.
pub(crate) fn life_at(desk: &Desk, gateways: &[IngressGateway], doors: &[String], expose: &[&str]) {
    let mark = desk.instance.audit_mark().unwrap();
    let first = desk
        .run(&[&["expose", "httpbin"], expose].concat())
        .exits(0);
    for replica in gateways.iter().flat_map(|ingress| &ingress.replicas) {
        assert!(names(&first, replica), "{first:#?}");
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

    let rotated = desk.run(&["ca-rotate"]).exits(0);
    for replica in gateways.iter().flat_map(|ingress| &ingress.replicas) {
        assert!(names(&rotated, replica), "{rotated:#?}");
    }
    admits("alice");
    let of_the_old_ca = doors.iter().map(|door| client(desk, door, Some("alice")));
    let of_the_old_ca: Vec<Caller> = of_the_old_ca.collect();
    desk.run(&["renew-client", "alice", "--force"]).exits(0);
    admits("alice");
    desk.run(&["revoke-client", "--superseded", "--older-than", "0s"])
        .exits(0);
    desk.run(&["ca-rotate", "--finish"]).exits(0);
    admits("alice");
    for old in &of_the_old_ca {
        let refused = Reply::Refused("unknown_ca".to_owned());
        assert_eq!(call(old, HOST, &[]), refused);
    }

    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let status = desk.run(&["status", "-o", "json"]).exits(0);
    assert_eq!(status.json()["findings"], json!([]), "{status:#?}");

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
    lists_no_secrets(desk, mark);
}

/// The authority of a namespace is that of its Gateway, which lies beside the proxies.
fn two_namespaces_have_clients_of_their_own(desk: &Desk, ingress: &IngressGateway) {
    let second = Desk::new(&desk.instance, "second");
    desk.instance.deploy_echo("second", "httpbin").unwrap();
    desk.run(&["expose", "httpbin"]).exits(0);
    let host = "second.mtls.local.kyma.dev";
    second.run(&["expose", "httpbin", "--host", host]).exits(0);
    let gateway = "istio-ingress/second-kyma-mtls-gateway";
    let told = format!("of the Gateway `{gateway}`");
    second.run(&["issue-client", "zoe"]).exits(0).says(&told);
    let door = &ingress.connect_to;
    let zoe = client(&second, door, Some("zoe"));
    let reply = call_new(&zoe, host, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{reply:?}"
    );
    let listed = second.run(&["list-clients"]).exits(0).says(&told);
    assert!(listed.stdout.contains("zoe"), "{listed:#?}");
    second.run(&["ca-rotate"]).exits(0).says(&told);
    second.run(&["revoke-client", "zoe"]).exits(0).says(&told);
    let revoked = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(call(&zoe, host, &[]), revoked);
    // The clients of the first namespace are others.
    desk.run(&["issue-client", "yan"]).exits(0);
    admits(desk, door, "yan");
    desk.run(&["revoke-client", "yan"]).exits(0);
    for desk in [&second, desk] {
        desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
            .exits(0);
    }
}

/// Asserts that nobody listed Secrets: the right to list them is a right to read all of them.
fn lists_no_secrets(desk: &Desk, since: Mark) {
    let log = desk.instance.audit_log(since).unwrap();
    let requests = requests(&log);
    assert!(requests.iter().any(|event| event.resource == "secrets"));
    let of_many = ["list", "watch", "deletecollection"];
    let lists: Vec<_> = requests
        .iter()
        .filter(|event| event.resource == "secrets" && of_many.contains(&event.verb.as_str()))
        .collect();
    assert!(lists.is_empty(), "{lists:#?}");
}

#[test]
fn a_gateway_of_the_helm_chart_is_found_and_serves_a_host_for_all_its_life() {
    let desk = start(Environment::Helm);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    assert_eq!(ingress.namespace, "istio-ingress");
    let layout = Layout {
        ingress: &["istio-ingress"],
        istiod: "istio-system",
        revisions: &[],
    };
    commands_work_under_their_roles(&desk, &layout);
    life(&desk, ingress, &[]);
    run_section(GATEWAYS, "Which ingress gateway a host gets", &desk);
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
}

#[test]
fn istios_default_gateway_serves_a_host_for_all_its_life() {
    let desk = start(Environment::PlainIstio);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    let layout = Layout {
        ingress: &["istio-system"],
        istiod: "istio-system",
        revisions: &[],
    };
    commands_work_under_their_roles(&desk, &layout);
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
    let layout = Layout {
        ingress: &["istio-system", "istio-ingress"],
        istiod: "istio-system",
        revisions: &[],
    };
    commands_work_under_their_roles(&desk, &layout);
    life_at(&desk, gateways, &doors, &[]);
    // Through the Service of the second one: the same proxies, and the same guards.
    let service = format!("{}/{}", second.namespace, second.service);
    desk.run(&["expose", "httpbin", "--ingress", &service])
        .exits(0);
    desk.run(&["issue-client", "carol", "--force"]).exits(0);
    for door in &doors {
        admits(&desk, door, "carol");
        let nobody = call(&client(&desk, door, None), HOST, &[]);
        assert!(matches!(nobody, Reply::Refused(_)), "{door}: {nobody:?}");
    }
    a_replica_that_lags_is_waited_for(&desk, &second.replicas[1]);
    run_section(GATEWAYS, "Proxies in several namespaces", &desk);
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
}

/// Whatever changes trust or access ends only when each proxy acts on it, whichever namespace it runs in.
fn a_replica_that_lags_is_waited_for(desk: &Desk, replica: &Replica) {
    let named = format!("{}/{}", replica.namespace, replica.pod);
    for change in [
        &["expose", "httpbin", "--allow", "carol"][..],
        &["ca-rotate"],
        &["revoke-client", "carol"],
    ] {
        desk.instance.hold_replica(replica.number);
        let held = desk.run(&[change, &["--timeout", "5s"]].concat());
        desk.instance.release_replica(replica.number);
        held.exits(124).says(&named);
        desk.run(change).exits(0);
    }
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
    two_namespaces_have_clients_of_their_own(&desk, ingress);
    life(&desk, ingress, &[]);
}

#[test]
fn on_aks_the_control_plane_is_looked_at_where_the_proxies_say_that_it_is() {
    let desk = start(Environment::Aks);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    assert_eq!(ingress.namespace, AKS_INGRESS);
    let layout = Layout {
        ingress: &[AKS_INGRESS],
        istiod: AKS_ROOT,
        revisions: &["asm-1-31"],
    };
    commands_work_under_their_roles(&desk, &layout);
    life(&desk, ingress, &[]);
    run_section(GATEWAYS, "The control plane", &desk);
    policies_of_the_root_namespace_are_told(&desk, ingress);
}

const AKS_INGRESS: &str = "aks-istio-ingress";
const AKS_ROOT: &str = "aks-istio-system";

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
