#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]
//! Whole processes side by side, in turn, in one run: ratios hold where single times do not.
//!
//! `issue-client --ca-dir` (P-256 key, certificate, PKCS#12 at 10 000 iterations, inventory) beside a single
//! `openssl pkcs12 -export` process, which only wraps a key and a certificate that exist; and the start of `--help`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 40;
const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("password"), "benchmark").expect("a password file");
    // The CA and a first client, which openssl wraps again and again.
    plugin(at, "first");

    let mut issue = Vec::new();
    let mut wrap = Vec::new();
    let mut help = Vec::new();
    for round in 0..ROUNDS {
        issue.push(timed(|| plugin(at, &format!("client-{round}"))));
        wrap.push(timed(|| {
            let arguments = "pkcs12 -export -in first.crt -inkey first.key -certfile ca/ca.crt -iter 10000 -passout file:password -out wrapped.p12";
            run(Command::new("openssl").args(arguments.split(' ')).current_dir(at));
        }));
        help.push(timed(|| run(Command::new(PLUGIN).arg("--help"))));
    }
    let (issue, wrap, help) = (median(issue), median(wrap), median(help));
    println!("issue-client --ca-dir     {:6.2} ms", milliseconds(issue));
    println!("openssl pkcs12 -export    {:6.2} ms", milliseconds(wrap));
    println!(
        "ratio                     {:6.2}",
        issue.as_secs_f64() / wrap.as_secs_f64()
    );
    println!("--help                    {:6.2} ms", milliseconds(help));
}

fn plugin(at: &Path, name: &str) {
    let arguments = [
        "issue-client",
        name,
        "--ca-dir",
        "ca",
        "--p12-password-file",
        "password",
    ];
    run(Command::new(PLUGIN).args(arguments).current_dir(at));
}

fn run(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program starts");
    assert!(status.success(), "{command:?} failed");
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
