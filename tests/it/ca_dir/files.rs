//! The files of a client: where they are written, who may read them, and what is never overwritten.

use super::{Offline, listing, openssl};

#[test]
fn secrets_are_for_their_owner_only_and_certificates_for_everybody() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    for private in ["alice.key", "alice.p12", "alice.p12.password", "ca/ca.key"] {
        assert_eq!(offline.mode(private), 0o600, "{private}");
    }
    for public in ["alice.crt", "client-ca.crt", "ca/ca.crt"] {
        assert_eq!(offline.mode(public), 0o644, "{public}");
    }
}

#[test]
fn openssl_trusts_the_certificate_as_a_client_and_opens_the_keystore_with_the_password_given() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let folder = offline.0.path();
    let verified = openssl(
        folder,
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            "client-ca.crt",
            "alice.crt",
        ],
    );
    assert_eq!(verified, "alice.crt: OK\n");
    let opened = openssl(
        folder,
        &[
            "pkcs12",
            "-in",
            "alice.p12",
            "-passin",
            "file:alice.p12.password",
            "-nodes",
        ],
    );
    for part in [
        &offline.read("alice.crt"),
        &offline.read("ca/ca.crt"),
        &offline.read("alice.key"),
    ] {
        assert!(
            opened.contains(part.as_str()),
            "missing in the keystore:\n{part}"
        );
    }
    let text = openssl(
        folder,
        &[
            "x509",
            "-in",
            "alice.crt",
            "-noout",
            "-subject",
            "-ext",
            "subjectAltName",
        ],
    );
    assert!(text.contains("subject=CN = alice"), "{text}");
    assert!(
        text.contains("URI:spiffe://kyma-mtls-clients/alice"),
        "{text}"
    );
}

#[test]
fn a_password_of_ones_own_comes_from_a_file_and_is_not_written_again() {
    let offline = Offline::new();
    offline.write("secret", "correct horse\n");
    offline
        .issue(&["alice", "--p12-password-file", "secret"])
        .exits(0);
    assert!(!offline.path("alice.p12.password").exists());
    openssl(
        offline.0.path(),
        &[
            "pkcs12",
            "-in",
            "alice.p12",
            "-passin",
            "pass:correct horse",
            "-noout",
        ],
    );
}

#[test]
fn output_folders_are_made_and_go_again_where_nothing_comes_into_them() {
    let offline = Offline::new();
    offline.issue(&["alice", "--out", "of/alice"]).exits(0);
    assert_eq!(offline.mode("of/alice/alice.key"), 0o600);
    offline
        .issue(&["bob", "carol", "--out", "of/others"])
        .exits(0);
    assert!(offline.path("of/others/carol.crt").exists());
    offline.write("bad.csv", "name,ttl\nada,soon\n");
    for bad in [
        vec!["alice", "--out", "new/one"],
        vec!["-f", "bad.csv", "--out", "new/many"],
        vec!["dave", "--out", "of/alice/alice.crt/below"],
    ] {
        offline.issue(&bad).exits(2);
        assert!(!offline.path("new").exists(), "{bad:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let offline = Offline::new();
    offline.write("file", "");
    offline.refuses(&["alice", "--out", "file"], "file");
    // Nobody can make files there, not even root.
    offline.refuses(&["alice", "--out", "/proc"], "/proc");
    let before = listing(offline.0.path());
    for place in ["/proc/ca", "file"] {
        let run = offline.run(&["issue-client", "alice", "--ca-dir", place]);
        assert_eq!(run.exits(2).says(place).stdout, "");
    }
    assert_eq!(listing(offline.0.path()), before);
}

#[test]
fn files_that_exist_are_not_overwritten_unasked() {
    for name in ["alice.crt", "alice.key", "alice.p12", "alice.p12.password"] {
        let offline = Offline::new();
        offline.write(name, "precious");
        offline.refuses(&["alice"], name);
        offline.issue(&["alice", "--force"]).exits(0);
        assert_ne!(std::fs::read(offline.path(name)).unwrap(), b"precious");
    }
    let offline = Offline::new();
    offline.write("client-ca.crt", "of another CA");
    offline.refuses(&["alice"], "client-ca.crt");
}
