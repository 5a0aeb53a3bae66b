//! CAs that are not ours: OpenSSL's sign with `--ca-cert`, or sign our request; openssl and the real gateway take what comes out.

mod at_the_gateway;
mod openssl;
mod requests;

use crate::ca_dir::Offline;
use openssl::OpenSsl;

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid";
const CLIENT: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid";
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
/// Kinds of CA keys.
const KINDS: [(&str, &str); 5] = [
    ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ("p256", P256),
    ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    ("ed25519", "-algorithm ED25519"),
];

fn given(offline: &Offline, name: &str, ca: &str, more: &[&str]) -> crate::lab::Run {
    let (certificate, key) = (format!("{ca}.crt"), format!("{ca}.key"));
    let base = [
        "issue-client",
        name,
        "--ca-cert",
        &certificate,
        "--ca-key",
        &key,
    ];
    offline.run(&[&base[..], more].concat())
}

#[test]
fn a_given_ca_of_any_kind_signs_clients_that_openssl_takes_and_names_it_exactly() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    for (name, kind) in KINDS {
        openssl.root(
            name,
            kind,
            "/C=DE/O=Example/OU=a/OU=b/DC=x/DC=y/CN=Outside",
            CA,
        );
        let client = format!("{name}-client");
        let run = given(&offline, &client, name, &["--force"]).exits(0);
        run.says("no inventory is kept");
        openssl.run(&format!(
            "verify -x509_strict -purpose sslclient -CAfile {name}.crt {client}.crt"
        ));
        let bytes = "-noout -nameopt dump_all,dump_der,oid";
        let issuer = openssl.run(&format!("x509 -in {client}.crt -issuer {bytes}"));
        let subject = openssl.run(&format!("x509 -in {name}.crt -subject {bytes}"));
        assert_eq!(
            issuer.strip_prefix("issuer="),
            subject.strip_prefix("subject=")
        );
    }
    assert!(!offline.path("clients").exists());
}

#[test]
fn a_cas_encrypted_key_is_opened_with_the_password_of_a_file() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    openssl.root("ca", P256, "/CN=Outside", CA);
    openssl.run("pkcs8 -topk8 -in ca.key -passout pass:secret -out locked.key");
    let base = [
        "issue-client",
        "alice",
        "--ca-cert",
        "ca.crt",
        "--ca-key",
        "locked.key",
    ];
    let run = offline.run(&base).exits(2);
    run.says("--ca-key-password-file");
    offline.write("wrong", "guess\n");
    let wrong = [&base[..], &["--ca-key-password-file", "wrong"]].concat();
    offline.run(&wrong).exits(2).says("does not open");
    offline.write("right", "secret\n");
    let right = [&base[..], &["--ca-key-password-file", "right"]].concat();
    offline.run(&right).exits(0);
}

#[test]
fn an_intermediates_clients_carry_their_chain() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    openssl.root("root", P256, "/O=Example/CN=Root", CA);
    openssl.below("root", "middle", CA);
    openssl.below(
        "middle",
        "issuing",
        &CA.replace("CA:TRUE", "CA:TRUE,pathlen:0"),
    );
    openssl.concat(&["issuing.crt", "middle.crt", "root.crt"], "bundle.crt");
    let base = [
        "issue-client",
        "alice",
        "--ca-cert",
        "bundle.crt",
        "--ca-key",
        "issuing.key",
    ];
    offline.run(&base).exits(0);
    assert_eq!(offline.read("client-ca.crt"), pem_of(&openssl, "root.crt"));
    let full = offline.read("alice.fullchain.crt");
    assert_eq!(
        full.matches("BEGIN CERTIFICATE").count(),
        3,
        "leaf and two intermediates"
    );
    openssl.run(
        "verify -x509_strict -purpose sslclient -CAfile client-ca.crt -untrusted alice.fullchain.crt alice.crt",
    );
    let opened = openssl.run("pkcs12 -in alice.p12 -passin file:alice.p12.password -nokeys");
    assert_eq!(
        opened.matches("BEGIN CERTIFICATE").count(),
        4,
        "with the root"
    );
    let alone = [
        "issue-client",
        "bob",
        "--ca-cert",
        "bundle.crt",
        "--ca-key",
        "issuing.key",
        "--format",
        "combined",
    ];
    offline.run(&alone).exits(0);
    assert_eq!(
        offline
            .read("bob.combined.pem")
            .matches("BEGIN CERTIFICATE")
            .count(),
        3
    );
}

/// A certificate as we write it.
fn pem_of(openssl: &OpenSsl<'_>, file: &str) -> String {
    openssl.run(&format!("x509 -in {file}"))
}

#[test]
fn a_ca_whose_clients_nobody_would_take_signs_nothing() {
    let offline = Offline::new();
    let openssl = OpenSsl(offline.0.path());
    openssl.root("ca", P256, "/CN=Outside", CA);
    openssl.root("other", P256, "/CN=Other", CA);
    openssl.root("leaf", P256, "/CN=Leaf", "basicConstraints=CA:FALSE");
    openssl.root(
        "crl-only",
        P256,
        "/CN=Crl",
        "basicConstraints=CA:TRUE\nkeyUsage=cRLSign",
    );
    openssl.root(
        "narrow",
        P256,
        "/CN=Narrow",
        &CA.replace("CA:TRUE", "CA:TRUE,pathlen:0"),
    );
    openssl.below("narrow", "deep", CA);
    let critical = format!("{CA}\n1.2.3.4=critical,ASN1:UTF8String:x");
    openssl.root("critical", P256, "/CN=Critical", &critical);
    openssl.concat(&["deep.crt", "narrow.crt"], "chain.crt");
    openssl.concat(&["ca.crt", "other.crt"], "stray.crt");
    let before = std::fs::read_dir(offline.0.path()).unwrap().count();
    for (certificate, key, words) in [
        ("ca.crt", "other.key", "does not belong"),
        ("leaf.crt", "leaf.key", "CA:TRUE"),
        ("crl-only.crt", "crl-only.key", "keyCertSign"),
        ("chain.crt", "deep.key", "pathlen"),
        (
            "critical.crt",
            "critical.key",
            "critical extension `1.2.3.4`",
        ),
        ("stray.crt", "ca.key", "is not an issuer of"),
        ("ca.key", "ca.key", "PRIVATE KEY"),
        ("absent.crt", "ca.key", "absent.crt"),
    ] {
        let run = offline.run(&[
            "issue-client",
            "alice",
            "--ca-cert",
            certificate,
            "--ca-key",
            key,
        ]);
        let run = run.exits(2).says(words);
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run:#?}");
    }
    given(
        &offline,
        "alice",
        "ca",
        &["--uri", "spiffe://cluster.local/ns/a"],
    )
    .exits(2);
    offline
        .run(&["issue-client", "alice", "--ca-cert", "ca.crt"])
        .exits(2)
        .says("--request");
    assert_eq!(std::fs::read_dir(offline.0.path()).unwrap().count(), before);
    given(&offline, "alice", "ca", &["--ttl", "400d"])
        .exits(0)
        .says("instead of 400d");
}
