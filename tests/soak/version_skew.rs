//! Two versions of the plugin on one cluster: what the one before this layout made is moved under load, and from then on it changes
//! nothing any more.

use std::path::PathBuf;
use std::process::Command;

use sandbox::load::{Expected, Load};
use serde_json::Value;

use crate::ca_rotate::Site;
use crate::lab::{Desk, Run, requests};
use crate::shop::CLIENTS;

/// The last commit whose Gateways read a Secret, and whose authority has the layout before.
const BEFORE: &str = "d6a9c80";

/// That version, built once of the history; none, with the reason, where that is not there.
fn before() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/before");
    let program = folder.join("target/debug/kubectl-mtls");
    if program.exists() {
        return Some(program);
    }
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!(
        "git archive {BEFORE} | tar -x -C \"$1\" && cd \"$1\" && cargo build --locked --bin kubectl-mtls --target-dir target"
    );
    let built = Command::new("bash")
        .args(["-o", "pipefail", "-c", &script, "build"])
        .arg(&folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    if !built.success() {
        let why =
            format!("the commit {BEFORE} could not be built; a clone with its history is needed");
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("not run: {why}");
        return None;
    }
    Some(program)
}

/// Every command that writes, as the version before has them.
fn writing(host: &str, authority: &str) -> Vec<Vec<String>> {
    let of_authority = |words: &[&str]| {
        let own = ["--authority", authority];
        let all = words.iter().chain(&own);
        all.map(|word| (*word).to_owned()).collect()
    };
    vec![
        ["expose", "httpbin", "--host", host, "--method", "GET"]
            .map(str::to_owned)
            .to_vec(),
        of_authority(&["issue-client", "carol"]),
        of_authority(&["issue-client", "-f", "devices.csv", "--out", "devices"]),
        of_authority(&["renew-client", "bob", "--force"]),
        of_authority(&["revoke-client", "bob"]),
        of_authority(&["ca-rotate"]),
        of_authority(&["ca-rotate", "--finish", "--force"]),
        of_authority(&["ca-rotate", "--abort"]),
    ]
}

/// What was written, and the names of it.
fn writes(desk: &Desk, run: impl FnOnce() -> Run) -> (Run, Vec<String>) {
    let mark = desk.instance.audit_mark().unwrap();
    let run = run();
    let log = desk.instance.audit_log(mark).unwrap();
    let writes = requests(&log)
        .into_iter()
        .filter(|event| event.is_write() && event.subresource.is_empty() && event.code < 300)
        .filter(|event| event.resource != "selfsubjectreviews")
        .map(|event| format!("{} {} {}", event.verb, event.resource, event.name))
        .collect();
    (run, writes)
}

/// The keys, the witness and the inventory of an authority.
fn beside(desk: &Desk, authority: &str) -> [Value; 3] {
    let keys = desk.get("kubectl-mtls", "secret", authority);
    let witness = desk.get(CLIENTS, "configmap", &format!("authority-{authority}"));
    let selector = format!("kubectl-mtls.dev/authority={authority}");
    let list = [
        "-n",
        CLIENTS,
        "get",
        "configmaps",
        "-l",
        &selector,
        "-o",
        "json",
    ];
    let entries: Value = serde_json::from_str(&desk.kubectl(&list, "")).unwrap();
    assert_ne!(entries["items"], Value::Array(Vec::new()));
    [
        keys["data"].clone(),
        witness["data"].clone(),
        entries["items"].clone(),
    ]
}

/// Exposed, issued, revoked and rotated by the version before, then moved by this one under load.
pub(crate) fn moved_from_before() {
    let Some(before) = before() else {
        return;
    };
    let Site {
        desk,
        host,
        authority,
    } = Site::named("skew");
    let old = |arguments: &[&str]| desk.run_with(&before, arguments).exits(0);
    old(&["expose", "httpbin", "--host", &host]);
    let own = ["--authority", &authority];
    for client in ["alice", "bob", "carol"] {
        old(&[&["issue-client", client][..], &own].concat());
    }
    old(&[&["revoke-client", "alice"][..], &own].concat());
    old(&[&["ca-rotate"][..], &own].concat());

    let load = Load::start(&desk.instance, &host, 200.0, 16).unwrap();
    for (client, expected) in [("alice", Expected::Out), ("bob", Expected::In)] {
        load.add(client, &desk.client(client), None, expected)
            .unwrap();
    }
    load.add("nobody", &desk.nobody(), None, Expected::Out)
        .unwrap();
    // A revocation at once, before the move; then the move, and what needs it.
    desk.run(&[&["revoke-client", "carol"][..], &own].concat())
        .exits(0)
        .says("--fail-closed");
    load.add("carol", &desk.client("carol"), None, Expected::Out)
        .unwrap();
    desk.run(&[&["ca-rotate", "--finish"][..], &own].concat())
        .exits(2)
        .says("--fail-closed");
    desk.run(&["expose", "httpbin"]).exits(0);
    let tally = load.end();
    assert_eq!(tally.wrongs, 0, "{:#?}", tally.wrong);
    let gateway = desk.get(
        &desk.namespace,
        "gateways.networking.istio.io",
        "kyma-mtls-gateway",
    );
    let field = &gateway["spec"]["servers"][0]["tls"]["caCertCredentialName"];
    assert_eq!(*field, format!("configmap://kubectl-mtls/{authority}"));

    let state = desk.get("kubectl-mtls", "configmap", &authority);
    let beside = beside(&desk, &authority);
    std::fs::write(desk.folder.path().join("devices.csv"), "name\none\ntwo\n").unwrap();
    // That version does not make output folders.
    std::fs::create_dir(desk.folder.path().join("devices")).unwrap();
    for command in writing(&host, &authority) {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (run, written) = writes(&desk, || desk.run_with(&before, &command));
        // A renewal looks at the client's CA first, and knows none.
        run.exits(2).says(match command[0] {
            "renew-client" => "was signed by no CA that the authority",
            _ => "its format is `2`",
        });
        assert_eq!(written, Vec::<String>::new(), "{command:?}");
    }
    assert_eq!(desk.get("kubectl-mtls", "configmap", &authority), state);
    // It removes what it finds by the Service's name; the authority and the CAs that it trusts stay.
    let (run, written) = writes(&desk, || {
        desk.run_with(
            &before,
            &["unexpose", "httpbin", "--gateway-too", "--purge", "--yes"],
        )
    });
    eprintln!(
        "its unexpose --purge ends with {}: {written:#?} {}",
        run.code, run.stderr
    );
    let after = desk.get("kubectl-mtls", "configmap", &authority);
    assert_eq!(after["data"], state["data"]);
    assert_eq!(self::beside(&desk, &authority), beside);
    eprintln!(
        "{} handshakes during the move from {BEFORE}: 0 wrong; its writing commands refuse the moved authority and change nothing",
        tally.total
    );
}
