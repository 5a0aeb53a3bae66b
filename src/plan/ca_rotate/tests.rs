//! `ca-rotate` against an authority, its gateways and its clients in memory.

use super::*;
use crate::pki::inspect::Certificate;
use crate::pki::tests::NOW;
use crate::plan::testing::{Cluster, Verdict};
use crate::plan::testing::{Run as Running, every_fault, foreign_ca, issue_request};
use crate::resources::inventory::EntryState;
use time::Duration as Span;

pub(super) fn request(goal: Goal) -> Request {
    Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal,
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    }
}

pub(super) fn advance() -> Request {
    request(Goal::Advance(None))
}

pub(super) fn finish() -> Request {
    request(Goal::Finish(Finish::default()))
}

pub(super) fn forced() -> Request {
    request(Goal::Finish(Finish {
        force: true,
        ..Finish::default()
    }))
}

pub(super) fn abort() -> Request {
    request(Goal::Abort)
}

pub(super) fn status() -> Request {
    request(Goal::Status)
}

#[test]
fn a_rotation_starts_moves_and_ends_and_no_valid_client_is_ever_refused() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let started = cluster.run(&advance()).unwrap();
    assert_eq!(started.phase, Phase::Overlap);
    assert_eq!(started.dependents.as_ref().unwrap()[0].name, "alice");
    assert_eq!(cluster.answers(old), [Verdict::LetIn]);
    let new = cluster.issue("alice");
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("`alice` until"), "{failure}");
    cluster.revoke_in_inventory(old);
    let ended = cluster.run(&finish()).unwrap();
    assert_eq!(ended.phase, Phase::Settled);
    assert_eq!(cluster.answers(old), [Verdict::Unknown]);
    assert_eq!(cluster.answers(new), [Verdict::LetIn]);
    assert_eq!(cluster.keys().len(), 1, "the old key is gone");
    assert_eq!(
        cluster.events(),
        [
            "CADropped",
            "Issued",
            "Issued",
            "IssuingMoved",
            "RotationStarted"
        ]
    );
}

#[test]
fn a_reserved_certificate_is_live_and_an_expired_or_void_one_is_not() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    cluster.restate(client, EntryState::Reserved);
    assert!(cluster.run(&finish()).is_err());
    cluster.restate(client, EntryState::Void);
    assert!(cluster.run(&finish()).is_ok());

    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    cluster.now = NOW + Span::days(91);
    assert!(cluster.run(&finish()).is_ok());
}

#[test]
fn a_ca_that_has_expired_is_replaced() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    let issuing = cluster.state().issuing_ca().unwrap().clone();
    cluster.now = issuing.not_after() + Span::hours(1);
    assert_eq!(cluster.run(&advance()).unwrap().phase, Phase::Overlap);
    let new = cluster.issue("bob");
    assert_eq!(cluster.answers(new), [Verdict::LetIn]);
    assert_eq!(cluster.run(&finish()).unwrap().phase, Phase::Settled);
    assert!(!cluster.state().trusted.contains(&issuing));
}

/// A replica that comes while the rotation waits, in any namespace of the gateway, counts for its proof.
#[test]
fn a_gateway_that_is_scaled_up_meanwhile_is_looked_at_with_its_new_replica() {
    use crate::plan::testing::kyma::expose_request;
    use crate::resources::{Object, ObjectRef};
    let mut cluster = Cluster::helm();
    let expose = crate::plan::expose::Request {
        host: Some("orders.example.com".to_owned()),
        ..expose_request()
    };
    cluster.run(&expose).unwrap();
    let advance = Request {
        connect_to: None,
        ..advance()
    };
    let old = cluster.proxy_pods()[0].clone();
    let name = ObjectRef {
        name: old.name.replace("-1", "-3"),
        ..old.clone()
    };
    let mut body = cluster.objects[&old].body().clone();
    body["metadata"]["name"] = name.name.clone().into();
    let pod = Object::from_server(name.kind, body).unwrap();
    for is_lagging in [true, false] {
        let mut cluster = cluster.clone();
        let mut has_come = false;
        let mut run = Running::begin(&advance);
        let result = loop {
            let goes_on = cluster.step(&mut run);
            if !has_come && !cluster.writes.is_empty() && cluster.state().trusted.len() > 1 {
                has_come = true;
                cluster.put(&pod);
                let place = cluster.proxy_pods().iter().position(|pod| *pod == name);
                assert_eq!(place, Some(2), "the others keep their places");
                cluster.proxies.replicas = 3;
                cluster.proxies.lagging = is_lagging.then_some(2).into_iter().collect();
            }
            if !goes_on && let Some(result) = run.result.take() {
                break result;
            }
        };
        assert!(has_come);
        if is_lagging {
            let failure = result.unwrap_err();
            let said = failure.what_to_do().join("\n");
            assert!(said.contains("istio-ingress-3"), "{failure} {said}");
        } else {
            let through = result.unwrap().looked.unwrap().through;
            assert!(through.contains(&name.name), "{through:?}");
        }
    }
}

#[test]
fn the_new_ca_issues_only_after_every_replica_has_loaded_it() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    cluster.load();
    cluster.proxies.lagging = vec![1];
    let old = cluster.state().issuing;
    let failure = cluster.run(&advance()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert!(failure.what_to_do()[0].contains("expected"), "{failure:?}");
    assert_eq!(cluster.state().issuing, old);
    assert_eq!(cluster.state().phase(), Phase::Spreading);
    assert!(cluster.run(&finish()).is_err(), "gateways lag");
    cluster.proxies.lagging.clear();
    assert_eq!(cluster.run(&advance()).unwrap().phase, Phase::Overlap);
    assert_eq!(cluster.state().trusted.len(), 2, "no second rotation");
}

#[test]
fn an_aborted_rotation_refuses_nobody_and_its_ca_leaves_when_its_clients_are_gone() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    let new = cluster.issue("bob");
    let aborted = cluster.run(&abort()).unwrap();
    assert_eq!(aborted.dependents.unwrap()[0].name, "bob");
    assert_eq!(
        [cluster.answer(old), cluster.answer(new)],
        [Verdict::LetIn; 2]
    );
    let later = cluster.issue("carol");
    assert!(cluster.run(&abort()).is_ok(), "once more changes nothing");
    assert!(cluster.run(&finish()).is_err());
    cluster.revoke_in_inventory(new);
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(new), Verdict::Unknown);
    assert_eq!(
        [cluster.answer(old), cluster.answer(later)],
        [Verdict::LetIn; 2]
    );
    let failure = cluster.run(&abort()).unwrap_err();
    assert!(failure.what_to_do()[0].contains("finished"), "{failure:?}");
}

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
fn a_key_that_a_killed_run_left_over_never_becomes_a_cas_and_goes_with_a_line_in_the_history() {
    let mut cluster = Cluster::exposed();
    let mut steps = 1;
    // Killed after the key of the new CA was kept, and before the state trusts it.
    while cluster.keys().len() < 2 {
        cluster = Cluster::exposed();
        cluster.killed(&advance(), steps);
        steps += 1;
    }
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

#[test]
fn with_revocation_lists_every_ca_enters_and_stays_with_one() {
    let mut cluster = Cluster::exposed();
    let bad = cluster.issue("bad");
    let good = cluster.issue("good");
    cluster.revoke(bad);
    cluster.run(&advance()).unwrap();
    assert_eq!(cluster.state().crls.len(), 2);
    assert_eq!(
        [cluster.answer(bad), cluster.answer(good)],
        [Verdict::Revoked, Verdict::LetIn]
    );
    let new = cluster.issue("new");
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.state().crls.len(), 1);
    assert_eq!(cluster.answer(new), Verdict::LetIn);
}

#[test]
fn finish_by_force_lists_whom_it_shuts_out() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    let report = cluster.run(&forced()).unwrap();
    assert_eq!(report.shut_out[0].name, "alice");
}

#[test]
fn a_dry_run_and_a_status_write_nothing() {
    let mut cluster = Cluster::exposed();
    for phase in 0..2 {
        for dry_run in [DryRun::Client, DryRun::Server] {
            for goal in [advance(), finish(), abort()] {
                let mut goal = goal;
                goal.dry_run = dry_run;
                let writes = cluster.writes.len();
                let _ = cluster.run(&goal);
                cluster.run(&status()).unwrap();
                assert_eq!(cluster.writes.len(), writes, "{phase} {goal:?}");
            }
        }
        cluster.run(&advance()).unwrap();
    }
}

#[test]
fn beside_a_foreign_ca_ours_issues_only_once_loaded_and_the_foreign_one_leaves_by_name() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let foreign = foreign_ca().certificate().fingerprint();
    cluster.proxies.lagging = vec![0];
    assert_eq!(cluster.run(&advance()).unwrap_err().exit().code(), 124);
    assert_eq!(cluster.state().issuing, None);
    cluster.proxies.lagging.clear();
    let adopted = cluster.run(&advance()).unwrap();
    let shown: Vec<&str> = adopted
        .cas
        .iter()
        .map(|ca| ca.fingerprint.as_str())
        .collect();
    assert!(shown.len() == 2 && shown.contains(&foreign.as_str()));
    assert!(
        adopted
            .notes
            .iter()
            .any(|note| note.contains("are not known"))
    );
    let ours = cluster.issue("alice");
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::LetIn; 2]
    );
    let drop = |fingerprint: &str| {
        request(Goal::Finish(Finish {
            foreign: [fingerprint.to_owned()].into(),
            ..Finish::default()
        }))
    };
    assert!(cluster.run(&drop(&"0".repeat(64))).is_err());
    cluster.run(&finish()).unwrap();
    assert_eq!(
        cluster.answer(theirs),
        Verdict::LetIn,
        "nobody asked for its end"
    );
    cluster.run(&drop(&foreign)).unwrap();
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::Unknown, Verdict::LetIn]
    );
}

#[test]
fn a_foreign_ca_whose_key_is_taken_in_is_the_oldest_generation() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let taken = request(Goal::TakeIn(foreign_ca().clone()));
    let report = cluster.run(&taken).unwrap();
    assert!(
        report.notes.iter().any(|note| note.contains("serial 0")),
        "{report:?}"
    );
    let first = cluster.issue("first");
    cluster.run(&advance()).unwrap();
    let second = cluster.issue("second");
    assert_eq!(
        [theirs, first, second].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 3]
    );
    cluster.revoke_in_inventory(first);
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("was not created by kubectl-mtls"),
        "{failure}"
    );
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::Unknown);
    assert_eq!(cluster.answer(second), Verdict::LetIn);
}

#[test]
fn a_killed_adoption_is_completed_and_never_loses_the_foreign_ca() {
    for steps in 1.. {
        let mut cluster = Cluster::by_hand();
        let theirs = cluster.foreign_client();
        let is_over = cluster.killed(&advance(), steps);
        assert_eq!(cluster.answer(theirs), Verdict::LetIn);
        if !cluster.has_authority() || cluster.state().issuing.is_none() || cluster.is_unfinished()
        {
            cluster.run(&advance()).unwrap();
        }
        let ours = cluster.issue("alice");
        assert_eq!(
            [cluster.answer(theirs), cluster.answer(ours)],
            [Verdict::LetIn; 2]
        );
        assert_eq!(cluster.state().phase(), Phase::Settled);
        if is_over {
            return;
        }
    }
}

#[test]
fn while_a_gateway_reads_a_secret_in_the_place_of_the_authority_nothing_is_begun() {
    let mut cluster = Cluster::unmoved();
    let client = cluster.issue("alice");
    let writes = cluster.writes.len();
    for goal in [advance(), finish(), abort()] {
        let failure = cluster.run(&goal).unwrap_err();
        assert!(failure.to_string().contains("kyma-mtls-clients-cacert"));
        assert!(
            failure.what_to_do()[0].contains("--fail-closed"),
            "{failure:?}"
        );
    }
    assert!(cluster.run(&status()).is_ok());
    assert_eq!(cluster.writes.len(), writes);
    assert_eq!(cluster.answer(client), Verdict::LetIn);
}

#[test]
fn a_dropped_ca_that_somebody_put_back_leaves_with_the_next_run() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let bundle = cluster.state().trusted[0].pem();
    cluster.run(&advance()).unwrap();
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(old), Verdict::Unknown);
    let now = cluster.state().trusted[0].pem();
    cluster.edit_state("ca.crt", &(now + &bundle));
    cluster.load();
    assert_eq!(
        cluster.answer(old),
        Verdict::LetIn,
        "its CA is trusted again"
    );
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(old), Verdict::Unknown);
}

#[test]
fn a_first_ca_that_was_taken_back_can_be_let_in_after_all() {
    let mut cluster = Cluster::by_hand();
    cluster.proxies.lagging = vec![0];
    cluster.run(&advance()).unwrap_err();
    assert_eq!(cluster.run(&abort()).unwrap().phase, Phase::Stopped);
    cluster.proxies.lagging.clear();
    assert!(cluster.run(&finish()).is_err());
    cluster.run(&advance()).unwrap();
    assert!(cluster.state().issuing.is_some());
}

#[test]
fn what_a_rotation_cannot_go_to_is_refused_with_the_reason_before_anything_is_written() {
    let mut cluster = Cluster::exposed();
    let writes = cluster.writes.len();
    for (ca, reason) in cluster.unfit() {
        let failure = cluster.run(&request(Goal::Advance(Some(ca)))).unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    assert_eq!(cluster.writes.len(), writes);
    let fit = foreign_ca().clone();
    cluster
        .run(&request(Goal::Advance(Some(fit.clone()))))
        .unwrap();
    assert_eq!(cluster.state().issuing_ca(), Some(fit.certificate()));
    let other = cluster.unfit().remove(0).0;
    assert!(cluster.run(&request(Goal::Advance(Some(other)))).is_err());
}

#[test]
fn a_state_edited_by_hand_is_refused_and_left_as_it_is() {
    for (field, value, says) in [
        ("format", "3", "newer"),
        ("state.json", "{}", "edited by hand"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA", "ca.crt"),
        ("ca.crt", "", "ca.crt"),
    ] {
        let mut cluster = Cluster::exposed();
        cluster.edit_state(field, value);
        let writes = cluster.writes.len();
        for goal in [advance(), finish(), abort(), status()] {
            let failure = cluster.run(&goal).unwrap_err();
            assert!(failure.to_string().contains(says), "{failure}");
        }
        assert_eq!(cluster.writes.len(), writes);
    }
    let mut cluster = Cluster::exposed();
    cluster.foreign_key();
    let failure = cluster.run(&advance()).unwrap_err();
    assert!(failure.to_string().contains("cannot sign"), "{failure}");
}

#[test]
fn a_rotation_that_takes_longer_than_its_canaries_live_never_ends_in_success_unseen() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    let old = cluster.issue("alice");
    cluster.proxies.lagging = vec![2];
    for request in [advance(), advance()] {
        let failure = cluster.run_slowly(&request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        assert_eq!(cluster.state().phase(), Phase::Spreading);
    }
    cluster.proxies.lagging.clear();
    cluster.run(&advance()).unwrap();
    cluster.revoke_in_inventory(old);
    cluster.proxies.lagging = vec![2];
    let failure = cluster.run_slowly(&finish()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    cluster.proxies.lagging.clear();
    assert_eq!(cluster.run(&finish()).unwrap().phase, Phase::Settled);
}

pub(super) fn own(cluster: &Cluster) -> crate::resources::Object {
    cluster.objects[&CredentialNames::first().state()].clone()
}

/// An authority with a client on its old CA, one on its new one, and a revoked one.
pub(super) fn busy() -> (Cluster, [usize; 3]) {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("old");
    cluster.run(&advance()).unwrap();
    let [new, lost] = ["new", "lost"].map(|name| cluster.issue(name));
    cluster.revoke(lost);
    assert_eq!(answers(&cluster, [old, new, lost]), FATES);
    (cluster, [old, new, lost])
}

pub(super) const FATES: [Verdict; 3] = [Verdict::LetIn, Verdict::LetIn, Verdict::Revoked];

pub(super) fn answers(cluster: &Cluster, clients: [usize; 3]) -> [Verdict; 3] {
    clients.map(|client| cluster.answer(client))
}

#[test]
fn a_lost_inventory_is_no_evidence_until_it_is_accepted() {
    let (mut cluster, clients) = busy();
    cluster
        .objects
        .retain(|name, _| name.namespace != "kubectl-mtls-clients");
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("inventory"), "{failure}");
    assert!(format!("{failure:?}").contains("--accept-inventory"));
    let accept = request(Goal::AcceptInventory);
    let mut dry = accept.clone();
    dry.dry_run = DryRun::Client;
    let writes = cluster.writes.len();
    let planned = cluster.run(&dry).unwrap().planned;
    assert!(
        planned[0].contains("holds 0 live and 0 revoked"),
        "{planned:?}"
    );
    assert_eq!(cluster.writes.len(), writes);
    cluster.run(&accept).unwrap();
    assert_eq!(
        answers(&cluster, clients),
        FATES,
        "it changes nobody's fate"
    );
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(clients[0]), Verdict::Unknown);
}

#[test]
fn a_rotation_goes_on_without_the_lost_key_of_the_old_ca() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("old");
    let names = CredentialNames::first();
    cluster.objects.remove(&names.keys(1));
    let report = cluster.run(&advance()).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    let new = cluster.issue("new");
    assert_eq!(
        [cluster.answer(old), cluster.answer(new)],
        [Verdict::LetIn; 2]
    );
}

#[test]
fn what_a_tool_keeps_is_not_changed_unless_that_is_said() {
    let mut cluster = Cluster::exposed();
    let kept = own(&cluster).with_annotation("argocd.argoproj.io/tracking-id", "shop");
    cluster.put(&kept);
    let writes = cluster.writes.len();
    let failure = cluster.run(&advance()).unwrap_err();
    let says = "Argo CD manages ConfigMap kubectl-mtls/kyma-mtls";
    assert!(failure.to_string().contains(says), "{failure}");
    assert_eq!(cluster.writes.len(), writes, "no key either");
    let mut forced = advance();
    forced.force_conflicts = true;
    cluster.run(&forced).unwrap();
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
