//! Rotations that are interrupted, fail, or run beside another command.

use super::*;
use crate::plan::testing::Dropping;
use crate::plan::testing::kyma::{expose_request, exposed_on_helm};

#[test]
fn an_issuer_that_began_before_the_move_delivers_nothing_that_was_not_counted() {
    for held_at in 0..40 {
        let mut cluster = Cluster::exposed();
        let mut issuer = Running::begin(&issue_request("late"));
        for _ in 0..held_at {
            if !cluster.step(&mut issuer) {
                return;
            }
        }
        cluster.run(&advance()).unwrap();
        let is_finished = cluster.run(&finish()).is_ok();
        cluster.finish(&mut issuer).unwrap();
        let client = issuer.client();
        assert_eq!(
            cluster.answer(client),
            Verdict::LetIn,
            "held at {held_at}, finished: {is_finished}"
        );
    }
    panic!("the issuer never ends");
}

#[test]
fn killed_after_any_step_a_rerun_reaches_the_same_end_with_no_key_lost_or_left_over() {
    for steps in 1.. {
        let mut cluster = Cluster::exposed();
        let client = cluster.issue("alice");
        let is_over = cluster.killed(&advance(), steps);
        assert_eq!(cluster.answers(client), [Verdict::LetIn]);
        for _ in 0..3 {
            if cluster.state().phase() == Phase::Overlap {
                break;
            }
            cluster.run(&advance()).unwrap();
        }
        assert_eq!(
            cluster.state().phase(),
            Phase::Overlap,
            "killed after {steps}"
        );
        assert_eq!(cluster.state().trusted.len(), 2);
        assert_eq!(cluster.keys().len(), 2, "killed after {steps}");
        assert_eq!(cluster.answers(client), [Verdict::LetIn]);
        if is_over {
            return;
        }
    }
}

#[test]
fn what_the_proxies_dropped_of_a_rotation_is_sent_again_by_the_same_run() {
    // Proxies that can be asked.
    let exposed = || {
        let mut cluster = Cluster::kyma();
        cluster.run(&expose_request()).unwrap();
        let state = &cluster.objects[&CredentialNames::first().state()];
        cluster.proxies.dropping = Some(Dropping::next_of(state));
        cluster
    };
    let advance = Request {
        connect_to: None,
        ..advance()
    };
    let mut cluster = exposed();
    let started = cluster.run(&advance).unwrap();
    assert_eq!(started.done.len(), 2, "{:?}", started.done);
    // The next run sends again what a killed one has written.
    let mut steps = 1;
    while cluster.state().phase() != Phase::Spreading {
        cluster = exposed();
        cluster.killed(&advance, steps);
        steps += 1;
    }
    let resumed = cluster.run(&advance).unwrap();
    assert_eq!(resumed.done.len(), 1, "{:?}", resumed.done);
}

#[test]
fn what_a_tool_manages_is_not_sent_again() {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    let advance = Request {
        connect_to: None,
        ..advance()
    };
    let mut steps = 1;
    let exposed = cluster.clone();
    while cluster.state().phase() != Phase::Spreading {
        cluster = exposed.clone();
        cluster.killed(&advance, steps);
        steps += 1;
    }
    let state = own(&cluster).with_label("argocd.argoproj.io/instance", "team");
    cluster.put(&state);
    cluster.proxies.lagging = vec![0, 1];
    let before = cluster.writes.len();
    let said = cluster.run(&advance).unwrap_err().to_string();
    assert!(
        said.contains("Argo CD manages ConfigMap kubectl-mtls/kyma-mtls"),
        "{said}"
    );
    assert_eq!(cluster.writes[before..], [""; 0]);
}

#[test]
fn a_key_that_a_killed_run_left_over_never_becomes_a_cas_and_goes_with_a_line_in_the_history() {
    is_never_used(with_a_key_left_over(&advance()));
}

#[test]
fn nor_does_the_key_of_files_that_a_killed_run_left_over() {
    let given = Cluster::exposed().given_ca();
    let to_given = request(Goal::Advance(Some(given)));
    let mut cluster = is_never_used(with_a_key_left_over(&to_given));
    cluster.run(&finish()).unwrap();
    // Nor later, of the same files: nobody knows who has seen them.
    let failure = cluster.run(&to_given).unwrap_err();
    assert!(failure.to_string().contains("was dropped"), "{failure}");
}

/// Rotates where a killed run left a key.
fn is_never_used(mut cluster: Cluster) -> Cluster {
    assert_eq!(cluster.state().trusted.len(), 1);
    let own = cluster.state().trusted[0].key_id_hex();
    let left_over = cluster.keys().into_iter().find(|ski| *ski != own).unwrap();
    cluster.run(&advance()).unwrap();
    let state = cluster.state();
    let trusted: Vec<String> = state.trusted.iter().map(Certificate::key_id_hex).collect();
    assert_eq!(trusted.len(), 2);
    assert!(!trusted.contains(&left_over));
    assert!(!cluster.keys().contains(&left_over));
    let line = format!("retired the key {left_over}, which an interrupted run left without a CA");
    assert!(state.history.iter().any(|told| told.contains(&line)));
    cluster
}

/// A key is kept before the state names its CA, so another run must not take it for left over in between.
#[test]
fn the_end_of_a_rotation_beside_the_start_of_the_next_one_never_removes_the_key_of_a_trusted_ca() {
    let mut overlap = Cluster::exposed();
    overlap.run(&advance()).unwrap();
    for first in 1.. {
        let mut is_over;
        let mut second = 1;
        loop {
            let mut cluster = overlap.clone();
            let (mut ending, mut starting) =
                (Running::begin(&finish()), Running::begin(&advance()));
            cluster.steps(&mut ending, first);
            is_over = ending.result.is_some();
            cluster.steps(&mut starting, second);
            let has_started = starting.result.is_some();
            for run in [&mut ending, &mut starting] {
                cluster.steps(run, 100);
                assert!(run.result.is_some(), "{first} {second}");
            }
            let keys = cluster.keys();
            for ca in &cluster.state().trusted {
                let ski = ca.key_id_hex();
                assert!(
                    keys.contains(&ski),
                    "no key of {ski} after {first} {second}"
                );
            }
            if has_started {
                break;
            }
            second += 1 + second / 3;
        }
        if is_over {
            return;
        }
    }
}

#[test]
fn a_killed_finish_is_completed_by_any_later_run_which_starts_nothing() {
    for (steps, again) in (1..).flat_map(|steps| [(steps, finish()), (steps, advance())]) {
        let mut cluster = Cluster::exposed();
        cluster.run(&advance()).unwrap();
        let client = cluster.issue("alice");
        let is_over = cluster.killed(&finish(), steps);
        let had_to_complete = cluster.state().phase() == Phase::Settled && cluster.is_unfinished();
        cluster.run(&again).unwrap();
        if matches!(again.goal, Goal::Finish(_)) || had_to_complete {
            assert_eq!(
                cluster.state().phase(),
                Phase::Settled,
                "killed after {steps}"
            );
            assert_eq!(cluster.keys().len(), 1, "killed after {steps}");
        }
        assert_eq!(cluster.answer(client), Verdict::LetIn);
        if is_over && matches!(again.goal, Goal::Advance(_)) {
            return;
        }
    }
}

#[test]
fn of_two_runs_at_once_one_starts_and_the_other_goes_on_with_it() {
    for lead in 0..30 {
        let mut cluster = Cluster::exposed();
        let (one, other) = (advance(), advance());
        let mut runs = [Running::begin(&one), Running::begin(&other)];
        for _ in 0..lead {
            cluster.step(&mut runs[0]);
        }
        while runs.iter().any(|run| run.result.is_none()) {
            for run in &mut runs {
                cluster.step(run);
            }
        }
        for run in runs {
            run.result.unwrap().unwrap();
        }
        let state = cluster.state();
        assert_eq!(state.trusted.len(), 2, "one is {lead} steps ahead");
        assert!(
            state
                .trusted
                .iter()
                .all(|ca| cluster.keys().contains(&ca.key_id_hex()))
        );
    }
}

/// Runs a command with every fault at each of its effects. Whatever happens, these clients stay accepted, and a rerun ends well.
fn recovers(cluster: &Cluster, goal: &Request, clients: &[usize]) -> usize {
    every_fault(cluster, goal, |cluster, fault, _, _| {
        for client in clients {
            assert_eq!(cluster.answer(*client), Verdict::LetIn, "{fault:?}");
        }
        let (keys, state) = (cluster.keys(), cluster.state());
        for ca in &state.trusted {
            assert!(keys.contains(&ca.key_id_hex()), "{fault:?}: no key");
        }
        assert_eq!(keys.len(), state.trusted.len(), "{fault:?}: a key too many");
    })
}

#[test]
fn a_rotation_recovers_from_every_fault_at_each_of_its_effects() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let started = recovers(&cluster, &advance(), &[old]);
    cluster.run(&advance()).unwrap();
    let new = cluster.issue("alice");
    let aborted = recovers(&cluster, &abort(), &[old, new]);
    cluster.revoke_in_inventory(old);
    let finished = recovers(&cluster, &finish(), &[new]);
    assert!(started > 30 && aborted > 15 && finished > 20);
}

/// Through the Pods of a Helm release in a namespace of its own.
#[test]
fn a_rotation_beside_a_helm_release_recovers_from_every_fault_at_each_of_its_effects() {
    let through = |goal: Request| Request {
        connect_to: None,
        ..goal
    };
    let mut cluster = exposed_on_helm();
    let old = cluster.issue("alice");
    let started = recovers(&cluster, &through(advance()), &[old]);
    cluster.run(&through(advance())).unwrap();
    let new = cluster.issue("alice");
    let aborted = recovers(&cluster, &through(abort()), &[old, new]);
    cluster.revoke_in_inventory(old);
    let finished = recovers(&cluster, &through(finish()), &[new]);
    assert!(
        started > 30 && aborted > 15 && finished > 20,
        "{started} {aborted} {finished}"
    );
}

/// A cluster whose first run was killed between key and authority, and the second was not.
fn with_a_secret_left_over() -> Cluster {
    use crate::plan::testing::kyma::expose_request;
    let keys = CredentialNames::first().keys(1);
    for steps in 1.. {
        let mut cluster = Cluster::kyma();
        let is_over = cluster.killed(&expose_request(), steps);
        assert!(!is_over, "it is never killed between the two");
        if cluster.objects.contains_key(&keys) && !cluster.has_authority() {
            cluster.run(&expose_request()).unwrap();
            return cluster;
        }
    }
    unreachable!()
}

#[test]
fn the_key_of_a_killed_first_run_goes_with_the_next_rotation_and_a_line_in_the_history() {
    let mut cluster = with_a_secret_left_over();
    let names = CredentialNames::first();
    assert_eq!(cluster.state().keys_secret, names.keys(2).name);
    let [left_over] = cluster.keys().try_into().unwrap();
    let client = cluster.issue("alice");
    let through = Request {
        connect_to: None,
        ..advance()
    };
    let report = cluster.run(&through).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    assert_eq!(cluster.keys(), [""; 0], "the key is gone");
    let state = cluster.state();
    let line = format!("retired the key {left_over}");
    let mut history = state.history.iter();
    assert!(
        history.any(|entry| entry.contains(&line)),
        "{:?}",
        state.history
    );
    assert!(state.trusted.iter().all(|ca| ca.key_id_hex() != left_over));
    assert_eq!(cluster.answer(client), Verdict::LetIn);
    // Both keys of the authority are there.
    let own = crate::resources::authority::Keys::read(&cluster.objects[&names.keys(2)]).unwrap();
    assert_eq!(own.skis().count(), 2);
}

#[test]
fn a_secret_of_keys_that_is_not_of_the_authority_stays_as_it_is() {
    for of_another in [true, false] {
        let mut cluster = with_a_secret_left_over();
        let name = CredentialNames::first().keys(1);
        let secret = cluster.objects[&name].clone();
        let other = if of_another {
            secret.with_label("kubectl-mtls.dev/authority", "another")
        } else {
            secret.with_label("app.kubernetes.io/managed-by", "somebody")
        };
        let other = cluster.put(&other);
        let through = Request {
            connect_to: None,
            ..advance()
        };
        cluster.run(&through).unwrap();
        assert!(cluster.objects[&name] == other);
    }
}

#[test]
fn a_damaged_secret_that_a_killed_first_run_left_stops_no_rotation_and_stays() {
    let mut cluster = with_a_secret_left_over();
    let name = CredentialNames::first().keys(1);
    let damaged = cluster.objects[&name].clone();
    let damaged = damaged.with("data", serde_json::json!({"key": "?"}));
    let damaged = cluster.put(&damaged);
    let through = |request: Request| Request {
        connect_to: None,
        ..request
    };
    for goal in [advance(), finish()] {
        cluster.run(&through(goal)).unwrap();
    }
    assert_eq!(cluster.state().trusted.len(), 1);
    assert!(cluster.objects[&name] == damaged);
}

#[test]
fn a_run_that_waits_for_clients_ends_when_another_one_has_ended_the_rotation() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    let waiting = request(Goal::Finish(Finish {
        wait_for_clients: true,
        ..Finish::default()
    }));
    let mut waiting = Running::begin(&waiting);
    while waiting.observed.waited() == Duration::ZERO {
        assert!(cluster.step(&mut waiting));
    }
    cluster.run(&forced()).unwrap();
    let report = cluster.finish(&mut waiting).unwrap();
    assert_eq!(report.phase, Phase::Settled);
}

#[test]
fn a_run_that_probes_ends_when_another_one_has_changed_what_it_waits_for() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.proxies.lagging = vec![0];
    let begun = advance();
    let mut waiting = Running::begin(&begun);
    while waiting.observed.waited() == Duration::ZERO {
        assert!(cluster.step(&mut waiting));
    }
    cluster.proxies.lagging.clear();
    cluster.run(&advance()).unwrap();
    cluster.run(&forced()).unwrap();
    let report = cluster.finish(&mut waiting).unwrap();
    assert_eq!(report.phase, Phase::Settled);
}
