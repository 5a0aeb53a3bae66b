//! The ways by which the gateway is looked at: each Pod through a port-forward, its load balancer, the address of
//! `--connect-to`.

use serde_json::{Value, json};

use crate::lab::Desk;
use crate::stage::{NAMESPACE, SERVICE, Turn, stage};

const FRONT: &str = "istio-ingressgateway";
const GONE: &str = "istio-ingressgateway-gone";

/// A third Pod of the gateway, on a node whose kubelet nobody reaches; it and the load balancer's address, at which nobody
/// listens, are as before when the test ends.
struct Unreachable {
    desk: Desk,
    addresses: Value,
    _stage: Turn,
}

impl Unreachable {
    fn new() -> Self {
        let stage = stage();
        stage.clear();
        let desk = Desk::new(&stage.desk.instance, NAMESPACE);
        desk.run(&["expose", SERVICE]).exits(0);
        let before = desk.get("istio-system", "service", FRONT);
        let unreachable = Self {
            desk,
            addresses: before["status"]["loadBalancer"].clone(),
            _stage: stage,
        };
        unreachable.set_addresses(&json!({"ingress": [{"ip": "127.0.0.1"}]}));
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": GONE},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 9}},
            },
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": GONE, "namespace": "istio-system", "labels": {"app": FRONT, "istio": "ingressgateway"}},
            "spec": {"nodeName": GONE, "containers": [{
                "name": "istio-proxy", "image": "proxy", "ports": [{"name": "https", "containerPort": 8443}],
            }]},
            "status": {"phase": "Running"},
        });
        unreachable.desk.instance.create(vec![node, pod]).unwrap();
        unreachable.patch_status("pod", GONE, &json!({"phase": "Running"}));
        unreachable
    }

    fn set_addresses(&self, addresses: &Value) {
        self.patch_status("service", FRONT, &json!({"loadBalancer": addresses}));
    }

    fn patch_status(&self, kind: &str, name: &str, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let how = ["--subresource=status", "--type=merge", "-p", &patch];
        let what = ["-n", "istio-system", "patch", kind, name];
        self.desk.kubectl(&[&what[..], &how].concat(), "");
    }
}

impl Drop for Unreachable {
    fn drop(&mut self) {
        self.set_addresses(&self.addresses);
        let now = ["--force", "--grace-period=0"];
        let pod = ["-n", "istio-system", "delete", "pod", GONE];
        self.desk.kubectl(&[&pod[..], &now].concat(), "");
        self.desk.kubectl(&["delete", "node", GONE], "");
    }
}

#[test]
fn a_pod_whose_port_forward_fails_sends_the_look_to_the_addresses_and_is_named_with_the_reason() {
    let unreachable = Unreachable::new();
    let desk = &unreachable.desk;
    let failed =
        format!("the port-forward to `{GONE}` failed: the API server answered with HTTP 5");
    let status = desk.run(&["status", SERVICE]).exits(1);
    assert!(status.unwrapped().contains(&failed), "{status:#?}");
    assert!(status.unwrapped().contains("127.0.0.1:443"), "{status:#?}");
    // The other proxies are looked at one by one as before.
    for replica in desk.instance.replicas() {
        assert!(status.stdout.contains(&replica.pod), "{status:#?}");
    }
    // What no address shows was not seen: a change does not end as if it had been.
    desk.run(&["expose", SERVICE, "--timeout", "3s"])
        .exits(124)
        .says("127.0.0.1:443 of shop/kyma-mtls-gateway: the handshake did not begin, no connection")
        .says(&failed);
}

#[test]
fn connect_to_wins_over_port_forward_in_every_command_and_the_report_says_so() {
    let stage = stage();
    stage.clear();
    let desk = Desk::new(&stage.desk.instance, NAMESPACE).at_the_balancer();
    let said = "replicas were not checked one by one: `--connect-to` leads to one address";
    let mark = desk.instance.audit_mark().unwrap();
    let run = desk.run(&["expose", SERVICE]).exits(0);
    assert!(run.stdout.contains(said), "{run:#?}");
    run.says("whether every proxy has the route and enforces the guards was not seen");
    desk.run(&["issue-client", "alice"]).exits(0);
    let revoked = desk.run(&["revoke-client", "alice"]).exits(0);
    assert!(
        revoked.stdout.contains(desk.instance.connect_to()),
        "{revoked:#?}"
    );
    revoked.says(said);
    let rotated = desk.run(&["ca-rotate"]).exits(0);
    assert!(rotated.stdout.contains(said), "{rotated:#?}");
    let status = desk.run(&["status", SERVICE]).exits(1);
    assert!(
        status.stdout.contains("without `--connect-to`"),
        "{status:#?}"
    );
    let log = desk.instance.audit_log(mark).unwrap();
    let forwards = |event: &&sandbox::AuditEvent| event.subresource == "portforward";
    assert_eq!(log.iter().filter(forwards).count(), 0);
}
