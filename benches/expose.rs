#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]
//! `expose` beside the kubectl commands of Kyma's tutorial, in turn, in one run, against the same API server: from the start
//! to "all applied". Both make a namespace with the sample, the client CA, the server certificate, a Gateway and a route.
//!
//! The tutorial's openssl commands are left out, `expose` makes its CA within its time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Environment, Instance};
use serde_json::{Value, json};

const ROUNDS: usize = 15;
const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");
/// Both may use what kubectl has learned in its first run.
const WARM_UP: usize = 2;

fn main() {
    let instance = Instance::start(Environment::KymaDefault).expect("a cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench {
        kubectl: instance.kubectl().expect("kubectl"),
        folder: folder.path(),
        instance: &instance,
    };
    bench.plugin(&["issue-client", "nobody", "--ca-dir", "ca"]);
    let mut tutorial = Vec::new();
    let mut expose = Vec::new();
    for round in 0..ROUNDS + WARM_UP {
        let one = timed(|| bench.tutorial(round));
        let other = timed(|| bench.expose(round));
        if round >= WARM_UP {
            tutorial.push(one);
            expose.push(other);
        }
    }
    let (tutorial, expose) = (median(tutorial), median(expose));
    println!(
        "tutorial's kubectl commands  {:7.1} ms",
        milliseconds(tutorial)
    );
    println!(
        "expose --no-wait             {:7.1} ms",
        milliseconds(expose)
    );
    println!(
        "ratio                        {:7.2}",
        expose.as_secs_f64() / tutorial.as_secs_f64()
    );
}

struct Bench<'a> {
    kubectl: PathBuf,
    folder: &'a Path,
    instance: &'a Instance,
}

impl Bench<'_> {
    fn expose(&self, round: usize) {
        let namespace = format!("expose-{round}");
        let host = format!("httpbin.{namespace}.{}", self.instance.domain());
        self.plugin(&[
            "expose",
            "--sample",
            "--create-namespace",
            "--inject",
            "-n",
            &namespace,
            "--host",
            &host,
            "--no-wait",
        ]);
    }

    fn plugin(&self, arguments: &[&str]) {
        let status = self
            .run(Command::new(PLUGIN).args(arguments))
            .stdin(Stdio::null())
            .status();
        assert!(
            status.expect("the plugin starts").success(),
            "{arguments:?}"
        );
    }

    /// The steps of "Configure mTLS Authentication in SAP BTP, Kyma Runtime", default domain, one kubectl each.
    fn tutorial(&self, round: usize) {
        let namespace = format!("tutorial-{round}");
        let domain = format!("{namespace}.{}", self.instance.domain());
        let wildcard = format!("*.{domain}");
        let own = "jsonpath={.spec.servers[0].hosts[0]}";
        self.kubectl(
            &[
                "get",
                "gateway",
                "-n",
                "kyma-system",
                "kyma-gateway",
                "-o",
                own,
            ],
            "",
        );
        self.kubectl(&["create", "ns", &namespace], "");
        self.kubectl(
            &[
                "label",
                "namespace",
                &namespace,
                "istio-injection=enabled",
                "--overwrite",
            ],
            "",
        );
        self.apply(&[json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
            "metadata": {"name": namespace, "namespace": "istio-system"},
            "spec": {"secretName": namespace, "commonName": wildcard, "issuerRef": {"name": "garden"}},
        })]);
        self.kubectl(
            &[
                "get",
                "secret",
                "-n",
                "istio-system",
                &namespace,
                "--ignore-not-found",
            ],
            "",
        );
        let secret = format!("{namespace}-cacert");
        self.kubectl(
            &[
                "create",
                "secret",
                "generic",
                "-n",
                "istio-system",
                &secret,
                "--from-file=cacert=ca/ca.crt",
            ],
            "",
        );
        self.apply(&[json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "Gateway",
            "metadata": {"name": "kyma-mtls-gateway", "namespace": namespace},
            "spec": {
                "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
                "servers": [{
                    "port": {"number": 443, "name": "mtls", "protocol": "HTTPS"},
                    "tls": {"mode": "MUTUAL", "credentialName": namespace},
                    "hosts": [wildcard],
                }],
            },
        })]);
        self.apply(&workload(&namespace, &format!("httpbin.{domain}")));
    }

    fn apply(&self, manifests: &[Value]) {
        let documents: Vec<String> = manifests.iter().map(Value::to_string).collect();
        self.kubectl(&["apply", "-f", "-"], &documents.join("\n---\n"));
    }

    fn kubectl(&self, arguments: &[&str], input: &str) {
        let mut child = self
            .run(Command::new(&self.kubectl).args(arguments))
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("it is read");
        drop(stdin);
        let status = child.wait().expect("kubectl ends");
        assert!(status.success(), "kubectl {arguments:?}");
    }

    fn run<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .current_dir(self.folder)
            .env("HOME", self.folder)
            .envs(self.instance.variables())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
    }
}

fn workload(namespace: &str, host: &str) -> [Value; 4] {
    let object = |version: &str, kind: &str, name: &str, spec: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        if !spec.is_null() {
            object["spec"] = spec;
        }
        object
    };
    let labels = json!({"app": "httpbin", "version": "v1"});
    let container = json!({
        "name": "httpbin", "image": "docker.io/kennethreitz/httpbin",
        "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 80}],
    });
    [
        object("v1", "ServiceAccount", "httpbin", Value::Null),
        object(
            "v1",
            "Service",
            "httpbin",
            json!({
                "ports": [{"name": "http", "port": 8000, "targetPort": 80}], "selector": {"app": "httpbin"},
            }),
        ),
        object(
            "apps/v1",
            "Deployment",
            "httpbin",
            json!({
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": "httpbin", "containers": [container]},
                },
            }),
        ),
        object(
            "gateway.kyma-project.io/v2",
            "APIRule",
            "httpbin-mtls",
            json!({
                "gateway": format!("{namespace}/kyma-mtls-gateway"),
                "hosts": [host],
                "rules": [{
                    "methods": ["GET"], "noAuth": true, "path": "/*", "timeout": 300,
                    "request": {"headers": {
                        "X-CLIENT-SSL-CN": "%DOWNSTREAM_PEER_SUBJECT%",
                        "X-CLIENT-SSL-ISSUER": "%DOWNSTREAM_PEER_ISSUER%",
                        "X-CLIENT-SSL-SAN": "%DOWNSTREAM_PEER_URI_SAN%",
                    }},
                }],
                "service": {"name": "httpbin", "namespace": namespace, "port": 8000},
            }),
        ),
    ]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
