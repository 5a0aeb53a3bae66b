//! `expose --fail-closed`: the tutorial's Gateway moves to a client-CA Secret whose loss shuts out instead of letting others in.

use sandbox::{AuditEvent, Fault, Interceptor, Seen, Watch};
use serde_json::{Value, json};

use crate::faults::{disturbed, strangers};
use crate::lab::{Desk, gateway, requests};
use crate::stage::untouched_stage;
use crate::tutorial::{GATEWAYS, NAMESPACE, SECRET, Tutorial};

const CLOSED: &str = "kyma-mtls-clients-cacert";
const MOVE: [&str; 3] = ["expose", "httpbin", "--fail-closed"];

fn servers(desk: &Desk<'_>) -> Value {
    desk.get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway")["spec"]["servers"].clone()
}

fn client_cas(desk: &Desk<'_>) -> Vec<String> {
    let names = desk.kubectl(&["-n", "istio-system", "get", "secrets", "-o", "name"], "");
    let names = names.lines().filter(|name| name.ends_with("-cacert"));
    names
        .map(|name| name.trim_start_matches("secret/").to_owned())
        .collect()
}

/// The Gateway names the new Secret, which holds what the old one held, and the old one is gone.
#[track_caller]
fn is_moved(desk: &Desk<'_>, bundle: &Value) {
    assert_eq!(servers(desk)[0]["tls"]["caCertCredentialName"], CLOSED);
    assert_eq!(client_cas(desk), [CLOSED]);
    let secret = desk.get("istio-system", "secret", CLOSED);
    assert_eq!(secret["data"], json!({"cacert": bundle}));
}

fn bundle(desk: &Desk<'_>) -> Value {
    desk.get("istio-system", "secret", SECRET)["data"]["cacert"].clone()
}

fn writes(events: &[AuditEvent]) -> Vec<String> {
    let events = requests(events);
    let writes = events
        .iter()
        .filter(|event| event.is_write() && event.subresource.is_empty());
    writes
        .map(|event| format!("{} {}", event.verb, event.resource))
        .collect()
}

#[test]
fn the_gateway_is_moved_in_the_safe_order_and_its_client_is_let_in_throughout() {
    let tutorial = Tutorial::done_on(untouched_stage());
    let desk = &tutorial.desk;
    let trusted = bundle(desk);
    let before = servers(desk);
    let watch = Watch::start(desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
    let mark = desk.instance.audit_mark().unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (run, refused) = std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut refused = Vec::new();
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                refused.extend(tutorial.refused(&tutorial.httpbin));
            }
            refused
        });
        let run = desk.run(&MOVE);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        (run, calling.join().unwrap())
    });
    let run = run.exits(0).says("the Secret `kyma-mtls-cacert` is gone");
    assert!(
        !run.stderr
            .contains("would trust the issuer of its server certificate;"),
        "{run:#?}"
    );
    assert_eq!(refused, Vec::<String>::new());
    let log = desk.instance.audit_log(mark).unwrap();
    assert_eq!(
        writes(&log),
        [
            "create secrets",
            "patch authorizationpolicies",
            "patch gateways",
            "delete secrets"
        ]
    );
    is_moved(desk, &trusted);
    let mut expected = before;
    expected[0]["tls"]["caCertCredentialName"] = CLOSED.into();
    assert_eq!(servers(desk), expected, "all else of the Gateway stays");
    let live = desk.get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway");
    assert_eq!(
        live["metadata"]["labels"],
        Value::Null,
        "it stays somebody else's"
    );
    let seen = watch.end().unwrap();
    assert!(
        seen.admitted.is_empty() && only_the_clients_cas(&seen),
        "{seen:?}"
    );
    for arguments in [&MOVE[..], &["expose", "httpbin"]] {
        let again = desk.run(arguments).exits(0);
        assert!(again.stdout.starts_with("nothing to change"), "{again:#?}");
    }
    let status = desk.run(&["status", "httpbin"]).exits(1);
    assert!(!status.stdout.contains("--fail-closed"), "{status:#?}");
}

#[test]
fn a_gateway_that_writes_out_the_name_that_istiod_derives_fails_open_too_and_is_moved() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let trusted = bundle(desk);
    let field =
        json!([{"op": "add", "path": "/spec/servers/0/tls/caCertCredentialName", "value": SECRET}]);
    let patch = [
        "-n",
        NAMESPACE,
        "patch",
        GATEWAYS,
        "kyma-mtls-gateway",
        "--type=json",
        "-p",
    ];
    desk.kubectl(&[&patch[..], &[&field.to_string()]].concat(), "");
    tutorial.await_client(&tutorial.httpbin);
    let status = desk.run(&["status", "httpbin"]).exits(1);
    assert!(status.stdout.contains("--fail-closed"), "{status:#?}");

    let mut secret = desk.get("istio-system", "secret", SECRET);
    secret["metadata"] = json!({"namespace": "istio-system", "name": SECRET});
    let watch = Watch::start(desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
    desk.kubectl(&["-n", "istio-system", "delete", "secret", SECRET], "");
    std::thread::sleep(std::time::Duration::from_secs(8));
    let seen = watch.end().unwrap();
    assert!(!seen.admitted.is_empty(), "it failed closed: {seen:?}");
    desk.kubectl(&["create", "-f", "-"], &secret.to_string());
    tutorial.await_client(&tutorial.httpbin);

    desk.run(&MOVE)
        .exits(0)
        .says("the Secret `kyma-mtls-cacert` is gone");
    is_moved(desk, &trusted);
    tutorial.await_client(&tutorial.httpbin);
    let watch = Watch::start(desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    desk.kubectl(&["-n", "istio-system", "delete", "secret", CLOSED], "");
    std::thread::sleep(std::time::Duration::from_secs(8));
    let seen = watch.end().unwrap();
    assert!(seen.admitted.is_empty() && seen.rounds > 0, "{seen:?}");
}

#[test]
fn a_move_that_is_killed_or_fails_is_ended_by_the_same_command_and_nobody_gets_in_meanwhile() {
    let faults = [
        ("create secrets", Fault::Hold),
        ("patch gateways", Fault::Hold),
        ("patch gateways", Fault::Answer(500)),
        ("patch gateways", Fault::Drop),
        ("delete secrets", Fault::Answer(403)),
    ];
    let order = undisturbed(&Tutorial::done().desk);
    for (write, fault) in faults {
        let number = order.iter().position(|known| known == write).unwrap() + 1;
        let tutorial = Tutorial::done();
        let desk = &tutorial.desk;
        let trusted = bundle(desk);
        let door = Interceptor::open(desk.instance, desk.folder.path()).unwrap();
        let watch = Watch::start(desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
        door.plan(u32::try_from(number).unwrap(), fault);
        disturbed(desk, &MOVE, &door);
        desk.run(&MOVE).exits(0);
        is_moved(desk, &trusted);
        tutorial.await_client(&tutorial.httpbin);
        let seen = watch.end().unwrap();
        assert!(
            seen.admitted.is_empty() && only_the_clients_cas(&seen),
            "{write} {fault:?}: {seen:?}"
        );
    }
}

/// Whether no proxy ever asked for the issuer of the server certificate, or for anything else that is no client CA.
///
/// The proxies of this cluster outlive each test. One that knew a Secret of this name before keeps its last CA until istiod sends
/// the new one, so the CA of an earlier test may be seen for a moment.
fn only_the_clients_cas(seen: &Seen) -> bool {
    let earlier = b"kyma-mtls client CA";
    let is_earlier = |name: &&Vec<u8>| name.windows(earlier.len()).any(|part| part == earlier);
    let others = seen.offered.iter().filter(|name| !is_earlier(name));
    others.count() == 1
}

/// The requests of an undisturbed move in order, as `verb resource`.
fn undisturbed(desk: &Desk<'_>) -> Vec<String> {
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&MOVE).exits(0);
    let log = desk.instance.audit_log(mark).unwrap();
    let events = log
        .iter()
        .filter(|event| event.user_agent.starts_with("kubectl-mtls/"));
    events
        .map(|event| {
            if event.dry_run {
                "try".to_owned()
            } else {
                format!("{} {}", event.verb, event.resource)
            }
        })
        .collect()
}

#[test]
fn the_old_secret_stays_where_it_may_still_be_needed_and_that_is_said() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let tls = json!({"mode": "MUTUAL", "credentialName": "kyma-mtls"});
    let host = format!("other.{}", desk.instance.domain());
    let other = gateway("default", "shares", &[&host], &tls);
    desk.instance.create(vec![other]).unwrap();
    desk.run(&MOVE)
        .exits(0)
        .says("the Secret `kyma-mtls-cacert`, which this Gateway reads no more, was kept: the Gateway `default/shares` names it");
    desk.kubectl(&["-n", "default", "delete", GATEWAYS, "shares"], "");
    assert_eq!(client_cas(desk), [SECRET, CLOSED]);
    desk.run(&[&MOVE[..], &["--no-wait"]].concat())
        .exits(0)
        .says("was kept: the gateway was not looked at");
    let dry = desk
        .run(&[&MOVE[..], &["--dry-run=client"]].concat())
        .exits(0);
    assert!(
        dry.stdout
            .contains("secret/kyma-mtls-cacert in istio-system deleted"),
        "{dry:#?}"
    );
    let manifests = desk
        .run(&[&MOVE[..], &["--dry-run=client", "-o", "name"]].concat())
        .exits(0);
    assert!(!manifests.stdout.contains(SECRET), "{manifests:#?}");
    assert_eq!(client_cas(desk), [SECRET, CLOSED]);
    let more = r#"{"data":{"notes":"eA=="}}"#;
    let patch = [
        "-n",
        "istio-system",
        "patch",
        "secret",
        SECRET,
        "--type=merge",
        "-p",
    ];
    desk.kubectl(&[&patch[..], &[more]].concat(), "");
    desk.run(&MOVE)
        .exits(0)
        .says("was kept: it holds `notes` too");
    desk.kubectl(&[&patch[..], &[r#"{"data":{"notes":null}}"#]].concat(), "");
    desk.run(&MOVE).exits(0).says("is gone");
    assert_eq!(client_cas(desk), [CLOSED]);
}

#[test]
fn a_gateway_that_a_controller_keeps_is_moved_only_by_force() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let mut live = desk.get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway");
    let manifest = json!({
        "apiVersion": live["apiVersion"], "kind": "Gateway",
        "metadata": {"namespace": NAMESPACE, "name": "kyma-mtls-gateway"}, "spec": live["spec"].take(),
    });
    let apply = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=argocd-controller",
        "-f",
        "-",
    ];
    desk.kubectl(&apply, &manifest.to_string());
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&MOVE)
        .exits(2)
        .says("Gateway test/kyma-mtls-gateway is not as it must be")
        .says("`argocd-controller` wrote `.spec.servers`")
        .says("--force-conflicts");
    let log = desk.instance.audit_log(mark).unwrap();
    assert_eq!(writes(&log), Vec::<String>::new());
    let forced = [&MOVE[..], &["--force-conflicts"]].concat();
    desk.run(&forced).exits(0);
    assert_eq!(client_cas(desk), [CLOSED]);
}

#[test]
fn a_secret_under_the_new_name_that_trusts_others_is_a_conflict() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    desk.run(&["issue-client", "eve", "--ca-dir", "ca"])
        .exits(0);
    let file = format!(
        "--from-file=cacert={}",
        desk.folder.path().join("ca/ca.crt").display()
    );
    let create = [
        "create",
        "secret",
        "generic",
        "-n",
        "istio-system",
        CLOSED,
        &file,
    ];
    desk.kubectl(&create, "");
    desk.run(&MOVE)
        .exits(2)
        .says("Secret istio-system/kyma-mtls-clients-cacert exists and trusts other CAs")
        .says("nothing was changed");
    assert_eq!(servers(desk)[0]["tls"].get("caCertCredentialName"), None);
}
