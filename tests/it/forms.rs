//! `issue-client --format --show`: what a client gets, who may read it, and that it opens what it should.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::ca_dir::{Offline, openssl};
use crate::lab::{call, main_job, seen_by_application};

/// What a program makes of an input; it must succeed.
#[track_caller]
fn piped(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn one_pem_file_holds_key_and_certificate_and_asks_for_no_password() {
    let offline = Offline::new();
    let run = offline.issue(&["alice", "--format", "combined"]).exits(0);
    assert!(run.stdout.contains("alice.combined.pem"), "{run:#?}");
    assert_eq!(offline.mode("alice.combined.pem"), 0o600);
    for absent in ["alice.key", "alice.p12", "alice.p12.password"] {
        assert!(!offline.path(absent).exists(), "{absent}");
    }
    let pem = offline.read("alice.combined.pem");
    let of_key = piped("openssl", &["pkey", "-pubout"], &pem);
    let of_certificate = piped("openssl", &["x509", "-noout", "-pubkey"], &pem);
    assert_eq!(of_key, of_certificate);
    assert!(pem.ends_with(&offline.read("alice.crt")));
}

#[test]
fn forms_are_given_one_by_one_or_separated_by_commas() {
    let offline = Offline::new();
    offline
        .issue(&["alice", "--format", "p12,fullchain"])
        .exits(0);
    offline
        .issue(&["bob", "--format", "p12", "--format", "fullchain"])
        .exits(0);
    for client in ["alice", "bob"] {
        for (suffix, mode) in [
            ("crt", 0o644),
            ("fullchain.crt", 0o644),
            ("key", 0o600),
            ("p12", 0o600),
        ] {
            assert_eq!(
                offline.mode(&format!("{client}.{suffix}")),
                mode,
                "{client}.{suffix}"
            );
        }
        let (chain, own) = (format!("{client}.fullchain.crt"), format!("{client}.crt"));
        assert_eq!(
            offline.read(&chain),
            offline.read(&own),
            "a root is not sent along"
        );
    }
    offline.refuses(&["carol", "--format", "pfx"], "pfx");
}

#[test]
fn an_encrypted_key_without_a_keystore_gets_its_password_all_the_same() {
    let offline = Offline::new();
    offline
        .issue(&["alice", "--format", "pem", "--encrypt-key"])
        .exits(0);
    assert_eq!(offline.mode("alice.key.password"), 0o600);
    let password = format!("pass:{}", offline.read("alice.key.password"));
    piped(
        "openssl",
        &["pkey", "-passin", &password, "-noout"],
        &offline.read("alice.key"),
    );
}

#[test]
fn a_form_that_would_hold_a_key_that_is_not_at_hand_is_refused() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let csr = offline.path("alice.csr");
    let key = offline.path("alice.key");
    let made = Command::new("openssl")
        .args(["req", "-new", "-subj", "/CN=alice", "-key"])
        .args([&key, std::path::Path::new("-out"), &csr])
        .status();
    assert!(made.unwrap().success());
    for form in ["p12", "combined", "secret"] {
        offline.refuses(
            &["bob", "--csr", "alice.csr", "--format", form],
            "stays with the sender",
        );
    }
    offline.refuses(
        &["bob", "--csr", "alice.csr", "--show", "browser"],
        "which this run does not write",
    );
    offline
        .issue(&["bob", "--csr", "alice.csr", "--format", "fullchain"])
        .exits(0);
}

#[test]
fn a_secret_is_printed_whole_and_leaves_no_file() {
    let offline = Offline::new();
    let run = offline
        .issue(&["Robot 7", "--format", "secret", "-o", "json", "-n", "shop"])
        .exits(0);
    run.says("issued a certificate for `Robot 7`");
    let run = offline
        .issue(&["robot-8", "--format", "secret", "-o", "json"])
        .exits(0);
    let secret: Value = run.json();
    assert_eq!(secret["metadata"], serde_json::json!({"name": "robot-8"}));
    assert_eq!(
        (&secret["kind"], &secret["type"]),
        (&"Secret".into(), &"kubernetes.io/tls".into())
    );
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["tls.crt", "tls.key"]);
    let files: Vec<_> = std::fs::read_dir(offline.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["ca"], "a Secret was asked for, and nothing else");
    offline.refuses(&["robot-9", "--format", "secret,pem"], "no other format");
    offline.refuses(
        &["robot-9", "--format", "secret", "--encrypt-key"],
        "encrypted key",
    );
    offline.refuses(&["robot-9", "--format", "secret", "-o", "wide"], "manifest");
}

#[test]
fn a_secret_that_nobody_read_is_not_booked_as_issued() {
    let offline = Offline::new();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(crate::lab::PLUGIN)
        .args([
            "issue-client",
            "robot",
            "--ca-dir",
            "ca",
            "--format",
            "secret",
        ])
        .current_dir(offline.0.path())
        .stdout(full)
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(2));
    let entry = std::fs::read_dir(offline.path("ca/clients"))
        .unwrap()
        .next()
        .unwrap();
    let entry = std::fs::read_to_string(entry.unwrap().path()).unwrap();
    assert!(
        entry.contains("\"kubectl-mtls.dev/state\": \"reserved\""),
        "{entry}"
    );
}

#[test]
fn the_way_into_browsers_names_the_files_and_every_system() {
    let offline = Offline::new();
    let run = offline.issue(&["alice", "--show", "curl,browser"]).exits(0);
    for part in [
        "curl --cert alice.crt --key alice.key https://HOST/",
        "import alice.p12; its password is in the file alice.p12.password",
        "Firefox",
        "Import-PfxCertificate -FilePath 'alice.p12'",
        "security import alice.p12",
        "pk12util -d sql:$HOME/.pki/nssdb -i alice.p12",
    ] {
        assert!(run.stdout.contains(part), "no {part} in {run:#?}");
    }
    let run = offline
        .issue(&["bob", "--show", "browser", "-o", "json"])
        .exits(0);
    assert_eq!(run.json()["guidance"].as_array().unwrap().len(), 1);
    offline.refuses(
        &["carol", "--show", "browser", "--format", "pem"],
        "which this run does not write",
    );
    offline.refuses(&["carol", "--show", "curl", "-o", "name"], "--show");
}

#[test]
fn recipes_name_the_files_and_trust_the_servers_ca_where_expose_wrote_it() {
    let offline = Offline::new();
    let show = "openssl,python,node,go,java";
    let run = offline.issue(&["alice", "--show", show]).exits(0);
    for part in [
        "With openssl s_client, in a shell (HOST is the host that `expose` printed):",
        "cert=(\"alice.crt\", \"alice.key\")",
        "tls.LoadX509KeyPair(\"alice.crt\", \"alice.key\")",
        "Files.readString(Path.of(\"alice.p12.password\"))",
    ] {
        assert!(run.stdout.contains(part), "no {part} in {run:#?}");
    }
    assert!(!run.stdout.contains("server-ca.crt"), "{run:#?}");
    // Another one's CA is none to trust here.
    let made_by = |authority: &str| {
        let subject = format!("/CN={authority} server CA 00000000");
        let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out server-ca.crt -subj";
        let mut arguments: Vec<&str> = key.split(' ').collect();
        arguments.push(&subject);
        openssl(offline.0.path(), &arguments);
    };
    made_by("other");
    let run = offline.issue(&["carol", "--show", "curl"]).exits(0);
    assert!(!run.stdout.contains("server-ca.crt"), "{run:#?}");
    made_by("kyma-mtls");
    let run = offline
        .issue(&["bob", "--show", "curl,python,java", "-o", "json"])
        .exits(0);
    let recipes = run.json()["guidance"].clone();
    for recipe in recipes.as_array().unwrap() {
        let recipe = recipe.as_str().unwrap();
        assert!(recipe.contains("server-ca.crt"), "{recipe}");
    }
    offline.refuses(
        &["dave", "--show", "java", "--format", "pem"],
        "the Java program reads the PKCS#12 file, which this run does not write",
    );
}

#[test]
fn a_secret_applied_by_kubectl_lets_its_client_in() {
    let job = main_job();
    let run = job
        .desk
        .run(&["issue-client", "in-cluster", "--format", "secret"])
        .exits(0);
    job.desk
        .kubectl(&["-n", "shop", "apply", "-f", "-"], &run.stdout);
    let secret = job.desk.get("shop", "secret", "in-cluster");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let part = |key: &str| piped("base64", &["-d"], secret["data"][key].as_str().unwrap());
    let client = job
        .desk
        .nobody()
        .with_certificate(&part("tls.crt"), &part("tls.key"));
    let seen = seen_by_application(&call(&client, &job.host, &[]));
    assert!(seen.to_string().contains("CN=in-cluster"), "{seen}");
}
