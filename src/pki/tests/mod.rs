//! What other implementations say about what is made here, and the fixtures of all tests of this folder.
//!
//! Only here does anything touch files and start programs: OpenSSL 3, Java's keytool, NSS, `GnuTLS` and Python's cryptography, which CI
//! installs.

mod authorities;
mod certificates;
mod chains;
pub(crate) mod crls;
mod damage;
mod foreign;
mod issuers;
mod keys;
mod keystore_readers;
mod keystores;
mod properties;
mod requests;
mod servers;

use super::{
    authority::{Authority, CaRequest},
    inspect::Certificate,
    key::{KeyType, PrivateKey},
    leaf::{self, LeafRequest},
    names::Subject,
};
use std::{
    path::PathBuf,
    process::{Command, Output},
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

/// The tests' present.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

pub(crate) fn authority() -> Authority {
    authority_of(KeyType::P256)
}

pub(crate) fn authority_of(key_type: KeyType) -> Authority {
    let request = CaRequest {
        subject: "CN=Test client CA,OU=b,OU=a,O=Example".parse().unwrap(),
        ttl: Duration::days(365),
        key_type,
    };
    Authority::generate(&request, NOW, [1; 20]).unwrap()
}

pub(crate) fn request() -> LeafRequest {
    LeafRequest {
        subject: Subject::common_name("alice").unwrap(),
        uris: vec!["spiffe://kyma-mtls-clients/alice".to_owned()],
        ttl: Duration::days(90),
        ..LeafRequest::default()
    }
}

/// A client certificate with its key.
pub(crate) fn client(authority: &Authority) -> (PrivateKey, Certificate) {
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let leaf = leaf::issue(authority, &request(), key.public_key_der(), NOW, [2; 20]).unwrap();
    (key, leaf)
}

/// A directory in which programs of other people are run.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path(name), contents).unwrap();
        self
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap_or_else(|error| {
                panic!("these tests compare with `{program}`, which cannot be started ({error}); install OpenSSL 3 and a Java runtime")
            })
    }

    /// Standard output of a run that must succeed.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?} failed:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what a missing program means depends on where the tests run"
    )]
    /// Whether a program can be started here. Where CI runs, all must be there; elsewhere a missing one is told, past the
    /// capture of a test's output.
    fn has(program: &str, arguments: &[&str], package: &str) -> bool {
        use std::io::Write;
        let probe = Command::new(program).args(arguments).output();
        let is_there =
            probe.is_ok_and(|output| output.status.success() || !arguments.contains(&"-c"));
        if !is_there {
            let told = format!("NOT CHECKED: `{program}` is not installed (Debian: {package})");
            assert!(std::env::var_os("CI").is_none(), "{told}");
            let _ = writeln!(std::io::stderr(), "{told}");
        }
        is_there
    }

    fn openssl(&self, arguments: &str) -> String {
        self.run("openssl", &words(arguments))
    }

    /// Whether `openssl verify` accepts a client at that time, and what it said.
    fn verifies(&self, at: OffsetDateTime, arguments: &str) -> (bool, String) {
        let at = at.unix_timestamp();
        let arguments = format!("verify -x509_strict -purpose sslclient -attime {at} {arguments}");
        let output = self.output("openssl", &words(&arguments));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    }

    /// A self-signed certificate of OpenSSL's: `name.crt` and `name.key`, valid for a year from the machine's present on.
    fn foreign_ca(&self, name: &str, key: &str, subject: &str, extensions: &[&str]) -> Certificate {
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        let section = extensions.join("\n");
        self.write(
            "ca.cnf",
            format!("[req]\ndistinguished_name=dn\n[dn]\n[ext]\n{section}\n"),
        );
        let (key_file, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        self.run(
            "openssl",
            &[
                "req",
                "-x509",
                "-config",
                "ca.cnf",
                "-extensions",
                "ext",
                "-utf8",
                "-days",
                "365",
                "-key",
                &key_file,
                "-subj",
                subject,
                "-out",
                &certificate,
            ],
        );
        Certificate::from_pem(self.read(&certificate)).unwrap()
    }
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}
