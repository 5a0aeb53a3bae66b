//! The plan on real directories, by runs at the same time, and with every kind of bad CA.

mod revocations;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use super::*;
use crate::io::execute::{CredentialWriter, Live};
use crate::io::files::Unflushed;
use crate::io::generate;
use crate::io::store::Store;
use crate::io::terminal::{Color, Terminal};
use crate::pki::authority::Authority;
use crate::pki::key::{KeyType, PrivateKey};
use crate::plan::authority::NewAuthority;
use crate::plan::issue_client::{
    ExistingFiles, Issuer, Place as Home, Report, Request, Scale, reconcile,
};
use crate::plan::{Delivery, Event, Observed};
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::proxy_config::Part;

fn issue(folder: &Path, name: &str) -> Result<Report, Failure> {
    let request = Request {
        issuer: Arc::new(Issuer {
            authority: "kyma-mtls".to_owned(),
            place: Home::Directory(folder.display().to_string()),
            new_authority: NewAuthority::of_name("kyma-mtls"),
        }),
        name: name.parse().unwrap(),
        names: crate::plan::identity::Names::default(),
        ttl: time::Duration::days(90),
        key: crate::plan::ClientKey::New(KeyType::P256),
        another: true,
        may_share_name: false,
        renews: None,
        resumes: false,
        scale: Scale::Single,
        existing: ExistingFiles::default(),
    };
    let directory = CaDir::new(folder);
    let mut terminal = Terminal::new(Color::Never, true);
    let mut nobody = Unasked;
    let mut live =
        Live::new(Store::Directory(&directory), &mut terminal).with_credential(&mut nobody);
    futures::executor::block_on(live.run(|observed, now| reconcile(&request, observed, now)))
}

/// Somebody who needs no password, and keeps no files.
struct Unasked;

impl CredentialWriter for Unasked {
    fn ask_password(&mut self, _: &Terminal) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&mut self, _: &Delivery, _: &[Unflushed]) -> Result<(), Failure> {
        Ok(())
    }
}

/// All files below, hidden ones too.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names.sort();
    names
}

fn entries(folder: &Path) -> Vec<Entry> {
    fs::read_dir(folder.join("clients"))
        .unwrap()
        .map(|file| {
            let object = super::files::entry(&file.unwrap().path());
            Entry::read(&object.unwrap().unwrap()).unwrap()
        })
        .collect()
}

fn ca(ttl: time::Duration) -> Authority {
    let new = NewAuthority {
        ttl,
        ..NewAuthority::of_name("own")
    };
    generate::authority(&new, crate::io::clock::now()).unwrap()
}

fn put(folder: &Path, certificate: &str, key: &str) {
    fs::write(folder.join(made::CERTIFICATE), certificate).unwrap();
    fs::write(folder.join(made::KEY), key).unwrap();
}

#[test]
fn six_first_runs_at_the_same_time_make_one_ca_and_six_entries() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let ca_dir = folder.path().join("new/ca");
        let reports: Vec<Report> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| issue(&ca_dir, "alice").unwrap()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let made = |report: &&Report| report.notes.iter().any(|note| note.starts_with("made"));
        assert_eq!(reports.iter().filter(made).count(), 1);
        let mut numbers: Vec<u32> = reports.iter().map(|report| report.entry.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        let entries = entries(&ca_dir);
        assert_eq!(entries.len(), 6);
        let issuer = &entries[0].issuer_ski;
        for entry in &entries {
            assert_eq!(
                (entry.state, &entry.issuer_ski),
                (EntryState::Issued, issuer)
            );
        }
        // ca.crt, ca.key, six entries, and nothing unfinished.
        assert_eq!(files(&ca_dir).len(), 8);
        let key = fs::metadata(ca_dir.join(made::KEY)).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_ca_that_was_decided_on_by_a_killed_run_is_finished_by_the_next() {
    let ca = ca(time::Duration::days(365));
    let (certificate, key) = (ca.certificate().pem(), ca.key().to_pem());
    for has_key_already in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join(".kubectl-mtls-new-ca");
        fs::create_dir(&new).unwrap();
        put(&new, &certificate, &key);
        restrict(&new.join(made::KEY), 0o600);
        if has_key_already {
            fs::write(folder.path().join(made::KEY), key.as_bytes()).unwrap();
        }
        let report = issue(folder.path(), "alice").unwrap();
        assert_eq!(report.entry.issuer_ski, ca.certificate().key_id_hex());
        assert_eq!(files(folder.path()).len(), 3);
    }
}

#[test]
fn a_users_own_ca_signs_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca(time::Duration::days(365));
    put(folder.path(), &ca.certificate().pem(), &ca.key().to_pem());
    let report = issue(folder.path(), "alice").unwrap();
    assert_eq!(report.entry.issuer_ski, ca.certificate().key_id_hex());
    assert!(report.notes.is_empty());
    assert_eq!(
        fs::read_to_string(folder.path().join(made::CERTIFICATE)).unwrap(),
        ca.certificate().pem()
    );
}

#[test]
fn a_ca_that_cannot_sign_is_refused_and_nothing_is_written() {
    let good = ca(time::Duration::days(365));
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    let (_, leaf) = crate::pki::tests::client(&crate::pki::tests::authority());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let certificate = good.certificate().pem();
    for (certificate, key, reason) in [
        (
            certificate.clone(),
            other.to_pem().to_string(),
            "does not belong",
        ),
        (
            leaf.pem(),
            good.key().to_pem().to_string(),
            "not a CA certificate",
        ),
        (certificate.clone(), encrypted.to_owned(), "encrypted"),
        (certificate, "nonsense".to_owned(), "private key"),
        (
            "nonsense".to_owned(),
            good.key().to_pem().to_string(),
            "certificate",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &certificate, &key);
        let failure = issue(folder.path(), "alice").unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
        assert_eq!(failure.exit().code(), 2);
        assert_eq!(files(folder.path()).len(), 2, "{reason}");
    }
}

#[test]
fn half_of_a_users_ca_is_refused_and_nothing_is_written() {
    let ca = ca(time::Duration::days(365));
    for (name, content) in [
        (made::CERTIFICATE, ca.certificate().pem()),
        (made::KEY, ca.key().to_pem().to_string()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        let failure = issue(folder.path(), "alice").unwrap_err();
        assert!(
            failure
                .to_string()
                .contains(&format!("has `{name}` but no"))
        );
        assert_eq!(files(folder.path()).len(), 1);
    }
}

#[test]
fn an_entry_that_changed_since_it_was_read_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path(), "alice").unwrap();
    let directory = CaDir::new(folder.path());
    let file = fs::read_dir(folder.path().join("clients"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let read = super::files::entry(&file).unwrap().unwrap();
    let changed = read.clone().with_label("team", "a");
    let write = Write::Replace(changed);
    assert!(matches!(
        directory.write(write.clone()).unwrap(),
        crate::io::cluster::Outcome::Written { .. }
    ));
    assert!(matches!(
        directory.write(write).unwrap(),
        crate::io::cluster::Outcome::Conflict
    ));
    let again = super::files::entry(&file).unwrap().unwrap();
    assert_eq!(again.label("team"), Some("a"));
}

/// Writes a reserved entry with this much before its state, then the same as issued: the file after each, and its number.
fn restated(folder: &Path, team: &str) -> [(Object, u64); 2] {
    let directory = CaDir::new(folder).flushing_together();
    let name = ObjectRef::new(Kind::ConfigMap, CLIENTS_NAMESPACE, "alice-1");
    let file = folder.join("clients/alice-1.json");
    let put = |write: Write| {
        let written = directory.write(write).unwrap();
        assert!(matches!(
            written,
            crate::io::cluster::Outcome::Written { .. }
        ));
        let number = fs::metadata(&file).unwrap().ino();
        (super::files::entry(&file).unwrap().unwrap(), number)
    };
    let new = Object::new(name).with_label("team", team);
    let new = new.with_label("state", "reserved");
    let reserved = put(Write::Create(new.with_label("z", "z")));
    let issued = reserved.0.clone().with_label("state", "issued");
    [reserved, put(Write::Replace(issued))]
}

#[test]
fn one_of_many_entries_becomes_issued_within_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let [(_, before), (issued, after)] = restated(folder.path(), "a");
    assert_eq!(issued.label("state"), Some("issued"));
    assert_eq!(issued.label("z"), Some("z"));
    assert_eq!(before, after, "it was written anew");
    // What does not fit into the line takes the old file's place.
    let directory = CaDir::new(folder.path()).flushing_together();
    let changed = issued.clone().with_label("state", "superseded");
    directory.write(Write::Replace(changed)).unwrap();
    let file = folder.path().join("clients/alice-1.json");
    let read = super::files::entry(&file).unwrap().unwrap();
    assert_eq!(read.label("state"), Some("superseded"));
    assert_ne!(fs::metadata(&file).unwrap().ino(), after);
    // And who had read it before that is told so.
    let late = directory.write(Write::Replace(issued)).unwrap();
    assert!(matches!(late, crate::io::cluster::Outcome::Conflict));
}

#[test]
fn a_state_that_lies_across_two_pages_is_not_overwritten_within_its_file() {
    let line = |team: &str| {
        let folder = tempfile::tempdir().unwrap();
        let [(_, before), (issued, after)] = restated(folder.path(), team);
        assert_eq!(issued.label("state"), Some("issued"));
        before == after
    };
    let folder = tempfile::tempdir().unwrap();
    restated(folder.path(), "");
    let text = fs::read_to_string(folder.path().join("clients/alice-1.json")).unwrap();
    let start = text.find("      \"state\"").unwrap();
    let filled = |until: usize| "x".repeat(until - start);
    assert!(line(&filled(4096)));
    assert!(!line(&filled(4090)));
}

#[test]
fn of_runs_that_change_an_entry_at_the_same_time_one_does() {
    let folder = tempfile::tempdir().unwrap();
    restated(folder.path(), "a");
    let file = folder.path().join("clients/alice-1.json");
    // Two that write within the file, and two whose file takes its place.
    let directories = [true, true, false, false].map(|together| {
        let directory = CaDir::new(folder.path());
        if together {
            directory.flushing_together()
        } else {
            directory
        }
    });
    for round in 0..50 {
        let read = super::files::entry(&file).unwrap().unwrap();
        let write = |number: usize| {
            let changed = read
                .clone()
                .with_label("state", &format!("{round}-{number}"));
            directories[number].write(Write::Replace(changed)).unwrap()
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|number| scope.spawn(move || write(number)))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let is_done = |outcome: &&_| matches!(outcome, crate::io::cluster::Outcome::Written { .. });
        assert_eq!(outcomes.iter().filter(is_done).count(), 1);
    }
}

#[test]
fn a_directory_answers_every_question_so_that_none_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = CaDir::new(folder.path());
    let pod = ObjectRef::new(Kind::Pod, "istio-system", "gateway-1");
    for query in [
        Query::WhoAmI,
        Query::Resolve("httpbin.example.com".to_owned()),
        Query::Proxy(pod.clone(), Part::Policies),
        Query::Get(pod),
        Query::everywhere(Kind::Gateway),
    ] {
        let answer = futures::executor::block_on(Store::Directory(&directory).read(&query));
        let mut observed = Observed::default();
        observed.apply(Event::Read(vec![(query.clone(), answer.unwrap())]));
        assert!(observed.prefetch([query.clone()]).is_ok(), "{query:?}");
    }
}

fn restrict(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_ca_that_somebody_else_could_have_prepared_is_not_taken() {
    for (mode_of_folder, mode_of_key) in [(0o777, 0o600), (0o700, 0o640), (0o700, 0o666)] {
        let folder = tempfile::tempdir().unwrap();
        let planted = folder.path().join(".kubectl-mtls-new-ca");
        fs::create_dir(&planted).unwrap();
        fs::write(planted.join("ca.key"), "of an attacker").unwrap();
        fs::write(planted.join("ca.crt"), "of an attacker").unwrap();
        restrict(&planted.join("ca.key"), mode_of_key);
        restrict(&planted, mode_of_folder);
        let failure = super::made::certificate(folder.path()).unwrap_err();
        let said = failure.to_string();
        assert!(said.contains(".kubectl-mtls-new-ca"), "{said}");
        assert!(!folder.path().join("ca.key").exists());
        restrict(&planted.join("ca.key"), 0o600);
        restrict(&planted, 0o700);
        assert!(super::made::certificate(folder.path()).unwrap().is_some());
    }
}
