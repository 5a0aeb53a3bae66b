//! A request of ours that another CA signs, and what comes back.

use crate::ca_dir::Offline;

use super::openssl::OpenSsl;
use super::{CA, CLIENT, P256, pem_of};

#[test]
fn openssl_signs_a_request_and_its_certificate_gets_the_files_that_go_with_it() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    let run = offline
        .run(&[
            "issue-client",
            "alice",
            "--request",
            "--subject",
            "CN=alice,OU=b,OU=a,O=Example",
            "--dns",
            "a.example",
        ])
        .exits(0);
    assert!(
        run.stdout
            .contains("kubectl mtls issue-client alice --from-certificate FILE"),
        "{run:#?}"
    );
    assert_eq!(
        (offline.mode("alice.key"), offline.mode("alice.csr")),
        (0o600, 0o644)
    );
    let said = openssl.run("req -in alice.csr -verify -noout -text -nameopt RFC2253");
    for part in [
        "verify OK",
        "CN=alice,OU=b,OU=a,O=Example",
        "URI:spiffe://kyma-mtls-clients/alice, DNS:a.example",
    ] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    offline
        .run(&["issue-client", "alice", "--request"])
        .exits(2)
        .says("alice.key");

    openssl.root("root", P256, "/O=Example/CN=Root", CA);
    openssl.below("root", "issuing", CA);
    openssl.sign("issuing", "alice.csr", "signed.crt", CLIENT);
    openssl.concat(&["signed.crt", "issuing.crt", "root.crt"], "sent.crt");
    let key = offline.read("alice.key");
    let run = offline
        .run(&[
            "issue-client",
            "alice",
            "--from-certificate",
            "sent.crt",
            "--show",
            "curl",
        ])
        .exits(0);
    run.says("was not checked");
    assert_eq!(offline.read("alice.key"), key);
    assert_eq!(offline.read("client-ca.crt"), pem_of(&openssl, "root.crt"));
    openssl.run("verify -x509_strict -purpose sslclient -CAfile client-ca.crt -untrusted alice.fullchain.crt alice.crt");
    let opened = openssl.run("pkcs12 -in alice.p12 -passin file:alice.p12.password -nokeys");
    assert_eq!(opened.matches("BEGIN CERTIFICATE").count(), 3);
}

#[test]
fn what_a_ca_sends_back_may_lie_where_the_certificate_goes_and_be_der() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    offline
        .run(&["issue-client", "alice", "--request", "--encrypt-key"])
        .exits(0);
    openssl.root("ca", P256, "/CN=Outside", CA);
    openssl.sign("ca", "alice.csr", "alice.crt", CLIENT);
    let sent = offline.read("alice.crt");
    let base = ["issue-client", "alice", "--from-certificate"];
    let locked = offline.run(&[&base[..], &["alice.crt"]].concat()).exits(2);
    locked.says("--key-password-file");
    let open = [
        "alice.crt",
        "--key-password-file",
        "alice.key.password",
        "--ca-cert",
        "ca.crt",
    ];
    offline.run(&[&base[..], &open].concat()).exits(0);
    assert_eq!(offline.read("alice.crt"), sent, "left as it was");
    assert!(offline.path("alice.p12").exists());
    openssl.run("x509 -in alice.crt -outform DER -out alice.der");
    std::fs::create_dir(offline.path("again")).unwrap();
    let der = [
        "alice.der",
        "--key",
        "alice.key",
        "--key-password-file",
        "alice.key.password",
        "--out",
        "again",
    ];
    let run = offline.run(&[&base[..], &der].concat()).exits(0);
    run.says("hold no chain");
    assert!(
        !offline.path("again/client-ca.crt").exists(),
        "nobody said whom to trust"
    );
}

#[test]
fn a_certificate_that_does_not_fit_key_or_purpose_is_refused() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    openssl.root("ca", P256, "/CN=Outside", CA);
    for name in ["alice", "bob"] {
        offline.run(&["issue-client", name, "--request"]).exits(0);
    }
    openssl.sign("ca", "bob.csr", "bobs.pem", CLIENT);
    openssl.sign(
        "ca",
        "alice.csr",
        "server.pem",
        "extendedKeyUsage=serverAuth",
    );
    openssl.sign("ca", "alice.csr", "ca.pem", "basicConstraints=CA:TRUE");
    openssl.sign("ca", "alice.csr", "usage.pem", "keyUsage=keyAgreement");
    openssl.sign(
        "ca",
        "alice.csr",
        "critical.pem",
        &format!("{CLIENT}\n1.2.3=critical,ASN1:NULL"),
    );
    let before = std::fs::read_dir(offline.0.path()).unwrap().count();
    for (file, words) in [
        ("bobs.pem", "belongs to the key"),
        ("server.pem", "clientAuth"),
        ("ca.pem", "CA certificate"),
        ("usage.pem", "digitalSignature"),
        ("critical.pem", "1.2.3"),
        ("alice.csr", "CERTIFICATE REQUEST"),
        ("absent.pem", "absent.pem"),
    ] {
        let run = offline
            .run(&["issue-client", "alice", "--from-certificate", file])
            .exits(2)
            .says(words);
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run:#?}");
    }
    assert_eq!(std::fs::read_dir(offline.0.path()).unwrap().count(), before);
    // The CA put bob's identity into a certificate for alice's key.
    openssl.run("req -new -key alice.key -subj /CN=alice -addext subjectAltName=URI:spiffe://kyma-mtls-clients/bob -out forged.csr");
    openssl.sign("ca", "forged.csr", "forged.pem", CLIENT);
    let run = offline
        .run(&["issue-client", "alice", "--from-certificate", "forged.pem"])
        .exits(2);
    run.says("pass for somebody else");
    // A CA that drops the URI is told of, not refused.
    openssl.run("req -new -key alice.key -subj /CN=alice -out bare.csr");
    openssl.sign("ca", "bare.csr", "bare.pem", CLIENT);
    let run = offline
        .run(&["issue-client", "alice", "--from-certificate", "bare.pem"])
        .exits(0);
    run.says("no URI SAN");
    // Known without a cluster: no gateway accepts a client below it.
    openssl.below("ca", "plain", &CA.replace("CA:TRUE", "CA:FALSE"));
    openssl.sign("plain", "bob.csr", "below.pem", CLIENT);
    let below = [
        "issue-client",
        "bob",
        "--from-certificate",
        "below.pem",
        "--ca-cert",
        "plain.crt",
    ];
    offline.run(&below).exits(2).says("CA:TRUE");
}
