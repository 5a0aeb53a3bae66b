//! `expose` killed after a request, or with a request that fails: a rerun reaches the end of an undisturbed run.

use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::{Fault, Interceptor, Reply};
use serde_json::Value;

use crate::lab::{Desk, PLUGIN, call, own_namespace, requests};

/// What stands in the end, by kind and name; what differs from run to run left out.
fn end_state(desk: &Desk<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (namespace, kinds) in [
        (
            desk.namespace.as_str(),
            "apirules.gateway.kyma-project.io,gateways.networking.istio.io",
        ),
        ("istio-system", "secrets,certificates.cert.gardener.cloud"),
        ("kubectl-mtls", "configmaps"),
    ] {
        let text = desk.kubectl(&["-n", namespace, "get", kinds, "-o", "json"], "");
        let list: Value = serde_json::from_str(&text).unwrap();
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            if namespace == desk.namespace || name.starts_with(&format!("{}-kyma", desk.namespace))
            {
                names.push(format!(
                    "{} {}",
                    item["kind"].as_str().unwrap(),
                    name.replace(&desk.namespace, "NS")
                ));
            }
        }
    }
    names.retain(|name| !name.starts_with("VirtualService"));
    names.sort();
    // The hash in names follows the namespace.
    names.iter().map(|name| strip_hash(name)).collect()
}

fn strip_hash(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let is_hash = part.len() == 6 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { "HASH" } else { part }
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Runs `expose` through the door; kills it when its planned request was done and is being held.
fn disturbed(desk: &Desk<'_>, door: &Interceptor, arguments: &[&str]) -> Option<i32> {
    let mut child = Command::new(PLUGIN)
        .args(["-n", &desk.namespace])
        .args(arguments)
        .current_dir(desk.folder.path())
        .envs(desk.instance.variables())
        .env("KUBECONFIG", door.kubeconfig())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if door.is_holding() {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One disturbance in a namespace of its own, then an undisturbed rerun.
#[track_caller]
pub(crate) fn recovers(number: u32, fault: Fault) {
    let (desk, host) = own_namespace("fault");
    let door = Interceptor::open(desk.instance, desk.folder.path()).unwrap();
    let arguments = ["expose", "httpbin", "--host", &host, "--timeout", "60s"];
    door.plan(number, fault);
    disturbed(&desk, &door, &arguments);
    // At no moment is anybody let in who has no certificate of this authority.
    let reply = call(&desk.nobody(), &host, &[]);
    assert!(
        !matches!(reply, Reply::Answered { .. }),
        "{fault:?} at {number}: {reply:?}"
    );
    desk.run(&arguments).exits(0);
    assert_eq!(
        end_state(&desk),
        [
            "APIRule httpbin-mtls",
            "Certificate NS-kyma-mtls-gateway-HASH",
            "ConfigMap NS-kyma-mtls-gateway-HASH",
            "Gateway kyma-mtls-gateway",
            "Secret NS-kyma-mtls-gateway-HASH",
            "Secret NS-kyma-mtls-gateway-HASH-clients-cacert",
        ],
        "{fault:?} at {number}"
    );
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&arguments).exits(0);
    let log = desk.instance.audit_log(mark).unwrap();
    let is_own = |event: &&&sandbox::AuditEvent| event.request_uri.contains(&desk.namespace);
    let events = requests(&log);
    let writes: Vec<_> = events
        .iter()
        .filter(is_own)
        .filter(|event| event.is_write())
        .collect();
    assert!(writes.is_empty(), "{fault:?} at {number}: {writes:#?}");
}

/// How many requests an undisturbed run sends before it looks at the gateway.
pub(crate) fn requests_of_a_run() -> u32 {
    let (desk, host) = own_namespace("count");
    let door = Interceptor::open(desk.instance, desk.folder.path()).unwrap();
    door.let_through();
    let code = disturbed(
        &desk,
        &door,
        &["expose", "httpbin", "--host", &host, "--timeout", "60s"],
    );
    assert_eq!(code, Some(0));
    door.seen()
}

#[test]
fn a_killed_run_is_completed_by_the_next_one() {
    let last = requests_of_a_run();
    // Reads change nothing: the writes are those that matter, and they come before the waits.
    for number in [last / 2, last / 2 + 2] {
        recovers(number, Fault::Hold);
    }
}

#[test]
fn a_failed_request_is_made_up_for_by_the_next_run() {
    let last = requests_of_a_run();
    for (step, fault) in [
        Fault::Answer(403),
        Fault::Answer(409),
        Fault::Answer(500),
        Fault::Drop,
    ]
    .into_iter()
    .enumerate()
    {
        recovers(last / 2 + u32::try_from(step).unwrap(), fault);
    }
}
