//! Metrics, as a Pushgateway gets them and as an independent parser reads them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::Desk;
use crate::shell::Shell;

use super::job::Job;
use super::{certificates_of_robot, follow, succeeded};

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

#[expect(clippy::print_stdout, reason = "says what was not checked")]
pub(super) fn metrics(desk: &Desk, shell: &Shell<'_>) {
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
