//! One of many clients in a batch.

use super::*;
use crate::pki::crl::Reason;
use crate::plan::{DryRun, revoke_client};
use crate::resources::names::{CredentialNames, FIRST_AUTHORITY};

/// A run for one of many clients.
pub(super) fn of_many<'a>(
    request: &'a Request,
    standing: &'a Standing,
    observed: Observed,
) -> Run<impl Command<Report = Report> + 'a> {
    let certify = move |observed: &Observed, now| certify(request, standing, observed, now);
    Run::go_on(&certify, observed)
}

/// What a batch begins with: the password of each is known.
pub(super) fn answered() -> Observed {
    let mut observed = Observed::default();
    observed.apply(Event::Answered(Question::Password));
    observed
}

pub(super) fn standing(cluster: &mut Cluster) -> Standing {
    let any = one_of_many("any");
    let shared = |observed: &Observed, now| shared(&any, observed, now);
    cluster.run(&shared).unwrap()
}

pub(super) fn one_of_many(name: &str) -> Request {
    Request {
        resumes: true,
        scale: Scale::OneOfMany,
        ..request(name)
    }
}

fn issue_of_many(
    cluster: &mut Cluster,
    request: &Request,
    standing: &Standing,
    observed: Observed,
) -> Result<Report, Failure> {
    cluster.finish(&mut of_many(request, standing, observed))
}

#[test]
fn one_of_many_whose_ca_stops_issuing_becomes_void_and_the_new_ca_signs() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let request = one_of_many("alice");
    let old = standing(&mut cluster);
    let mut run = of_many(&request, &old, answered());
    while cluster.entries().len() < 2 {
        cluster.step(&mut run);
    }
    let state = Query::Get(old.reference().clone());
    assert!(old.holds(&cluster.read(&state)));
    cluster.rotate();
    let answer = cluster.read(&state);
    assert!(!old.holds(&answer));
    let mut observed = run.observed;
    observed.saw(state, answer);
    let new = standing(&mut cluster);
    let report = issue_of_many(&mut cluster, &request, &new, observed).unwrap();
    let issuing = cluster.state().issuing_ca().unwrap().key_id_hex();
    assert_eq!((report.entry.number, report.entry.issuer_ski), (2, issuing));
    let mut states = cluster.states();
    states.sort_unstable();
    let expected = [EntryState::Issued, EntryState::Issued, EntryState::Void];
    assert_eq!(states, expected);
}

#[test]
fn a_new_name_of_many_costs_two_writes_and_no_read_of_its_own() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let standing = standing(&mut cluster);
    let request = one_of_many("alice");
    // As the batch does: a name is taken to be new until creating its entry tells otherwise.
    let assumed = || {
        let mut observed = answered();
        observed.apply(Event::Assumed(reference("kyma-mtls", &request.name, 1)));
        observed
    };
    let (reads, writes) = (cluster.reads, cluster.writes.len());
    let report = issue_of_many(&mut cluster, &request, &standing, assumed()).unwrap();
    // The one read is that of the state, which all clients of a batch share.
    assert_eq!(
        (cluster.reads - reads, cluster.writes.len() - writes),
        (1, 2)
    );
    assert_eq!(report.entry.number, 1);

    let failure = issue_of_many(&mut cluster, &request, &standing, assumed()).unwrap_err();
    assert!(failure.to_string().contains("has a certificate already"));
}

#[test]
fn what_earlier_runs_delivered_is_passed_over_and_what_they_lost_is_told() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let standing = standing(&mut cluster);
    let request = one_of_many("alice");
    let mut killed = of_many(&request, &standing, answered());
    while cluster.entries().len() < 2 {
        cluster.step(&mut killed);
    }
    let killed = killed.observed.identity().unwrap();
    let lost = killed.certificate.serial_hex();
    let report = issue_of_many(&mut cluster, &request, &standing, answered()).unwrap();
    assert_eq!((report.entry.number, report.before), (2, false));
    assert_eq!(report.lost, [lost]);

    let mut again = request.clone();
    again.existing = ExistingFiles {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: cluster.clients.last().cloned(),
        client_ca: None,
        were_completed: false,
    };
    let writes = cluster.writes.len();
    let report = issue_of_many(&mut cluster, &again, &standing, answered()).unwrap();
    assert!(report.before);
    assert_eq!(cluster.writes.len(), writes);
}

#[test]
fn what_has_expired_or_is_of_a_ca_that_left_is_not_passed_over() {
    let mut cluster = Cluster::default();
    let first = one_of_many("alice");
    cluster.run(&first).unwrap();
    let mut again = first.clone();
    again.existing = ExistingFiles {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: cluster.clients.last().cloned(),
        client_ca: None,
        were_completed: false,
    };
    let expired = |cluster: &mut Cluster| cluster.now += Duration::days(91);
    let dropped = |cluster: &mut Cluster| {
        cluster.rotate();
        let mut state = cluster.state();
        let old = state.trusted.pop().unwrap().fingerprint();
        state.dropped.insert(old);
        state.target.clone_from(&state.issuing);
        cluster.put(&state.object());
    };
    let losses: [&dyn Fn(&mut Cluster); 2] = [&expired, &dropped];
    for lose in losses {
        let mut cluster = cluster.clone();
        lose(&mut cluster);
        let standing = standing(&mut cluster);
        let failure = issue_of_many(&mut cluster, &again, &standing, answered()).unwrap_err();
        let says = "these files exist already: alice.crt";
        assert!(failure.to_string().contains(says), "{failure}");
        let mut forced = again.clone();
        forced.existing.in_the_way.clear();
        forced.another = true;
        let report = issue_of_many(&mut cluster, &forced, &standing, answered()).unwrap();
        assert_eq!((report.entry.number, report.before), (2, false));
    }
}

fn revocation(name: &str) -> revoke_client::Request {
    revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which: revoke_client::Which::Names(vec![name.parse().unwrap()]),
        reason: Reason::KeyCompromise,
        dry_run: DryRun::None,
        confirmed: true,
        timeout: std::time::Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
        close_connections: false,
    }
}

/// Whether the next effect commits the revocation.
fn commits(run: &mut Run<revoke_client::Request>) -> bool {
    let state = CredentialNames::first().state();
    matches!(
        run.next(NOW),
        Some(Effect::Write(Write::Replace(object))) if *object.reference() == state
    )
}

/// How far a revocation is when the batch reads the authority after reserving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revocation {
    /// It has listed the inventory before the entry was reserved, and then published its list.
    DoesNotKnow,
    /// It has listed the entry too, and published its list.
    Published,
    /// It has marked the entries too.
    Over,
}

#[test]
fn one_of_many_whose_name_is_revoked_after_it_was_reserved_is_not_delivered() {
    for (revocation_is, ends) in [
        (Revocation::DoesNotKnow, EntryState::Void),
        (Revocation::Published, EntryState::Void),
        (Revocation::Over, EntryState::Revoked),
    ] {
        for renews in [None, Some(1)] {
            let what = format!("{revocation_is:?}, renews {renews:?}");
            let mut cluster = Cluster::default();
            cluster.run(&request("alice")).unwrap();
            let request = Request {
                renews,
                another: true,
                ..one_of_many("alice")
            };
            let began = Arc::new(standing(&mut cluster));
            let revocation = revocation("alice");
            let mut revoker = Run::begin(&revocation);
            while revocation_is == Revocation::DoesNotKnow && !commits(&mut revoker) {
                cluster.step(&mut revoker);
            }
            let mut run = of_many(&request, &began, answered());
            while cluster.entries().len() < 2 {
                cluster.step(&mut run);
            }
            while !commits(&mut revoker) {
                cluster.step(&mut revoker);
            }
            cluster.step(&mut revoker);
            while revocation_is == Revocation::Over && revoker.result.is_none() {
                cluster.step(&mut revoker);
            }
            // As the batch does, which reads the state before it delivers.
            let state = Query::Get(began.reference().clone());
            let answer = cluster.read(&state);
            assert!(!began.holds(&answer));
            let mut observed = run.observed;
            observed.saw(state, answer);
            let now = standing(&mut cluster).of_run_since(&began);
            let delivered = cluster.clients.len();
            let failure = issue_of_many(&mut cluster, &request, &now, observed).unwrap_err();
            let says = "of `alice` was revoked";
            assert!(failure.to_string().contains(says), "{what}: {failure}");
            assert_eq!(cluster.clients.len(), delivered, "{what}");
            while revoker.result.is_none() {
                cluster.step(&mut revoker);
            }
            revoker.result.unwrap().unwrap();
            let mut states = cluster.states();
            states.sort_unstable();
            let mut expected = [EntryState::Revoked, ends];
            expected.sort_unstable();
            assert_eq!(states, expected, "{what}");
        }
    }
}

#[test]
fn what_a_changed_row_has_otherwise_than_its_certificate_is_told_and_nothing_is_issued() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let standing = standing(&mut cluster);
    let subject = |text: &str| Some(text.parse().unwrap());
    let mut row = one_of_many("alice");
    row.names.subject = subject("CN=alice,OU=a,OU=b,O=Example");
    row.names.dns = vec!["a.example".to_owned(), "b.example".to_owned()];
    issue_of_many(&mut cluster, &row, &standing, answered()).unwrap();
    row.existing = ExistingFiles {
        in_the_way: vec!["alice.crt".to_owned()],
        certificate: cluster.clients.last().cloned(),
        client_ca: None,
        were_completed: false,
    };
    let writes = cluster.writes.len();
    let mut differs = |change: &dyn Fn(&mut Request)| {
        let mut changed = row.clone();
        change(&mut changed);
        let report = issue_of_many(&mut cluster, &changed, &standing, answered()).unwrap();
        assert!(report.before);
        assert_eq!(report.notes.is_empty(), report.differs.is_empty());
        report.differs.join(" ")
    };
    let same = |row: &mut Request| {
        row.names.dns = vec!["b.example".to_owned(), "A.example".to_owned()];
        row.ttl += Duration::minutes(4);
    };
    assert_eq!(differs(&same), "");
    let other = |row: &mut Request| {
        row.names.subject = subject("CN=alice,OU=b,OU=a,O=Other,C=DE");
        row.names.uris = vec!["urn:a".to_owned()];
        row.names.dns.clear();
        row.names.emails = vec!["a@example.com".to_owned()];
        row.names.ips = vec!["192.0.2.7".parse().unwrap()];
        row.ttl = Duration::days(30);
        row.key = ClientKey::New(KeyType::P384);
    };
    let all = "C O OU uri dns email ip ttl key-type";
    assert_eq!(differs(&other), all);
    let order = |row: &mut Request| row.names.subject = subject("O=Example,OU=a,OU=b,CN=alice");
    assert_eq!(differs(&order), "subject");
    // A certificate that ends with its CA would end there again.
    let longer = |row: &mut Request| row.ttl = Duration::days(9000);
    assert_eq!(differs(&longer), "ttl");
    assert_eq!(cluster.writes.len(), writes);

    let mut cut = one_of_many("bob");
    cut.ttl = Duration::days(9000);
    issue_of_many(&mut cluster, &cut, &standing, answered()).unwrap();
    cut.existing.certificate = cluster.clients.last().cloned();
    let report = issue_of_many(&mut cluster, &cut, &standing, answered()).unwrap();
    assert!(report.before && report.differs.is_empty(), "{report:?}");
}
