//! `revoke-client --ca-dir`: lists of an authority in a directory, as OpenSSL reads them.

use std::process::Command;

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
