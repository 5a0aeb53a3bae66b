#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]
// It measures the proxy over connections of its own.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]
//! What guards cost a gateway: Envoy's CPU time per request, of the same host without any guard, with the header guard of its
//! Gateway, with its own host guard too, and with those of a hundred hosts more; the four in turn, in one run. Shares of the time
//! without any guard compare between machines.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kubectl_mtls::resources::guard::{self, Clients, HostGuard, Listener, ProxyPorts};
use kubectl_mtls::resources::ingress::IngressGateway;
use kubectl_mtls::resources::names::GatewayName;
use kubectl_mtls::resources::service::Port;
use kubectl_mtls::resources::{Kind, Object, ObjectRef};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sandbox::{Environment, Instance};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");
const ROUNDS: usize = 15;
const REQUESTS: u32 = 16_000;
/// Open connections with a request each: a busy proxy finds its code in the CPU's caches, as under the load for which its CPU matters.
const CONNECTIONS: u32 = 16;
/// Their CPU time is not counted: caches, and listeners that were changed a moment ago.
const WARM_UP: u32 = 1600;
/// Host guards beside that of the host.
const FURTHER: u32 = 100;
/// A connection that is drained lives on for so long; each state is measured on a connection of its own.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let instance = Instance::start(Environment::KymaDefault).expect("a cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let bench = Bench::new(&instance, folder.path());
    let states = [0, 1, 2, 3].map(|number| bench.policies(number));
    let mut costs: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        for (state, costs) in states.iter().zip(&mut costs) {
            bench.apply(state);
            let cost = runtime.block_on(bench.cost_per_request());
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    // Side by side in each round: a machine that slows down does so for all four.
    let paired = |one: usize, other: usize| {
        let pairs = costs[one].iter().zip(&costs[other]);
        median(pairs.map(|(one, other)| other - one).collect())
    };
    let base = median(costs[0].clone());
    println!("requests per batch            {REQUESTS:8}");
    println!("no guard                      {base:8.2} us");
    let further = paired(2, 3) / f64::from(FURTHER);
    for (what, cost) in [
        ("the header guard", paired(0, 1)),
        ("the host guard of its host", paired(1, 2)),
        ("each further guarded host", further),
    ] {
        println!("{what:29} {cost:+8.3} us {:+7.2} %", cost / base * 100.0);
    }
}

struct Bench<'a> {
    instance: &'a Instance,
    folder: &'a Path,
    kubectl: PathBuf,
    host: String,
}

impl<'a> Bench<'a> {
    fn new(instance: &'a Instance, folder: &'a Path) -> Self {
        let bench = Self {
            instance,
            folder,
            kubectl: instance.kubectl().expect("kubectl"),
            host: format!("httpbin.mtls.{}", instance.domain()),
        };
        let echo = instance.deploy_echo("bench", "httpbin");
        echo.expect("an application");
        bench.plugin(&["expose", "httpbin", "--guard", "-n", "bench"]);
        bench.plugin(&["issue-client", "alice", "--format", "pem", "--out", "."]);
        bench
    }

    /// The policies of each state: none, the header guard, the host guard of one host too, and those of a hundred hosts more.
    fn policies(&self, state: u32) -> Vec<String> {
        let gateway = GatewayName::new("bench", "kyma-mtls-gateway");
        let ingress = IngressGateway::default();
        let wildcard = format!("*.mtls.{}", self.instance.domain());
        let https = Port {
            node_port: None,
            name: "https".to_owned(),
            port: 443,
            protocol: "TCP".to_owned(),
            target_port: json!(self.instance.replicas()[0].tls_port),
            app_protocol: None,
        };
        let ports = ProxyPorts {
            service: &[https],
            pods: &[Object::new(ObjectRef::new(
                Kind::Pod,
                "istio-system",
                "any",
            ))],
        };
        let listener = Listener::new(
            [wildcard].into(),
            443,
            &ingress,
            &[],
            std::slice::from_ref(&ports),
        );
        let headers = guard::HeaderGuard {
            gateway: &gateway,
            ingress: &ingress,
            listeners: std::slice::from_ref(&listener),
        };
        let host_guard = |number: u32| {
            let host = match number {
                0 => self.host.clone(),
                _ => format!("host-{number}.mtls.{}", self.instance.domain()),
            };
            let guard = HostGuard {
                host: &host,
                clients: &Clients::Any,
                headers: &BTreeSet::new(),
                gateway: &gateway,
                ingress: &ingress,
                listener: &listener,
            };
            guard.object(guard::host_reference(
                "istio-system",
                "bench",
                &format!("host-{number}"),
            ))
        };
        let hosts = match state {
            0 => return Vec::new(),
            1 => 0..0,
            2 => 0..1,
            _ => 0..FURTHER + 1,
        };
        let mut all = vec![headers.object().yaml()];
        all.extend(hosts.map(|number| host_guard(number).yaml()));
        all
    }

    /// Makes these the only policies of the gateway, and waits until its first proxy has loaded exactly them.
    fn apply(&self, manifests: &[String]) {
        self.kubectl(
            &[
                "-n",
                "istio-system",
                "delete",
                "authorizationpolicies",
                "--all",
            ],
            "",
        );
        if !manifests.is_empty() {
            self.kubectl(&["apply", "-f", "-"], &manifests.join("\n---\n"));
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.loaded() != manifests.len() {
            assert!(
                std::time::Instant::now() < deadline,
                "the proxy did not load the policies"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// How many different policies the first proxy enforces.
    fn loaded(&self) -> usize {
        use std::io::Read;
        let admin = self.instance.replicas()[0].admin;
        let mut stream = std::net::TcpStream::connect(admin).expect("the proxy's administration");
        let request = "GET /config_dump?resource=dynamic_listeners HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut dump = Vec::new();
        stream.read_to_end(&mut dump).expect("it answers");
        let dump = String::from_utf8_lossy(&dump);
        let names = dump.split("ns[istio-system]-policy[").skip(1);
        let names: BTreeSet<&str> = names.filter_map(|rest| rest.split(']').next()).collect();
        names.len()
    }

    /// Envoy's CPU time for a request, in microseconds.
    async fn cost_per_request(&self) -> f64 {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(self.connect().await);
        }
        self.requests(&mut connections, WARM_UP).await;
        let before = self.cpu_time();
        self.requests(&mut connections, REQUESTS).await;
        let spent = self.cpu_time().saturating_sub(before);
        spent.as_secs_f64() * 1e6 / f64::from(REQUESTS)
    }

    /// So many requests, over all connections at once.
    async fn requests(&self, connections: &mut [SendRequest<Empty<Bytes>>], number: u32) {
        let each = connections.iter_mut().map(async |connection| {
            for _ in 0..number / CONNECTIONS {
                self.get(connection).await;
            }
        });
        futures::future::join_all(each).await;
    }

    async fn connect(&self) -> SendRequest<Empty<Bytes>> {
        let read = |name: &str| std::fs::read(self.folder.join(name)).expect("a file");
        let (certificate, key) = (read("alice.crt"), read("alice.key"));
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .flatten()
            .collect();
        let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
        let mut roots = RootCertStore::empty();
        let root = self.instance.stand_ins().root_certificate();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(root.as_bytes()).flatten());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("an identity");
        let address = self.instance.replicas()[0].tls();
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an open connection");
        let name = ServerName::try_from(self.host.clone()).expect("a name");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        let stream = TokioIo::new(stream.expect("a handshake"));
        let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        sender
    }

    /// A request for a path that the route does not admit: Envoy answers it itself, after all policies.
    async fn get(&self, connection: &mut SendRequest<Empty<Bytes>>) {
        let request = hyper::Request::get("/")
            .header("host", format!("none.mtls.{}", self.instance.domain()))
            .body(Empty::new())
            .expect("a request");
        connection.ready().await.expect("an open connection");
        let answer = connection.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), 404);
        answer.into_body().collect().await.expect("a body");
    }

    /// CPU time of all threads of the first proxy (`/proc/PID/task/*/schedstat`, nanoseconds).
    fn cpu_time(&self) -> Duration {
        let record = self.instance.record();
        let proxy = self.instance.replicas()[0].process();
        let mut processes = record.processes.iter();
        let envoy = processes.find(|process| process.name == proxy);
        let tasks = format!("/proc/{}/task", envoy.expect("the proxy").id);
        let tasks = std::fs::read_dir(tasks).expect("the proxy runs");
        let nanoseconds = tasks.flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    fn plugin(&self, arguments: &[&str]) {
        let mut command = Command::new(PLUGIN);
        let status = self.run(command.args(arguments)).status();
        assert!(
            status.expect("the plugin starts").success(),
            "{arguments:?}"
        );
    }

    fn kubectl(&self, arguments: &[&str], input: &str) {
        let mut command = Command::new(&self.kubectl);
        let command = self.run(command.args(arguments)).stdin(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
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
            .stdin(Stdio::null())
            .stdout(Stdio::null())
    }
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}
