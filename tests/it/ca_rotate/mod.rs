//! `ca-rotate` on a real cluster: at every step the real gateway is asked whom it lets in.

mod site;

use sandbox::Reply;
use serde_json::Value;

use crate::lab::{Desk, call, state_of};
use crate::stage::stage;

pub(crate) use site::{Site, by_hand, moved, openssl};

/// The names of the keys in an authority's Secret; beside each stand its certificate and where it came from.
fn key_names(secret: &Value) -> impl Iterator<Item = &String> {
    let names = secret["data"].as_object().unwrap().keys();
    names.filter(|name| !name.contains('.'))
}

#[test]
fn the_old_ca_leaves_after_its_last_client_and_nobody_else_notices() {
    let site = Site::exposed("rotate");
    site.issue("old", &["--ttl", "25s"]);
    site.admits("old");
    let run = site.rotate(&["-o", "json"]).exits(0);
    let report = run.json();
    assert_eq!(report["phase"], "overlap");
    assert_eq!(report["dependents"][0]["name"], "old");
    let through = report["looked"]["through"].as_array().unwrap();
    assert_eq!(through.len(), 2, "both replicas: {report}");
    site.admits("old");
    site.issue("new", &[]);
    site.admits("new");
    site.rotate(&["--finish"])
        .exits(2)
        .says("1 live certificate of the old CA would be rejected: `old` until")
        .says("renew-client");
    site.admits("old");
    let again = site.rotate(&[]).exits(0);
    assert!(again.stdout.contains("next: "), "{again:?}");
    assert_eq!(site.keys(), 2, "it goes on with the same rotation");
    site.rotate(&["--finish", "--wait-for-clients", "--timeout", "60s"])
        .exits(0)
        .says("waiting for 1 live certificate");
    site.admits("new");
    assert!(!matches!(site.answer("old"), Reply::Answered { .. }));
    assert_eq!(site.keys(), 1);
    let status = site.rotate(&["--status"]).exits(0).stdout;
    for act in ["started a rotation", "let the new CA issue", "dropped CAs"] {
        assert!(status.contains(act), "no `{act}` in {status}");
    }
    site.rotate(&["--finish"]).exits(0);
    site.rotate(&["--abort"])
        .exits(2)
        .says("no rotation to abort");
    let events = site
        .desk
        .kubectl(&["-n", "kubectl-mtls", "get", "events", "-o", "name"], "");
    assert!(
        events.contains(&format!("event/{}.r", site.authority)),
        "{events}"
    );
}

#[test]
fn an_aborted_rotation_refuses_none_of_both_cas_until_its_clients_are_gone() {
    let site = Site::exposed("abort");
    site.issue("before", &[]);
    site.rotate(&[]).exits(0);
    site.issue("between", &[]);
    let run = site.rotate(&["--abort"]).exits(0);
    assert!(run.stdout.contains("between"), "{run:?}");
    site.issue("after", &[]);
    for client in ["before", "between", "after"] {
        site.admits(client);
    }
    site.rotate(&["--abort"]).exits(0).says("aborted already");
    site.rotate(&["--finish"]).exits(2).says("`between` until");
    let forced = site.rotate(&["--finish", "--force"]).exits(0);
    forced.says("`between` is rejected from now on");
    site.refuses("between", "unknown_ca");
    site.admits("before");
    site.admits("after");
}

#[test]
fn beside_a_ca_made_by_hand_ours_is_added_and_theirs_leaves_when_it_is_named() {
    let site = Site::named("adopt");
    by_hand(&site);
    site.rotate(&[]).exits(2).says("--fail-closed");
    let expose = ["expose", "httpbin", "--host", &site.host, "--fail-closed"];
    site.desk.run(&expose).exits(0);
    site.rotate(&["--status"]).exits(0).says("are not known");
    site.rotate(&["--dry-run"]).exits(0);
    site.admits("theirs");
    let run = site.rotate(&["-o", "json"]).exits(0);
    let report = run.json();
    let cas = report["cas"].as_array().unwrap();
    let roles: Vec<&str> = cas.iter().map(|ca| ca["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["issuing", "external"]);
    run.says("are not known");
    site.issue("ours", &[]);
    site.admits("ours");
    site.admits("theirs");
    site.rotate(&["--finish", "--drop-external", &"00".repeat(32)])
        .exits(2)
        .says("Hand-made CA");
    site.admits("theirs");
    let fingerprint = cas[1]["fingerprint"].as_str().unwrap();
    site.rotate(&["--finish", "--drop-external", fingerprint])
        .exits(0);
    site.refuses("theirs", "unknown_ca");
    site.admits("ours");
}

#[test]
fn a_hand_made_ca_whose_key_is_taken_in_is_rotated_like_our_own() {
    let site = Site::named("take");
    moved(&site);
    let taken = site
        .rotate(&["--from-cert", "cacert.pem", "--from-key", "cakey.pem"])
        .exits(0);
    let taken = taken.says("serial 0").says("they stay accepted");
    assert!(taken.stdout.contains("Hand-made CA"));
    let weak = weaknesses(&site);
    assert!(!weak.is_empty(), "after its key was taken in");
    site.issue("first", &[]);
    site.rotate(&[]).exits(0);
    assert_eq!(weaknesses(&site), weak, "while it leaves");
    site.issue("second", &[]);
    for client in ["theirs", "first", "second"] {
        site.admits(client);
    }
    site.rotate(&["--finish"])
        .exits(2)
        .says("was not created by kubectl-mtls");
    site.rotate(&["--from-cert", "cacert.pem", "--from-key", "theirs.key"])
        .exits(2)
        .says("does not belong to the CA");
    site.rotate(&["--finish", "--force"]).exits(0);
    assert_eq!(weaknesses(&site), [""; 0], "once it has left");
}

/// The ids of what `status` says of the CA that was made by hand.
fn weaknesses(site: &Site) -> Vec<String> {
    let shown = site.desk.run(&["status", &site.host, "-o", "json"]).json();
    let findings = shown["findings"].as_array().unwrap().iter();
    let of_it = findings.filter(|finding| finding.to_string().contains("Hand-made CA"));
    of_it
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_rotation_goes_to_a_given_ca_and_not_to_an_intermediate_one() {
    let site = Site::exposed("given");
    let desk = &site.desk;
    let makes = |name: &str, subject: &str, more: &[&str]| {
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let request = ["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"];
        let of = ["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject];
        let to = ["-addext", usage, "-keyout", &key, "-out", &certificate];
        openssl(desk, &[&request[..], &of, &to, more].concat());
    };
    makes("root", "/CN=Company CA", &[]);
    let by_root = ["-CA", "root.crt", "-CAkey", "root.key"];
    makes("sub", "/CN=Company sub CA", &by_root);
    let critical = ["-addext", "1.2.3.4=critical,ASN1:UTF8String:x"];
    makes("unknown", "/CN=Company critical CA", &critical);
    let before = site.state();
    site.rotate(&["--to-cert", "unknown.crt", "--to-key", "unknown.key"])
        .exits(2)
        .says("critical extension `1.2.3.4`");
    site.rotate(&["--to-cert", "sub.crt", "--to-key", "sub.key"])
        .exits(2)
        .says("intermediate");
    assert_eq!(site.state(), before, "nothing was changed");
    site.rotate(&["--to-cert", "root.crt", "--to-key", "root.key"])
        .exits(0);
    site.issue("company", &["--ttl", "10d"]);
    site.admits("company");
    site.rotate(&["--status"]).exits(0).says("ends on");
}

#[test]
fn a_replica_that_has_not_loaded_the_new_ca_stops_the_rotation_and_is_named() {
    let stage = stage();
    stage.clear();
    let desk = &stage.desk;
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "alice"]).exits(0);
    let issuing = |desk: &Desk| {
        let state = desk.get("kubectl-mtls", "configmap", "kyma-mtls");
        state_of(&state)["issuing"].as_str().unwrap().to_owned()
    };
    let before = issuing(desk);
    desk.instance.hold_replica(1);
    let run = desk.run(&["ca-rotate", "--timeout", "4s"]);
    let held = issuing(desk);
    let finish = desk.run(&["ca-rotate", "--finish"]);
    desk.instance.release_replica(1);
    let pod = &desk.instance.replicas()[1].pod;
    run.exits(124)
        .says(pod)
        .says("the proxy requests certificates of `CN=");
    assert_eq!(held, before, "the new CA issues already");
    finish.exits(2).says("does not issue yet");
    desk.run(&["ca-rotate"]).exits(0);
    assert_ne!(issuing(desk), before);
    let keys = desk.get("kubectl-mtls", "secret", "kyma-mtls");
    assert_eq!(key_names(&keys).count(), 2);
    let host = format!("httpbin.mtls.{}", desk.instance.domain());
    let reply = call(&desk.client("alice"), &host, &[]);
    assert!(
        matches!(reply, Reply::Answered { status: 200, .. }),
        "{reply}"
    );
}

#[test]
fn the_keys_of_both_cas_are_nowhere_but_in_their_own_secret() {
    let site = Site::exposed("hidden");
    let run = site.rotate(&["-v", "9", "-o", "json"]).exits(0);
    let name = &site.authority;
    let keys = site.desk.get("kubectl-mtls", "secret", name);
    let keys: Vec<String> = key_names(&keys)
        .map(|name| keys["data"][name].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
    let all = ["get", "secrets,configmaps,events", "-A", "-o", "json"];
    let list: Value = serde_json::from_str(&site.desk.kubectl(&all, "")).unwrap();
    let others: String = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["kind"] != "Secret" || object["metadata"]["name"] != **name)
        .map(ToString::to_string)
        .collect();
    let log = site.desk.instance.run_dir().join("log/audit.log");
    let requests = std::fs::read_to_string(log).unwrap();
    for (place, text) in [
        ("objects", others),
        ("audit log", requests),
        ("output", format!("{}{}", run.stdout, run.stderr)),
    ] {
        let is_shown = keys.iter().any(|key| text.contains(key.as_str()));
        assert!(!is_shown, "a key is in the {place}");
        assert!(
            place == "objects" || !text.contains("PRIVATE KEY"),
            "{place}"
        );
    }
}
