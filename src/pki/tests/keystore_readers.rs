//! PKCS#12 files as other programs open them: each program, each profile, each kind of key.
//!
//! A program counts as opening a file when it gives back the private key, the certificate, the CA, and the name.

use super::keystores::{PASSWORD, keystore};
use super::*;
use crate::pki::keystore::Profile;

/// The name of the key in the keystore, `Alice Müller`, as programs print it that know Latin 1 only.
const KEY_NAME: [&str; 2] = ["alice m", "ller"];
/// The name of the certificate beside it, which the library that writes the file takes from the subject.
const CERTIFICATE_NAME: [&str; 1] = ["cn=alice"];

/// What a program gave back.
struct Opened {
    key: PrivateKey,
    certificates: Vec<Certificate>,
    names: String,
}

impl Opened {
    /// Reads what a program wrote: one key and any certificates as PEM, with other text between them.
    fn from_text(text: &str) -> Self {
        let blocks: Vec<pem::Pem> = pem::parse_many(text).unwrap();
        let certificates = blocks
            .iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(|block| Certificate::from_der(block.contents()).unwrap());
        let key = blocks
            .iter()
            .find(|block| block.tag().ends_with("PRIVATE KEY"))
            .unwrap_or_else(|| panic!("no private key in:\n{text}"));
        Self {
            key: PrivateKey::from_pem(pem::encode(key)).unwrap(),
            certificates: certificates.collect(),
            names: text.to_owned(),
        }
    }
}

fn cases() -> impl Iterator<Item = (Profile, KeyType)> {
    let profiles = [Profile::Modern, Profile::Compat].into_iter();
    profiles.flat_map(|profile| {
        [KeyType::P256, KeyType::P384, KeyType::Rsa2048].map(|key_type| (profile, key_type))
    })
}

/// Opens a keystore of every profile and kind of key.
fn opens(program: &str, name: &[&str], open: impl Fn(&Bench) -> Opened) {
    for (profile, key_type) in cases() {
        let case = format!("{program} {profile:?} {key_type}");
        let (bench, key, leaf) = keystore(profile, key_type);
        let opened = open(&bench);
        assert_eq!(opened.key.public_key_der(), key.public_key_der(), "{case}");
        assert_eq!(opened.certificates.len(), 2, "{case}");
        let ca = opened.certificates.iter().find(|one| **one != leaf);
        assert!(opened.certificates.contains(&leaf), "{case}");
        assert!(leaf.is_signed_by(ca.unwrap()), "{case}");
        let names = opened.names.to_lowercase();
        let is_named = name.iter().all(|part| names.contains(part));
        assert!(is_named, "{case}: {names}");
    }
}

#[test]
fn openssl_opens_every_keystore() {
    opens("openssl", &KEY_NAME, |bench| {
        Opened::from_text(&bench.openssl("pkcs12 -in alice.p12 -passin file:password -nodes"))
    });
}

#[test]
fn java_opens_every_keystore() {
    const JAVA: &str = "-J-Duser.language=en -J-Dfile.encoding=UTF-8 -J-Dsun.stdout.encoding=UTF-8 -J-XX:TieredStopAtLevel=1";
    opens("keytool", &KEY_NAME, |bench| {
        // It shows no private key, but writes what it has decrypted into a new store.
        let copy = "-importkeystore -noprompt -srcstoretype PKCS12 -srckeystore alice.p12 -srcstorepass:file java-password \
            -deststoretype PKCS12 -destkeystore copy.p12 -deststorepass:file java-password";
        bench.run("keytool", &words(&format!("{JAVA} {copy}")));
        Opened::from_text(&bench.openssl("pkcs12 -in copy.p12 -passin file:password -nodes"))
    });
    let (bench, ..) = keystore(Profile::Modern, KeyType::P256);
    let list = format!(
        "{JAVA} -list -v -storetype PKCS12 -keystore alice.p12 -storepass:file java-password"
    );
    let listed = bench.run("keytool", &words(&list));
    for expected in ["PrivateKeyEntry", "Certificate chain length: 2"] {
        assert!(listed.contains(expected), "{expected} not in:\n{listed}");
    }
}

#[test]
fn nss_opens_every_keystore() {
    if !Bench::has("pk12util", &[], "libnss3-tools") {
        return;
    }
    for (profile, key_type) in cases() {
        let (bench, ..) = keystore(profile, key_type);
        // It makes the database on the way.
        bench.run("mkdir", &["db"]);
        bench.write("none", "\n");
        let import = "-i alice.p12 -d db -w java-password -k none";
        bench.run("pk12util", &words(import));
        // A key that has no certificate would be an orphan, without the name.
        let keys = bench
            .run("certutil", &words("-K -d db -f none"))
            .to_lowercase();
        let is_named = CERTIFICATE_NAME.iter().all(|part| keys.contains(part));
        assert!(is_named, "{profile:?} {key_type}: {keys}");
        let listed = bench.run("certutil", &words("-L -d db"));
        assert!(listed.contains("Test client CA"), "{listed}");
    }
}

#[test]
fn gnutls_opens_every_keystore() {
    if !Bench::has("certtool", &["--version"], "gnutls-bin") {
        return;
    }
    opens("certtool", &KEY_NAME, |bench| {
        let arguments = [
            "--p12-info",
            "--inder",
            "--infile",
            "alice.p12",
            "--password",
            PASSWORD,
        ];
        let output = bench.output("certtool", &arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        // It shows the key as it is encrypted in there; the second call decrypts it.
        let blocks = pem::parse_many(&said).unwrap();
        let key = blocks
            .iter()
            .find(|block| block.tag().ends_with("PRIVATE KEY"));
        bench.write("encrypted.pem", pem::encode(key.unwrap()));
        let decrypt = [
            "--key-info",
            "--pkcs8",
            "--infile",
            "encrypted.pem",
            "--password",
            PASSWORD,
        ];
        let key = bench.run("certtool", &decrypt);
        let certificates = said.replace("ENCRYPTED PRIVATE KEY", "PASSED OVER");
        Opened::from_text(&format!("{key}\n{certificates}"))
    });
}

#[test]
fn pythons_cryptography_opens_every_keystore() {
    const OPEN: &str = "
import sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.serialization import pkcs12
opened = pkcs12.load_pkcs12(open('alice.p12', 'rb').read(), open('java-password', 'rb').read())
pem = s.Encoding.PEM
out = sys.stdout.buffer
out.write(opened.key.private_bytes(pem, s.PrivateFormat.PKCS8, s.NoEncryption()))
for certificate in [opened.cert, *opened.additional_certs]:
    out.write(certificate.certificate.public_bytes(pem))
out.write(opened.cert.friendly_name)
";
    let import = ["-c", "import cryptography"];
    // Debian's package is of its own Python, which need not be the first one.
    let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let probe = Command::new(python).args(import).output();
        probe.is_ok_and(|output| output.status.success())
    });
    if !Bench::has(python.unwrap_or("python3"), &import, "python3-cryptography") {
        return;
    }
    let python = python.unwrap_or("python3");
    opens("python-cryptography", &CERTIFICATE_NAME, |bench| {
        Opened::from_text(&bench.run(python, &["-c", OPEN]))
    });
}
