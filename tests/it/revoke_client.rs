//! `revoke-client` on real gateways: who is refused when it returns, who is not, and what it never does.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kubectl_mtls::pki::crl::Reason;
use sandbox::{Environment, Interceptor, Reply};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab::{Desk, Run, call, own_namespace_on, started, state_of};
use crate::shop::{CLIENTS, Shop};
use crate::stage::{NAMESPACE, stage};

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

/// When the API server had stored the last change of a state, by its audit log.
fn written(shop: &Shop) -> OffsetDateTime {
    let log = shop.desk.instance.run_dir().join("log/audit.log");
    let log = std::fs::read_to_string(log).unwrap();
    let is_change = |event: &Value| {
        event["verb"] == "update"
            && event["objectRef"]["resource"] == "configmaps"
            && event["objectRef"]["name"] == *shop.authority
    };
    let mut events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let last = events.rfind(is_change).unwrap();
    OffsetDateTime::parse(last["stageTimestamp"].as_str().unwrap(), &Rfc3339).unwrap()
}

#[test]
fn it_returns_only_after_the_gateway_refuses() {
    let shop = Shop::open("quick", &["alice", "bob"]);
    let caller = shop.desk.client("alice");
    let (refused, ended) = std::thread::scope(|scope| {
        let host = &shop.host;
        let watch = scope.spawn(move || {
            let refused = Reply::Refused("certificate_revoked".to_owned());
            while call(&caller, host, &[]) != refused {}
            OffsetDateTime::now_utc()
        });
        shop.revoke(&["alice"]).exits(0);
        let ended = OffsetDateTime::now_utc();
        (watch.join().unwrap(), ended)
    });
    let written = written(&shop);
    let figure = format!(
        "revoke-client: refused {} ms after the write, returned {} ms after it\n",
        (refused - written).whole_milliseconds(),
        (ended - written).whole_milliseconds()
    );
    std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/revoke-client.txt"),
        figure,
    )
    .unwrap();
    // One call may have begun before the gateway had the list.
    assert!(
        refused - ended < time::Duration::milliseconds(300),
        "{refused} {ended}"
    );
}

#[test]
fn while_one_replica_of_several_has_not_loaded_the_list_no_run_succeeds_and_the_replica_is_named() {
    let stage = stage();
    stage.clear();
    let desk = Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "alice", "bob"]).exits(0);
    let host = format!("httpbin.mtls.{}", desk.instance.domain());
    let replicas = desk.instance.replicas();
    let answers = |client: &str| {
        let caller = desk.client(client);
        [&replicas[0], &replicas[1]].map(|replica| {
            let caller = caller.at(replica.tls().to_string());
            match call(&caller, &host, &[]) {
                Reply::Answered { status, .. } => status.to_string(),
                Reply::Refused(alert) => alert,
                Reply::Broken(reason) => panic!("{reason}"),
            }
        })
    };
    let revoke = ["revoke-client", "alice", "--timeout", "3s"];
    desk.instance.hold_replica(1);
    let runs = [desk.run(&revoke), desk.run(&revoke)];
    // Where nobody may port-forward, the load balancer leads to both.
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let blind = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    let blind = blind.run(&revoke);
    let while_held = ["alice", "bob"].map(answers);
    desk.instance.release_replica(1);
    let [in_time, late] = [&replicas[0].pod, &replicas[1].pod];
    for run in runs {
        let run = run
            .exits(124)
            .says(late)
            .says("must be rejected with `certificate_revoked` was answered")
            .says("the revocation is published; run the same command again");
        let (_, error) = run.stderr.split_once("error: ").unwrap();
        assert!(!error.contains(in_time), "{error}");
    }
    blind.exits(124).says(desk.instance.connect_to());
    assert_eq!(while_held, [["certificate_revoked", "200"], ["200", "200"]]);

    let last = desk.run(&revoke).exits(0).stdout;
    assert!(last.contains(in_time) && last.contains(late), "{last}");
    let at_last = ["alice", "bob"].map(answers);
    assert_eq!(at_last, [["certificate_revoked"; 2], ["200"; 2]]);
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

/// The writes of a run.
#[track_caller]
fn writes_nothing(shop: &Shop, run: impl FnOnce() -> Run) -> Run {
    let before = (shop.state(), shop.state(), shop.inventory());
    let run = run();
    assert_eq!((shop.state(), shop.state(), shop.inventory()), before);
    run
}

#[test]
fn who_is_not_known_is_not_revoked() {
    let shop = Shop::open("bad", &["alice"]);
    let other = Shop::open("other", &["mallory"]);
    std::fs::write(
        shop.desk.folder.path().join("mallory.crt"),
        other.desk.read("mallory.crt"),
    )
    .unwrap();
    for (arguments, says) in [
        (vec!["ALICE"], "did you mean `alice`?"),
        (vec!["zoe"], "known clients: `alice`"),
        (
            vec!["--serial", "00112233445566778899"],
            "no certificate of this authority has the serial number",
        ),
        (vec!["--serial", "xyz"], "is not a serial number"),
        (
            vec!["--certificate", "mallory.crt"],
            "was not issued by the authority",
        ),
        (
            vec!["--certificate", "client-ca.crt"],
            "is a CA of this authority",
        ),
        (
            vec!["--certificate", "alice.key"],
            "holds no certificate to revoke",
        ),
        (vec!["alice", "--reason", "boredom"], "keyCompromise"),
        (vec!["alice", "--serial", "0011"], "cannot be used with"),
        (vec!["alice", "--timeout", "1h"], "ten minutes"),
        (vec![], "required arguments"),
    ] {
        writes_nothing(&shop, || shop.revoke(&arguments).exits(2).says(says));
    }
    let nobody = ["revoke-client", "alice", "--authority", "nobodys"];
    shop.desk
        .run(&nobody)
        .exits(2)
        .says("there is no authority `nobodys`");
    let dry = writes_nothing(&shop, || shop.revoke(&["alice", "--dry-run"]).exits(0));
    assert!(dry.stdout.contains("would be revoked"), "{dry:#?}");
    writes_nothing(&shop, || {
        shop.revoke(&["alice", "--dry-run=server"]).exits(0)
    });
    shop.admits("alice");
}

#[test]
fn an_authority_that_is_not_as_it_was_written_is_left_alone() {
    let shop = Shop::open("edited", &["alice"]);
    let mut good = shop.state()["data"].clone();
    // A merge patch removes what is null.
    good["ca.crl"] = Value::Null;
    let cut = |field: &str, keep: usize| {
        let text = good[field].as_str().unwrap();
        text[..keep].to_owned()
    };
    let with = |field: &str, value: Value| {
        let mut state = state_of(&shop.state());
        state[field] = value;
        json!({"state.json": state.to_string()})
    };
    for (data, says) in [
        (json!({"format": "3"}), "the format is `3`"),
        (json!({"ca.crt": cut("ca.crt", 300)}), "ca.crt"),
        (with("issuing", json!("00")), "edited by hand"),
        (with("revision", json!("soon")), "`state.json` is damaged"),
        (with("keysSecret", json!("")), "edited by hand"),
        (with("keysSecret", json!("nowhere")), "does not exist"),
        (
            json!({"ca.crl": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"}),
            "were edited or removed by hand",
        ),
        (with("ends", json!("what")), "edited by hand"),
    ] {
        shop.edit_state(&data);
        writes_nothing(&shop, || shop.revoke(&["alice"]).exits(2).says(says));
        shop.edit_state(&good);
    }
    // A key of somebody else in the place of the CA's.
    let keys = shop.desk.get("kubectl-mtls", "secret", &shop.authority);
    let is_key = |(name, _): &(&String, &Value)| !name.contains('.');
    let mut all = keys["data"].as_object().unwrap().iter().filter(is_key);
    let (ski, key) = all.next().unwrap();
    let foreign = Command::new("sh")
        .args([
            "-c",
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | base64 -w0",
        ])
        .output()
        .unwrap();
    let put = |value: &str| {
        let patch = json!({"data": {ski.as_str(): value}}).to_string();
        let name = &shop.authority;
        shop.desk.kubectl(
            &[
                "-n",
                "kubectl-mtls",
                "patch",
                "secret",
                name,
                "--type=merge",
                "-p",
                &patch,
            ],
            "",
        );
    };
    put(&String::from_utf8(foreign.stdout).unwrap());
    writes_nothing(&shop, || {
        shop.revoke(&["alice"])
            .exits(2)
            .says("does not belong to the CA")
    });
    put(key.as_str().unwrap());
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
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
fn beside_a_foreign_ca_nothing_is_revoked_because_its_clients_would_be_refused() {
    let shop = Shop::open("foreign", &["alice"]);
    let folder = shop.desk.folder.path();
    let run = Command::new("sh")
        .args(["-c", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=theirs -keyout their.key -out their.crt && printf %s \"$MINE\" | cat - their.crt"])
        .env("MINE", shop.state()["data"]["ca.crt"].as_str().unwrap())
        .current_dir(folder)
        .output()
        .unwrap();
    let both = String::from_utf8(run.stdout).unwrap();
    shop.edit_state(&json!({"ca.crt": both}));
    let refused = writes_nothing(&shop, || shop.revoke(&["alice"]).exits(2));
    refused
        .says("would reject all clients of that CA")
        .says("CN=theirs")
        .says("--drop-external")
        .says("--allow NAME");
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

#[test]
fn a_list_of_a_directory_is_what_openssl_checks_by() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| crate::lab::plugin(folder.path(), &[], arguments);
    for client in ["alice", "bob"] {
        run(&["issue-client", client, "--ca-dir", "ca"]).exits(0);
    }
    run(&[
        "revoke-client",
        "alice",
        "--ca-dir",
        "ca",
        "--reason",
        "keyCompromise",
    ])
    .exits(0);
    let verifies = |client: &str| {
        Command::new("openssl")
            .args([
                "verify",
                "-x509_strict",
                "-crl_check",
                "-CAfile",
                "ca/ca.crt",
                "-CRLfile",
                "ca/ca.crl",
            ])
            .arg(format!("{client}.crt"))
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    };
    assert!(!verifies("alice") && verifies("bob"));
    // A second list keeps what the first one revoked.
    run(&["revoke-client", "bob", "--ca-dir", "ca"])
        .exits(0)
        .says("no client of this authority has a valid certificate");
    assert!(!verifies("alice") && !verifies("bob"));
    run(&["revoke-client", "bob", "--ca-dir", "elsewhere"])
        .exits(2)
        .says("there is no CA in `elsewhere`");
    std::fs::write(folder.path().join("ca/ca.crl"), "not a list").unwrap();
    run(&["revoke-client", "bob", "--ca-dir", "ca"])
        .exits(2)
        .says("cannot be read");
}

#[test]
fn clients_of_one_serial_number_are_refused_together_only_when_that_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| crate::lab::plugin(folder.path(), &[], arguments);
    run(&["issue-client", "alice", "--ca-dir", "ca"]).exits(0);
    let openssl = |arguments: &str| {
        let mut openssl = Command::new("openssl");
        openssl
            .args(arguments.split(' '))
            .current_dir(folder.path());
        assert!(openssl.output().unwrap().status.success(), "{arguments}");
    };
    openssl("req -newkey rsa:2048 -nodes -keyout bob.key -out bob.csr -subj /CN=bob");
    openssl(
        "x509 -req -days 30 -CA ca/ca.crt -CAkey ca/ca.key -set_serial 0 -in bob.csr -out bob.crt",
    );
    let revoke = [
        "revoke-client",
        "--certificate",
        "bob.crt",
        "--ca-dir",
        "ca",
    ];
    run(&revoke)
        .exits(2)
        .says("every other client whose certificate has the serial number 0")
        .says("--yes");
    assert!(!folder.path().join("ca/ca.crl").exists());
    run(&[&revoke[..], &["--yes"]].concat()).exits(0);
    let list = ["list-clients", "--ca-dir", "ca", "-o", "json"];
    let list = run(&list).exits(0).json();
    let mut clients = list["clients"].as_array().unwrap().iter();
    let bob = clients.find(|client| client["name"] == "bob").unwrap();
    assert_eq!(bob["state"], "revoked", "{list:#}");
}
