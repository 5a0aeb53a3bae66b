//! CAs that are not ours: OpenSSL's sign with `--ca-cert`, or sign our request; openssl and the real gateway take what comes out.

mod at_the_gateway;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ca_dir::Offline;
use crate::lab::{Desk, let_in, own_namespace};

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

/// OpenSSL in a folder.
struct OpenSsl<'a>(&'a Path);

impl OpenSsl<'_> {
    /// What it prints; it must succeed.
    #[track_caller]
    fn run(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {said}");
        said
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    /// A self-signed CA: NAME.crt and NAME.key.
    fn root(&self, name: &str, kind: &str, subject: &str, extensions: &str) {
        self.run(&format!("genpkey {kind} -out {name}.key"));
        self.write(
            "root.cnf",
            &format!("[req]\ndistinguished_name=dn\n[dn]\n[ext]\n{extensions}\n"),
        );
        self.run(&format!(
            "req -x509 -config root.cnf -extensions ext -days 365 -key {name}.key -subj {subject} -out {name}.crt"
        ));
    }

    /// A CA below another one.
    fn below(&self, issuer: &str, name: &str, extensions: &str) {
        self.run(&format!("genpkey {P256} -out {name}.key"));
        self.run(&format!(
            "req -new -key {name}.key -subj /DC=com/DC=example/OU=a/OU=b/CN={name} -out {name}.req"
        ));
        self.sign(
            issuer,
            &format!("{name}.req"),
            &format!("{name}.crt"),
            extensions,
        );
    }

    /// What an outside CA does with a request: its SANs are kept where the CA says so.
    fn sign(&self, issuer: &str, request: &str, certificate: &str, extensions: &str) {
        self.write("sign.cnf", &format!("{extensions}\n"));
        self.run(&format!(
            "x509 -req -in {request} -CA {issuer}.crt -CAkey {issuer}.key -days 200 -extfile sign.cnf -copy_extensions copy -out {certificate}"
        ));
    }

    /// An authority's folder for `openssl ca`, which can date back what it signs.
    fn dated(&self, issuer: &str, arguments: &str) {
        const SUBJECT: &str = "commonName=optional\norganizationName=optional\norganizationalUnitName=optional\ndomainComponent=optional";
        self.write(&format!("{issuer}.index"), "");
        self.write(&format!("{issuer}.serial"), "7A01\n");
        self.write("ext.cnf", &format!("{CA}\n"));
        let ca = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={issuer}.index\nserial={issuer}.serial\nnew_certs_dir=.\ndefault_md=sha256\nunique_subject=no\npolicy=p\n[p]\n{SUBJECT}\n[crl]\nauthorityKeyIdentifier=keyid\n"
        );
        self.write("ca.cnf", &ca);
        self.run(&format!(
            "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key {arguments}"
        ));
    }

    /// A CA below another one that has expired.
    fn expired_below(&self, issuer: &str, name: &str) {
        self.below(issuer, name, CA);
        self.dated(
            issuer,
            &format!("-in {name}.req -out {name}.crt -extfile ext.cnf -preserveDN -notext -startdate 20200101000000Z -enddate 20210101000000Z"),
        );
    }

    /// The revocation list of a CA, in ISSUER.crl.
    fn list(&self, issuer: &str, dates: &str, revoked: Option<&str>) {
        self.dated(issuer, "-gencrl -crldays 30 -out unused.crl");
        if let Some(revoked) = revoked {
            self.run(&format!(
                "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key -revoke {revoked}"
            ));
        }
        self.run(&format!(
            "ca -batch -config ca.cnf -cert {issuer}.crt -keyfile {issuer}.key -gencrl -crlexts crl {dates} -out {issuer}.crl"
        ));
    }

    fn concat(&self, files: &[&str], into: &str) {
        let all: String = files
            .iter()
            .map(|name| std::fs::read_to_string(self.0.join(name)).unwrap())
            .collect();
        self.write(into, &all);
    }
}

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
