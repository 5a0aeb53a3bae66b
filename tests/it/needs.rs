//! What istiod needs to read an authority: a version that can, and the authority's namespace among those that it sees.

use std::sync::Arc;

use kubectl_mtls::error::Exit;
use sandbox::{Caller, Environment, Instance, Reply};
use serde_json::json;

use crate::lab::{Desk, call, eventually, let_in, requests, started};
use crate::stage::{NAMESPACE, SERVICE, Stage, stage};

const HOST: &str = "httpbin.mtls.local.kyma.dev";
const LABEL: &str = "mesh";
const SELECTORS: &str = "discoverySelectors: [{matchLabels: {mesh: seen}}]\n";
const LABELLED: &str = "namespace/kubectl-mtls configured";

/// The `ConfigMap` in which an installation keeps its mesh configuration.
fn mesh_config(mesh: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh},
    })
}

/// A cluster without Kyma, whose istiod sees the namespaces with a label only.
fn selecting() -> Arc<Instance> {
    let instance = started(Environment::PlainIstio);
    instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
    let desk = Desk::new(&instance, NAMESPACE);
    for namespace in ["istio-system", NAMESPACE] {
        desk.kubectl(&["label", "namespace", namespace, "mesh=seen"], "");
    }
    // istiod of the sandbox reads it from a file, and again when that changes.
    let file = instance.run_dir().join("mesh.yaml");
    let mesh = std::fs::read_to_string(&file).unwrap() + SELECTORS;
    std::fs::write(&file, &mesh).unwrap();
    instance.create(vec![mesh_config(&mesh)]).unwrap();
    instance
}

fn label(desk: &Desk) -> Option<String> {
    let namespace = desk.get("default", "namespace", "kubectl-mtls");
    let label = namespace["metadata"]["labels"][LABEL].as_str();
    label.map(str::to_owned)
}

/// Whether the gateway refuses a client in the handshake.
fn is_refused(client: &Caller) -> bool {
    matches!(call(client, HOST, &[]), Reply::Refused(_))
}

#[test]
fn the_authoritys_namespace_is_labelled_where_istiod_would_not_see_it_and_again_when_the_label_is_gone()
 {
    let instance = selecting();
    let desk = Desk::new(&instance, NAMESPACE);
    let run = desk.run(&["expose", SERVICE]).exits(0);
    let made = "namespace/kubectl-mtls created";
    assert!(run.stdout.contains(made), "{run:#?}");
    assert_eq!(label(&desk).as_deref(), Some("seen"));
    let again = desk.run(&["expose", SERVICE]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    desk.run(&["issue-client", "alice"]).exits(0);
    let [certificate, key] = ["alice.crt", "alice.key"].map(|name| desk.read(name));
    let ca = desk.read("server-ca.crt");
    let alice = Caller::new(instance.connect_to(), &ca).with_certificate(&certificate, &key);
    let_in(&alice, HOST);

    // Without the label nothing new of the authority arrives.
    desk.kubectl(&["label", "namespace", "kubectl-mtls", "mesh-"], "");
    let revoke = ["revoke-client", "alice", "--timeout", "5s"];
    let lost = desk.run(&revoke);
    assert_eq!(lost.code, i32::from(Exit::TimedOut.code()), "{lost:#?}");
    assert!(!is_refused(&alice));
    for dry_run in ["--dry-run=client", "--dry-run=server"] {
        let planned = desk.run(&["expose", SERVICE, dry_run]).exits(0);
        let labelled = format!("{LABELLED} (dry run)\n");
        assert!(planned.stdout.contains(&labelled), "{planned:#?}");
        assert_eq!(label(&desk), None);
    }
    let run = desk.run(&["expose", SERVICE]).exits(0);
    assert!(run.stdout.contains(LABELLED), "{run:#?}");
    eventually("the revoked client is refused", || is_refused(&alice));
    desk.run(&revoke).exits(0);
}

/// An istiod that is said to be of another version until the test ends, however it ends.
struct Aged<'a>(&'a Stage);

impl<'a> Aged<'a> {
    fn new(stage: &'a Stage) -> Self {
        set_version(stage, "1.27.3");
        Self(stage)
    }
}

impl Drop for Aged<'_> {
    fn drop(&mut self) {
        set_version(self.0, "1.31.0");
    }
}

fn set_version(stage: &Stage, version: &str) {
    let image = format!("discovery=docker.io/istio/pilot:{version}");
    let set = [
        "-n",
        "istio-system",
        "set",
        "image",
        "deployment/istiod",
        &image,
    ];
    stage.desk.kubectl(&set, "");
}

#[test]
fn an_istiod_that_does_not_read_authorities_is_refused_before_anything_is_written() {
    let stage = stage();
    stage.clear();
    let desk = &stage.desk;
    let mark = desk.instance.audit_mark().unwrap();
    let aged = Aged::new(&stage);
    desk.run(&["expose", SERVICE])
        .exits(2)
        .says("istiod `istio-system/istiod`")
        .says("is version 1.27.3: it ignores `caCertCredentialName: configmap://")
        .says("upgrade Istio to 1.28 or later");
    let log = desk.instance.audit_log(mark).unwrap();
    let mut events = requests(&log).into_iter();
    let written = events.find(|event| event.is_write());
    assert!(written.is_none(), "{written:#?}");
    drop(aged);
    desk.run(&["expose", SERVICE]).exits(0);
    // What reads its authority already goes on.
    let _aged = Aged::new(&stage);
    desk.run(&["expose", SERVICE])
        .exits(0)
        .says("is version 1.27.3");
}

/// A mesh configuration that is there until the test ends, however it ends.
struct MeshConfig<'a>(&'a Stage);

impl Drop for MeshConfig<'_> {
    fn drop(&mut self) {
        let desk = &self.0.desk;
        desk.kubectl(&["-n", "istio-system", "delete", "configmap", "istio"], "");
        desk.kubectl(&["label", "namespace", "kubectl-mtls", "mesh-"], "");
    }
}

#[test]
fn the_line_that_a_refusal_tells_is_all_that_was_missing() {
    let stage = stage();
    stage.clear();
    let desk = &stage.desk;
    let mesh =
        "discoverySelectors: [{matchExpressions: [{key: mesh, operator: In, values: [a, b]}]}]";
    desk.instance.create(vec![mesh_config(mesh)]).unwrap();
    let _mesh = MeshConfig(&stage);
    let mark = desk.instance.audit_mark().unwrap();
    let run = desk.run(&["expose", SERVICE]).exits(2);
    let run =
        run.says("no entry of `discoverySelectors` in ConfigMap istio-system/istio selects it");
    let log = desk.instance.audit_log(mark).unwrap();
    assert!(requests(&log).iter().all(|event| !event.is_write()));
    let mut lines = run.stderr.lines();
    let line = lines.find_map(|line| line.trim().strip_prefix("kubectl "));
    let line: Vec<&str> = line.unwrap().split(' ').collect();
    desk.kubectl(&line, "");
    desk.run(&["expose", SERVICE]).exits(0);
}

/// A cluster without an istiod, whose namespace names the cluster that manages it, until the test ends, however it ends.
struct Managed<'a>(&'a Stage);

const MANAGING: &str = "topology.istio.io/controlPlaneClusters";

impl<'a> Managed<'a> {
    fn by(stage: &'a Stage, cluster: &str) -> Self {
        let managed = Self(stage);
        managed.kubectl(&["label", "deployment", "istiod", "app-"]);
        let named = format!("{MANAGING}={cluster}");
        managed.kubectl(&["annotate", "namespace", "istio-system", &named]);
        managed
    }

    fn kubectl(&self, arguments: &[&str]) {
        let place = ["-n", "istio-system"];
        self.0.desk.kubectl(&[&place[..], arguments].concat(), "");
    }
}

impl Drop for Managed<'_> {
    fn drop(&mut self) {
        self.kubectl(&["label", "deployment", "istiod", "app=istiod"]);
        let gone = format!("{MANAGING}-");
        self.kubectl(&["annotate", "namespace", "istio-system", &gone]);
    }
}

#[test]
fn a_remote_cluster_is_refused_before_anything_is_written_and_a_config_cluster_is_not() {
    let stage = stage();
    stage.clear();
    let desk = &stage.desk;
    let mark = desk.instance.audit_mark().unwrap();
    let managed = Managed::by(&stage, "east");
    desk.run(&["expose", SERVICE])
        .exits(2)
        .says("this API server is not the config cluster of the mesh")
        .says("against the API server of `east`");
    let log = desk.instance.audit_log(mark).unwrap();
    assert!(requests(&log).iter().all(|event| !event.is_write()));
    drop(managed);
    // As the proxies of the sandbox call their own cluster.
    let _managed = Managed::by(&stage, "east,Kubernetes");
    desk.run(&["expose", SERVICE]).exits(0);
}
