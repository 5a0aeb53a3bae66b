//! `revoke-client` against an authority, its gateways and its clients in memory.

mod closing;
mod concurrent;
mod damaged;
mod edited;
mod elsewhere;
mod kept;
mod kubernetes_gateways;
mod rerun;
mod shared_serials;
mod superseded;
mod table;
mod unknown;

use super::*;
use crate::pki::crl::succession;
use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Finish, Goal, Restore};
use crate::plan::testing::{Cluster, Verdict};
use crate::plan::testing::{Run, every_fault};
use crate::resources::authority::AuthorityState;
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

#[test]
fn a_header_guard_that_a_tool_keeps_is_told_and_keeps_nobody_from_revoking() {
    use crate::resources::guard::headers_reference;
    use crate::resources::names::{FIELD_MANAGER, GatewayName, MANAGED_BY};
    let mut cluster = Cluster::exposed();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let spec = serde_json::json!({"action": "DENY", "rules": [{"to": []}, {"from": []}]});
    let guard = Object::new(headers_reference("istio-system", &gateway))
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label("argocd.argoproj.io/instance", "shop")
        .with("spec", spec);
    cluster.put(&guard);
    let guard = guard.reference();
    let before = cluster.objects[guard].clone();
    let mut closing = named("alice");
    closing.close_connections = true;
    let report = cluster.run(&closing).unwrap();
    assert_eq!(cluster.answer(alice), Verdict::Revoked);
    assert!(cluster.objects[guard] == before);
    let mut notes = report.notes.iter();
    assert!(notes.any(|note| note.contains("Argo CD manages AuthorizationPolicy istio-system/")));
    let mut forced = named("bob");
    forced.close_connections = true;
    forced.force_conflicts = true;
    cluster.run(&forced).unwrap();
    assert_eq!(cluster.answer(bob), Verdict::Revoked);
    assert!(cluster.objects[guard] != before);
}
