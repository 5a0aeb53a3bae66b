//! Two runs on the same name at the same time.

use std::cell::Cell;

use super::bulk::{answered, of_many, one_of_many, standing};
use super::*;
use crate::plan::renew_client;

const IN_TURNS: &str = "in turns";

/// Takes a run forward until it ends, or waits for another one.
fn until_waiting<C: Command>(cluster: &mut Cluster, run: &mut Run<C>) {
    while !matches!(run.next(cluster.now), Some(Effect::Wait(_))) && cluster.step(run) {}
}

/// Runs two commands, the second one as a whole after each number of steps of the first one, and in turns.
fn in_every_order<C: Command>(
    cluster: &Cluster,
    [first, second]: [&dyn Fn() -> Run<C>; 2],
    check: impl Fn(&Cluster, [Result<C::Report, Failure>; 2], &str),
) {
    for steps in 0.. {
        let (mut cluster, mut first, mut second) = (cluster.clone(), first(), second());
        for _ in 0..steps {
            cluster.step(&mut first);
        }
        let is_over = first.result.is_some();
        until_waiting(&mut cluster, &mut second);
        let results = finish_both(&mut cluster, &mut first, &mut second);
        check(&cluster, results, &format!("after {steps} steps"));
        if is_over {
            break;
        }
    }
    let (mut cluster, mut first, mut second) = (cluster.clone(), first(), second());
    for _ in 0..100 {
        for run in [&mut first, &mut second] {
            if !matches!(run.next(cluster.now), Some(Effect::Wait(_))) {
                cluster.step(run);
            }
        }
    }
    let results = finish_both(&mut cluster, &mut first, &mut second);
    check(&cluster, results, IN_TURNS);
}

fn finish_both<C: Command>(
    cluster: &mut Cluster,
    first: &mut Run<C>,
    second: &mut Run<C>,
) -> [Result<C::Report, Failure>; 2] {
    until_waiting(cluster, first);
    until_waiting(cluster, second);
    [first, second].map(|run| match run.result.take() {
        Some(result) => result,
        None => cluster.finish(run),
    })
}

/// The refusal of the one run that did not get what both wanted.
fn refusal<T: std::fmt::Debug>(results: [Result<T, Failure>; 2], what: &str) -> String {
    let refusals: Vec<Failure> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals.len(), 1, "{what}: {refusals:?}");
    refusals[0].to_string()
}

/// Of two runs on a name, beside the first client, one issued a certificate and the other one was refused.
fn one_is_issued(cluster: &Cluster, results: [Result<Report, Failure>; 2], what: &str) {
    let refusal = refusal(results, what);
    assert!(refusal.contains("has a certificate already"), "{refusal}");
    assert_eq!(cluster.states(), [EntryState::Issued; 2], "{what}");
    assert_eq!(cluster.clients.len(), 2, "{what}");
}

#[test]
fn two_runs_at_once_on_one_name_issue_one_certificate_and_one_is_refused() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let begin = || Run::begin(&request("alice"));
    in_every_order(&cluster, [&begin, &begin], one_is_issued);
}

#[test]
fn two_bulk_runs_at_once_on_one_name_issue_one_certificate() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let standing = standing(&mut cluster);
    let request = one_of_many("alice");
    let begin = || {
        let mut observed = answered();
        observed.apply(Event::Assumed(reference("kyma-mtls", &request.name, 1)));
        of_many(&request, &standing, observed)
    };
    in_every_order(&cluster, [&begin, &begin], one_is_issued);
}

#[test]
fn what_a_killed_run_reserved_a_while_ago_is_not_waited_for() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let mut killed = Run::begin(&request("alice"));
    while cluster.entries().len() < 2 {
        cluster.step(&mut killed);
    }
    let waits_at = |place: Place, cluster: &Cluster| {
        let mut again = request("alice");
        Arc::make_mut(&mut again.issuer).place = place;
        let (mut cluster, mut run) = (cluster.clone(), Run::begin(&again));
        until_waiting(&mut cluster, &mut run);
        run.result.is_none()
    };
    let waits = |cluster: &Cluster| waits_at(Place::Cluster, cluster);
    assert!(waits(&cluster));
    assert!(!waits_at(Place::Directory("ca".to_owned()), &cluster));
    // One that is killed is waited for once, and not for ever.
    let report = cluster.clone().run(&request("alice")).unwrap();
    assert_eq!((report.entry.number, report.lost.len()), (2, 1));
    cluster.now += Duration::MINUTE;
    assert!(!waits(&cluster));
    assert_eq!(cluster.run(&request("alice")).unwrap().entry.number, 2);
}

fn renewal(number: Option<u32>) -> renew_client::Request {
    renew_client::Request {
        issuer: issuer("kyma-mtls", Place::Cluster),
        name: "alice".parse().unwrap(),
        number,
        ttl: None,
        key: renew_client::Key::Alike,
        existing: ExistingFiles::default(),
        scale: Scale::Single,
    }
}

#[test]
fn two_renewals_at_once_of_one_certificate_issue_one() {
    let mut cluster = Cluster::default();
    cluster.run(&request("alice")).unwrap();
    for number in [None, Some(1)] {
        let begin = || Run::begin(&renewal(number));
        let refused = Cell::new(0);
        in_every_order(&cluster, [&begin, &begin], |cluster, results, what| {
            if what != IN_TURNS && results.iter().all(Result::is_ok) {
                // One was over before the other one looked: the user asked twice.
                assert_eq!(cluster.states(), [EntryState::Issued; 3], "{what}");
                return;
            }
            let refusal = refusal(results, what);
            let says = "certificate 1 of `alice` was renewed by another run meanwhile";
            assert!(refusal.contains(says), "{what}: {refusal}");
            assert_eq!(cluster.states(), [EntryState::Issued; 2], "{what}");
            refused.set(refused.get() + 1);
        });
        assert!(refused.get() > 3, "{number:?}: {}", refused.get());
    }
}

#[test]
fn a_renewal_waits_for_another_one_before_it_asks_for_a_password() {
    let mut cluster = Cluster::default();
    cluster.run(&request("alice")).unwrap();
    let [mut first, mut second] = [(); 2].map(|()| Run::begin(&renewal(None)));
    while cluster.entries().len() < 2 {
        cluster.step(&mut first);
    }
    let asked = cluster.asked.len();
    until_waiting(&mut cluster, &mut second);
    assert_eq!(cluster.asked.len(), asked);
    cluster.finish(&mut first).unwrap();
    cluster.step(&mut second);
    // What the other run did is known before the question, however long the answer takes.
    cluster.now += Duration::MINUTE;
    let refusal = cluster.finish(&mut second).unwrap_err().to_string();
    assert!(refusal.contains("was renewed by another run"), "{refusal}");
    assert_eq!(cluster.states(), [EntryState::Issued; 2]);
}
