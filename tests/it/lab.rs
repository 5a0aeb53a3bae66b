//! The sandbox as tests use it: one shared cluster, the plugin as a user runs it, and the main job done once on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kubectl_mtls::resources::guard;
use kubectl_mtls::resources::names::GatewayName;
use sandbox::{AuditEvent, Caller, Environment, Instance, Interceptor, Mark, Reply};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared::Shared;

pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");

/// What one run of the plugin came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The same run, which must have ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        // In lines of its own, since a log may cut long ones.
        let ended = format_args!("exit code {}, not {code}\n{}", self.code, self.stderr);
        assert!(self.code == code, "{ended}\n{}", self.stdout);
        let is_in_words = |text: &str| !text.contains("os error");
        assert!(
            is_in_words(&self.stdout) && is_in_words(&self.stderr),
            "{self:#?}"
        );
        self
    }

    /// The same run, which must have said this on stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in {self:#?}");
        self
    }

    /// What is printed, with a single blank for every line end and indentation: lines are as long as a terminal is wide.
    pub(crate) fn unwrapped(&self) -> String {
        let words: Vec<&str> = self.stdout.split_whitespace().collect();
        words.join(" ")
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the plugin in a folder, with an environment of its own.
pub(crate) fn plugin(folder: &Path, variables: &[(&str, String)], arguments: &[&str]) -> Run {
    program(Path::new(PLUGIN), folder, variables, arguments)
}

fn program(program: &Path, folder: &Path, variables: &[(&str, String)], arguments: &[&str]) -> Run {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_remove("KUBECONFIG")
        .env("HOME", folder)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output();
    output.unwrap().into()
}

/// Somebody who works on a cluster: a folder, a kubeconfig, a namespace.
pub(crate) struct Desk {
    pub(crate) instance: Arc<Instance>,
    pub(crate) folder: TempDir,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
    /// `KUBECTL_MTLS_CONNECT_TO`
    connect_to: Option<String>,
    /// Go with the last desk of a test in a namespace of its own.
    on_the_gateway: Option<Arc<OnTheGateway>>,
}

/// What `expose` makes on the gateway for a namespace. A proxy has each Gateway, and each policy once for every host: those of a
/// hundred tests would keep it from answering in time, so they go when their test ends.
struct OnTheGateway {
    instance: Arc<Instance>,
    namespace: String,
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

/// What a call came to.
pub(crate) fn call(caller: &Caller, host: &str, headers: &[(&str, &str)]) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(caller.get(host, "/headers", headers))
        .unwrap()
}

/// What a call to a host came to that was exposed a moment ago: proxies load routes after certificates, and answer 404
/// until then.
pub(crate) fn call_new(caller: &Caller, host: &str, headers: &[(&str, &str)]) -> Reply {
    let start = Instant::now();
    loop {
        let reply = call(caller, host, headers);
        let is_early = matches!(reply, Reply::Answered { status: 404, .. });
        if !is_early || start.elapsed() > Duration::from_secs(10) {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The headers that the application saw of a caller whose host was exposed a moment ago.
#[track_caller]
pub(crate) fn let_in(caller: &Caller, host: &str) -> Value {
    seen_by_application(&call_new(caller, host, &[]))
}

/// The headers that the application saw.
#[track_caller]
pub(crate) fn seen_by_application(reply: &Reply) -> Value {
    let Reply::Answered { status: 200, body } = reply else {
        panic!("not let in: {reply:?}");
    };
    let parsed: Value = serde_json::from_str(body).unwrap();
    parsed["headers"].clone()
}

/// Waits until something holds, which takes seconds at most on a machine that is not busy.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Requests of the plugin in a log, dry runs left out.
pub(crate) fn requests(events: &[AuditEvent]) -> Vec<&AuditEvent> {
    let is_plugins = |event: &&AuditEvent| event.user_agent.starts_with("kubectl-mtls/");
    events
        .iter()
        .filter(is_plugins)
        .filter(|event| !event.dry_run)
        .collect()
}

/// A cluster that nobody has used.
pub(crate) fn started(environment: Environment) -> Arc<Instance> {
    Arc::new(Instance::start(environment).unwrap())
}

/// The main job, done once on the shared cluster before any other test touches it.
pub(crate) struct MainJob {
    pub(crate) desk: Desk,
    pub(crate) host: String,
    pub(crate) expose: (Run, Vec<AuditEvent>),
    pub(crate) again: (Run, Vec<AuditEvent>),
    pub(crate) issue: (Run, Vec<AuditEvent>),
    pub(crate) status: (Run, Vec<AuditEvent>),
}

static MAIN_JOB: OnceLock<MainJob> = OnceLock::new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// The shared cluster with the main job done: `shop/httpbin` on the default domain, and a client `alice`.
pub(crate) fn main_job() -> &'static MainJob {
    MAIN_JOB.get_or_init(|| {
        let instance = started(Environment::KymaDefault);
        instance.deploy_echo("shop", "httpbin").unwrap();
        let desk = Desk::new(&instance, "shop");
        let logged = |arguments: &[&str]| {
            let mark: Mark = instance.audit_mark().unwrap();
            let run = desk.run(arguments);
            (run, instance.audit_log(mark).unwrap())
        };
        MainJob {
            host: format!("httpbin.mtls.{}", instance.domain()),
            expose: logged(&["expose", "httpbin"]),
            again: logged(&["expose", "httpbin"]),
            issue: logged(&["issue-client", "alice"]),
            status: logged(&["status", "httpbin"]),
            desk,
        }
    })
}

/// A cluster with neither Kyma nor Gardener, on which `plain/httpbin` was exposed before any other test made a Gateway: the
/// first one bears the tutorial's names.
pub(crate) fn plain_job() -> Arc<Desk> {
    static DESK: Shared<Desk> = Shared::new(|| exposed_without_kyma(Environment::PlainIstio));
    DESK.get()
}

/// The same where the ingress gateway is a Helm release in a namespace of its own.
pub(crate) fn helm_job() -> Arc<Desk> {
    static DESK: Shared<Desk> = Shared::new(|| exposed_without_kyma(Environment::Helm));
    DESK.get()
}

fn exposed_without_kyma(environment: Environment) -> Desk {
    let instance = started(environment);
    instance.deploy_echo("plain", "httpbin").unwrap();
    let desk = Desk::new(&instance, "plain");
    let first = desk.run(&["expose", "httpbin"]).exits(0);
    let first = first.says("server-ca.crt").stdout;
    let host = "https://httpbin.mtls.local.kyma.dev";
    assert!(first.contains(host), "{first}");
    desk
}

/// A namespace of one's own on the shared cluster, with an echo `httpbin`, and a host for it.
pub(crate) fn own_namespace(purpose: &str) -> (Desk, String) {
    own_namespace_on(&main_job().desk.instance, purpose)
}

/// The same on another cluster.
pub(crate) fn own_namespace_on(instance: &Arc<Instance>, purpose: &str) -> (Desk, String) {
    let (desk, host) = no_namespace_on(instance, purpose);
    instance.deploy_echo(&desk.namespace, "httpbin").unwrap();
    (desk, host)
}

/// A namespace that does not exist, and a host for it.
pub(crate) fn no_namespace_on(instance: &Arc<Instance>, purpose: &str) -> (Desk, String) {
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("{purpose}-{number}");
    let host = format!("{namespace}.own.{}", instance.domain());
    let mut desk = Desk::new(instance, &namespace);
    desk.on_the_gateway = Some(Arc::new(OnTheGateway {
        instance: instance.clone(),
        namespace,
    }));
    (desk, host)
}

/// What an authority's `state.json` says.
pub(crate) fn state_of(authority: &Value) -> Value {
    serde_json::from_str(authority["data"]["state.json"].as_str().unwrap()).unwrap()
}

/// A Gateway as somebody else would make it.
pub(crate) fn gateway(namespace: &str, name: &str, hosts: &[&str], tls: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
            "servers": [{"hosts": hosts, "port": {"name": "https", "number": 443, "protocol": "HTTPS"}, "tls": tls}],
        },
    })
}
