//! Certificates from outside at a real gateway: who gets in, and what is compared before.

use sandbox::{Fault, Interceptor, Reply};
use serde_json::Value;

use super::openssl::OpenSsl;
use super::{CA, CLIENT, KINDS, P256, pem_of};
use crate::lab::{Desk, Run, call_new, let_in, own_namespace};

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
fn which_certificates_of_an_external_ca_the_host_guard_refuses_is_told_before_it_is_written() {
    let (desk, host) = own_namespace("unidentified");
    let openssl = OpenSsl(desk.folder.path());
    openssl.root("company", P256, "/O=Example/CN=company", CA);
    let clients = [
        ("blank", "/", ""),
        ("subject", "/CN=somebody", ""),
        (
            "uri",
            "/",
            "subjectAltName=URI:spiffe://company.example/uri",
        ),
        ("dns", "/", "subjectAltName=DNS:device.example.com"),
    ];
    for (name, subject, san) in clients {
        openssl.run(&format!("genpkey {P256} -out {name}.key"));
        openssl.run(&format!(
            "req -new -key {name}.key -subj {subject} -out {name}.req"
        ));
        let extensions = format!("{CLIENT}\n{san}");
        let certificate = format!("{name}.crt");
        openssl.sign("company", &format!("{name}.req"), &certificate, &extensions);
    }
    let answers = || {
        clients.map(
            |(name, ..)| match call_new(&desk.client(name), &host, &[]) {
                Reply::Answered { status, .. } => status,
                other => panic!("{name}: {other}"),
            },
        )
    };
    expose(&desk, &host, "company.crt");
    assert_eq!(answers(), [200; 4]);

    let tells = |run: Run| {
        run.says("warning: the host guard rejects certificates of the external CA ")
            .says("(`CN=company,O=Example`) that have an empty subject and neither a URI nor a DNS SAN\n")
    };
    let guard = ["expose", "httpbin", "--guard"];
    for dry_run in ["--dry-run=client", "--dry-run=server"] {
        let dry_run = [&guard[..], &[dry_run]].concat();
        tells(desk.run(&dry_run).exits(0));
    }
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let through = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    door.plan_write("/authorizationpolicies/", Fault::Answer(403));
    tells(through.run(&guard).exits(2)).says("nothing was changed");
    assert_eq!(answers(), [200; 4]);

    tells(desk.run(&guard).exits(0));
    assert_eq!(answers(), [403, 200, 200, 200]);
    let list = [
        "expose",
        "httpbin",
        "--allow",
        "spiffe://company.example/uri",
    ];
    tells(desk.run(&list).exits(0));
    assert_eq!(answers(), [403, 403, 200, 403]);
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
