#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    clippy::semicolon_if_nothing_returned,
    missing_docs,
    reason = "a benchmark prints, waits, and talks to whom it compares with"
)]
//! Many clients at once, beside what it cannot be faster than, and beside how it is done without the plugin: all in one
//! run, on all cores.
//!
//! - `issue-client -f` with PKCS#12 files (10 000 iterations): beside the tutorial's three openssl commands per client, and
//!   beside nothing but the key derivations that such files demand;
//! - without them: beside keys, signatures and as many new files and folders, by the same library, once left to the system
//!   to be written, once on disk, as the plugin's are when it ends;
//! - memory at 100 000 rows;
//! - with the authority of a cluster (`cargo bench --bench bulk -- cluster`): requests per second beside a loop that creates
//!   `ConfigMaps` of the same size.

#[path = "bulk/cluster.rs"]
mod cluster;
#[path = "bulk/floor.rs"]
mod floor;
#[path = "bulk/peak.rs"]
mod peak;

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubectl_mtls::io::files::flush_file_systems;

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");
const CLIENTS: usize = 1_000;
const MANY: usize = 100_000;
/// Clients of the openssl loop; it is slow.
const BY_OPENSSL: usize = 20;
const ROUNDS: usize = 3;
/// Without key derivations a round takes a fraction of a second, of which the disk makes more or less.
const SHORT_ROUNDS: usize = 15;

fn main() {
    if std::env::args().any(|argument| argument == "cluster") {
        return cluster::run();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("password"), "benchmark").expect("a password file");
    table(&at.join("clients.csv"), CLIENTS, 0);
    table(&at.join("many.csv"), MANY, 40);

    let [with, derivations, openssl] = best(ROUNDS, |round| {
        [
            timed(|| {
                issue(at, "clients.csv", &format!("p12-{round}"), &[]);
            }),
            timed(|| floor::derivations(CLIENTS)),
            timed(|| by_openssl(at, &format!("openssl-{round}"))),
        ]
    });
    let [without, raw, on_disk] = best(SHORT_ROUNDS, |round| {
        let out = format!("pem-{round}");
        let [raw, flushed] = ["raw", "flushed"].map(|what| at.join(format!("{what}-{round}")));
        [
            timed(|| {
                issue(at, "clients.csv", &out, &["--format", "pem"]);
            }),
            timed(|| floor::certificates(CLIENTS, &raw)),
            timed(|| {
                floor::certificates(CLIENTS, &flushed);
                flush_file_systems(&[&flushed]).expect("they reach the disk");
            }),
        ]
    });
    let each = |seconds: f64| seconds * 1e3 / CLIENTS as f64;
    let openssl_each = openssl * 1e3 / BY_OPENSSL as f64;
    println!("{CLIENTS} clients, P-256, best of {ROUNDS}, ms per client");
    println!("issue-client -f, PKCS#12       {:8.3}", each(with));
    println!(
        "the tutorial's openssl loop    {openssl_each:8.3}   {:.0} times as long",
        openssl_each / each(with)
    );
    println!(
        "key derivations only           {:8.3}   ratio {:.2}",
        each(derivations),
        with / derivations
    );
    println!("{CLIENTS} clients, P-256, best of {SHORT_ROUNDS}, ms per client");
    println!("issue-client -f --format pem   {:8.3}", each(without));
    println!(
        "keys, signatures, files only   {:8.3}   ratio {:.2}",
        each(raw),
        without / raw
    );
    println!(
        "the same, and one flush        {:8.3}   ratio {:.2}",
        each(on_disk),
        without / on_disk
    );

    let start = Instant::now();
    let peak = issue(at, "many.csv", "many", &["--format", "pem"]);
    let took = start.elapsed().as_secs_f64();
    let size = std::fs::metadata(at.join("many.csv")).map_or(0, |file| file.len() >> 20);
    println!("{MANY} rows, {size} MiB of CSV: {took:.1} s, {peak} kB of memory at most");
}

/// A table of clients with this many DNS names each, of 25 bytes.
fn table(path: &Path, rows: usize, hosts: usize) {
    let mut text = "name,O,OU,dns\n".to_owned();
    for row in 0..rows {
        let hosts: String = (0..hosts)
            .map(|host| format!("h{host:02}.d{row:06}.example.com "))
            .collect();
        let _ = writeln!(text, "device-{row:06},Example,fleet,{hosts}");
    }
    std::fs::write(path, text).expect("a table");
}

/// Issues certificates for a whole table into a new folder, with a CA of its own; the most memory that it took, in kB.
fn issue(at: &Path, table: &str, out: &str, more: &[&str]) -> u64 {
    std::fs::create_dir(at.join(out)).expect("a folder");
    let authority = format!("ca-{out}");
    let arguments = [
        "issue-client",
        "-f",
        table,
        "--out",
        out,
        "--ca-dir",
        &authority,
        "--p12-password-file",
        "password",
    ];
    let mut child = Command::new(PLUGIN)
        .args(arguments)
        .args(more)
        .current_dir(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the plugin starts");
    let (ended, memory) = peak::wait(&mut child);
    assert!(ended.success(), "{table} failed");
    memory
}

/// The commands of the tutorial: a key with its request, a certificate, a PKCS#12 file.
fn by_openssl(at: &Path, out: &str) {
    let folder = at.join(out);
    std::fs::create_dir(&folder).expect("a folder");
    let ca = "req -x509 -newkey rsa:4096 -sha256 -days 365 -nodes -keyout ca.key -out ca.crt -subj /CN=ca";
    openssl(&folder, ca);
    for client in 0..BY_OPENSSL {
        openssl(
            &folder,
            &format!(
                "req -out {client}.csr -newkey rsa:2048 -nodes -keyout {client}.key -subj /CN=device-{client}/O=Example"
            ),
        );
        openssl(
            &folder,
            &format!(
                "x509 -req -sha256 -days 365 -CA ca.crt -CAkey ca.key -set_serial {client} -in {client}.csr -out {client}.crt"
            ),
        );
        openssl(
            &folder,
            &format!(
                "pkcs12 -export -iter 10000 -out {client}.p12 -inkey {client}.key -in {client}.crt -certfile ca.crt -passout file:../password"
            ),
        );
    }
}

fn openssl(at: &Path, arguments: &str) {
    let status = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl starts");
    assert!(status.success(), "openssl {arguments} failed");
}

/// The shortest times, in seconds, of things that are done in turn.
fn best<const N: usize>(rounds: usize, run: impl Fn(usize) -> [Duration; N]) -> [f64; N] {
    let mut best = [Duration::MAX; N];
    for round in 0..rounds {
        for (best, time) in best.iter_mut().zip(run(round)) {
            *best = time.min(*best);
        }
    }
    best.map(|time| time.as_secs_f64())
}

/// How long it takes; what others have left to be written is on disk before that.
fn timed(work: impl FnOnce()) -> Duration {
    let flushed = Command::new("sync").status().expect("sync starts");
    assert!(flushed.success(), "sync failed");
    let start = Instant::now();
    work();
    start.elapsed()
}
