//! What batches know of the authority while somebody else changes it.

use std::fs;
use std::path::Path;

use super::*;
use crate::io::ca_dir::CaDir;
use crate::io::generate;
use crate::pki::authority::Authority;
use crate::pki::key::KeyType;
use crate::plan::authority::NewAuthority;
use crate::plan::identity::Names;
use crate::plan::issue_client::{ExistingFiles, Issuer, Place as Home, Request, Scale, shared};
use crate::plan::{ClientKey, Query};

fn request(folder: &Path) -> Request {
    Request {
        issuer: Arc::new(Issuer {
            authority: "kyma-mtls".to_owned(),
            place: Home::Directory(folder.display().to_string()),
            new_authority: NewAuthority::of_name("kyma-mtls"),
        }),
        name: "alice".parse().unwrap(),
        names: Names::default(),
        ttl: time::Duration::days(90),
        key: ClientKey::New(KeyType::P256),
        another: false,
        may_share_name: false,
        renews: None,
        resumes: true,
        scale: Scale::OneOfMany,
        existing: ExistingFiles::default(),
    }
}

/// The authority in a folder, as a batch finds it out.
fn found(folder: &Path) -> Standing {
    let directory = CaDir::new(folder);
    let mut terminal = Terminal::new(Color::Never, true);
    let mut live = Live::new(Store::Directory(&directory), &mut terminal);
    let request = request(folder);
    let mut observed = Observed::default();
    observed.apply(plan::Event::Answered(Question::Password));
    let plan = |observed: &Observed, now| shared(&request, observed, now);
    futures::executor::block_on(execute::run(&mut live, &mut observed, plan)).unwrap()
}

/// The state of the authority, as a batch reads it between reserving and delivering.
fn read(folder: &Path, standing: &Standing) -> Seen<Vec<Object>> {
    let query = Query::Get(standing.reference().clone());
    CaDir::new(folder).read(&query).unwrap()
}

fn ca(name: &str) -> Authority {
    generate::authority(&NewAuthority::of_name(name), crate::io::clock::now()).unwrap()
}

/// The first one issues, the others are trusted.
fn trust(folder: &Path, cas: &[&Authority]) {
    let bundle: String = cas.iter().map(|ca| ca.certificate().pem()).collect();
    fs::write(folder.join("ca.crt"), bundle).unwrap();
    fs::write(folder.join("ca.key"), cas[0].key().to_pem()).unwrap();
}

#[test]
fn no_batch_goes_on_with_what_another_one_found_out_before_another_ca_began_to_issue() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [old, other, new] = ["old", "other", "new"].map(ca);
    let mut standings = Standings::default();
    trust(folder, &[&old]);
    let first = standings.keep(found(folder));
    assert!(first.holds(&read(folder, &first)));
    // Two batches begin; one of them sees that a CA was added, and finds out anew.
    trust(folder, &[&old, &other]);
    let seen_by_one = read(folder, &first);
    assert!(standings.usable(Some(&seen_by_one)).is_none());
    let second = standings.keep(found(folder));
    assert!(standings.usable(Some(&seen_by_one)).is_some());
    // Then another CA begins to issue, and the other batch sees that: what the first one found out is of no use to it.
    trust(folder, &[&new, &old, &other]);
    let seen_by_other = read(folder, &first);
    assert!(!second.holds(&seen_by_other));
    assert!(standings.usable(Some(&seen_by_other)).is_none());
    standings.keep(found(folder));
    let usable = standings.usable(Some(&seen_by_other)).unwrap();
    assert!(usable.holds(&seen_by_other));
}
