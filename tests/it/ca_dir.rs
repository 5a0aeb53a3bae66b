//! `issue-client --ca-dir`: a CA in a directory, no cluster contacted; every bad input leaves everything as it was.

mod files;
mod own_ca;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::lab::{Run, plugin};

/// Somebody without any cluster.
pub(crate) struct Offline(pub(crate) TempDir);

impl Offline {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with_ca((certificate, key): &(String, String)) -> Self {
        let offline = Self::new();
        std::fs::create_dir(offline.path("ca")).unwrap();
        offline.write("ca/ca.crt", certificate);
        offline.write("ca/ca.key", key);
        offline
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        plugin(
            self.0.path(),
            &[("KUBECONFIG", "/nonexistent".to_owned())],
            arguments,
        )
    }

    pub(crate) fn issue(&self, more: &[&str]) -> Run {
        self.run(&[&["issue-client", "--ca-dir", "ca"], more].concat())
    }

    /// A run that is refused in these words, and after which every file is as it was before.
    #[track_caller]
    pub(crate) fn refuses(&self, arguments: &[&str], words: &str) {
        let before = listing(self.0.path());
        let run = self.issue(arguments).exits(2).says(words);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run:#?}");
        assert_eq!(
            listing(self.0.path()),
            before,
            "{arguments:?} wrote something"
        );
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        let metadata = std::fs::metadata(self.path(name)).unwrap();
        metadata.permissions().mode() & 0o777
    }

    /// The inventory's files, in order, as JSON.
    fn inventory(&self) -> Vec<(PathBuf, Value)> {
        let files = listing(&self.path("ca/clients")).into_iter();
        files
            .map(|(path, content)| (path, serde_json::from_slice(&content).unwrap()))
            .collect()
    }

    pub(crate) fn states(&self) -> Vec<String> {
        let state = |entry: &Value| entry["metadata"]["labels"]["kubectl-mtls.dev/state"].clone();
        let states = self.inventory().into_iter().map(|(_, entry)| state(&entry));
        states
            .map(|state| state.as_str().unwrap().to_owned())
            .collect()
    }

    /// What a run leaves that is killed before it has booked its certificate.
    pub(crate) fn unbook(&self) {
        let (path, mut entry) = self.inventory().pop().unwrap();
        entry["metadata"]["labels"]["kubectl-mtls.dev/state"] = "reserved".into();
        std::fs::write(path, entry.to_string()).unwrap();
    }
}

/// Every file and folder below, with its content.
fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
            found.push((path, Vec::new()));
        } else {
            let content = std::fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

/// A CA made by somebody else; its certificate and key.
fn ca(edit: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "company");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(365);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
    edit(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_ca_is_made_on_first_use_and_used_again_after_it() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0).says("made a CA in `ca`");
    let made = offline.read("ca/ca.crt");
    let again = offline.issue(&["bob"]).exits(0);
    assert!(!again.stderr.contains("made"), "{again:#?}");
    assert_eq!(offline.read("ca/ca.crt"), made);
    assert_eq!(offline.states(), ["issued", "issued"]);
}

#[test]
fn a_name_that_fits_no_certificate_file_or_uri_is_refused() {
    let offline = Offline::new();
    let long = "x".repeat(65);
    for (name, words) in [
        ("", "empty"),
        ("  ", "empty"),
        (long.as_str(), "65"),
        ("a/b", "a/b"),
        ("../alice", "../alice"),
        ("..", ".."),
        ("a\\b", "a\\b"),
        (" alice", "starts or ends with a space"),
    ] {
        offline.refuses(&[name], words);
    }
    for control in ["a\nb", "a\tb", "a\u{7f}b", "a\u{1b}[31mb", "a\u{202e}b"] {
        let before = listing(offline.0.path());
        let run = offline.issue(&[control]).exits(2);
        assert!(!run.stderr.contains(control), "shown as it is: {run:#?}");
        assert_eq!(listing(offline.0.path()), before);
    }
}

#[test]
fn a_lifetime_that_is_none_is_refused_and_one_beyond_the_ca_is_cut() {
    let offline = Offline::new();
    for ttl in ["0", "0s", "10", "-1d", "soon", ""] {
        offline.refuses(&["alice", "--ttl", ttl], "--ttl");
    }
    let run = offline
        .issue(&["alice", "--ttl", "31d", "--ca-ttl", "30d"])
        .exits(0);
    assert!(run.stderr.contains("instead of 31d"), "{run:#?}");
    let own = ca(|params| params.not_after = OffsetDateTime::now_utc() + Duration::days(30));
    let offline = Offline::with_ca(&own);
    offline
        .issue(&["alice", "--ttl", "31d"])
        .exits(0)
        .says("the certificate ends with its CA");
    offline
        .issue(&["bob", "carol", "--ttl", "31d", "--out", "."])
        .exits(0)
        .says("the same holds for 1 more");
    let ends = |name: &str| {
        openssl(
            offline.0.path(),
            &["x509", "-in", name, "-noout", "-enddate"],
        )
    };
    let end = ends("ca/ca.crt");
    for name in ["alice.crt", "bob.crt", "carol.crt"] {
        assert_eq!(ends(name), end);
    }
}

#[test]
fn a_name_in_use_gets_another_certificate_only_when_asked_for() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    std::fs::create_dir(offline.path("laptop")).unwrap();
    offline.refuses(&["alice", "--out", "laptop"], "has a certificate already");
    offline
        .issue(&["alice", "--out", "laptop", "--another"])
        .exits(0);
    let names: Vec<PathBuf> = offline
        .inventory()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let ends = |number: usize| {
        names[number - 1]
            .to_str()
            .unwrap()
            .ends_with(&format!("-{number}.json"))
    };
    assert!(names.len() == 2 && ends(1) && ends(2), "{names:?}");
}

#[test]
fn a_run_that_was_killed_before_it_booked_is_completed_by_the_same_command() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let key = offline.read("alice.key");
    offline.unbook();
    offline
        .issue(&["alice"])
        .exits(0)
        .says("completed an interrupted run");
    assert_eq!(offline.read("alice.key"), key);
    assert_eq!(offline.states(), ["issued"]);
}

#[test]
fn a_certificate_whose_key_was_lost_stays_reserved_and_the_next_number_is_issued() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    offline.unbook();
    for name in ["alice.crt", "alice.key", "alice.p12", "alice.p12.password"] {
        std::fs::remove_file(offline.path(name)).unwrap();
    }
    offline.issue(&["alice"]).exits(0);
    assert_eq!(offline.states(), ["reserved", "issued"]);
}
