//! `expose --fail-closed`: the tutorial's Gateway, and those of earlier versions, move from a Secret to their authority.

mod git;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sandbox::{AuditEvent, Fault, Interceptor, Seen, Watch};
use serde_json::{Value, json};

use crate::faults::{disturbed, strangers};
use crate::lab::{Desk, gateway, requests};
use crate::shop::{CLIENTS, Shop};
use crate::stage::untouched_stage;
use crate::tutorial::{GATEWAYS, NAMESPACE, SECRET, Tutorial};

const FIELD: &str = "configmap://kubectl-mtls/kyma-mtls";
const MOVE: [&str; 3] = ["expose", "httpbin", "--fail-closed"];
const CLOSED: &str = "Secret istio-system/kyma-mtls-cacert rejects every client now";

fn servers(desk: &Desk) -> Value {
    desk.get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway")["spec"]["servers"].clone()
}

fn client_cas(desk: &Desk) -> Vec<String> {
    let names = desk.kubectl(&["-n", "istio-system", "get", "secrets", "-o", "name"], "");
    let names = names
        .lines()
        .filter(|name| name.contains("/kyma-mtls-") && name.ends_with("-cacert"));
    names
        .map(|name| name.trim_start_matches("secret/").to_owned())
        .collect()
}

fn authority(desk: &Desk) -> Value {
    desk.get("kubectl-mtls", "configmap", "kyma-mtls")
}

/// The Gateway names the authority, which trusts whom the old Secret did, and that one lets nobody in.
#[track_caller]
fn is_moved(desk: &Desk, bundle: &str) {
    assert_eq!(servers(desk)[0]["tls"]["caCertCredentialName"], FIELD);
    let authority = authority(desk);
    assert_eq!(authority["data"]["ca.crt"], bundle);
    let noted = &authority["metadata"]["annotations"]["kubectl-mtls.dev/client-ca-secret"];
    assert_eq!(*noted, Value::Null);
    assert_eq!(client_cas(desk), [SECRET]);
    let secret = desk.get("istio-system", "secret", SECRET);
    let told = &secret["metadata"]["annotations"]["kubectl-mtls.dev/client-ca-is-in"];
    assert_eq!(told, "ConfigMap kubectl-mtls/kyma-mtls");
    assert_ne!(held(&secret), bundle);
}

/// The bundle of a Secret.
fn held(secret: &Value) -> String {
    let data = secret["data"]["cacert"].as_str().unwrap();
    String::from_utf8(BASE64.decode(data).unwrap()).unwrap()
}

fn bundle(desk: &Desk) -> String {
    held(&desk.get("istio-system", "secret", SECRET))
}

fn writes(events: &[AuditEvent]) -> Vec<String> {
    let events = requests(events);
    let writes = events
        .iter()
        .filter(|event| event.is_write() && event.subresource.is_empty())
        // Who the user is, which changes nothing.
        .filter(|event| event.resource != "selfsubjectreviews");
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
    let watch = Watch::start(&desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
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
    let run = run
        .exits(0)
        .says(CLOSED)
        .says("was applied with kubectl: applying that file again");
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
            "create configmaps",
            "create configmaps",
            "update configmaps",
            "patch authorizationpolicies",
            "patch gateways",
            "update configmaps",
            "update configmaps",
            "update secrets"
        ]
    );
    is_moved(desk, &trusted);
    let mut expected = before;
    expected[0]["tls"]["caCertCredentialName"] = FIELD.into();
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
        assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
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
    let watch = Watch::start(&desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
    desk.kubectl(&["-n", "istio-system", "delete", "secret", SECRET], "");
    std::thread::sleep(std::time::Duration::from_secs(8));
    let seen = watch.end().unwrap();
    assert!(!seen.admitted.is_empty(), "it failed closed: {seen:?}");
    desk.kubectl(&["create", "-f", "-"], &secret.to_string());
    tutorial.await_client(&tutorial.httpbin);

    desk.run(&MOVE).exits(0).says(CLOSED);
    is_moved(desk, &trusted);
    tutorial.await_client(&tutorial.httpbin);
    let watch = Watch::start(&desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    // Whoever applies the old file again lets nobody in.
    let gone = json!([{"op": "remove", "path": "/spec/servers/0/tls/caCertCredentialName"}]);
    desk.kubectl(&[&patch[..], &[&gone.to_string()]].concat(), "");
    std::thread::sleep(std::time::Duration::from_secs(8));
    let seen = watch.end().unwrap();
    assert!(seen.admitted.is_empty() && seen.rounds > 0, "{seen:?}");
    assert!(tutorial.refused(&tutorial.httpbin).is_some());
    desk.run(&MOVE).exits(0);
    tutorial.await_client(&tutorial.httpbin);
    // The CA of the Secret that lets nobody in is none of the authority's.
    assert_eq!(authority(desk)["data"]["ca.crt"], trusted);
}

#[test]
fn a_move_that_is_killed_or_fails_is_ended_by_the_same_command_and_nobody_gets_in_meanwhile() {
    // The authority, the Gateway, and the Secret that it read before.
    let faults = [
        ("create configmaps 2", Fault::Hold),
        ("patch gateways", Fault::Hold),
        ("patch gateways", Fault::Drop),
        ("update secrets", Fault::Answer(403)),
    ];
    let order = undisturbed(&Tutorial::done().desk);
    for (write, fault) in faults {
        let nth = |(number, known): (usize, &String)| {
            let before = order[..number]
                .iter()
                .filter(|earlier| *earlier == known)
                .count();
            match before {
                0 => known == write,
                before => format!("{known} {}", before + 1) == write,
            }
        };
        let number = order.iter().enumerate().position(nth).unwrap() + 1;
        let tutorial = Tutorial::done();
        let desk = &tutorial.desk;
        let trusted = bundle(desk);
        let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
        let watch = Watch::start(&desk.instance, &tutorial.httpbin, &strangers(desk)).unwrap();
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
    let nobody = b"lets nobody in, its key is gone";
    let is_nobody = |name: &&Vec<u8>| name.windows(nobody.len()).any(|part| part == nobody);
    let others = seen
        .offered
        .iter()
        .filter(|name| !is_earlier(name) && !is_nobody(name));
    others.count() == 1
}

/// The requests of an undisturbed move in order, as `verb resource`.
fn undisturbed(desk: &Desk) -> Vec<String> {
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
        .says("which this Gateway no longer reads, was kept: the Gateway `default/shares` reads the Secret");
    // As long as another one reads it, it follows the authority, and no rotation begins.
    desk.run(&["ca-rotate", "--authority", "kyma-mtls"])
        .exits(2)
        .says("a Gateway still reads Secret istio-system/kyma-mtls-cacert");
    desk.kubectl(&["-n", "default", "delete", GATEWAYS, "shares"], "");
    let trusted = bundle(desk);
    desk.run(&[&MOVE[..], &["--no-wait"]].concat())
        .exits(0)
        .says("was kept: the gateway was not probed");
    assert_eq!(bundle(desk), trusted);
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
        .says("was kept: the Secret holds `notes` too");
    desk.kubectl(&[&patch[..], &[r#"{"data":{"notes":null}}"#]].concat(), "");
    desk.run(&MOVE).exits(0);
    is_moved(desk, &trusted);
}

#[test]
fn an_older_authority_is_not_what_a_gateway_is_moved_to() {
    let shop = Shop::open("older", &["alice", "bob"]);
    let old = shop.state()["data"].clone();
    let secret = shop.unmove();
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    // As an earlier version left it, which had no witness.
    let mut state: Value = serde_json::from_str(old["state.json"].as_str().unwrap()).unwrap();
    state.as_object_mut().unwrap().remove("inventory");
    shop.edit_state(&json!({"ca.crl": null, "state.json": state.to_string()}));
    let witness = format!("authority-{}", shop.authority);
    let delete = ["-n", CLIENTS, "delete", "configmap", &witness];
    shop.desk.kubectl(&delete, "");
    let says = format!(
        "an older copy of the authority `{}` was restored",
        shop.authority
    );
    shop.desk.run(&["expose", "httpbin"]).exits(2).says(&says);
    let gateway = shop
        .desk
        .get(&shop.desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let field = &gateway["spec"]["servers"][0]["tls"]["caCertCredentialName"];
    assert_eq!(*field, secret.as_str());
    shop.refuses("alice");
    shop.admits("bob");
}
