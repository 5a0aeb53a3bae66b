//! What is delivered, and what a rerun finds.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::*;
use crate::io::execute::CredentialWriter;
use crate::io::files;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::keystore::Profile;
use crate::pki::tests::{authority, client};
use crate::plan::issue_client::ExistingFiles;
use crate::plan::{ClientKey, Credential, Delivery, Identity};

/// Delivers into a new folder; the names of its files, and what a rerun finds there.
fn delivered(
    key_of: impl Fn(&Arc<PrivateKey>) -> ClientKey,
    encrypts_key: bool,
) -> (tempfile::TempDir, Vec<String>, ExistingFiles) {
    let formats = vec![FileFormat::Pem, FileFormat::P12];
    delivered_as(&FileFormats::Files(formats), key_of, encrypts_key)
}

fn delivered_as(
    formats: &FileFormats,
    key_of: impl Fn(&Arc<PrivateKey>) -> ClientKey,
    encrypts_key: bool,
) -> (tempfile::TempDir, Vec<String>, ExistingFiles) {
    let place = tempfile::tempdir().unwrap();
    let authority = authority();
    let (private, certificate) = client(&authority);
    let private = Arc::new(private);
    let key = key_of(&private);
    let name = "alice".parse().unwrap();
    let settings = Settings {
        formats: formats.clone(),
        encrypts_key,
        profile: Profile::Modern,
        password_file: None,
        force: false,
    };
    let folder = ClientFolder {
        path: place.path(),
        name: &name,
        key: &key,
        key_file: None,
        settings: &settings,
    };
    let at_hand = !matches!(key, ClientKey::Elsewhere(_));
    let credential = Credential {
        identity: Identity {
            key: at_hand.then_some(private),
            certificate: certificate.clone(),
        },
        trusted_pem: authority.certificate().pem(),
        chain: vec![authority.certificate().clone()],
    };
    let password = Password::given(Zeroizing::new("secret".to_owned())).unwrap();
    let mut writer = FolderWriter::new(&folder);
    writer.password = at_hand.then_some(password);
    writer
        .write(&Delivery::Credential(Box::new(credential)), &[])
        .unwrap();
    let mut names: Vec<String> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let existing = folder.existing().unwrap();
    assert_eq!(existing.certificate, Some(certificate));
    (place, names, existing)
}

#[test]
fn a_new_key_is_written_beside_its_certificate() {
    let (_, names, existing) = delivered(|_| ClientKey::New(KeyType::P256), false);
    assert_eq!(
        names,
        ["alice.crt", "alice.key", "alice.p12", "client-ca.crt"]
    );
    assert_eq!(existing.in_the_way.len(), 3);
}

#[test]
fn a_new_key_is_encrypted_where_that_is_wanted() {
    let (place, ..) = delivered(|_| ClientKey::New(KeyType::P256), true);
    let pem = files::read(&place.path().join("alice.key")).unwrap();
    assert!(PrivateKey::from_encrypted_pem(pem, "secret").is_ok());
}

#[test]
fn only_the_forms_that_were_asked_for_are_written_and_a_rerun_knows_them() {
    let new = |_: &Arc<PrivateKey>| ClientKey::New(KeyType::P256);
    for (form, files) in [
        (
            FileFormat::P12,
            ["alice.crt", "alice.p12", "client-ca.crt"].as_slice(),
        ),
        (
            FileFormat::Pem,
            &["alice.crt", "alice.key", "client-ca.crt"],
        ),
        (
            FileFormat::Combined,
            &["alice.combined.pem", "alice.crt", "client-ca.crt"],
        ),
        (
            FileFormat::Fullchain,
            &[
                "alice.crt",
                "alice.fullchain.crt",
                "alice.key",
                "client-ca.crt",
            ],
        ),
    ] {
        let (_, names, _) = delivered_as(&FileFormats::Files(vec![form]), new, false);
        assert_eq!(names, files);
    }
}

#[test]
fn one_file_holds_a_key_that_only_its_owner_reads_and_its_certificate() {
    let formats = FileFormats::Files(vec![FileFormat::Combined]);
    for encrypts in [false, true] {
        let new = |_: &Arc<PrivateKey>| ClientKey::New(KeyType::P256);
        let (place, ..) = delivered_as(&formats, new, encrypts);
        let path = place.path().join("alice.combined.pem");
        let pem = String::from_utf8(files::read(&path).unwrap()).unwrap();
        let label = if encrypts {
            "ENCRYPTED PRIVATE KEY"
        } else {
            "PRIVATE KEY"
        };
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")));
        assert_eq!(
            pem.matches("BEGIN CERTIFICATE").count(),
            1,
            "a root is not sent along"
        );
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_given_key_is_not_written_again() {
    let (_, names, _) = delivered(|key| ClientKey::Given(key.clone()), false);
    assert_eq!(names, ["alice.crt", "alice.p12", "client-ca.crt"]);
}

#[test]
fn whoever_sent_a_request_gets_certificates_only() {
    let elsewhere = |key: &Arc<PrivateKey>| ClientKey::Elsewhere(key.public_key_der().to_vec());
    let (_, names, _) = delivered(elsewhere, false);
    assert_eq!(names, ["alice.crt", "client-ca.crt"]);
}

#[test]
fn no_file_of_a_client_takes_the_place_of_a_ca_or_of_a_given_key() {
    let place = tempfile::tempdir().unwrap();
    let settings = Settings {
        formats: FileFormats::Files(vec![FileFormat::Pem]),
        encrypts_key: false,
        profile: Profile::Modern,
        password_file: None,
        force: true,
    };
    let key = ClientKey::New(KeyType::P256);
    let check = |name: &str, input: &std::path::Path| {
        let name = name.parse().unwrap();
        let folder = ClientFolder {
            path: place.path(),
            name: &name,
            key: &key,
            key_file: None,
            settings: &settings,
        };
        folder
            .check_name()
            .and_then(|()| folder.check_inputs([input]))
    };
    let ca_key = place.path().join("ca.key");
    check("alice", &ca_key).unwrap();
    for name in ["ca", "CA"] {
        let failure = check(name, &ca_key).unwrap_err();
        let said = failure.to_string();
        assert!(
            said.contains("would replace") && said.contains("ca.key"),
            "{said}"
        );
        assert_eq!(failure.exit().code(), 2);
    }
    for name in ["client-ca", "Client-CA"] {
        let said = check(name, &ca_key).unwrap_err().to_string();
        assert!(
            said.contains("`client-ca.crt`, which holds the client CA"),
            "{said}"
        );
    }
}
