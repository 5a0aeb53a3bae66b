//! Whom the program talks to: the API server, the gateway, DNS, and nobody else. The kernel is asked, by strace(1).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::ca_dir::Offline;
use crate::lab::run::program;
use crate::lab::{PLUGIN, main_job};

/// The addresses that a command sends to; `None` where nothing can be traced.
#[expect(clippy::print_stderr, reason = "says what was not checked")]
fn peers(
    folder: &Path,
    variables: &[(&str, String)],
    arguments: &[&str],
) -> Option<BTreeSet<SocketAddr>> {
    if let Err(reason) = Command::new("strace").arg("-V").output() {
        eprintln!("not checked: there is no strace here: {reason}");
        return None;
    }
    let trace = folder.join("trace").display().to_string();
    let traced = "trace=connect,sendto,sendmsg,sendmmsg";
    let strace = ["-f", "-qq", "-e", traced, "-o", &trace, PLUGIN];
    let arguments = [&strace[..], arguments].concat();
    let run = program(Path::new("strace"), folder, variables, &arguments);
    if run.stderr.starts_with("strace:") {
        eprintln!("not checked: {}", run.stderr);
        return None;
    }
    assert!(run.code < 2, "{arguments:?}: {run:#?}");
    let text = std::fs::read_to_string(&trace).unwrap();
    Some(text.lines().filter_map(peer).collect())
}

/// `{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("127.0.0.1")}`, and the same of IPv6.
fn peer(line: &str) -> Option<SocketAddr> {
    let (_, port) = line.split_once("_port=htons(")?;
    let (port, address) = port.split_once(')')?;
    let address = address.split('"').nth(1).unwrap();
    Some(SocketAddr::new(
        address.parse().unwrap(),
        port.parse().unwrap(),
    ))
}

#[test]
fn commands_talk_to_the_api_server_the_gateway_and_dns_and_to_nobody_else() {
    let job = main_job();
    let instance = &job.desk.instance;
    let variables = instance.variables();
    let kubeconfig = std::fs::read_to_string(instance.kubeconfig()).unwrap();
    let (_, server) = kubeconfig.split_once("https://").unwrap();
    let server = server.split(['"', '\n', ' ', ',']).next().unwrap();
    let (_, resolver) = &variables[1];
    let gateway = instance.connect_to();
    let known: [SocketAddr; 3] =
        [server, resolver, gateway].map(|address| address.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut met = BTreeSet::new();
    for command in [
        &["status", &job.host][..],
        &["status", &job.host, "--connect-to", gateway],
        &["expose", "httpbin", "-n", "shop", "--dry-run"],
        &["issue-client", "traced", "-n", "shop"],
        &["revoke-client", "traced", "-n", "shop"],
        &["list-clients", "-n", "shop"],
    ] {
        let Some(peers) = peers(folder.path(), &variables, command) else {
            return;
        };
        let strangers: Vec<_> = peers.iter().filter(|peer| !known.contains(peer)).collect();
        assert!(strangers.is_empty(), "{command:?} talks to {strangers:?}");
        assert!(peers.contains(&known[0]), "{command:?}: {peers:?}");
        met.extend(peers);
    }
    assert_eq!(met, BTreeSet::from(known), "each of them was met");
}

#[test]
fn without_a_cluster_nothing_leaves_the_machine() {
    let offline = Offline::new();
    let folder = offline.0.path();
    offline.write("clients.csv", "name\nada\nben\n");
    for command in [
        &["issue-client", "alice", "--ca-dir", "ca", "--show", "curl"][..],
        &[
            "issue-client",
            "-f",
            "clients.csv",
            "--ca-dir",
            "ca",
            "--out",
            "many",
        ],
        &["renew-client", "alice", "--ca-dir", "ca", "--force"],
        &["revoke-client", "alice", "--ca-dir", "ca"],
        &["list-clients", "--ca-dir", "ca"],
        &["rbac", "expose", "--service", "httpbin"],
        &["completion", "bash"],
        &["version"],
    ] {
        let Some(peers) = peers(folder, &[], command) else {
            return;
        };
        assert!(peers.is_empty(), "{command:?} talks to {peers:?}");
    }
}
