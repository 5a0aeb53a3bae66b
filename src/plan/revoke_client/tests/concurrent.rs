//! Revocations that are interrupted, fail, or run beside another command.

use super::*;
use crate::plan::testing::kyma::exposed_on_helm;

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

/// Both at once, one of them this many steps ahead; what came of the revocation.
fn beside(goal: &Goal, lead: usize, revokes_first: bool) -> (Cluster, usize, bool) {
    let mut cluster = Cluster::exposed();
    cluster.issue("stays");
    if matches!(goal, Goal::Finish(_) | Goal::Abort) {
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
    for goal in [Goal::Advance(None), Goal::Finish(force), Goal::Abort] {
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

/// An authority of before a revocation was put back; both at once, one of them some steps ahead. Whether that one was over.
fn beside_a_restoration(lead: usize, revokes_first: bool) -> bool {
    let what = format!("{lead} ahead, the revocation: {revokes_first}");
    let mut cluster = Cluster::exposed();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    let before = cluster.objects[&CredentialNames::first().state()].clone();
    cluster.run(&named("bob")).unwrap();
    cluster.put(&before);
    cluster.load();
    let revocation = named("alice");
    let restoration = rotation(Goal::Restore(Restore {
        external: Vec::new(),
        accept_loss: true,
    }));
    let mut revoking = Run::begin(&revocation);
    let mut restoring = Run::begin(&restoration);
    for _ in 0..lead {
        if revokes_first {
            cluster.step(&mut revoking);
        } else {
            cluster.step(&mut restoring);
        }
    }
    let is_over = if revokes_first {
        revoking.result.is_some()
    } else {
        restoring.result.is_some()
    };
    for _ in 0..400 {
        cluster.step(&mut revoking);
        cluster.step(&mut restoring);
    }
    if let Err(failure) = restoring.result.unwrap() {
        panic!("{what}: {failure:?}");
    }
    if let Err(failure) = revoking.result.unwrap() {
        let says = "an older copy of the authority";
        assert!(failure.to_string().contains(says), "{what}: {failure:?}");
        cluster.run(&revocation).unwrap();
    }
    for client in [alice, bob] {
        assert_eq!(cluster.answer(client), Verdict::Revoked, "{what}");
    }
    is_over
}

#[test]
fn a_revocation_beside_a_restoration_is_done_or_refused_and_nobody_who_was_revoked_gets_in() {
    for revokes_first in [true, false] {
        for lead in 0.. {
            if beside_a_restoration(lead, revokes_first) {
                break;
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

/// Through the Pods of a Helm release in a namespace of its own.
#[test]
fn a_revocation_beside_a_helm_release_recovers_from_every_fault_at_each_of_its_effects() {
    let mut cluster = exposed_on_helm();
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    let request = Request {
        connect_to: None,
        ..named("alice")
    };
    let faults = every_fault(&cluster, &request, |cluster, fault, _, report| {
        assert_eq!(cluster.answers(alice), [Verdict::Revoked; 2], "{fault:?}");
        assert_eq!(cluster.answers(bob), [Verdict::LetIn; 2], "{fault:?}");
        assert_eq!(booked(cluster, "alice"), [EntryState::Revoked], "{fault:?}");
        assert_eq!(fates(&report).len(), 1, "{fault:?}");
    });
    assert!(faults > 25, "{faults}");
}
