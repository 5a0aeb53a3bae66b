#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "a benchmark prints, and fails where it cannot go on"
)]
//! `status` of a large cluster beside `kubectl get` of the same lists as JSON, in turn, in one run: 100 hosts behind 20 Gateways,
//! and the inventory of 10 000 clients. Also the most memory that `status` takes, the time for a single host, and `list-clients` of one
//! client beside that of all, with the requests and the memory of each.

#[path = "bulk/peak.rs"]
mod peak;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Environment, Instance};
use serde_json::json;

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");
/// How much there is to look at, and how often.
struct Size {
    gateways: usize,
    /// Behind each Gateway.
    hosts: usize,
    clients: usize,
    rounds: usize,
}

const LARGE: Size = Size {
    gateways: 20,
    hosts: 5,
    clients: 10_000,
    rounds: 7,
};
/// With `-- --quick`: whether it runs at all.
const QUICK: Size = Size {
    gateways: 2,
    hosts: 2,
    clients: 50,
    rounds: 3,
};
/// What `status` lists in all namespaces.
const LISTS: [&str; 17] = [
    "gateways.networking.istio.io",
    "virtualservices.networking.istio.io",
    "apirules.gateway.kyma-project.io",
    "certificates.cert.gardener.cloud",
    "dnsentries.dns.gardener.cloud",
    "dnsproviders.dns.gardener.cloud",
    "authorizationpolicies.security.istio.io",
    "peerauthentications.security.istio.io",
    "requestauthentications.security.istio.io",
    "destinationrules.networking.istio.io",
    "envoyfilters.networking.istio.io",
    "endpointslices.discovery.k8s.io",
    "networkpolicies.networking.k8s.io",
    "services",
    "pods",
    "ingresses",
    "configmaps",
];

fn main() {
    let instance = Instance::start(Environment::KymaDefault).expect("a cluster");
    let folder = tempfile::tempdir().expect("a folder");
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let size = if is_quick { QUICK } else { LARGE };
    let bench = Bench {
        size,
        kubectl: instance.kubectl().expect("kubectl"),
        folder: folder.path(),
        instance: &instance,
    };
    bench.fill();
    let (mut statuses, mut gets, mut ones, mut peak) = (vec![], vec![], vec![], 0);
    let (mut named, mut listed) = (Listing::default(), Listing::default());
    for _ in 0..bench.size.rounds {
        let (took, memory) = bench.plugin(&["status", "-o", "json"]);
        peak = peak.max(memory);
        statuses.push(took);
        gets.push(bench.get());
        ones.push(bench.plugin(&["status", &bench.host(0, 0), "-o", "json"]).0);
        named.add(&bench, &["list-clients", "device-00042", "-n", "g0"]);
        listed.add(&bench, &["list-clients", "-n", "g0"]);
    }
    let (status, get, one) = (median(statuses), median(gets), median(ones));
    let Size {
        gateways,
        hosts,
        clients,
        ..
    } = bench.size;
    let all = gateways * hosts;
    println!("{all} hosts, {gateways} Gateways, {clients} clients");
    println!("kubectl get -A -o json   {:8.1} ms", milliseconds(get));
    println!(
        "status                   {:8.1} ms, ratio {:.2}, {} MB at most",
        milliseconds(status),
        status.as_secs_f64() / get.as_secs_f64(),
        peak / 1000
    );
    println!("status of one host       {:8.1} ms", milliseconds(one));
    println!("list-clients of one name {named}");
    println!("list-clients of all      {listed}");
}

/// The runs of one `list-clients`.
#[derive(Default)]
struct Listing {
    times: Vec<Duration>,
    /// The most memory in kB.
    peak: u64,
    /// How many requests the last run made.
    requests: usize,
}

impl Listing {
    fn add(&mut self, bench: &Bench<'_>, arguments: &[&str]) {
        let mark = bench.instance.audit_mark().expect("an audit log");
        let (took, peak) = bench.plugin(arguments);
        let events = bench.instance.audit_log(mark).expect("an audit log");
        let own = events
            .iter()
            .filter(|event| event.user_agent.contains("mtls"));
        self.requests = own.count();
        self.times.push(took);
        self.peak = self.peak.max(peak);
    }
}

impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = milliseconds(median(self.times.clone()));
        let memory = self.peak / 1000;
        write!(
            f,
            "{time:8.1} ms, {memory} MB at most, {} requests",
            self.requests
        )
    }
}

struct Bench<'a> {
    size: Size,
    kubectl: PathBuf,
    folder: &'a Path,
    instance: &'a Instance,
}

impl Bench<'_> {
    fn domain(&self, gateway: usize) -> String {
        format!("g{gateway}.{}", self.instance.domain())
    }

    fn host(&self, gateway: usize, host: usize) -> String {
        format!("s{host}.mtls.{}", self.domain(gateway))
    }

    fn fill(&self) {
        for gateway in 0..self.size.gateways {
            let namespace = format!("g{gateway}");
            let mut objects = vec![json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
            })];
            objects.extend((0..self.size.hosts).map(|host| {
                let name = format!("s{host}");
                json!({
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"selector": {"app": name}, "ports": [{"port": 8000}]},
                })
            }));
            self.instance.create(objects).expect("Services");
            for host in 0..self.size.hosts {
                let (service, domain) = (format!("s{host}"), self.domain(gateway));
                let expose = ["expose", &service, "-n", &namespace, "--domain", &domain];
                self.plugin(&expose);
            }
        }
        let mut table = "name\n".to_owned();
        for client in 0..self.size.clients {
            writeln!(table, "device-{client:05}").expect("text");
        }
        std::fs::write(self.folder.join("clients.csv"), table).expect("a table");
        self.plugin(&[
            "issue-client",
            "-f",
            "clients.csv",
            "--out",
            "clients",
            "--format",
            "pem",
            "-n",
            "g0",
        ]);
    }

    /// Runs the plugin; how long it took, and the most memory in kB.
    fn plugin(&self, arguments: &[&str]) -> (Duration, u64) {
        let said = self.folder.join("stderr");
        let start = Instant::now();
        let mut child = self
            .run(Command::new(PLUGIN).args(arguments))
            .stderr(std::fs::File::create(&said).expect("a file"))
            .spawn()
            .expect("the plugin starts");
        let (ended, memory) = peak::wait(&mut child);
        let took = start.elapsed();
        let code = ended.code().expect("its own end");
        let why = || std::fs::read_to_string(&said).unwrap_or_default();
        assert!(code < 2, "{arguments:?} ended with {code}: {}", why());
        (took, memory)
    }

    fn get(&self) -> Duration {
        let start = Instant::now();
        for list in LISTS {
            let get = ["get", list, "-A", "-o", "json"];
            let status = self.run(Command::new(&self.kubectl).args(get)).status();
            assert!(status.expect("kubectl starts").success(), "{list}");
        }
        start.elapsed()
    }

    fn run<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .current_dir(self.folder)
            .env("HOME", self.folder)
            .envs(self.instance.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
