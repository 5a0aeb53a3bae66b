//! `revoke-client` against an authority, its gateways and its clients in memory.

mod edited;

use super::*;
use crate::pki::crl::succession;
use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Finish, Goal};
use crate::plan::stage::{Command, Stage, Verdict};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::EntryState;
use crate::resources::names::{CLIENTS_NAMESPACE, FIRST_AUTHORITY};
use time::Duration as Span;

impl Command for Request {
    type Report = Outcome;

    fn next(&self, world: &World, now: OffsetDateTime) -> Result<Step<Outcome>, Failure> {
        next(self, world, now)
    }
}

impl Outcome {
    #[track_caller]
    fn report(self) -> Report {
        match self {
            Self::Done(report) => *report,
            Self::MustAsk(lines) => panic!("it asks: {lines:?}"),
        }
    }
}

fn request(which: Which) -> Request {
    Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which,
        reason: Reason::KeyCompromise,
        confirmed: false,
        close_connections: false,
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    }
}

fn named(name: &str) -> Request {
    request(Which::Names(vec![name.parse().unwrap()]))
}

fn serial(serial: &str) -> Request {
    request(Which::Serials(vec![serial.to_owned()]))
}

/// `ca-rotate`, which must succeed.
#[track_caller]
fn rotate(stage: &mut Stage, goal: Goal) {
    stage.run(&rotation(goal)).unwrap();
}

fn rotation(goal: Goal) -> ca_rotate::Request {
    ca_rotate::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal,
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    }
}

/// How the inventory books the certificates of a client.
fn booked(stage: &Stage, name: &str) -> Vec<EntryState> {
    let entries = stage.fake.entries().into_iter();
    entries
        .filter(|entry| entry.name == name)
        .map(|entry| entry.state)
        .collect()
}

fn fates(report: &Report) -> Vec<(&str, Fate)> {
    let certificates = report.certificates.iter();
    certificates
        .map(|certificate| (certificate.name.as_str(), certificate.fate))
        .collect()
}

/// The serial numbers on the list of the authority's newest CA.
fn listed(state: &AuthorityState) -> Vec<String> {
    let crls = commit::crls(state).unwrap();
    let Some(crl) = succession::newest(&state.trusted[0], &crls) else {
        return Vec::new();
    };
    let entries = crl.revoked().iter();
    entries.map(|entry| entry.serial.to_string()).collect()
}

/// Runs what must be refused, with nothing written.
#[track_caller]
fn refused(stage: &mut Stage, request: &Request) -> (String, String) {
    let writes = stage.fake.writes.len();
    let Err(failure) = stage.run(request) else {
        panic!("it is done");
    };
    assert_eq!(stage.fake.writes.len(), writes);
    assert_eq!(failure.exit().code(), 2);
    (failure.to_string(), failure.what_to_do().join("\n"))
}

#[test]
fn whoever_is_named_is_refused_everywhere_and_nobody_else() {
    let mut stage = Stage::exposed();
    stage.replicas = 3;
    let [old, new, other] = ["alice", "alice", "bob"].map(|name| stage.issue(name));
    let report = stage.run(&named("alice")).unwrap().report();
    assert_eq!(fates(&report), [("alice", Fate::Revoked); 2]);
    assert_eq!(
        [old, new].map(|client| stage.answers(client)),
        [[Verdict::Revoked; 3], [Verdict::Revoked; 3]]
    );
    assert_eq!(stage.answers(other), [Verdict::LetIn; 3]);
    assert_eq!(booked(&stage, "alice"), [EntryState::Revoked; 2]);
    assert_eq!(booked(&stage, "bob"), [EntryState::Issued]);
    assert!(report.restart.is_some());
    let events = stage.events();
    let of = |reason: &str| events.iter().filter(|event| *event == reason).count();
    assert_eq!((of("ClientsRevoked"), of("Revoked")), (1, 2));
}

#[test]
fn who_does_not_exist_is_answered_with_those_who_do() {
    let mut stage = Stage::exposed();
    let (says, hints) = refused(&mut stage, &named("alice"));
    assert_eq!(says, "no client named `alice`");
    assert!(hints.contains("no client has a certificate"), "{hints}");
    for name in ["alice", "bob"] {
        stage.issue(name);
    }
    let (_, hints) = refused(&mut stage, &named("zoe"));
    assert!(hints.contains("known clients: `alice`, `bob`"), "{hints}");
    let (_, hints) = refused(&mut stage, &named("alice-laptop"));
    assert!(hints.contains("did you mean `alice`?"), "{hints}");
}

#[test]
fn what_gateways_refuse_anyway_is_told_and_gets_no_list() {
    let mut stage = Stage::exposed();
    stage.issue("alice");
    stage.now += Span::days(91);
    let writes = stage.fake.writes.len();
    let report = stage.run(&named("alice")).unwrap().report();
    assert_eq!(fates(&report), [("alice", Fate::Expired)]);
    assert_eq!(stage.fake.writes.len(), writes);

    let bob = stage.issue("bob");
    rotate(&mut stage, Goal::Advance(None));
    let force = Finish {
        force: true,
        ..Finish::default()
    };
    rotate(&mut stage, Goal::Finish(force));
    assert_eq!(stage.answer(bob), Verdict::Unknown);
    let report = stage.run(&named("bob")).unwrap().report();
    assert_eq!(fates(&report), [("bob", Fate::CaDropped)]);
    assert_eq!(booked(&stage, "bob"), [EntryState::Revoked]);
    assert_eq!(stage.state().crls, [""; 0]);
}

#[test]
fn of_several_live_certificates_the_serial_number_ends_one() {
    let mut stage = Stage::exposed();
    let clients = [(); 3].map(|()| stage.issue("alice"));
    let wanted = stage.certificate(clients[1]).serial_hex();
    let report = stage.run(&serial(&wanted)).unwrap().report();
    assert_eq!(report.certificates[0].serial, wanted);
    assert_eq!(
        clients.map(|client| stage.answer(client)),
        [Verdict::LetIn, Verdict::Revoked, Verdict::LetIn]
    );
    let (says, _) = refused(&mut stage, &serial("feedfeedfeed"));
    assert!(says.contains("has the serial number `feedfeedfeed`"));
}

#[test]
fn a_certificate_that_the_inventory_does_not_hold_is_revoked_by_itself() {
    let mut stage = Stage::exposed();
    let client = stage.issue("alice");
    let certificate = stage.certificate(client).clone();
    stage
        .fake
        .objects
        .retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    let file = request(Which::Certificates(vec![certificate]));
    stage.run(&file).unwrap().report();
    assert_eq!(stage.answer(client), Verdict::Revoked);
    // Only the state knows its end.
    stage.now += Span::days(91);
    let again = stage.run(&file).unwrap().report();
    assert_eq!(again.certificates[0].fate, Fate::Expired);
    let serial = stage.certificate(client).serial_hex();
    assert!(!listed(&stage.state()).contains(&serial));

    let theirs = stage.foreign_client();
    let theirs = stage.certificate(theirs).clone();
    let (says, _) = refused(&mut stage, &request(Which::Certificates(vec![theirs])));
    assert!(says.contains("is not of the authority"), "{says}");
}

#[test]
fn beside_a_foreign_ca_nothing_is_revoked() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    rotate(&mut stage, Goal::Advance(None));
    let ours = stage.issue("alice");
    let (says, hints) = refused(&mut stage, &named("alice"));
    assert!(says.contains("would refuse all clients of that CA"));
    assert!(hints.contains("--drop-external") && hints.contains("--allow NAME"));
    assert_eq!(
        [ours, theirs].map(|client| stage.answer(client)),
        [Verdict::LetIn; 2]
    );
}

#[test]
fn what_expired_leaves_the_list_and_so_do_the_certificates_that_were_looked_with() {
    let mut stage = Stage::exposed();
    let clients = ["alice", "bob", "carol"].map(|name| stage.issue(name));
    let [alice, bob, carol] = clients.map(|client| stage.certificate(client).serial_hex());
    let holds = |stage: &Stage, clients: &[&String]| {
        let state = stage.state();
        let listed = listed(&state);
        assert!(clients.iter().all(|client| listed.contains(client)));
        // Beside them there is nothing but the one of the last run.
        assert_eq!(listed.len(), clients.len() + 1);
    };
    stage.run(&named("alice")).unwrap().report();
    holds(&stage, &[&alice]);
    // Ends are kept to the hour.
    stage.now += Span::minutes(71);
    stage.run(&named("bob")).unwrap().report();
    holds(&stage, &[&alice, &bob]);
    let late = stage.issue_for("dave", Span::days(365));
    stage.now += Span::days(91);
    stage.run(&named("dave")).unwrap().report();
    holds(&stage, &[&stage.certificate(late).serial_hex()]);
    assert!(!listed(&stage.state()).contains(&carol));
}

/// Two clients of a CA that was given share a serial number, as all of the tutorial's do; one ends before the other.
#[test]
fn a_client_of_a_given_ca_stays_revoked_when_another_one_of_its_serial_number_has_expired() {
    let mut stage = Stage::exposed();
    let given = stage.given_ca();
    rotate(&mut stage, Goal::Advance(Some(given.clone())));
    let short = stage.client_of(&given, Span::days(1), [0xEE; 20]);
    let long = stage.client_of(&given, Span::days(90), [0xEE; 20]);
    let revoke = |client: usize| Request {
        which: Which::Certificates(vec![stage.certificate(client).clone()]),
        ..named("nobody")
    };
    let (first, second) = (revoke(short), revoke(long));
    stage.run(&first).unwrap();
    stage.run(&second).unwrap();
    assert_eq!(stage.answer(long), Verdict::Revoked);
    stage.now += Span::days(2);
    stage.issue("carol");
    stage.run(&named("carol")).unwrap();
    assert_eq!(stage.answer(long), Verdict::Revoked);
}

#[test]
fn a_dry_run_tells_what_would_be_revoked_and_writes_nothing() {
    let mut stage = Stage::exposed();
    let client = stage.issue("alice");
    for dry_run in [DryRun::Client, DryRun::Server] {
        let writes = stage.fake.writes.len();
        let request = Request {
            dry_run,
            ..named("alice")
        };
        let report = stage.run(&request).unwrap().report();
        assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
        assert!(report.dry_run && report.seen.is_empty());
        assert_eq!(stage.fake.writes.len(), writes);
        assert_eq!(stage.answer(client), Verdict::LetIn);
    }
}

#[test]
fn what_is_revoked_already_is_proven_again_with_the_day_and_the_reason_it_had() {
    let mut stage = Stage::exposed();
    stage.issue("alice");
    let first = stage.now;
    stage.run(&named("alice")).unwrap().report();
    stage.now += Span::days(3);
    let again = Request {
        reason: Reason::Superseded,
        ..named("alice")
    };
    let dry_run = Request {
        dry_run: DryRun::Client,
        ..again.clone()
    };
    let writes = stage.fake.writes.len();
    assert_eq!(
        fates(&stage.run(&dry_run).unwrap().report()),
        [("alice", Fate::AlreadyRevoked)]
    );
    assert_eq!(stage.fake.writes.len(), writes);
    let report = stage.run(&again).unwrap().report();
    let told = &report.certificates[0];
    assert_eq!(told.fate, Fate::AlreadyRevoked);
    assert_eq!(
        (told.revoked_at, told.reason),
        (Some(first), Some(Reason::KeyCompromise))
    );
    assert!(!report.seen.is_empty());
    // A number is never below the time: so it is above those of every state that was put back.
    let seconds = u64::try_from(stage.now.unix_timestamp()).unwrap();
    assert_eq!(report.lists[0].number, Some(seconds));
}

#[test]
fn a_clock_that_went_back_makes_no_list_that_begins_in_the_future() {
    let mut stage = Stage::exposed();
    let [alice, bob] = ["alice", "bob"].map(|name| stage.issue(name));
    stage.run(&named("alice")).unwrap().report();
    let now = stage.now;
    // A list begins an hour back, and each one after the one before.
    stage.now = now - Span::minutes(59);
    stage.run(&named("bob")).unwrap().report();
    assert_eq!(
        [alice, bob].map(|client| stage.answer(client)),
        [Verdict::Revoked; 2]
    );
    stage.issue("carol");
    stage.now = now - Span::minutes(61);
    let (_, hints) = refused(&mut stage, &named("carol"));
    assert!(hints.contains("nothing was changed"), "{hints}");
}

#[test]
fn a_ca_that_is_about_to_end_keeps_nobody_from_revoking() {
    for (left, is_seen) in [(Span::minutes(5), true), (Span::seconds(9), false)] {
        let mut stage = Stage::exposed();
        let end = stage.state().trusted[0].not_after();
        stage.now = end - Span::days(1);
        rotate(&mut stage, Goal::Advance(None));
        let client = stage.issue("alice");
        stage.now = end - left;
        let report = stage.run(&named("alice")).unwrap().report();
        assert_eq!(stage.answer(client), Verdict::Revoked);
        let mut notes = report.notes.iter();
        let is_told = notes.any(|note| note.contains("`CN=First CA` was not seen"));
        assert_eq!(is_told, !is_seen, "{left}");
    }
}

#[test]
fn of_two_runs_at_once_neither_undoes_what_the_other_revoked() {
    for lead in 0..20 {
        let mut stage = Stage::exposed();
        let clients = ["alice", "bob"].map(|name| stage.issue(name));
        let mut runs = ["alice", "bob"].map(|name| Stage::begin(&named(name)));
        for _ in 0..lead {
            stage.step(&mut runs[0]);
        }
        while runs.iter().any(|run| run.result.is_none()) {
            for run in &mut runs {
                stage.step(run);
            }
        }
        for (run, name) in runs.into_iter().zip(["alice", "bob"]) {
            let report = run.result.unwrap().unwrap().report();
            assert_eq!(fates(&report), [(name, Fate::Revoked)], "lead {lead}");
        }
        assert_eq!(
            clients.map(|client| stage.answer(client)),
            [Verdict::Revoked; 2],
            "one is {lead} steps ahead"
        );
    }
}

#[test]
fn killed_after_any_step_a_rerun_ends_as_an_undisturbed_run() {
    for steps in 1.. {
        let mut stage = Stage::exposed();
        let [alice, bob] = ["alice", "bob"].map(|name| stage.issue(name));
        let is_over = stage.killed(&named("alice"), steps);
        assert_eq!(stage.answer(bob), Verdict::LetIn, "killed after {steps}");
        stage.run(&named("alice")).unwrap().report();
        assert_eq!(
            [alice, bob].map(|client| stage.answer(client)),
            [Verdict::Revoked, Verdict::LetIn]
        );
        assert_eq!(booked(&stage, "alice"), [EntryState::Revoked]);
        assert!(!stage.is_unfinished(), "killed after {steps}");
        if is_over {
            return;
        }
    }
}

#[test]
fn while_one_replica_lags_it_times_out_and_a_rerun_sees_it_loaded() {
    let mut stage = Stage::exposed();
    stage.replicas = 3;
    let client = stage.issue("alice");
    stage.lagging = vec![2];
    for _ in 0..2 {
        let failure = stage.run(&named("alice")).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("run the same command again"), "{hints}");
    }
    assert_eq!(stage.answers(client)[2], Verdict::LetIn);
    stage.lagging.clear();
    stage.run(&named("alice")).unwrap().report();
    assert_eq!(stage.answers(client), [Verdict::Revoked; 3]);
}

#[test]
fn expired_canaries_prove_nothing() {
    for (replicas, lagging) in [(1, vec![0]), (3, vec![2])] {
        let mut stage = Stage::exposed();
        stage.replicas = replicas;
        let client = stage.issue("alice");
        stage.lagging = lagging.clone();
        let failure = stage.run_slowly(&named("alice")).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("not seen to have loaded"), "{hints}");
        assert!(hints.contains("run the same command again"), "{hints}");
        assert_eq!(stage.answers(client)[lagging[0]], Verdict::LetIn);
        stage.lagging.clear();
        stage.run(&named("alice")).unwrap().report();
        assert_eq!(stage.answers(client), vec![Verdict::Revoked; replicas]);
    }
}

#[test]
fn room_for_a_rotation_is_left_in_a_state_and_a_directory_has_no_limit() {
    let full = |room: usize| {
        let mut stage = Stage::exposed();
        stage.issue("alice");
        let mut state = stage.state();
        let line = "f".repeat(63);
        let free = capacity::LIMIT - capacity::size(&state.object()) - room;
        state.dropped = (0..free / 65)
            .map(|n| format!("{n:05}{line:.59}"))
            .collect();
        stage.fake.put(&state.object());
        (stage, state)
    };
    let (mut stage, _) = full(2 * capacity::ROTATION);
    stage.run(&named("alice")).unwrap().report();
    let (mut stage, mut state) = full(capacity::ROTATION);
    let (_, hints) = refused(&mut stage, &named("alice"));
    assert!(hints.contains("ca-rotate"), "{hints}");
    rotate(&mut stage, Goal::Advance(None));
    assert_eq!(stage.state().trusted.len(), 2);

    state.gateway = None;
    state.client_ca_secret = None;
    stage.fake.put(&state.object());
    let directory = Request {
        directory: Some("ca".to_owned()),
        ..named("alice")
    };
    let report = stage.run(&directory).unwrap().report();
    assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
    assert!(
        !report.notes.iter().any(|note| note.contains("ConfigMap")),
        "{report:?}"
    );
}

/// A certificate of the authority's CA, signed by hand with the serial number 0, as Kyma's tutorial does it.
fn by_hand(stage: &mut Stage, name: &str) -> usize {
    stage.sign_by_hand(name, &[0])
}

#[test]
fn clients_that_share_a_serial_number_are_told_before_all_of_them_are_refused() {
    let mut stage = Stage::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut stage, name));
    let carol = stage.issue("carol");
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        stage.book(name, client);
    }
    let writes = stage.fake.writes.len();
    let Outcome::MustAsk(lines) = stage.run(&named("alice")).unwrap() else {
        panic!("it does not ask");
    };
    assert!(lines[0].contains("`bob`, valid until"), "{lines:?}");
    assert!(lines[1].contains("serial number 0"), "{lines:?}");
    assert_eq!((lines.len(), stage.fake.writes.len()), (2, writes));
    let dry_run = Request {
        dry_run: DryRun::Client,
        ..named("alice")
    };
    let both = [("alice", Fate::Revoked), ("bob", Fate::Revoked)];
    assert_eq!(fates(&stage.run(&dry_run).unwrap().report()), both);

    let confirmed = Request {
        confirmed: true,
        ..named("alice")
    };
    assert_eq!(fates(&stage.run(&confirmed).unwrap().report()), both);
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        assert_eq!(stage.answer(client), Verdict::Revoked);
        assert_eq!(booked(&stage, name), [EntryState::Revoked]);
    }
    assert_eq!(stage.answer(carol), Verdict::LetIn);
    // Nobody is refused anew by a second run.
    stage.run(&named("alice")).unwrap().report();
}

#[test]
fn a_revoked_certificate_that_the_inventory_does_not_hold_gets_an_entry() {
    let mut stage = Stage::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut stage, name));
    for (client, name) in clients.into_iter().zip(["alice", "bob"]) {
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![stage.certificate(client).clone()]))
        };
        for _ in 0..2 {
            stage.run(&file).unwrap().report();
        }
        let entries = stage.fake.entries();
        let of_name: Vec<_> = entries.iter().filter(|entry| entry.name == name).collect();
        let [entry] = of_name.as_slice() else {
            panic!("{of_name:?}");
        };
        assert_eq!(entry.state, EntryState::Revoked);
        assert_eq!(entry.revoked_by.as_deref(), Some("ada"));
        let revocation = entry.revocation.unwrap();
        assert_eq!(revocation.reason, Reason::KeyCompromise);
        assert_eq!(entry.certificate, Some(stage.certificate(client).pem()));
    }
}

#[test]
fn killed_after_any_step_the_entry_of_an_unknown_certificate_is_made_once() {
    for steps in 1.. {
        let mut stage = Stage::exposed();
        let client = by_hand(&mut stage, "alice");
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![stage.certificate(client).clone()]))
        };
        let is_over = stage.killed(&file, steps);
        stage.run(&file).unwrap().report();
        assert_eq!(booked(&stage, "alice"), [EntryState::Revoked]);
        assert_eq!(stage.answer(client), Verdict::Revoked);
        if is_over {
            return;
        }
    }
}

#[test]
fn while_a_gateway_reads_a_secret_both_are_changed_and_what_a_tool_keeps_of_them_is_not() {
    let mut stage = Stage::unmoved();
    let [alice, bob] = ["alice", "bob"].map(|name| stage.issue(name));
    let report = stage.run(&named("alice")).unwrap().report();
    assert_eq!(stage.answer(alice), Verdict::Revoked);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("--fail-closed"))
    );
    let secret = crate::resources::client_ca::secret("kyma-mtls-clients-cacert");
    let kept = stage.fake.objects[&secret].clone();
    let kept = kept.with_label("kustomize.toolkit.fluxcd.io/name", "shop");
    stage.fake.put(&kept);
    let writes = stage.fake.writes.len();
    let (says, _) = refused(&mut stage, &named("bob"));
    assert!(says.contains("Flux keeps Secret"), "{says}");
    assert_eq!(stage.fake.writes.len(), writes);
    let mut forced = named("bob");
    forced.force_conflicts = true;
    stage.run(&forced).unwrap().report();
    assert_eq!(stage.answer(bob), Verdict::Revoked);
}

/// Both at once, one of them this many steps ahead; what came of the revocation.
fn beside(goal: &Goal, lead: usize, revokes_first: bool) -> (Stage, usize, bool) {
    let mut stage = Stage::exposed();
    stage.issue("stays");
    if matches!(goal, Goal::Finish(_)) {
        rotate(&mut stage, Goal::Advance(None));
    }
    let alice = stage.issue("alice");
    let revocation = named("alice");
    let rotation = rotation(goal.clone());
    let mut revoking = Stage::begin(&revocation);
    let mut rotating = Stage::begin(&rotation);
    for _ in 0..lead {
        if revokes_first {
            stage.step(&mut revoking);
        } else {
            stage.step(&mut rotating);
        }
    }
    let is_over = if revokes_first {
        revoking.result.is_some()
    } else {
        rotating.result.is_some()
    };
    for _ in 0..400 {
        if revokes_first {
            stage.step(&mut rotating);
        }
        if !revokes_first || rotating.result.is_some() {
            stage.step(&mut revoking);
        }
        if !revokes_first && revoking.result.is_some() {
            stage.step(&mut rotating);
        }
    }
    let what = format!("{goal:?}, {lead} ahead");
    revoking
        .result
        .unwrap()
        .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    rotating
        .result
        .unwrap()
        .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
    (stage, alice, is_over)
}

#[test]
fn a_revocation_beside_a_rotation_ends_well_in_every_order_and_holds() {
    let force = Finish {
        force: true,
        ..Finish::default()
    };
    for goal in [Goal::Advance(None), Goal::Finish(force)] {
        for revokes_first in [true, false] {
            for lead in 0.. {
                let (stage, alice, is_over) = beside(&goal, lead, revokes_first);
                assert_eq!(stage.answer(alice), Verdict::Revoked, "{goal:?} {lead}");
                if is_over {
                    break;
                }
            }
        }
    }
}
