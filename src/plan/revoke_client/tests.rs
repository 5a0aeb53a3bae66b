//! `revoke-client` against an authority, its gateways and its clients in memory.

mod edited;

use super::*;
use crate::pki::crl::succession;
use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Finish, Goal};
use crate::plan::testing::{Cluster, Verdict};
use crate::plan::testing::{Run, every_fault};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::EntryState;
use crate::resources::names::{CLIENTS_NAMESPACE, FIRST_AUTHORITY};
use time::Duration as Span;

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
fn rotate(cluster: &mut Cluster, goal: Goal) {
    cluster.run(&rotation(goal)).unwrap();
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
fn booked(cluster: &Cluster, name: &str) -> Vec<EntryState> {
    let entries = cluster.entries().into_iter();
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
fn refused(cluster: &mut Cluster, request: &Request) -> (String, String) {
    let writes = cluster.writes.len();
    let Err(failure) = cluster.run(request) else {
        panic!("it is done");
    };
    assert_eq!(cluster.writes.len(), writes);
    assert_eq!(failure.exit().code(), 2);
    (failure.to_string(), failure.what_to_do().join("\n"))
}

#[test]
fn whoever_is_named_is_refused_everywhere_and_nobody_else() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    let [old, new, other] = ["alice", "alice", "bob"].map(|name| cluster.issue(name));
    let report = cluster.run(&named("alice")).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Revoked); 2]);
    assert_eq!(
        [old, new].map(|client| cluster.answers(client)),
        [[Verdict::Revoked; 3], [Verdict::Revoked; 3]]
    );
    assert_eq!(cluster.answers(other), [Verdict::LetIn; 3]);
    assert_eq!(booked(&cluster, "alice"), [EntryState::Revoked; 2]);
    assert_eq!(booked(&cluster, "bob"), [EntryState::Issued]);
    assert!(report.restart.is_some());
    let events = cluster.events();
    let of = |reason: &str| events.iter().filter(|event| *event == reason).count();
    assert_eq!((of("ClientsRevoked"), of("Revoked")), (1, 2));
}

#[test]
fn who_does_not_exist_is_answered_with_those_who_do() {
    let mut cluster = Cluster::exposed();
    let (says, hints) = refused(&mut cluster, &named("alice"));
    assert_eq!(says, "no client named `alice`");
    assert!(hints.contains("no client has a certificate"), "{hints}");
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    let (_, hints) = refused(&mut cluster, &named("zoe"));
    assert!(hints.contains("known clients: `alice`, `bob`"), "{hints}");
    let (_, hints) = refused(&mut cluster, &named("alice-laptop"));
    assert!(hints.contains("did you mean `alice`?"), "{hints}");
}

#[test]
fn what_gateways_refuse_anyway_is_told_and_gets_no_list() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.now += Span::days(91);
    let writes = cluster.writes.len();
    let report = cluster.run(&named("alice")).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Expired)]);
    assert_eq!(cluster.writes.len(), writes);

    let bob = cluster.issue("bob");
    rotate(&mut cluster, Goal::Advance(None));
    let force = Finish {
        force: true,
        ..Finish::default()
    };
    rotate(&mut cluster, Goal::Finish(force));
    assert_eq!(cluster.answer(bob), Verdict::Unknown);
    let report = cluster.run(&named("bob")).unwrap();
    assert_eq!(fates(&report), [("bob", Fate::CaDropped)]);
    assert_eq!(booked(&cluster, "bob"), [EntryState::Revoked]);
    assert_eq!(cluster.state().crls, [""; 0]);
}

#[test]
fn of_several_live_certificates_the_serial_number_ends_one() {
    let mut cluster = Cluster::exposed();
    let clients = [(); 3].map(|()| cluster.issue("alice"));
    let wanted = cluster.certificate(clients[1]).serial_hex();
    let report = cluster.run(&serial(&wanted)).unwrap();
    assert_eq!(report.certificates[0].serial, wanted);
    assert_eq!(
        clients.map(|client| cluster.answer(client)),
        [Verdict::LetIn, Verdict::Revoked, Verdict::LetIn]
    );
    let (says, _) = refused(&mut cluster, &serial("feedfeedfeed"));
    assert!(says.contains("has the serial number `feedfeedfeed`"));
}

#[test]
fn a_certificate_that_the_inventory_does_not_hold_is_revoked_by_itself() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    let certificate = cluster.certificate(client).clone();
    cluster
        .objects
        .retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    let file = request(Which::Certificates(vec![certificate]));
    cluster.run(&file).unwrap();
    assert_eq!(cluster.answer(client), Verdict::Revoked);
    // Only the state knows its end.
    cluster.now += Span::days(91);
    let again = cluster.run(&file).unwrap();
    assert_eq!(again.certificates[0].fate, Fate::Expired);
    let serial = cluster.certificate(client).serial_hex();
    assert!(!listed(&cluster.state()).contains(&serial));

    let theirs = cluster.foreign_client();
    let theirs = cluster.certificate(theirs).clone();
    let (says, _) = refused(&mut cluster, &request(Which::Certificates(vec![theirs])));
    assert!(says.contains("was not issued by the authority"), "{says}");
}

#[test]
fn beside_a_foreign_ca_nothing_is_revoked() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    rotate(&mut cluster, Goal::Advance(None));
    let ours = cluster.issue("alice");
    let (says, hints) = refused(&mut cluster, &named("alice"));
    assert!(says.contains("would reject all clients of that CA"));
    assert!(hints.contains("--drop-external") && hints.contains("--allow NAME"));
    assert_eq!(
        [ours, theirs].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 2]
    );
}

#[test]
fn what_expired_leaves_the_list_and_so_do_the_certificates_that_were_looked_with() {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob", "carol"].map(|name| cluster.issue(name));
    let [alice, bob, carol] = clients.map(|client| cluster.certificate(client).serial_hex());
    let holds = |cluster: &Cluster, clients: &[&String]| {
        let state = cluster.state();
        let listed = listed(&state);
        assert!(clients.iter().all(|client| listed.contains(client)));
        // Beside them there is nothing but the one of the last run.
        assert_eq!(listed.len(), clients.len() + 1);
    };
    cluster.run(&named("alice")).unwrap();
    holds(&cluster, &[&alice]);
    // Ends are kept to the hour.
    cluster.now += Span::minutes(71);
    cluster.run(&named("bob")).unwrap();
    holds(&cluster, &[&alice, &bob]);
    let late = cluster.issue_for("dave", Span::days(365));
    cluster.now += Span::days(91);
    cluster.run(&named("dave")).unwrap();
    holds(&cluster, &[&cluster.certificate(late).serial_hex()]);
    assert!(!listed(&cluster.state()).contains(&carol));
}

/// Two clients of a CA that was given share a serial number, as all of the tutorial's do; one ends before the other.
#[test]
fn a_client_of_a_given_ca_stays_revoked_when_another_one_of_its_serial_number_has_expired() {
    let mut cluster = Cluster::exposed();
    let given = cluster.given_ca();
    rotate(&mut cluster, Goal::Advance(Some(given.clone())));
    let short = cluster.client_of(&given, Span::days(1), [0xEE; 20]);
    let long = cluster.client_of(&given, Span::days(90), [0xEE; 20]);
    let revoke = |client: usize| Request {
        which: Which::Certificates(vec![cluster.certificate(client).clone()]),
        ..named("nobody")
    };
    let (first, second) = (revoke(short), revoke(long));
    cluster.run(&first).unwrap();
    cluster.run(&second).unwrap();
    assert_eq!(cluster.answer(long), Verdict::Revoked);
    cluster.now += Span::days(2);
    cluster.issue("carol");
    cluster.run(&named("carol")).unwrap();
    assert_eq!(cluster.answer(long), Verdict::Revoked);
}

#[test]
fn a_dry_run_tells_what_would_be_revoked_and_writes_nothing() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    for dry_run in [DryRun::Client, DryRun::Server] {
        let writes = cluster.writes.len();
        let request = Request {
            dry_run,
            ..named("alice")
        };
        let report = cluster.run(&request).unwrap();
        assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
        assert!(report.dry_run && report.seen.is_empty());
        assert_eq!(cluster.writes.len(), writes);
        assert_eq!(cluster.answer(client), Verdict::LetIn);
    }
}

#[test]
fn what_is_revoked_already_is_proven_again_with_the_day_and_the_reason_it_had() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    let first = cluster.now;
    cluster.run(&named("alice")).unwrap();
    cluster.now += Span::days(3);
    let again = Request {
        reason: Reason::Superseded,
        ..named("alice")
    };
    let dry_run = Request {
        dry_run: DryRun::Client,
        ..again.clone()
    };
    let writes = cluster.writes.len();
    assert_eq!(
        fates(&cluster.run(&dry_run).unwrap()),
        [("alice", Fate::AlreadyRevoked)]
    );
    assert_eq!(cluster.writes.len(), writes);
    let report = cluster.run(&again).unwrap();
    let told = &report.certificates[0];
    assert_eq!(told.fate, Fate::AlreadyRevoked);
    assert_eq!(
        (told.revoked_at, told.reason),
        (Some(first), Some(Reason::KeyCompromise))
    );
    assert!(!report.seen.is_empty());
    // A number is never below the time: so it is above those of every state that was put back.
    let seconds = u64::try_from(cluster.now.unix_timestamp()).unwrap();
    assert_eq!(report.lists[0].number, Some(seconds));
}

#[test]
fn a_clock_that_went_back_makes_no_list_that_begins_in_the_future() {
    let mut cluster = Cluster::exposed();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    cluster.run(&named("alice")).unwrap();
    let now = cluster.now;
    // A list begins an hour back, and each one after the one before.
    cluster.now = now - Span::minutes(59);
    cluster.run(&named("bob")).unwrap();
    assert_eq!(
        [alice, bob].map(|client| cluster.answer(client)),
        [Verdict::Revoked; 2]
    );
    cluster.issue("carol");
    cluster.now = now - Span::minutes(61);
    let writes = cluster.writes.len();
    refused(&mut cluster, &named("carol"));
    assert_eq!(cluster.writes.len(), writes);
}

#[test]
fn a_ca_that_is_about_to_end_keeps_nobody_from_revoking() {
    for (left, is_seen) in [(Span::minutes(5), true), (Span::seconds(9), false)] {
        let mut cluster = Cluster::exposed();
        let end = cluster.state().trusted[0].not_after();
        cluster.now = end - Span::days(1);
        rotate(&mut cluster, Goal::Advance(None));
        let client = cluster.issue("alice");
        cluster.now = end - left;
        let report = cluster.run(&named("alice")).unwrap();
        assert_eq!(cluster.answer(client), Verdict::Revoked);
        let mut notes = report.notes.iter();
        let is_told = notes.any(|note| note.contains("`CN=First CA` was not verified"));
        assert_eq!(is_told, !is_seen, "{left}");
    }
}

#[test]
fn of_two_runs_at_once_neither_undoes_what_the_other_revoked() {
    for lead in 0..20 {
        let mut cluster = Cluster::exposed();
        let clients = ["alice", "bob"].map(|name| cluster.issue(name));
        let mut runs = ["alice", "bob"].map(|name| Run::begin(&named(name)));
        for _ in 0..lead {
            cluster.step(&mut runs[0]);
        }
        while runs.iter().any(|run| run.result.is_none()) {
            for run in &mut runs {
                cluster.step(run);
            }
        }
        for (run, name) in runs.into_iter().zip(["alice", "bob"]) {
            let report = run.result.unwrap().unwrap();
            assert_eq!(fates(&report), [(name, Fate::Revoked)], "lead {lead}");
        }
        assert_eq!(
            clients.map(|client| cluster.answer(client)),
            [Verdict::Revoked; 2],
            "one is {lead} steps ahead"
        );
    }
}

#[test]
fn killed_after_any_step_a_rerun_ends_as_an_undisturbed_run() {
    for steps in 1.. {
        let mut cluster = Cluster::exposed();
        let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
        let is_over = cluster.killed(&named("alice"), steps);
        assert_eq!(cluster.answer(bob), Verdict::LetIn, "killed after {steps}");
        cluster.run(&named("alice")).unwrap();
        assert_eq!(
            [alice, bob].map(|client| cluster.answer(client)),
            [Verdict::Revoked, Verdict::LetIn]
        );
        assert_eq!(booked(&cluster, "alice"), [EntryState::Revoked]);
        assert!(!cluster.is_unfinished(), "killed after {steps}");
        if is_over {
            return;
        }
    }
}

#[test]
fn while_one_replica_lags_it_times_out_and_a_rerun_sees_it_loaded() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    let client = cluster.issue("alice");
    cluster.proxies.lagging = vec![2];
    for _ in 0..2 {
        let failure = cluster.run(&named("alice")).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("run the same command again"), "{hints}");
    }
    assert_eq!(cluster.answers(client)[2], Verdict::LetIn);
    cluster.proxies.lagging.clear();
    cluster.run(&named("alice")).unwrap();
    assert_eq!(cluster.answers(client), [Verdict::Revoked; 3]);
}

#[test]
fn expired_canaries_prove_nothing() {
    for (replicas, lagging) in [(1, vec![0]), (3, vec![2])] {
        let mut cluster = Cluster::exposed();
        cluster.proxies.replicas = replicas;
        let client = cluster.issue("alice");
        cluster.proxies.lagging = lagging.clone();
        let failure = cluster.run_slowly(&named("alice")).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("not seen to have loaded"), "{hints}");
        assert!(hints.contains("run the same command again"), "{hints}");
        assert_eq!(cluster.answers(client)[lagging[0]], Verdict::LetIn);
        cluster.proxies.lagging.clear();
        cluster.run(&named("alice")).unwrap();
        assert_eq!(cluster.answers(client), vec![Verdict::Revoked; replicas]);
    }
}

#[test]
fn room_for_a_rotation_is_left_in_a_state_and_a_directory_has_no_limit() {
    let full = |room: usize| {
        let mut cluster = Cluster::exposed();
        cluster.issue("alice");
        let mut state = cluster.state();
        let line = "f".repeat(63);
        let free = capacity::LIMIT - capacity::size(&state.object()) - room;
        state.dropped = (0..free / 65)
            .map(|n| format!("{n:05}{line:.59}"))
            .collect();
        cluster.put(&state.object());
        (cluster, state)
    };
    let (mut cluster, _) = full(2 * capacity::ROTATION);
    cluster.run(&named("alice")).unwrap();
    let (mut cluster, mut state) = full(capacity::ROTATION);
    let (_, hints) = refused(&mut cluster, &named("alice"));
    assert!(hints.contains("ca-rotate"), "{hints}");
    rotate(&mut cluster, Goal::Advance(None));
    assert_eq!(cluster.state().trusted.len(), 2);

    state.gateway = None;
    state.client_ca_secret = None;
    cluster.put(&state.object());
    let directory = Request {
        directory: Some("ca".to_owned()),
        ..named("alice")
    };
    let report = cluster.run(&directory).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
    assert!(
        !report.notes.iter().any(|note| note.contains("ConfigMap")),
        "{report:?}"
    );
}

/// A certificate of the authority's CA, signed by hand with the serial number 0, as Kyma's tutorial does it.
fn by_hand(cluster: &mut Cluster, name: &str) -> usize {
    cluster.sign_by_hand(name, &[0])
}

#[test]
fn clients_that_share_a_serial_number_are_told_before_all_of_them_are_refused() {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut cluster, name));
    let carol = cluster.issue("carol");
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        cluster.book(name, client);
    }
    let writes = cluster.writes.len();
    cluster.asked.clear();
    let mut run = Run::begin(&named("alice"));
    while cluster.asked.is_empty() {
        assert!(cluster.step(&mut run));
    }
    let [Question::Confirm { lines, .. }] = cluster.asked.as_slice() else {
        panic!("{:?}", cluster.asked);
    };
    assert!(lines[0].contains("`bob`, valid until"), "{lines:?}");
    assert!(lines[1].contains("serial number 0"), "{lines:?}");
    assert_eq!((lines.len(), cluster.writes.len()), (2, writes));
    let dry_run = Request {
        dry_run: DryRun::Client,
        ..named("alice")
    };
    let both = [("alice", Fate::Revoked), ("bob", Fate::Revoked)];
    assert_eq!(fates(&cluster.run(&dry_run).unwrap()), both);

    assert_eq!(fates(&cluster.finish(&mut run).unwrap()), both);
    assert_eq!(cluster.asked.len(), 1);
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        assert_eq!(cluster.answer(client), Verdict::Revoked);
        assert_eq!(booked(&cluster, name), [EntryState::Revoked]);
    }
    assert_eq!(cluster.answer(carol), Verdict::LetIn);
    // Nobody is refused anew by a second run.
    cluster.run(&named("alice")).unwrap();
    assert_eq!(cluster.asked.len(), 1);
}

#[test]
fn a_revoked_certificate_that_the_inventory_does_not_hold_gets_an_entry() {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut cluster, name));
    for (client, name) in clients.into_iter().zip(["alice", "bob"]) {
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![
                cluster.certificate(client).clone(),
            ]))
        };
        for _ in 0..2 {
            cluster.run(&file).unwrap();
        }
        let entries = cluster.entries();
        let of_name: Vec<_> = entries.iter().filter(|entry| entry.name == name).collect();
        let [entry] = of_name.as_slice() else {
            panic!("{of_name:?}");
        };
        assert_eq!(entry.state, EntryState::Revoked);
        assert_eq!(entry.revoked_by.as_deref(), Some("ada"));
        let revocation = entry.revocation.unwrap();
        assert_eq!(revocation.reason, Reason::KeyCompromise);
        assert_eq!(entry.certificate, Some(cluster.certificate(client).pem()));
    }
}

#[test]
fn killed_after_any_step_the_entry_of_an_unknown_certificate_is_made_once() {
    for steps in 1.. {
        let mut cluster = Cluster::exposed();
        let client = by_hand(&mut cluster, "alice");
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![
                cluster.certificate(client).clone(),
            ]))
        };
        let is_over = cluster.killed(&file, steps);
        cluster.run(&file).unwrap();
        assert_eq!(booked(&cluster, "alice"), [EntryState::Revoked]);
        assert_eq!(cluster.answer(client), Verdict::Revoked);
        if is_over {
            return;
        }
    }
}

#[test]
fn while_a_gateway_reads_a_secret_both_are_changed_and_what_a_tool_keeps_of_them_is_not() {
    let mut cluster = Cluster::unmoved();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    let report = cluster.run(&named("alice")).unwrap();
    assert_eq!(cluster.answer(alice), Verdict::Revoked);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("--fail-closed"))
    );
    let secret = crate::resources::client_ca::secret("istio-system", "kyma-mtls-clients-cacert");
    let kept = cluster.objects[&secret].clone();
    let kept = kept.with_label("kustomize.toolkit.fluxcd.io/name", "shop");
    cluster.put(&kept);
    let writes = cluster.writes.len();
    let (says, _) = refused(&mut cluster, &named("bob"));
    assert!(says.contains("Flux manages Secret"), "{says}");
    assert_eq!(cluster.writes.len(), writes);
    let mut forced = named("bob");
    forced.force_conflicts = true;
    cluster.run(&forced).unwrap();
    assert_eq!(cluster.answer(bob), Verdict::Revoked);
}

/// Both at once, one of them this many steps ahead; what came of the revocation.
fn beside(goal: &Goal, lead: usize, revokes_first: bool) -> (Cluster, usize, bool) {
    let mut cluster = Cluster::exposed();
    cluster.issue("stays");
    if matches!(goal, Goal::Finish(_)) {
        rotate(&mut cluster, Goal::Advance(None));
    }
    let alice = cluster.issue("alice");
    let revocation = named("alice");
    let rotation = rotation(goal.clone());
    let mut revoking = Run::begin(&revocation);
    let mut rotating = Run::begin(&rotation);
    for _ in 0..lead {
        if revokes_first {
            cluster.step(&mut revoking);
        } else {
            cluster.step(&mut rotating);
        }
    }
    let is_over = if revokes_first {
        revoking.result.is_some()
    } else {
        rotating.result.is_some()
    };
    for _ in 0..400 {
        if revokes_first {
            cluster.step(&mut rotating);
        }
        if !revokes_first || rotating.result.is_some() {
            cluster.step(&mut revoking);
        }
        if !revokes_first && revoking.result.is_some() {
            cluster.step(&mut rotating);
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
    (cluster, alice, is_over)
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
                let (cluster, alice, is_over) = beside(&goal, lead, revokes_first);
                assert_eq!(cluster.answer(alice), Verdict::Revoked, "{goal:?} {lead}");
                if is_over {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_revocation_recovers_from_every_fault_at_each_of_its_effects() {
    let mut cluster = Cluster::exposed();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    let faults = every_fault(&cluster, &named("alice"), |cluster, fault, _, report| {
        assert_eq!(cluster.answer(alice), Verdict::Revoked, "{fault:?}");
        assert_eq!(cluster.answer(bob), Verdict::LetIn, "{fault:?}");
        assert_eq!(booked(cluster, "alice"), [EntryState::Revoked], "{fault:?}");
        assert_eq!(fates(&report).len(), 1, "{fault:?}");
    });
    assert!(faults > 25, "{faults}");
}

#[test]
fn what_was_renewed_is_revoked_once_its_successor_is_old_enough() {
    let mut cluster = Cluster::exposed();
    let superseded = |days| request(Which::Superseded(Span::days(days)));
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    let renewed = cluster.renew("alice");
    let report = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&report), []);
    assert_eq!(report.notes, ["no certificate was renewed at least 7d ago"]);
    cluster.now += Span::days(7);
    let report = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&report), [("alice", Fate::Revoked)]);
    let states = [EntryState::Revoked, EntryState::Issued];
    assert_eq!(booked(&cluster, "alice"), states);
    assert_eq!(booked(&cluster, "bob"), [EntryState::Issued]);
    assert_eq!(cluster.answers(renewed), [Verdict::LetIn]);
    let again = cluster.run(&superseded(7)).unwrap();
    assert_eq!(fates(&again), []);
}

#[test]
fn a_certificate_whose_successor_is_revoked_is_not_superseded() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.renew("alice");
    let mut entry = cluster.entries().pop().unwrap();
    entry.state = EntryState::Revoked;
    cluster.put(&entry.object(&"alice".parse().unwrap()));
    cluster.now += Span::days(30);
    let report = cluster
        .run(&request(Which::Superseded(Span::ZERO)))
        .unwrap();
    assert!(!fates(&report).contains(&("alice", Fate::AlreadyRevoked)));
    assert_eq!(booked(&cluster, "alice")[0], EntryState::Issued);
}
