//! What `revoke-client` refuses, and that it writes nothing then.

use std::process::Command;

use serde_json::{Value, json};

use crate::lab::{Run, state_of};
use crate::shop::Shop;

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
