//! CAs that are not ours: OpenSSL's sign with `--ca-cert`, or sign our request; openssl and the real gateway take what comes out.

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
    openssl.concat(&["deep.crt", "narrow.crt"], "chain.crt");
    openssl.concat(&["ca.crt", "other.crt"], "stray.crt");
    let before = std::fs::read_dir(offline.0.path()).unwrap().count();
    for (certificate, key, words) in [
        ("ca.crt", "other.key", "does not belong"),
        ("leaf.crt", "leaf.key", "CA:TRUE"),
        ("crl-only.crt", "crl-only.key", "keyCertSign"),
        ("chain.crt", "deep.key", "pathlen"),
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

/// A folder of a user who works on a cluster, with OpenSSL in it.
fn expose(desk: &Desk, host: &str, bundle: &str) {
    let arguments = ["expose", "httpbin", "--host", host, "--client-ca", bundle];
    desk.run(&arguments).exits(0);
}

#[test]
fn a_real_gateway_lets_the_clients_of_every_kind_of_ca_in() {
    let (desk, host) = own_namespace("outside");
    let openssl = OpenSsl(desk.folder.path());
    for (name, kind) in KINDS {
        openssl.root(name, kind, &format!("/O=Example/OU=a/OU=b/CN={name}"), CA);
    }
    openssl.root("root", P256, "/O=Example/CN=Root", CA);
    openssl.below("root", "issuing", CA);
    openssl.concat(&["issuing.crt", "root.crt"], "chain.crt");
    let mut all: Vec<String> = KINDS.map(|(name, _)| format!("{name}.crt")).into();
    all.push("root.crt".to_owned());
    openssl.concat(
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
        "bundle.crt",
    );
    expose(&desk, &host, "bundle.crt");
    for (name, _) in KINDS {
        let (client, certificate, key) = (
            format!("of-{name}"),
            format!("{name}.crt"),
            format!("{name}.key"),
        );
        let arguments = [
            "issue-client",
            &client,
            "--ca-cert",
            &certificate,
            "--ca-key",
            &key,
            "--force",
        ];
        desk.run(&arguments).exits(0);
        let seen = let_in(&desk.client(&client), &host);
        assert!(
            seen.to_string().contains(&format!("CN={client}")),
            "{name}: {seen}"
        );
        std::fs::remove_file(desk.folder.path().join("client-ca.crt")).unwrap();
    }
    let arguments = [
        "issue-client",
        "below",
        "--ca-cert",
        "chain.crt",
        "--ca-key",
        "issuing.key",
    ];
    desk.run(&arguments).exits(0);
    let chain = desk.read("below.fullchain.crt");
    let client = desk
        .nobody()
        .with_certificate(&chain, &desk.read("below.key"));
    let_in(&client, &host);
}

#[test]
fn an_intermediate_may_be_all_that_a_gateway_trusts() {
    let (desk, host) = own_namespace("middle");
    let openssl = OpenSsl(desk.folder.path());
    openssl.root("root", P256, "/O=Example/CN=Root", CA);
    openssl.below("root", "issuing", CA);
    let arguments = [
        "issue-client",
        "alice",
        "--ca-cert",
        "issuing.crt",
        "--ca-key",
        "issuing.key",
    ];
    desk.run(&arguments).exits(0);
    expose(&desk, &host, "client-ca.crt");
    let_in(&desk.client("alice"), &host);
}

#[test]
fn a_certificate_from_outside_is_compared_with_what_the_gateway_trusts() {
    let (desk, host) = own_namespace("signed");
    let openssl = OpenSsl(desk.folder.path());
    for name in ["root", "stranger"] {
        openssl.root(name, P256, &format!("/O=Example/OU=a/OU=b/CN={name}"), CA);
    }
    openssl.below("root", "issuing", CA);
    expose(&desk, &host, "root.crt");
    let secret = gateway_secret(&desk);
    let authority = authority_of(&secret);
    for name in ["carol", "mallory"] {
        desk.run(&["issue-client", name, "--request", "--authority", authority])
            .exits(0);
    }
    openssl.sign("stranger", "mallory.csr", "mallory.pem", CLIENT);
    let from = |name: &str, more: &[&str]| {
        let file = format!("{name}.pem");
        let base = [
            "issue-client",
            name,
            "--from-certificate",
            &file,
            "--authority",
            authority,
        ];
        desk.run(&[&base[..], more].concat())
    };
    let refused = from("mallory", &[]).exits(2);
    refused
        .says("the gateway would refuse the certificate")
        .says("CN=root");
    openssl.sign("issuing", "carol.csr", "carol.pem", CLIENT);
    from("carol", &[]).exits(2).says("--ca-cert FILE");
    from("carol", &["--ca-cert", "issuing.crt"]).exits(0);
    assert_eq!(desk.read("client-ca.crt"), pem_of(&openssl, "root.crt"));
    let chain = desk.read("carol.fullchain.crt");
    let client = desk
        .nobody()
        .with_certificate(&chain, &desk.read("carol.key"));
    let seen = let_in(&client, &host);
    assert!(
        seen.to_string()
            .contains(&format!("spiffe://{authority}-clients/carol")),
        "{seen}"
    );
}

/// The Secret from which the namespace's Gateway reads whom it trusts.
fn gateway_secret(desk: &Desk) -> String {
    let list = [
        "-n",
        &desk.namespace,
        "get",
        "gateways.networking.istio.io",
        "-o",
        "json",
    ];
    let list: Value = serde_json::from_str(&desk.kubectl(&list, "")).unwrap();
    let tls = &list["items"][0]["spec"]["servers"][0]["tls"];
    tls["caCertCredentialName"].as_str().unwrap().to_owned()
}

/// The authority that a `caCertCredentialName` names.
fn authority_of(field: &str) -> &str {
    field.rsplit('/').next().unwrap()
}

/// carol's key, certificates over it of several CAs, and a gateway that trusts one root.
struct Signed {
    desk: Desk,
    host: String,
    authority: String,
}

impl Signed {
    fn new(purpose: &str) -> Self {
        let (desk, host) = own_namespace(purpose);
        let openssl = OpenSsl(desk.folder.path());
        openssl.root("root", P256, "/O=Example/CN=root", CA);
        openssl.below("root", "issuing", CA);
        expose(&desk, &host, "root.crt");
        let secret = gateway_secret(&desk);
        let authority = authority_of(&secret);
        let request = [
            "issue-client",
            "carol",
            "--request",
            "--authority",
            authority,
        ];
        desk.run(&request).exits(0);
        Self {
            authority: authority.to_owned(),
            desk,
            host,
        }
    }

    fn openssl(&self) -> OpenSsl<'_> {
        OpenSsl(self.desk.folder.path())
    }

    /// What `--from-certificate` says of a certificate of the first of these CAs; the others stand above it.
    fn checked(&self, cas: &[&str]) -> crate::lab::Run {
        self.openssl()
            .sign(cas[0], "carol.csr", "carol.pem", CLIENT);
        let files: Vec<String> = cas.iter().map(|ca| format!("{ca}.crt")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        self.openssl().concat(&files, "above.pem");
        let out = self.desk.folder.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(out).unwrap();
        let authority = self.authority.as_str();
        self.desk.run(&[
            "issue-client",
            "carol",
            "--from-certificate",
            "carol.pem",
            "--ca-cert",
            "above.pem",
            "--key",
            "carol.key",
            "--out",
            "out",
            "--authority",
            authority,
        ])
    }

    /// Whether the gateway lets carol in with the certificate and the CAs that were checked last; waits until it does, or does
    /// not, as `expected`.
    fn lets_in(&self, expected: bool) -> bool {
        let chain = self.desk.read("carol.pem") + &self.desk.read("above.pem");
        let key = self.desk.read("carol.key");
        let client = self.desk.nobody().with_certificate(&chain, &key);
        let is_in = || {
            let reply = crate::lab::call_new(&client, &self.host, &[]);
            matches!(reply, sandbox::Reply::Answered { status: 200, .. })
        };
        for _ in 0..100 {
            if is_in() == expected {
                return expected;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        !expected
    }

    /// Puts these CAs' revocation lists beside the bundle.
    fn publish(&self, cas: &[&str]) {
        let files: Vec<String> = cas.iter().map(|ca| format!("{ca}.crl")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        self.openssl().concat(&files, "all.crl");
        let patch = serde_json::json!({"data": {"ca.crl": self.desk.read("all.crl")}});
        let patch = patch.to_string();
        let arguments = [
            "-n",
            "kubectl-mtls",
            "patch",
            "configmap",
            &self.authority,
            "--type=merge",
            "-p",
            &patch,
        ];
        self.desk.kubectl(&arguments, "");
    }
}

#[test]
fn a_ca_above_a_client_that_the_gateway_refuses_is_refused() {
    let signed = Signed::new("above");
    let openssl = signed.openssl();
    openssl.expired_below("root", "expired");
    openssl.below("root", "plain", &CA.replace("CA:TRUE", "CA:FALSE"));
    openssl.below("root", "mute", &CA.replace("keyCertSign,", ""));
    openssl.below("root", "last", &CA.replace("CA:TRUE", "CA:TRUE,pathlen:0"));
    openssl.below("last", "deep", CA);
    signed.checked(&["issuing"]).exits(0);
    assert!(signed.lets_in(true));
    for (cas, words) in [
        (&["expired"][..], "expired"),
        (&["plain"], "CA:TRUE"),
        (&["mute"], "keyCertSign"),
        (&["deep", "last"], "pathlen"),
    ] {
        let run = signed.checked(cas);
        assert!(!signed.lets_in(false), "{cas:?}");
        run.exits(2)
            .says("would refuse the certificate")
            .says(words);
    }
}

#[test]
fn revocation_lists_with_which_the_gateway_refuses_a_client_are_refused() {
    const CURRENT: &str = "-crldays 30";
    const OLD: &str = "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z";
    let signed = Signed::new("lists");
    let openssl = signed.openssl();
    openssl.list("issuing", CURRENT, None);
    openssl.list("root", CURRENT, None);
    signed.publish(&["issuing", "root"]);
    signed.checked(&["issuing"]).exits(0);
    assert!(signed.lets_in(true));
    let refused = |words: &str| {
        let run = signed.checked(&["issuing"]);
        assert!(!signed.lets_in(false), "{words}");
        run.exits(2)
            .says("would refuse the certificate")
            .says(words);
    };
    signed.publish(&["issuing"]);
    refused("none of the issuing CA `CN=root");
    signed.publish(&["root"]);
    refused("none of the issuing CA `CN=issuing");
    openssl.list("root", OLD, None);
    signed.publish(&["issuing", "root"]);
    refused("has expired");
    openssl.list("root", CURRENT, Some("issuing.crt"));
    signed.publish(&["issuing", "root"]);
    refused("is revoked");
}
