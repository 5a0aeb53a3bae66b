//! `expose --selector`: another ingress gateway than Istio's default one.

use sandbox::{Caller, Replica, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call_new, requests, seen_by_application};
use crate::stage::{NAMESPACE, SERVICE, Turn, stage};

const POD: &str = "istio-ingressgateway-1";
const FRONT: &str = "private-ingressgateway";

/// One of the two proxies as an ingress gateway of its own, with a Service in front; it is as before when the test ends.
struct Private {
    desk: Desk,
    stage: Turn,
}

impl Private {
    fn new() -> Self {
        let stage = stage();
        stage.clear();
        let private = Self {
            desk: Desk::new(&stage.desk.instance, NAMESPACE),
            stage,
        };
        private.label("app=private", "istio=private");
        let mut spec = private
            .desk
            .get("istio-system", "service", "istio-ingressgateway")["spec"]
            .clone();
        let ports: Vec<Value> = spec["ports"].as_array_mut().unwrap().drain(..).collect();
        let fields = ["name", "port", "targetPort"];
        let ports: Vec<Value> = ports
            .iter()
            .map(|port| {
                fields
                    .map(|field| (field.to_owned(), port[field].clone()))
                    .into_iter()
                    .collect()
            })
            .collect();
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": FRONT, "namespace": "istio-system"},
            "spec": {"type": "LoadBalancer", "selector": {"istio": "private"}, "ports": ports},
        });
        private.stage.desk.instance.create(vec![service]).unwrap();
        let address = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"127.0.0.1"}]}}}"#;
        let patch = [
            "-n",
            "istio-system",
            "patch",
            "service",
            FRONT,
            "--subresource=status",
            "--type=merge",
            "-p",
            address,
        ];
        private.desk.kubectl(&patch, "");
        private
    }

    fn label(&self, app: &str, istio: &str) {
        let labels = [
            "-n",
            "istio-system",
            "label",
            "--overwrite",
            "pod",
            POD,
            app,
            istio,
        ];
        self.desk.kubectl(&labels, "");
    }

    fn replica(&self, pod: &str) -> &Replica {
        let mut replicas = self.desk.instance.replicas().iter();
        replicas.find(|replica| replica.pod == pod).unwrap()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.desk
            .kubectl(&["-n", "istio-system", "delete", "service", FRONT], "");
        self.label("app=istio-ingressgateway", "istio=ingressgateway");
    }
}

#[test]
fn a_service_is_exposed_at_another_ingress_and_only_its_proxies_are_looked_at() {
    let private = Private::new();
    let desk = &private.desk;
    let host = format!("private.{}", desk.instance.domain());
    let arguments = ["expose", SERVICE, "--gateway", "private", "--host", &host];
    let run = desk
        .run(&[&arguments[..], &["--selector", "istio=private"]].concat())
        .exits(0);
    assert!(
        run.stdout
            .contains(&format!("{POD} rejected a client without a certificate")),
        "{run:#?}"
    );
    let gateway = desk.get(NAMESPACE, "gateways.networking.istio.io", "private");
    assert_eq!(gateway["spec"]["selector"], json!({"istio": "private"}));
    desk.run(&["issue-client", "alice"]).exits(0);
    let root = desk.instance.stand_ins().root_certificate();
    let alice = |pod: &str| {
        let caller = Caller::new(private.replica(pod).tls().to_string(), &root);
        let [certificate, key] = ["crt", "key"].map(|suffix| desk.read(&format!("alice.{suffix}")));
        call_new(&caller.with_certificate(&certificate, &key), &host, &[])
    };
    let headers = seen_by_application(&alice(POD));
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=alice");
    let elsewhere = alice("istio-ingressgateway-0");
    assert!(
        !matches!(elsewhere, Reply::Answered { status: 200, .. }),
        "{elsewhere:?}"
    );
    // A rerun keeps it, and status looks through the same proxy.
    let again = desk.run(&["expose", SERVICE]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert!(again.stdout.contains(POD), "{again:#?}");
    let status = desk.run(&["status", SERVICE, "-o", "json"]).json();
    let links = status["hosts"][0]["links"].as_array().unwrap();
    let gateway = links.iter().find(|link| link["name"] == "Gateway").unwrap();
    let says = gateway["says"].as_str().unwrap();
    assert!(says.ends_with(&format!("probed through {POD}")), "{says}");
    desk.run(&[&arguments[..], &["--selector", "istio=other"]].concat())
        .exits(2)
        .says("is for the proxies of `istio=private` in the namespace `istio-system`");
}

#[test]
fn proxies_that_kymas_policies_keep_out_are_refused_with_the_reason() {
    let private = Private::new();
    let desk = &private.desk;
    let host = format!("private.{}", desk.instance.domain());
    let pod = |namespace: &str, istio: &str, account: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": istio, "namespace": namespace, "labels": {"istio": istio}},
            "spec": {"serviceAccountName": account, "containers": [{"name": "istio-proxy", "image": "proxy", "args": ["proxy", "router"]}]},
        })
    };
    let pods = vec![
        pod("default", "faraway", "gw"),
        pod("istio-system", "egress", "egress"),
    ];
    desk.instance.create(pods).unwrap();
    let with = |selector: &str| {
        desk.run(&[
            "expose",
            SERVICE,
            "--gateway",
            "private",
            "--host",
            &host,
            "--selector",
            selector,
        ])
        .exits(2)
    };
    with("istio=faraway")
        .says("`cluster.local/ns/default/sa/gw`")
        .says("every request would be answered with 403");
    with("istio=nowhere").says("no Pod with the labels `istio=nowhere` runs a gateway of Istio");
    with("istio=egress")
        .says("`cluster.local/ns/istio-system/sa/egress`")
        .says("every request would be answered with 403");
    for bad in ["istio", "=x", "istio=", "a b=c", "istio=x/y"] {
        with(bad).says("--selector");
    }
    for (namespace, name) in [("default", "faraway"), ("istio-system", "egress")] {
        desk.kubectl(
            &[
                "-n",
                namespace,
                "delete",
                "pod",
                name,
                "--force",
                "--grace-period=0",
            ],
            "",
        );
    }
    let made = desk.kubectl(
        &[
            "-n",
            NAMESPACE,
            "get",
            "gateways.networking.istio.io",
            "-o",
            "name",
        ],
        "",
    );
    assert_eq!(made, "");
}

/// The ingress gateway as the Helm chart `istio/gateway` installs it by Istio's own example: the default labels in a namespace of
/// its own. The proxies of `istio-system` have other labels until the test ends.
struct Elsewhere {
    stage: Turn,
}

const HELM: &str = "istio-ingress";

impl Elsewhere {
    fn new() -> Self {
        let stage = stage();
        stage.clear();
        let elsewhere = Self { stage };
        elsewhere.label("app=somewhere", "istio=somewhere");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "helm", "namespace": HELM, "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"}},
            "spec": {"serviceAccountName": "gw", "containers": [{"name": "istio-proxy", "image": "proxy", "args": ["proxy", "router"]}]},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "gw", "namespace": HELM},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "https", "port": 443}]},
        });
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HELM}});
        let instance = &elsewhere.stage.desk.instance;
        instance.create(vec![namespace, pod, service]).unwrap();
        elsewhere
    }

    fn label(&self, app: &str, istio: &str) {
        for replica in self.stage.desk.instance.replicas() {
            let label = ["-n", "istio-system", "label", "--overwrite", "pod"];
            let what = [replica.pod.as_str(), app, istio];
            self.stage.desk.kubectl(&[&label[..], &what].concat(), "");
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let now = ["--force", "--grace-period=0"];
        let pod = ["-n", HELM, "delete", "pod", "helm"];
        self.stage.desk.kubectl(&[&pod[..], &now].concat(), "");
        let service = ["-n", HELM, "delete", "service", "gw"];
        self.stage.desk.kubectl(&service, "");
        self.label("app=istio-ingressgateway", "istio=ingressgateway");
    }
}

#[test]
fn default_labels_of_proxies_that_kyma_does_not_admit_are_refused_before_anything_is_written() {
    let elsewhere = Elsewhere::new();
    let desk = Desk::new(&elsewhere.stage.desk.instance, NAMESPACE);
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&["expose", SERVICE])
        .exits(2)
        .says("in the namespace `istio-ingress` are `cluster.local/ns/istio-ingress/sa/gw`");
    let log = desk.instance.audit_log(mark).unwrap();
    let writes: Vec<_> = requests(&log)
        .into_iter()
        .filter(|event| event.is_write())
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}
