//! `revoke-client` on real gateways: who is refused when it returns, who is not, and what it never does.

mod directory;
mod dropped;
mod proxies;
mod refusals;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kubectl_mtls::pki::crl::Reason;
use sandbox::Environment;
use serde_json::{Value, json};

use crate::lab::{own_namespace_on, started, state_of};
use crate::shop::{CLIENTS, Shop};

/// The lists of a client-CA Secret as OpenSSL prints them.
fn printed(authority: &Value) -> String {
    use std::io::Write;
    let encoded = authority["data"]["ca.crl"].as_str().unwrap();
    let mut child = Command::new("openssl")
        .args(["crl", "-noout", "-text"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(encoded.as_bytes())
        .unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn when_it_returns_the_client_is_refused_and_nobody_else_is() {
    let shop = Shop::open("revoke", &["alice", "bob"]);
    shop.issue("alice", &["--another", "--out", ".", "--force"]);
    shop.admits("alice");
    let begun = Instant::now();
    let report = shop
        .revoke(&["alice", "--reason", "keyCompromise", "-o", "json"])
        .exits(0)
        .json();
    let took = begun.elapsed();
    shop.refuses("alice");
    shop.admits("bob");
    let fates: Vec<&Value> = report["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| &client["fate"])
        .collect();
    assert_eq!(
        fates,
        ["revoked", "revoked"],
        "both certificates of the name"
    );
    assert!(!report["seen"][0]["through"].as_array().unwrap().is_empty());
    assert_eq!(report["seen"][0]["replicasUnknown"], Value::Null);
    let marked = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        shop.inventory(),
        [
            marked("alice", "revoked"),
            marked("alice", "revoked"),
            marked("bob", "issued")
        ]
    );
    let crl = printed(&shop.state());
    assert!(
        crl.contains("Key Compromise") && crl.contains("CRL Number"),
        "{crl}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// The reasons that OpenSSL reads in a list, by serial number; none where an entry has none.
fn reasons(crl: &str) -> BTreeMap<String, Option<String>> {
    let entries = crl.split("Serial Number: ").skip(1);
    entries
        .map(|entry| {
            let (serial, rest) = entry.split_once('\n').unwrap();
            let reason = rest.split_once("X509v3 CRL Reason Code:");
            let reason = reason.and_then(|(_, reason)| reason.trim().lines().next());
            (serial.trim().to_lowercase(), reason.map(str::to_owned))
        })
        .collect()
}

#[test]
fn openssl_reads_every_reason_that_can_be_given() {
    const REASONS: [(&str, Option<&str>); 7] = [
        // RFC 5280, 5.3.1: it should be left out.
        ("unspecified", None),
        ("keyCompromise", Some("Key Compromise")),
        ("affiliationChanged", Some("Affiliation Changed")),
        ("superseded", Some("Superseded")),
        ("cessationOfOperation", Some("Cessation Of Operation")),
        ("certificateHold", Some("Certificate Hold")),
        ("privilegeWithdrawn", Some("Privilege Withdrawn")),
    ];
    assert_eq!(
        REASONS.map(|(given, _)| given),
        Reason::ALL.map(Reason::name)
    );
    let shop = Shop::open("reasons", &["stays"]);
    for (given, read) in REASONS {
        shop.issue(given, &[]);
        let report = shop.revoke(&[given, "--reason", given, "-o", "json"]);
        let report = report.exits(0).json();
        let told = &report["certificates"][0];
        assert_eq!(told["reason"], given);
        let list = reasons(&printed(&shop.state()));
        let entry = &list[told["serial"].as_str().unwrap()];
        assert_eq!(entry.as_deref(), read, "{given}");
        shop.refuses(given);
    }
    // The later ones have taken nothing from the first.
    let list = reasons(&printed(&shop.state()));
    let read = list.values().flatten().count();
    assert_eq!(read, REASONS.len() - 1, "{list:?}");
    shop.admits("stays");
}

#[test]
fn the_authority_is_written_on_changes_of_trust_only_and_what_is_revoked_is_proven_again() {
    // Proxies of its own: after any update that a proxy has rejected, a rerun publishes.
    let instance = started(Environment::KymaDefault);
    let shop = Shop::exposed_in(own_namespace_on(&instance, "again"), &[]);
    shop.issue("alice", &[]);
    shop.issue("bob", &[]);
    let first = shop.revoke(&["alice", "-o", "json"]).exits(0).json();
    assert_eq!(first["seen"][0]["evidence"], "handshakes");
    let version = |shop: &Shop| shop.state()["metadata"]["resourceVersion"].clone();
    let written = version(&shop);
    let table = shop.desk.folder.path().join("devices.csv");
    std::fs::write(table, "name\ncarol\ndave\n").unwrap();
    for command in [
        &["issue-client", "erin"][..],
        &["issue-client", "-f", "devices.csv", "--out", "devices"],
        &["renew-client", "bob", "--force"],
        &["list-clients"],
        &["ca-rotate", "--status"],
    ] {
        shop.run(command).exits(0);
        assert_eq!(version(&shop), written, "{command:?}");
    }
    for command in [&["expose", "httpbin"][..], &["status", &shop.host]] {
        shop.desk.run(command).exits(0);
        assert_eq!(version(&shop), written, "{command:?}");
    }
    // Every proxy shows that it has loaded the list: nothing is published.
    let before = shop.inventory();
    let again = shop.revoke(&["alice", "-o", "json"]).exits(0).json();
    assert_eq!((version(&shop), shop.inventory()), (written, before));
    let of = |report: &Value, field: &str| report["certificates"][0][field].clone();
    assert_eq!(of(&again, "fate"), "already-revoked");
    assert_eq!(of(&again, "revokedAt"), of(&first, "revokedAt"));
    assert_eq!(again["lists"], first["lists"]);
    let seen = &again["seen"][0];
    assert_eq!(seen["evidence"], "loaded-lists");
    assert_eq!(seen["through"], first["seen"][0]["through"]);
    // Through a single address no proxy can be asked: a new list proves it.
    let at = shop.desk.instance.connect_to();
    let at = shop.revoke(&["alice", "-o", "json", "--connect-to", at]);
    let at = at.exits(0).json();
    assert_eq!(at["seen"][0]["evidence"], "handshakes");
    let number = |report: &Value| report["lists"][0]["number"].as_u64().unwrap();
    assert!(number(&at) > number(&first));
    shop.refuses("alice");
    shop.admits("bob");
}

#[test]
fn one_of_several_certificates_is_named_by_its_serial_or_by_itself() {
    let shop = Shop::open("one", &["alice", "bob", "carol"]);
    let listed = shop.run(&["list-clients", "-o", "json"]).exits(0).json();
    let clients = listed["clients"].as_array().unwrap();
    let alice = clients
        .iter()
        .find(|client| client["name"] == "alice")
        .unwrap();
    let serial = alice["serial"].as_str().unwrap().to_owned();
    shop.revoke(&["--serial", &serial[..12].to_uppercase()])
        .exits(0);
    shop.revoke(&["--certificate", "bob.crt"]).exits(0);
    shop.refuses("alice");
    shop.refuses("bob");
    shop.admits("carol");
    let last = shop.revoke(&["carol"]).exits(0);
    last.says("no client of this authority has a valid certificate");
    shop.refuses("carol");
}

#[test]
fn a_ca_that_ends_within_minutes_still_revokes() {
    let shop = Shop::exposed("ending", &["--ca-ttl", "9m"]);
    for client in ["alice", "bob"] {
        shop.issue(client, &["--ttl", "7m"]);
    }
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    shop.admits("bob");
}

#[test]
fn what_an_interrupted_run_left_unpublished_is_published_first() {
    let shop = Shop::open("lag", &["alice", "bob"]);
    let name = shop.unmove();
    let read = || shop.desk.get("istio-system", "secret", &name);
    shop.revoke(&["alice"]).exits(0).says("--fail-closed");
    shop.refuses("alice");
    let secret = read();
    shop.revoke(&["bob"]).exits(0);
    assert_ne!(read()["data"], secret["data"]);
    // The Secret of one revision ago: bob's revocation never reached it.
    let patch = json!({"data": secret["data"]});
    shop.desk.kubectl(
        &[
            "-n",
            "istio-system",
            "patch",
            "secret",
            &name,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ],
        "",
    );
    shop.issue("carol", &[]);
    shop.revoke(&["carol"]).exits(0);
    for client in ["alice", "bob", "carol"] {
        shop.refuses(client);
    }
}

#[test]
fn who_did_it_stands_in_the_history_and_in_events() {
    let shop = Shop::open("audit", &["alice", "bob"]);
    shop.revoke(&["alice", "--reason", "superseded"]).exits(0);
    let state = shop.state();
    let history = state_of(&state)["history"].clone();
    let line = history.as_array().unwrap().last().unwrap().as_str();
    assert!(
        line.unwrap().contains("revoked alice: superseded"),
        "{history}"
    );
    let events = |namespace: &str| {
        let text = shop
            .desk
            .kubectl(&["-n", namespace, "get", "events", "-o", "json"], "");
        let list: Value = serde_json::from_str(&text).unwrap();
        let items = list["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .filter(|event| {
                event["involvedObject"]["uid"] == state["metadata"]["uid"] || namespace == CLIENTS
            })
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect::<Vec<String>>()
    };
    let said = events("kubectl-mtls");
    assert!(
        said.iter().any(|said| said.contains("revoked alice")),
        "{said:?}"
    );
    let said = events(CLIENTS);
    assert!(
        said.iter()
            .any(|said| said.contains("revoked alice: superseded")),
        "{said:?}"
    );
}

#[test]
fn the_key_of_a_ca_stands_in_the_authoritys_secret_and_nowhere_else() {
    let shop = Shop::open("secret", &["alice"]);
    let keys = shop.desk.get("kubectl-mtls", "secret", &shop.authority);
    let keys = keys["data"].as_object().unwrap().iter();
    let hidden: Vec<String> = keys
        .filter(|(name, _)| !name.contains('.'))
        .flat_map(|(_, key)| {
            let encoded = key.as_str().unwrap().to_owned();
            let pem = String::from_utf8(BASE64.decode(&encoded).unwrap()).unwrap();
            // The line of a P-256 key's PEM that holds its secret number.
            [encoded, pem.lines().nth(1).unwrap().to_owned()]
        })
        .collect();
    assert_eq!(hidden.len(), 2);
    let run = shop.revoke(&["alice", "-v", "9", "-o", "json"]).exits(0);
    shop.desk.hides(&hidden, &run);
}
