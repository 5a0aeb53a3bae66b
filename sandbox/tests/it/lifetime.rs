//! Nothing outlives an instance, however it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::stand_in::Controller;
use sandbox::{Environment, Instance, ProxyProtocol, Record};

use crate::shared;

fn sandbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(arguments);
    command
}

/// A name that no other run of the tests uses.
fn name(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn await_true(what: &str, patience: u64, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(patience),
            "{what}: not within {patience} s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

#[test]
fn a_dropped_instance_leaves_nothing_and_its_neighbour_alone() {
    let instance = Instance::start(Environment::PlainIstio).unwrap();
    let (record, folder) = (instance.record(), instance.run_dir().to_owned());
    assert_ne!(instance.connect_to(), shared().connect_to());
    assert!(
        record.processes.len() >= 6 && record.processes.iter().all(sandbox::ProcessRecord::runs)
    );
    drop(instance);
    assert_eq!(record.survivors(), Vec::<u32>::new());
    assert!(!record.processes.iter().any(sandbox::ProcessRecord::runs));
    assert!(!folder.exists());
    assert!(
        shared()
            .record()
            .processes
            .iter()
            .all(sandbox::ProcessRecord::runs)
    );
}

#[test]
fn a_sandbox_in_the_background_ends_with_down_and_with_its_holder() {
    let name = name("background");
    let up = sandbox(&[
        "up",
        "--name",
        &name,
        "--environment=kyma-custom",
        "--proxy-protocol",
        "--without=apirule,dns",
    ])
    .output()
    .unwrap();
    let said = String::from_utf8(up.stdout).unwrap();
    assert!(
        up.status.success(),
        "{}",
        String::from_utf8_lossy(&up.stderr)
    );
    assert!(
        said.contains("export KUBECONFIG=")
            && said.contains("export KUBECTL_MTLS_RESOLVER=127.0.0.1:")
    );
    let record = Record::find(&name).unwrap().unwrap();
    assert_eq!(record.environment, Environment::KymaCustom);
    assert_eq!(record.proxy_protocol, ProxyProtocol::Required);
    assert_eq!(record.without, [Controller::ApiRule, Controller::Dns]);
    let shown = sandbox(&["kubeconfig", "--name", &name])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(
        Path::new(String::from_utf8(shown).unwrap().trim()),
        record.kubeconfig
    );

    signal(record.holder, rustix::process::Signal::KILL);
    await_true("the parts end with their holder", 5, || {
        record.survivors().is_empty()
    });
    assert!(
        !sandbox(&["status", "--name", &name])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(
        sandbox(&["down", "--name", &name])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(Record::find(&name).unwrap().is_none());
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    let name = name("interrupted");
    let mut holder = run(&name);
    let record = || Record::find(&name).unwrap();
    await_true("two parts run", 30, || {
        record().is_some_and(|record| record.survivors().len() >= 2)
    });
    let record = record().unwrap();
    assert!(
        sandbox(&["down", "--name", &name])
            .output()
            .unwrap()
            .status
            .success()
    );
    holder.wait().unwrap();
    assert_eq!(record.survivors(), Vec::<u32>::new());
}

fn run(name: &str) -> Child {
    sandbox(&["run", "--name", name])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_failed_start_names_the_part_and_leaves_nothing() {
    let assets = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/false", assets.path().join("kube-apiserver")).unwrap();
    let name = name("failed");
    let output = sandbox(&["run", "--name", &name])
        .env("KUBEBUILDER_ASSETS", assets.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: kube-apiserver ended early"), "{said}");
    // Another start may have removed the traces by now.
    if let Some(record) = Record::find(&name).unwrap() {
        assert!(!record.is_held());
        assert_eq!(record.survivors(), Vec::<u32>::new());
    }
}

#[test]
fn a_stopped_replica_comes_back() {
    let sandbox = Instance::start(Environment::KymaCustom).unwrap();
    let admin = sandbox.replicas()[1].admin;
    sandbox.stop_replica(1).unwrap();
    let refused = std::net::TcpStream::connect(admin).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    sandbox.start_replica(1).unwrap();
    assert!(std::net::TcpStream::connect(admin).is_ok());
}
