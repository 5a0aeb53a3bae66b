//! docs/production.md: its manifests are applied and its commands run as they stand there, each job as its own ServiceAccount.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sandbox::AuditEvent;
use serde_json::{Value, json};

use crate::lab::{Desk, PLUGIN};
use crate::shell::Shell;
use crate::stage::{NAMESPACE, stage};

const PAGE: &str = include_str!("../../docs/production.md");
/// Reads metrics in both formats, and prints the samples as `[name, labels, value]`.
const PARSER: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
text = sys.stdin.read()
def samples(families):
    return sorted(([s.name, s.labels, s.value] for f in families for s in f.samples), key=str)
assert samples(openmetrics(text)) == samples(prometheus(text))
print(json.dumps(samples(openmetrics(text))))
";

/// What a section of the page has a reader do.
#[derive(Debug)]
enum Step {
    /// Run this line.
    Run(String),
    /// Apply these objects.
    Apply(String),
}

/// The steps below a heading.
fn steps(heading: &str) -> Vec<Step> {
    let start = PAGE.find(&format!("\n## {heading}\n")).unwrap() + 1;
    let section = &PAGE[start..];
    let end = section[1..]
        .find("\n## ")
        .map_or(section.len(), |end| end + 1);
    let mut steps = Vec::new();
    let mut block: Option<String> = None;
    for line in section[..end].lines() {
        match (&mut block, line) {
            (None, "```yaml") => block = Some(String::new()),
            (Some(_), "```") => steps.extend(block.take().map(Step::Apply)),
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, line) => {
                let command = line
                    .strip_prefix("    ")
                    .filter(|line| line.starts_with("kubectl "));
                steps.extend(command.map(|line| Step::Run(line.to_owned())));
            }
        }
    }
    steps
}

fn follow(heading: &str, desk: &Desk, shell: &Shell<'_>) {
    let steps = steps(heading);
    assert!(!steps.is_empty(), "{heading}");
    for step in steps {
        match step {
            Step::Run(line) => drop(shell.runs(&line)),
            Step::Apply(objects) => drop(desk.kubectl(&["apply", "-f", "-"], &objects)),
        }
    }
}

/// A ServiceAccount, and a folder that its Pods have as `/work`.
struct Job<'a> {
    desk: &'a Desk,
    namespace: &'static str,
    name: &'static str,
    work: tempfile::TempDir,
}

impl<'a> Job<'a> {
    fn new(desk: &'a Desk, namespace: &'static str, name: &'static str) -> Self {
        Self {
            desk,
            namespace,
            name,
            work: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs the containers of the `CronJob` one after the other, to the first that fails.
    fn run(&self, variables: &[(&str, String)]) -> Output {
        let job = self.desk.get(self.namespace, "cronjobs.batch", self.name);
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().unwrap();
        let kubeconfig = self.kubeconfig(account);
        self.mount(pod);
        let empty = Vec::new();
        let containers = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|kind| pod[kind].as_array().unwrap_or(&empty));
        let mut last = None;
        for container in containers {
            let output = self.start(container, &kubeconfig, variables);
            let has_failed = !output.status.success();
            last = Some(output);
            if has_failed {
                break;
            }
        }
        last.unwrap()
    }

    /// Files of `ConfigMaps` that the Pod mounts.
    fn mount(&self, pod: &Value) {
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            let Some(name) = volume["configMap"]["name"].as_str() else {
                continue;
            };
            let data = self.desk.get(self.namespace, "configmap", name)["data"].clone();
            for (file, content) in data.as_object().unwrap() {
                std::fs::write(self.work.path().join(file), content.as_str().unwrap()).unwrap();
            }
        }
    }

    fn start(&self, container: &Value, kubeconfig: &Path, variables: &[(&str, String)]) -> Output {
        let here = |text: &Value| {
            let text = text.as_str().unwrap();
            let text = text.replace("/work", &self.work.path().display().to_string());
            text.replace("/mtls/kubectl-mtls", PLUGIN)
        };
        let texts = |list: &Value| list.as_array().into_iter().flatten().map(here).collect();
        let mut line: Vec<String> = texts(&container["command"]);
        if line.is_empty() {
            line.push(PLUGIN.to_owned());
        }
        let arguments: Vec<String> = texts(&container["args"]);
        line.extend(arguments);
        let kubectl = self.desk.instance.kubectl().unwrap();
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(kubectl.parent().unwrap().to_owned());
        let folders = folders.chain(std::env::split_paths(&inherited));
        let environment = container["env"].as_array().into_iter().flatten();
        Command::new(&line[0])
            .args(&line[1..])
            .current_dir(self.work.path())
            .env("PATH", std::env::join_paths(folders).unwrap())
            .envs(self.desk.instance.variables())
            .envs(environment.map(|one| (one["name"].as_str().unwrap(), here(&one["value"]))))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A kubeconfig with a token of the ServiceAccount.
    fn kubeconfig(&self, account: &str) -> std::path::PathBuf {
        let create = ["-n", self.namespace, "create", "token", account];
        let token = self.desk.kubectl(&create, "");
        let text = std::fs::read_to_string(self.desk.instance.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({"token": token.trim()});
        }
        let path = self
            .desk
            .folder
            .path()
            .join(format!("{account}.kubeconfig"));
        std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
        path
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let [out, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{out}{said}");
    out.into_owned()
}

/// The requests of a ServiceAccount.
fn requests_of<'a>(log: &'a [AuditEvent], account: &str) -> Vec<&'a AuditEvent> {
    let is_its = |event: &&AuditEvent| event.user.ends_with(account);
    log.iter().filter(is_its).collect()
}

#[track_caller]
fn nothing_was_forbidden(log: &[AuditEvent], account: &str) {
    let requests = requests_of(log, account);
    assert!(!requests.is_empty());
    let denied: Vec<&&AuditEvent> = requests.iter().filter(|event| event.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[test]
fn the_jobs_of_the_page_do_their_work_under_exactly_their_roles() {
    let stage = stage();
    stage.clear();
    // What other tests left in the folder of the stage is none of its business.
    let desk = &Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", "httpbin"]).exits(0);
    let shell = Shell::new(desk);
    renewal(desk, &shell);
    checking(desk, &shell);
    metrics(desk, &shell);
}

fn renewal(desk: &Desk, shell: &Shell<'_>) {
    let heading = "Renewing a client inside the cluster";
    follow(heading, desk, shell);
    let certificate = || desk.get("shop", "secret", "robot")["data"]["tls.crt"].clone();
    let first = certificate();
    let mark = desk.instance.audit_mark().unwrap();
    succeeded(&Job::new(desk, "shop", "mtls-renewal").run(&[]));
    let second = certificate();
    assert_ne!(second, first);
    // Somebody deleted it.
    desk.kubectl(&["-n", "shop", "delete", "secret", "robot"], "");
    succeeded(&Job::new(desk, "shop", "mtls-renewal").run(&[]));
    assert_ne!(certificate(), second);
    let secret = desk.get("shop", "secret", "robot");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let log = desk.instance.audit_log(mark).unwrap();
    nothing_was_forbidden(&log, ":mtls-renewal");
    let states: Vec<Value> = certificates_of_robot(desk)
        .iter()
        .map(|certificate| certificate["state"].clone())
        .collect();
    assert_eq!(states, ["issued"; 3]);
}

fn certificates_of_robot(desk: &Desk) -> Vec<Value> {
    let run = desk.run(&["list-clients", "robot", "-o", "json"]);
    let list = run.exits(0).json();
    list["clients"].as_array().unwrap().clone()
}

fn checking(desk: &Desk, shell: &Shell<'_>) {
    let heading = "Checking everything each hour";
    follow(heading, desk, shell);
    let job = Job::new(desk, "mtls-status", "mtls-status");
    let mark = desk.instance.audit_mark().unwrap();
    let healthy = succeeded(&job.run(&[]));
    assert!(healthy.ends_with("no findings\n"), "{healthy}");
    let log = desk.instance.audit_log(mark).unwrap();
    nothing_was_forbidden(&log, ":mtls-status");
    let writes = requests_of(&log, ":mtls-status").into_iter();
    let writes = writes.filter(|event| event.is_write() && event.subresource.is_empty());
    let kinds: BTreeSet<&str> = writes.map(|event| event.resource.as_str()).collect();
    assert!(
        kinds.iter().all(|kind| kind.starts_with("selfsubject")),
        "{kinds:?}"
    );
}

#[expect(clippy::print_stdout, reason = "says what was not checked")]
fn metrics(desk: &Desk, shell: &Shell<'_>) {
    follow("Metrics", desk, shell);
    assert!(desk.folder.path().join("mtls.prom").exists());
    let has_parser = |python: &&&str| {
        let import = ["-c", "import prometheus_client.openmetrics"];
        let run = Command::new(python).args(import).output();
        run.is_ok_and(|run| run.status.success())
    };
    let python = ["python3", "/usr/bin/python3"];
    let Some(python) = python.iter().find(has_parser) else {
        assert!(std::env::var_os("CI").is_none(), "no prometheus_client");
        println!("not checked: metrics, without python3-prometheus-client");
        return;
    };
    let push = || {
        let gateway = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", gateway.local_addr().unwrap());
        let receiver = std::thread::spawn(move || received(&gateway));
        let job = Job::new(desk, "mtls-status", "mtls-metrics");
        succeeded(&job.run(&[("PUSHGATEWAY", address)]));
        samples(python, &receiver.join().unwrap())
    };
    let before = push();
    let value = |samples: &BTreeMap<String, f64>, part: &str| {
        let mut found = samples.iter().filter(|(name, _)| name.contains(part));
        let (_, value) = found
            .next()
            .unwrap_or_else(|| panic!("{part} in {samples:#?}"));
        *value
    };
    let report = desk.run(&["status", "-o", "json"]).exits(0).json();
    let second = |text: &Value| {
        let format = &time::format_description::well_known::Rfc3339;
        let time = time::OffsetDateTime::parse(text.as_str().unwrap(), format).unwrap();
        #[expect(
            clippy::cast_precision_loss,
            reason = "the parser reads numbers as such"
        )]
        let seconds = time.unix_timestamp() as f64;
        seconds
    };
    for (metric, text) in [
        (
            "server_certificate_expiry",
            &report["hosts"][0]["serverCertificates"][0]["notAfter"],
        ),
        (
            "client_ca_expiry",
            &report["authorities"][0]["cas"][0]["notAfter"],
        ),
    ] {
        assert!(
            (value(&before, metric) - second(text)).abs() < 1.0,
            "{metric}"
        );
    }
    let robot = certificates_of_robot(desk);
    let last = robot
        .iter()
        .map(|certificate| second(&certificate["notAfter"]));
    let last = last.fold(0.0, f64::max);
    let metric = "client_certificate_expiry_timestamp_seconds{authority=kyma-mtls,client=robot}";
    assert!((value(&before, metric) - last).abs() < 1.0);
    assert!((value(&before, "findings{severity=error}")).abs() < 0.1);
    desk.kubectl(
        &["-n", "istio-system", "delete", "secret", "kyma-mtls-cacert"],
        "",
    );
    let after = push();
    let finding = "finding{host=httpbin";
    assert!(
        before.keys().all(|name| !name.contains(finding)),
        "{before:#?}"
    );
    let id = "id=client-ca/fallback-missing";
    assert!(
        after
            .keys()
            .any(|name| name.contains(finding) && name.contains(id)),
        "{after:#?}"
    );
}

/// The body of one request, which is answered with 200.
fn received(gateway: &TcpListener) -> String {
    let (mut stream, _) = gateway.accept().unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("PUT /metrics/job/kubectl-mtls "), "{head}");
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).unwrap();
                return body.to_owned();
            }
        }
        assert!(read > 0, "{text}");
    }
}

/// The samples, as an independent parser reads them: `name{label=value,…}`, labels sorted.
fn samples(python: &str, text: &str) -> BTreeMap<String, f64> {
    let mut parser = Command::new(python)
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = parser.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let json = succeeded(&parser.wait_with_output().unwrap());
    let list: Vec<(String, BTreeMap<String, String>, f64)> = serde_json::from_str(&json).unwrap();
    let sample = |(name, labels, value): (String, BTreeMap<String, String>, f64)| {
        let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",");
        (format!("{name}{{{labels}}}"), value)
    };
    list.into_iter().map(sample).collect()
}

#[test]
fn what_is_committed_holds_no_key_and_a_backup_brings_everything_back() {
    let stage = stage();
    stage.clear();
    // What other tests left in the folder of the stage is none of its business.
    let desk = &Desk::new(&stage.desk.instance, NAMESPACE);
    let shell = Shell::new(desk);
    follow("GitOps", desk, &shell);
    let committed = std::fs::read_to_string(desk.folder.path().join("httpbin-mtls.yaml")).unwrap();
    for never in ["tls.key", "namespace: kubectl-mtls", "PRIVATE KEY"] {
        assert!(!committed.contains(never), "{committed}");
    }
    desk.kubectl(&["apply", "-f", "-"], &committed);
    desk.run(&["expose", "httpbin"]).exits(0);

    let heading = "Backup and restore";
    let lines: Vec<String> = steps(heading)
        .into_iter()
        .filter_map(|step| match step {
            Step::Run(line) => Some(line),
            Step::Apply(_) => None,
        })
        .collect();
    let [
        keep_authority,
        keep_inventory,
        put_inventory,
        put_authority,
        look,
        show,
        mend,
        show_inventory,
        accept_inventory,
    ] = &lines[..]
    else {
        panic!("{lines:#?}");
    };
    let run = |lines: &[&String]| lines.iter().for_each(|line| drop(shell.runs(line)));
    run(&[keep_authority, keep_inventory]);
    lose(desk, &["kubectl-mtls", "kubectl-mtls-clients"]);
    run(&[put_inventory, put_authority]);
    let restored = desk.run(&["status"]).exits(1).stdout.clone();
    assert!(restored.contains("inventory/rolled-back"), "{restored}");
    run(&[show_inventory, accept_inventory, look]);

    // Only the authority is lost, and the backup is older than a revocation.
    run(&[keep_authority, keep_inventory]);
    desk.run(&["revoke-client", "first-client"]).exits(0);
    lose(desk, &["kubectl-mtls"]);
    run(&[put_authority]);
    desk.run(&["status"]).exits(1);
    run(&[show, mend, look]);
    let data = desk.get("kubectl-mtls", "configmap", "kyma-mtls")["data"].clone();
    let lists = data["ca.crl"].as_str().unwrap();
    assert!(lists.starts_with("-----BEGIN X509 CRL-----"), "{lists}");
}

/// Deletes what a backup holds of these namespaces.
fn lose(desk: &Desk, namespaces: &[&str]) {
    let free = r#"{"metadata":{"finalizers":null}}"#;
    for namespace in namespaces {
        let list = ["-n", namespace, "get", "configmaps", "-o", "name"];
        for object in desk.kubectl(&list, "").lines() {
            let patch = ["-n", namespace, "patch", object, "--type=merge", "-p", free];
            desk.kubectl(&patch, "");
        }
        let label = "app.kubernetes.io/managed-by=kubectl-mtls";
        let delete = ["-n", namespace, "delete", "configmaps,secrets", "-l", label];
        desk.kubectl(&delete, "");
    }
}
