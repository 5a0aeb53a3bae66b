//! `issue-client --csr`: anybody's signing request, of which only the key counts unless more is asked for.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::ca_dir::{Offline, openssl};
use crate::lab::PLUGIN;

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";
const RSA: &str = "rsa -pkeyopt rsa_keygen_bits:2048";

/// Makes `own.csr` with openssl.
fn request(offline: &Offline, key: &str, more: &str, extensions: &[&str]) {
    let config = format!(
        "[req]\ndistinguished_name=dn\nreq_extensions=ext\n[dn]\n[ext]\n{}\n",
        extensions.join("\n")
    );
    offline.write("csr.cnf", &config);
    let text = format!(
        "req -new -config csr.cnf -newkey {key} {more} -nodes -keyout own.key -subj /O=Example/OU=a/OU=b/CN=mallory -out own.csr"
    );
    let arguments: Vec<&str> = text.split_whitespace().collect();
    openssl(&offline.path(""), &arguments);
}

fn certificate(offline: &Offline, name: &str) -> String {
    let file = format!("{name}.crt");
    let print = [
        "x509", "-noout", "-text", "-nameopt", "RFC2253", "-in", &file,
    ];
    openssl(&offline.path(""), &print)
}

#[test]
fn only_the_key_of_a_request_counts() {
    let offline = Offline::new();
    let extensions = [
        "subjectAltName=URI:urn:mallory,DNS:mallory.example",
        "keyUsage=keyCertSign",
        "extendedKeyUsage=serverAuth",
        "1.2.3.4=critical,ASN1:UTF8String:unknown",
    ];
    for (name, key, more) in [
        ("p256", P256, ""),
        ("p384-sha256", P384, "-sha256"),
        ("p256-sha512", P256, "-sha512"),
        ("rsa-sha384", RSA, "-sha384"),
    ] {
        request(&offline, key, more, &extensions);
        let run = offline.issue(&[name, "--csr", "own.csr"]).exits(0);
        assert!(!run.stdout.contains(".p12"), "{run:#?}");
        let text = certificate(&offline, name);
        assert!(
            !text.contains("mallory") && !text.contains("1.2.3.4"),
            "{text}"
        );
        assert!(
            !text.contains("Certificate Sign") && !text.contains("Server"),
            "{text}"
        );
        assert!(text.contains(&format!("Subject: CN={name}\n")), "{text}");
        assert!(
            text.contains(&format!("URI:spiffe://kyma-mtls-clients/{name}\n")),
            "{text}"
        );
        let folder = offline.path("");
        let file = format!("{name}.crt");
        assert_eq!(
            openssl(&folder, &["x509", "-noout", "-pubkey", "-in", &file]),
            openssl(&folder, &["pkey", "-pubout", "-in", "own.key"])
        );
    }
}

#[test]
fn subject_and_alternative_names_are_taken_over_when_asked_for() {
    let offline = Offline::new();
    let sans = "subjectAltName=URI:urn:a,DNS:a.example,email:a@example.com,IP:10.0.0.1";
    request(&offline, P256, "", &[sans]);
    offline
        .issue(&[
            "alice",
            "--csr",
            "own.csr",
            "--subject-from",
            "csr",
            "--san-from",
            "csr",
        ])
        .exits(0);
    let text = certificate(&offline, "alice");
    assert!(
        text.contains("Subject: CN=mallory,OU=b,OU=a,O=Example"),
        "{text}"
    );
    let sans = "URI:urn:a, DNS:a.example, email:a@example.com, IP Address:10.0.0.1";
    assert!(text.contains(sans), "{text}");
}

#[test]
fn a_request_comes_on_stdin_too() {
    let offline = Offline::new();
    request(&offline, P256, "", &[]);
    let mut child = Command::new(PLUGIN)
        .args(["issue-client", "alice", "--ca-dir", "ca", "--csr", "-"])
        .current_dir(offline.path(""))
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let csr = offline.read("own.csr");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(csr.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(offline.path("alice.crt").exists());
}

#[test]
fn a_request_that_no_gateway_would_honour_is_refused_with_the_reason() {
    let offline = Offline::new();
    let pss = "-sigopt rsa_padding_mode:pss";
    for (key, more, extension, words) in [
        ("ed25519", "", "", "Ed25519"),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "", "", "P-521"),
        ("rsa -pkeyopt rsa_keygen_bits:1024", "", "", "RSA 1024"),
        ("rsa-pss -pkeyopt rsa_keygen_bits:2048", "", "", "RSA-PSS"),
        (RSA, pss, "", "RSA-PSS"),
        (P256, "", "basicConstraints=critical,CA:TRUE", "CA:TRUE"),
    ] {
        request(&offline, key, more, &[extension]);
        offline.refuses(&["alice", "--csr", "own.csr"], words);
    }
}

#[test]
fn a_damaged_request_is_refused_with_the_reason() {
    let offline = Offline::new();
    request(&offline, P256, "", &[]);
    let whole = offline.read("own.csr");
    offline.write("cut.csr", &whole[..whole.len() / 2]);
    offline.refuses(&["alice", "--csr", "cut.csr"], "cut.csr");
    // Another subject under the same signature.
    let folder = offline.path("");
    openssl(
        &folder,
        &[
            "req", "-in", "own.csr", "-outform", "DER", "-out", "own.der",
        ],
    );
    let mut der = std::fs::read(offline.path("own.der")).unwrap();
    let at = der.windows(7).position(|part| part == b"mallory").unwrap();
    der[at] = b'M';
    std::fs::write(offline.path("own.der"), &der).unwrap();
    openssl(
        &folder,
        &[
            "req",
            "-inform",
            "DER",
            "-in",
            "own.der",
            "-out",
            "forged.csr",
        ],
    );
    offline.refuses(
        &["alice", "--csr", "forged.csr"],
        "not signed by its own key",
    );
    offline.refuses(
        &["alice", "--csr", "own.key"],
        "expected one signing request",
    );
    offline.refuses(&["alice", "--csr", "own.der"], "own.der");
    offline.write("two.csr", &format!("{whole}{whole}"));
    offline.refuses(&["alice", "--csr", "two.csr"], "2 blocks");
    offline.write("long.csr", &whole.repeat(1_000));
    offline.refuses(&["alice", "--csr", "long.csr"], "too many");
    // Without end, and as large as a disk allows.
    offline.refuses(&["alice", "--csr", "/dev/zero"], "/dev/zero");
    let huge = std::fs::File::create(offline.path("huge.csr")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let run = offline.issue(&["alice", "--csr", "huge.csr"]).exits(2);
    assert!(run.says("huge.csr").stdout.is_empty());
    assert!(!offline.path("ca").exists());
}

#[test]
fn names_in_a_request_are_checked_like_any_other() {
    let offline = Offline::new();
    let many: Vec<String> = (0..2_000)
        .map(|host| format!("DNS:host-{host}.example.com"))
        .collect();
    let many = many.join(",");
    for (name, san, words) in [
        ("a", "URI:spiffe://cluster.local/ns/a/sa/b", "cluster.local"),
        ("b", "URI:spiffe://kyma-mtls-clients/bob", "bob"),
        ("c", "@names\n[names]\nURI=urn:a,b", "percent-encode"),
        ("d", "DNS:*.example.com", "DNS SAN"),
        ("e", "otherName:1.2.3;UTF8:x", "SAN that is not a URI"),
        ("f", "DNS:spiffe://kyma-mtls-clients/bob", "DNS SAN"),
        ("g", many.as_str(), "names"),
    ] {
        request(&offline, P256, "", &[&format!("subjectAltName={san}")]);
        let arguments = [name, "--csr", "own.csr", "--san-from", "csr"];
        offline.refuses(&arguments, words);
        // What is not taken over does no harm.
        offline.issue(&[name, "--csr", "own.csr"]).exits(0);
    }
}
