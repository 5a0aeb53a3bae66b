//! An ingress gateway while Istio is upgraded: behind its Service stand proxies of two revisions, each configured by an istiod of its own.

use sandbox::{Caller, Environment, IngressGateway, Replica, Reply};
use serde_json::json;

use crate::gateways::{HOST, NAMESPACE, admits, client, life_at, names, start};
use crate::lab::{Desk, Run, call, call_new, eventually, requests};
use crate::layout_roles::{Layout, commands_work_under_their_roles};

/// The revisions, with the names of istiod's Deployment, of the `ConfigMap` of the mesh configuration and of the file from which the
/// sandbox's istiod reads it.
const REVISIONS: [(&str, &str, &str, &str); 2] = [
    ("default", "istiod", "istio", "mesh.yaml"),
    (
        "canary",
        "istiod-canary",
        "istio-canary",
        "mesh-canary.yaml",
    ),
];
const ISTIOD: &str = "istio-system";

/// The addresses of all proxies, and of their load balancer.
fn doors(ingress: &IngressGateway) -> Vec<String> {
    let replicas = ingress.replicas.iter();
    let replicas = replicas.map(|replica| replica.tls().to_string());
    replicas.chain([ingress.connect_to.clone()]).collect()
}

/// Changes the mesh configuration of a revision, in the cluster and for its istiod.
fn configure(desk: &Desk, revision: usize, change: impl Fn(&str) -> String) {
    let (_, _, config, file) = REVISIONS[revision];
    let path = desk.instance.run_dir().join(file);
    let mesh = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(&mesh)).unwrap();
    let stated = desk.get(ISTIOD, "configmap", config);
    let stated = change(stated["data"]["mesh"].as_str().unwrap());
    let patch = json!({"data": {"mesh": stated}}).to_string();
    let merge = ["patch", "configmap", config, "--type=merge", "-p", &patch];
    desk.kubectl(&[&["-n", ISTIOD], &merge[..]].concat(), "");
}

/// The labels of the authority's namespace that istiod selects by.
fn labels(desk: &Desk) -> [bool; 2] {
    let namespace = desk.get("default", "namespace", "kubectl-mtls");
    ["mesh", "zone"].map(|key| namespace["metadata"]["labels"][key] == "seen")
}

/// Each istiod sees the namespaces with a label of its own only. Where one of them did not see the authority, its proxy would refuse
/// every client.
fn each_istiod_sees_the_authority(desk: &Desk, ingress: &IngressGateway) {
    let change = |change: &str| {
        for namespace in [NAMESPACE, "istio-ingress", ISTIOD] {
            let label = ["label", "namespace", namespace];
            let changes: Vec<&str> = change.split(' ').collect();
            desk.kubectl(&[&label[..], &changes].concat(), "");
        }
    };
    change("mesh=seen zone=seen");
    for (revision, key) in ["mesh", "zone"].into_iter().enumerate() {
        let selectors = format!("discoverySelectors: [{{matchLabels: {{{key}: seen}}}}]\n");
        configure(desk, revision, |mesh| format!("{mesh}{selectors}"));
    }
    assert_eq!(labels(desk), [false, false]);
    let exposed = desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(labels(desk), [true, true], "{exposed:#?}");
    desk.run(&["issue-client", "carol", "--force"]).exits(0);
    for door in doors(ingress) {
        admits(desk, &door, "carol");
    }

    // Without one label nothing new of the authority reaches the proxy of that revision, which is told.
    desk.kubectl(&["label", "namespace", "kubectl-mtls", "zone-"], "");
    let [present, next] = &ingress.replicas[..] else {
        panic!("two proxies");
    };
    let revoke = ["revoke-client", "carol", "--timeout", "5s"];
    let late = desk.run(&revoke).exits(124);
    let named = |replica: &Replica| format!("{}/{}", replica.namespace, replica.pod);
    let (_, error) = late.stderr.split_once("error: ").unwrap();
    assert!(error.contains(&named(next)), "{late:#?}");
    assert!(!error.contains(&named(present)), "{late:#?}");
    let carol = |replica: &Replica| {
        let at = replica.tls().to_string();
        call(&client(desk, &at, Some("carol")), HOST, &[])
    };
    let revoked = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(carol(present), revoked);
    assert!(matches!(carol(next), Reply::Answered { status: 200, .. }));
    finds(desk, "client-ca/not-seen");
    desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(labels(desk), [true, true]);
    desk.run(&revoke).exits(0);
    assert_eq!([present, next].map(carol), [revoked.clone(), revoked]);

    for revision in 0..2 {
        configure(desk, revision, |mesh| {
            let lines = mesh.lines().filter(|line| !line.starts_with("discovery"));
            lines.map(|line| format!("{line}\n")).collect()
        });
    }
    change("mesh- zone-");
}

/// Asserts that `status` has a finding with this id.
#[track_caller]
fn finds(desk: &Desk, id: &str) {
    let status = desk.run(&["status", "-o", "json"]);
    let report = status.json();
    let mut findings = report["findings"].as_array().unwrap().iter();
    assert!(findings.any(|finding| finding["id"] == id), "{status:#?}");
}

/// The gateway calls the Pods under the trust domain of either mesh, and no client gets a name in one of them.
fn both_trust_domains_count(desk: &Desk, ingress: &IngressGateway) {
    configure(desk, 1, |mesh| {
        mesh.replace("trustDomain: cluster.local", "trustDomain: next.example")
    });
    desk.run(&["expose", "httpbin"]).exits(0);
    let policy = "authorizationpolicies.security.istio.io";
    let policy = desk.get(NAMESPACE, policy, "httpbin-mtls");
    let principals = &policy["spec"]["rules"][0]["from"][0]["source"]["principals"];
    for domain in ["cluster.local", "next.example"] {
        let account = format!("{domain}/ns/istio-ingress/sa/istio-ingress");
        let principals = principals.as_array().unwrap();
        assert!(principals.contains(&json!(account)), "{policy:#}");
        let uri = format!("spiffe://{domain}/ns/shop/sa/web");
        desk.run(&["issue-client", "web", "--uri", &uri])
            .exits(2)
            .says(domain);
    }
    desk.run(&["issue-client", "dave", "--force"]).exits(0);
    for door in doors(ingress) {
        admits(desk, &door, "dave");
    }
}

/// Nothing is written while one istiod is too old, and whatever of one revision cannot be looked at is said.
fn what_one_revision_lacks_is_told(desk: &Desk) {
    let writes = |run: &dyn Fn() -> Run| {
        let mark = desk.instance.audit_mark().unwrap();
        let run = run();
        let log = desk.instance.audit_log(mark).unwrap();
        let written = requests(&log)
            .iter()
            .filter(|event| event.is_write())
            .count();
        (run, written)
    };
    desk.instance.deploy_echo(NAMESPACE, "other").unwrap();
    let other = ["expose", "other", "--gateway", "shop/other"];
    let host = ["--host", "other.example.com"];
    let expose = [&other[..], &host].concat();
    for (_, deployment, _, _) in REVISIONS {
        let version = |version: &str| {
            let image = format!("discovery=docker.io/istio/pilot:{version}");
            let name = format!("deployment/{deployment}");
            desk.kubectl(&["-n", ISTIOD, "set", "image", &name, &image], "");
        };
        version("1.27.3");
        let (refused, written) = writes(&|| desk.run(&expose).exits(2));
        refused
            .says(&format!("istiod `{ISTIOD}/{deployment}`"))
            .says("1.27.3");
        assert_eq!(written, 0);
        version("1.31.0");
    }
    let delete = |kind: &str, name: &str| desk.kubectl(&["-n", ISTIOD, "delete", kind, name], "");
    delete("configmap", "istio-canary");
    desk.run(&["issue-client", "erin", "--force"])
        .exits(0)
        .says("ConfigMap istio-system/istio-canary does not exist");
    delete("deployment", "istiod-canary");
    // On a new Gateway; one that serves is proven by its proxies.
    desk.run(&expose)
        .exits(0)
        .says("no istiod in `istio-system` is of the revision `canary`");
    desk.run(&["unexpose", "other", "--purge", "--yes"])
        .exits(0);
}

/// A Gateway with the label of one revision is not read by the other one's istiod: its proxy serves nobody.
fn a_gateway_of_one_revision_is_told(desk: &Desk, ingress: &IngressGateway) {
    let [present, next] = &ingress.replicas[..] else {
        panic!("two proxies");
    };
    let label = |change: &str| {
        let gateway = ["gateways.networking.istio.io", "kyma-mtls-gateway", change];
        desk.kubectl(&[&["-n", NAMESPACE, "label"], &gateway[..]].concat(), "");
    };
    let dave = |replica: &Replica| -> Caller {
        let at = replica.tls().to_string();
        client(desk, &at, Some("dave"))
    };
    label("istio.io/rev=default");
    eventually(
        "the proxy of the other revision has lost its listener",
        || !matches!(call(&dave(next), HOST, &[]), Reply::Answered { .. }),
    );
    let reply = call(&dave(present), HOST, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{reply:?}"
    );
    finds(desk, "gateway/other-revision");
    label("istio.io/rev-");
    for replica in &ingress.replicas {
        eventually("both proxies serve the host", || {
            matches!(
                call_new(&dave(replica), HOST, &[]),
                Reply::Answered { status: 200, .. }
            )
        });
    }
}

#[test]
fn proxies_of_two_revisions_behind_one_service_serve_a_host_together_for_all_its_life() {
    let desk = start(Environment::TwoRevisions);
    let [ingress] = desk.instance.gateways() else {
        panic!("one gateway");
    };
    let revisions: Vec<&str> = ingress.replicas.iter().map(Replica::revision).collect();
    assert_eq!(revisions, REVISIONS.map(|(revision, ..)| revision));
    let layout = Layout {
        ingress: &["istio-ingress"],
        istiod: ISTIOD,
        revisions: &revisions,
    };
    commands_work_under_their_roles(&desk, &layout);
    life_at(&desk, std::slice::from_ref(ingress), &doors(ingress), &[]);

    each_istiod_sees_the_authority(&desk, ingress);
    both_trust_domains_count(&desk, ingress);
    a_gateway_of_one_revision_is_told(&desk, ingress);
    what_one_revision_lacks_is_told(&desk);
    let removed = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    assert!(
        !ingress
            .replicas
            .iter()
            .any(|replica| names(&removed, replica))
    );
}
