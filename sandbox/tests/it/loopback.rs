//! Nothing of a sandbox can be reached from another machine.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use sandbox::{Environment, Instance};
use serde_json::json;

/// A local address on which a process listens, or receives datagrams.
#[derive(Debug, PartialEq, Eq)]
struct Listening {
    process: String,
    address: IpAddr,
    port: u16,
}

/// The state of a listening TCP socket, and of a UDP socket without a peer, in `/proc/net` (`proc_pid_net(5)`).
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// All sockets on which the processes of an instance, and the one that holds it, can be reached.
fn listening(sandbox: &Instance) -> Vec<Listening> {
    let record = sandbox.record();
    let mut processes = vec![("holder".to_owned(), record.holder)];
    processes.extend(
        record
            .processes
            .into_iter()
            .map(|process| (process.name, process.id)),
    );
    let tables = ["tcp", "tcp6", "udp", "udp6"]
        .map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let mut found = Vec::new();
    for (process, id) in processes {
        let inodes = sockets(id);
        for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields[1], fields[3], fields[9]);
            if [TCP_LISTEN, UDP_UNCONNECTED].contains(&state) && inodes.contains(inode) {
                let (address, port) = local.split_once(':').unwrap();
                found.push(Listening {
                    process: process.clone(),
                    address: parse(address),
                    port: u16::from_str_radix(port, 16).unwrap(),
                });
            }
        }
    }
    found
}

/// Inodes of the sockets that a process has open.
fn sockets(id: u32) -> HashSet<String> {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let targets = files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    targets
        .filter_map(|target| {
            let name = target.to_str()?.strip_prefix("socket:[")?;
            Some(name.strip_suffix(']')?.to_owned())
        })
        .collect()
}

/// Each group of eight digits is a word in the machine's byte order.
fn parse(digits: &str) -> IpAddr {
    let bytes: Vec<u8> = (0..digits.len())
        .step_by(8)
        .flat_map(|start| {
            u32::from_str_radix(&digits[start..start + 8], 16)
                .unwrap()
                .to_ne_bytes()
        })
        .collect();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv4Addr::from(bytes).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).unwrap()).to_canonical(),
    }
}

/// Makes every replica open its HTTP and its HTTPS listener, and waits for them.
fn open_listeners(sandbox: &Instance) {
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "open", "namespace": "default"},
        "spec": {
            "selector": sandbox.gateways()[0].labels,
            "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["open.example.org"]},
                {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}, "hosts": ["open.example.org"]},
            ],
        },
    });
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "open", "namespace": "default"},
        "spec": {
            "hosts": ["open.example.org"],
            "gateways": ["default/open"],
            "tls": [{
                "match": [{"sniHosts": ["open.example.org"]}],
                "route": [{"destination": {"host": "kubernetes.default.svc.cluster.local", "port": {"number": 443}}}],
            }],
        },
    });
    sandbox.create(vec![gateway, route]).unwrap();
    let begin = Instant::now();
    let missing = || {
        let open = listening(sandbox);
        let ports = sandbox
            .all_replicas()
            .into_iter()
            .flat_map(|replica| [replica.http_port, replica.tls_port]);
        ports
            .filter(|port| !open.iter().any(|one| one.port == *port))
            .collect::<Vec<_>>()
    };
    while !missing().is_empty() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "nobody listens on {:?}",
            missing()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_part_of_every_environment_listens_on_loopback_only() {
    for environment in [
        Environment::KymaDefault,
        Environment::KymaCustom,
        Environment::PlainIstio,
        Environment::TwoGateways,
        Environment::TwoRevisions,
    ] {
        let sandbox = Instance::start(environment).unwrap();
        sandbox.deploy_echo("default", "httpbin").unwrap();
        open_listeners(&sandbox);
        is_on_loopback_only(&sandbox);
    }
}

/// Fails if a part of an instance can be reached from elsewhere, or if one of them is not seen.
///
/// Tests that start an environment of another kind call it at their end, when the listeners of its gateways are open.
#[track_caller]
pub(crate) fn is_on_loopback_only(sandbox: &Instance) {
    let environment = sandbox.environment();
    let open = listening(sandbox);
    let reachable: Vec<&Listening> = open
        .iter()
        .filter(|one| !one.address.is_loopback())
        .collect();
    assert!(reachable.is_empty(), "{environment:?}: {reachable:#?}");
    // What is looked for is seen.
    let parts = ["etcd", "kube-apiserver", "istiod", "holder"].map(str::to_owned);
    let replicas = sandbox.all_replicas().into_iter();
    let proxies = replicas.map(|replica| format!("{}.{}", replica.pod, replica.namespace));
    for process in parts.into_iter().chain(proxies) {
        assert!(
            open.iter().any(|one| one.process == process),
            "{environment:?}: {process} listens nowhere: {open:#?}"
        );
    }
}
