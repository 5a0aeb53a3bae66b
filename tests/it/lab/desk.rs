//! Somebody who works on a cluster.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kubectl_mtls::resources::guard;
use kubectl_mtls::resources::names::GatewayName;
use sandbox::{Caller, Instance, Interceptor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::run::{PLUGIN, Run, program};

/// Somebody who works on a cluster: a folder, a kubeconfig, a namespace.
pub(crate) struct Desk {
    pub(crate) instance: Arc<Instance>,
    pub(crate) folder: TempDir,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
    /// `KUBECTL_MTLS_CONNECT_TO`
    connect_to: Option<String>,
    /// Go with the last desk of a test in a namespace of its own.
    pub(super) on_the_gateway: Option<Arc<OnTheGateway>>,
}

/// What `expose` makes on the gateway for a namespace. A proxy has each Gateway, and each policy once for every host: those of a
/// hundred tests would keep it from answering in time, so they go when their test ends.
pub(super) struct OnTheGateway {
    pub(super) instance: Arc<Instance>,
    pub(super) namespace: String,
}

impl OnTheGateway {
    fn objects(&self) -> String {
        let gateway = GatewayName::new(&self.namespace, "kyma-mtls-gateway");
        let object = |version: &str, kind: &str, namespace: &str, name: &str| {
            json!({
                "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace},
            })
            .to_string()
        };
        let proxies = &self.instance.gateways()[0].namespace;
        let policy = |name: String| {
            let (version, kind) = ("security.istio.io/v1", "AuthorizationPolicy");
            object(version, kind, proxies, &name)
        };
        let own = |version, kind, name| object(version, kind, &self.namespace, name);
        let istio = "networking.istio.io/v1";
        [
            own("gateway.kyma-project.io/v2", "APIRule", "httpbin-mtls"),
            own(istio, "VirtualService", "httpbin-mtls"),
            own(istio, "VirtualService", "httpbin"),
            own(istio, "Gateway", "kyma-mtls-gateway"),
            policy(guard::host_reference(proxies, &self.namespace, "httpbin").name),
            policy(guard::headers_reference(proxies, &gateway).name),
        ]
        .join("\n---\n")
    }
}

impl Drop for OnTheGateway {
    fn drop(&mut self) {
        use std::io::Write;
        let Ok(kubectl) = self.instance.kubectl() else {
            return;
        };
        let child = Command::new(kubectl)
            .args(["delete", "--ignore-not-found", "--wait=false", "-f", "-"])
            .env("KUBECONFIG", self.instance.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // Where it fails, other tests take longer; this one has ended.
        if let Ok(mut child) = child {
            if let Some(mut stdin) = child.stdin.take() {
                let _ = stdin.write_all(self.objects().as_bytes());
            }
            let _ = child.wait();
        }
    }
}

impl Desk {
    /// The administrator's, in a namespace.
    pub(crate) fn new(instance: &Arc<Instance>, namespace: &str) -> Self {
        Self {
            instance: instance.clone(),
            folder: tempfile::tempdir().unwrap(),
            namespace: namespace.to_owned(),
            kubeconfig: instance.kubeconfig().to_owned(),
            connect_to: None,
            on_the_gateway: None,
        }
    }

    /// The same work as another user.
    pub(crate) fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            on_the_gateway: self.on_the_gateway.clone(),
            ..Self::new(&self.instance, &self.namespace)
        }
    }

    /// The same work where the gateway is reached at its load balancer, not through port-forwards.
    pub(crate) fn at_the_balancer(self) -> Self {
        Self {
            connect_to: Some(self.instance.connect_to().to_owned()),
            ..self
        }
    }

    /// Runs the plugin.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(Path::new(PLUGIN), arguments)
    }

    /// Runs another build of the plugin.
    pub(crate) fn run_with(&self, build: &Path, arguments: &[&str]) -> Run {
        let all = [&["-n", &self.namespace], arguments].concat();
        program(build, self.folder.path(), &self.variables(), &all)
    }

    /// Starts the plugin; its output is what `wait_with_output` collects.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        Command::new(PLUGIN)
            .args(["-n", &self.namespace])
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(self.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Starts the plugin through a door, and waits until the answer to the request that the door was told to hold is held back.
    #[track_caller]
    pub(crate) fn held(&self, door: &Interceptor, arguments: &[&str]) -> Child {
        let through = self.with_kubeconfig(door.kubeconfig()).at_the_balancer();
        let mut child = through.start(arguments);
        while !door.is_holding() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended: {:#?}",
                child.wait_with_output()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables: Vec<_> = self.instance.variables().into();
        variables.push(("KUBECONFIG", self.kubeconfig.display().to_string()));
        let connect_to = self.connect_to.iter();
        variables.extend(connect_to.map(|at| ("KUBECTL_MTLS_CONNECT_TO", at.clone())));
        variables
    }

    /// Changes the Gateway that `expose` made in the namespace, by a JSON patch.
    #[track_caller]
    pub(crate) fn patch_gateway(&self, patch: &Value) {
        let kind = "gateways.networking.istio.io";
        let gateway = ["-n", &self.namespace, "patch", kind, "kyma-mtls-gateway"];
        let patch = ["--type=json", "-p", &patch.to_string()];
        self.kubectl(&[&gateway[..], &patch].concat(), "");
    }

    /// Runs kubectl as the administrator; its standard input is `input`.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new(self.instance.kubectl().unwrap())
            .args(arguments)
            .env("KUBECONFIG", self.instance.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// One object as JSON.
    #[track_caller]
    pub(crate) fn get(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["-n", namespace, "get", kind, name, "-o", "json"], "");
        serde_json::from_str(&text).unwrap()
    }

    /// Holds that secrets stand in no object but the Secrets of the plugin's own namespace, in no request that was logged, and
    /// not in what a run said.
    #[track_caller]
    pub(crate) fn hides(&self, hidden: &[String], run: &Run) {
        let all = ["get", "secrets,configmaps,events", "-A", "-o", "json"];
        let list: Value = serde_json::from_str(&self.kubectl(&all, "")).unwrap();
        let objects = list["items"].as_array().unwrap();
        let own = |object: &&Value| {
            object["kind"] == "Secret" && object["metadata"]["namespace"] == "kubectl-mtls"
        };
        assert!(objects.iter().any(|object| own(&object)));
        let others: String = objects
            .iter()
            .filter(|object| !own(object))
            .map(ToString::to_string)
            .collect();
        let log = self.instance.run_dir().join("log/audit.log");
        let requests = std::fs::read_to_string(log).unwrap();
        let said = format!("{}{}", run.stdout, run.stderr);
        for (place, text) in [
            ("objects", others),
            ("audit log", requests),
            ("output", said),
        ] {
            for secret in hidden {
                assert!(
                    !text.contains(secret.as_str()),
                    "a private key is in the {place}"
                );
            }
            assert!(
                !text.contains("PRIVATE KEY"),
                "a private key is in the {place}"
            );
        }
    }

    /// A file of this desk.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// A client of the gateway without certificate.
    pub(crate) fn nobody(&self) -> Caller {
        Caller::new(
            self.instance.connect_to(),
            &self.instance.stand_ins().root_certificate(),
        )
    }

    /// A client with the certificate that lies in the folder.
    pub(crate) fn client(&self, name: &str) -> Caller {
        let [certificate, key] =
            ["crt", "key"].map(|suffix| self.read(&format!("{name}.{suffix}")));
        self.nobody().with_certificate(&certificate, &key)
    }
}
