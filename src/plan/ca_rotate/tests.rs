//! `ca-rotate` against an authority, its gateways and its clients in memory.

mod losses;

use super::*;
use crate::pki::inspect::Certificate;
use crate::pki::tests::NOW;
use crate::plan::stage::{Command, Stage, Verdict};
use crate::resources::inventory::EntryState;
use time::Duration as Span;

impl Command for Request {
    type Report = Report;

    fn next(&self, world: &World, now: OffsetDateTime) -> Result<Step<Report>, Failure> {
        next(self, world, now)
    }
}

fn request(goal: Goal) -> Request {
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

fn advance() -> Request {
    request(Goal::Advance(None))
}

fn finish() -> Request {
    request(Goal::Finish(Finish::default()))
}

fn forced() -> Request {
    request(Goal::Finish(Finish {
        force: true,
        ..Finish::default()
    }))
}

fn abort() -> Request {
    request(Goal::Abort)
}

fn status() -> Request {
    request(Goal::Status)
}

#[test]
fn a_rotation_starts_moves_and_ends_and_no_valid_client_is_ever_refused() {
    let mut stage = Stage::exposed();
    let old = stage.issue("alice");
    let started = stage.run(&advance()).unwrap();
    assert_eq!(started.phase, Phase::Overlap);
    assert_eq!(started.dependents.as_ref().unwrap()[0].name, "alice");
    assert_eq!(stage.answers(old), [Verdict::LetIn]);
    let new = stage.issue("alice");
    let failure = stage.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("`alice` until"), "{failure}");
    stage.revoke_in_inventory(old);
    let ended = stage.run(&finish()).unwrap();
    assert_eq!(ended.phase, Phase::Settled);
    assert_eq!(stage.answers(old), [Verdict::Unknown]);
    assert_eq!(stage.answers(new), [Verdict::LetIn]);
    assert_eq!(stage.keys().len(), 1, "the old key is gone");
    assert_eq!(
        stage.events(),
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
    let mut stage = Stage::exposed();
    let client = stage.issue("alice");
    stage.run(&advance()).unwrap();
    stage.restate(client, EntryState::Reserved);
    assert!(stage.run(&finish()).is_err());
    stage.restate(client, EntryState::Void);
    assert!(stage.run(&finish()).is_ok());

    let mut stage = Stage::exposed();
    stage.issue("alice");
    stage.run(&advance()).unwrap();
    stage.now = NOW + Span::days(91);
    assert!(stage.run(&finish()).is_ok());
}

#[test]
fn the_new_ca_issues_only_after_every_replica_has_loaded_it() {
    let mut stage = Stage::exposed();
    stage.replicas = 3;
    stage.load();
    stage.lagging = vec![1];
    let old = stage.state().issuing;
    let failure = stage.run(&advance()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert!(failure.what_to_do()[0].contains("expected"), "{failure:?}");
    assert_eq!(stage.state().issuing, old);
    assert_eq!(stage.state().phase(), Phase::Spreading);
    assert!(stage.run(&finish()).is_err(), "gateways lag");
    stage.lagging.clear();
    assert_eq!(stage.run(&advance()).unwrap().phase, Phase::Overlap);
    assert_eq!(stage.state().trusted.len(), 2, "no second rotation");
}

#[test]
fn an_aborted_rotation_refuses_nobody_and_its_ca_leaves_when_its_clients_are_gone() {
    let mut stage = Stage::exposed();
    let old = stage.issue("alice");
    stage.run(&advance()).unwrap();
    let new = stage.issue("bob");
    let aborted = stage.run(&abort()).unwrap();
    assert_eq!(aborted.dependents.unwrap()[0].name, "bob");
    assert_eq!([stage.answer(old), stage.answer(new)], [Verdict::LetIn; 2]);
    let later = stage.issue("carol");
    assert!(stage.run(&abort()).is_ok(), "once more changes nothing");
    assert!(stage.run(&finish()).is_err());
    stage.revoke_in_inventory(new);
    stage.run(&finish()).unwrap();
    assert_eq!(stage.answer(new), Verdict::Unknown);
    assert_eq!(
        [stage.answer(old), stage.answer(later)],
        [Verdict::LetIn; 2]
    );
    let failure = stage.run(&abort()).unwrap_err();
    assert!(failure.what_to_do()[0].contains("finished"), "{failure:?}");
}

#[test]
fn an_issuer_that_began_before_the_move_delivers_nothing_that_was_not_counted() {
    for held_at in 0..40 {
        let mut stage = Stage::exposed();
        let mut issuer = Stage::issuer("late");
        for _ in 0..held_at {
            if stage.step_issuer(&mut issuer).is_some() {
                return;
            }
        }
        stage.run(&advance()).unwrap();
        let is_finished = stage.run(&finish()).is_ok();
        while stage.step_issuer(&mut issuer).is_none() {}
        let client = Stage::delivered(&issuer);
        assert_eq!(
            stage.answer(client),
            Verdict::LetIn,
            "held at {held_at}, finished: {is_finished}"
        );
    }
    panic!("the issuer never ends");
}

#[test]
fn killed_after_any_step_a_rerun_reaches_the_same_end_with_no_key_lost_or_left_over() {
    for steps in 1.. {
        let mut stage = Stage::exposed();
        let client = stage.issue("alice");
        let is_over = stage.killed(&advance(), steps);
        assert_eq!(stage.answers(client), [Verdict::LetIn]);
        for _ in 0..3 {
            if stage.state().phase() == Phase::Overlap {
                break;
            }
            stage.run(&advance()).unwrap();
        }
        assert_eq!(
            stage.state().phase(),
            Phase::Overlap,
            "killed after {steps}"
        );
        assert_eq!(stage.state().trusted.len(), 2);
        assert_eq!(stage.keys().len(), 2, "killed after {steps}");
        assert_eq!(stage.answers(client), [Verdict::LetIn]);
        if is_over {
            return;
        }
    }
}

#[test]
fn a_key_that_a_killed_run_left_over_never_becomes_a_cas_and_goes_with_a_line_in_the_history() {
    let mut stage = Stage::exposed();
    let mut steps = 1;
    // Killed after the key of the new CA was kept, and before the state trusts it.
    while stage.keys().len() < 2 {
        stage = Stage::exposed();
        stage.killed(&advance(), steps);
        steps += 1;
    }
    assert_eq!(stage.state().trusted.len(), 1);
    let own = stage.state().trusted[0].key_id_hex();
    let left_over = stage.keys().into_iter().find(|ski| *ski != own).unwrap();
    stage.run(&advance()).unwrap();
    let state = stage.state();
    let trusted: Vec<String> = state.trusted.iter().map(Certificate::key_id_hex).collect();
    assert_eq!(trusted.len(), 2);
    assert!(!trusted.contains(&left_over));
    assert!(!stage.keys().contains(&left_over));
    let line = format!("retired the key {left_over}, which an interrupted run left without a CA");
    assert!(state.history.iter().any(|told| told.contains(&line)));
}

/// A key is kept before the state names its CA, so another run must not take it for left over in between.
#[test]
fn the_end_of_a_rotation_beside_the_start_of_the_next_one_never_removes_the_key_of_a_trusted_ca() {
    let mut overlap = Stage::exposed();
    overlap.run(&advance()).unwrap();
    for first in 1.. {
        let mut is_over;
        let mut second = 1;
        loop {
            let mut stage = overlap.clone();
            let (mut ending, mut starting) = (Stage::begin(&finish()), Stage::begin(&advance()));
            (0..first).for_each(|_| stage.step(&mut ending));
            is_over = ending.result.is_some();
            (0..second).for_each(|_| stage.step(&mut starting));
            let has_started = starting.result.is_some();
            for run in [&mut ending, &mut starting] {
                (0..100).for_each(|_| stage.step(run));
                assert!(run.result.is_some(), "{first} {second}");
            }
            let keys = stage.keys();
            for ca in &stage.state().trusted {
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
        let mut stage = Stage::exposed();
        stage.run(&advance()).unwrap();
        let client = stage.issue("alice");
        let is_over = stage.killed(&finish(), steps);
        let had_to_complete = stage.state().phase() == Phase::Settled && stage.is_unfinished();
        stage.run(&again).unwrap();
        if matches!(again.goal, Goal::Finish(_)) || had_to_complete {
            assert_eq!(
                stage.state().phase(),
                Phase::Settled,
                "killed after {steps}"
            );
            assert_eq!(stage.keys().len(), 1, "killed after {steps}");
        }
        assert_eq!(stage.answer(client), Verdict::LetIn);
        if is_over && matches!(again.goal, Goal::Advance(_)) {
            return;
        }
    }
}

#[test]
fn of_two_runs_at_once_one_starts_and_the_other_goes_on_with_it() {
    for lead in 0..30 {
        let mut stage = Stage::exposed();
        let (one, other) = (advance(), advance());
        let mut runs = [Stage::begin(&one), Stage::begin(&other)];
        for _ in 0..lead {
            stage.step(&mut runs[0]);
        }
        while runs.iter().any(|run| run.result.is_none()) {
            for run in &mut runs {
                stage.step(run);
            }
        }
        for run in runs {
            run.result.unwrap().unwrap();
        }
        let state = stage.state();
        assert_eq!(state.trusted.len(), 2, "one is {lead} steps ahead");
        assert!(
            state
                .trusted
                .iter()
                .all(|ca| stage.keys().contains(&ca.key_id_hex()))
        );
    }
}

#[test]
fn with_revocation_lists_every_ca_enters_and_stays_with_one() {
    let mut stage = Stage::exposed();
    let bad = stage.issue("bad");
    let good = stage.issue("good");
    stage.revoke(bad);
    stage.run(&advance()).unwrap();
    assert_eq!(stage.state().crls.len(), 2);
    assert_eq!(
        [stage.answer(bad), stage.answer(good)],
        [Verdict::Revoked, Verdict::LetIn]
    );
    let new = stage.issue("new");
    stage.run(&forced()).unwrap();
    assert_eq!(stage.state().crls.len(), 1);
    assert_eq!(stage.answer(new), Verdict::LetIn);
}

#[test]
fn finish_by_force_lists_whom_it_shuts_out() {
    let mut stage = Stage::exposed();
    stage.issue("alice");
    stage.run(&advance()).unwrap();
    let report = stage.run(&forced()).unwrap();
    assert_eq!(report.shut_out[0].name, "alice");
}

#[test]
fn a_dry_run_and_a_status_write_nothing() {
    let mut stage = Stage::exposed();
    for phase in 0..2 {
        for dry_run in [DryRun::Client, DryRun::Server] {
            for goal in [advance(), finish(), abort()] {
                let mut goal = goal;
                goal.dry_run = dry_run;
                let writes = stage.fake.writes.len();
                let _ = stage.run(&goal);
                stage.run(&status()).unwrap();
                assert_eq!(stage.fake.writes.len(), writes, "{phase} {goal:?}");
            }
        }
        stage.run(&advance()).unwrap();
    }
}

#[test]
fn beside_a_foreign_ca_ours_issues_only_once_loaded_and_the_foreign_one_leaves_by_name() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    let foreign = stage.foreign.certificate().fingerprint();
    stage.lagging = vec![0];
    assert_eq!(stage.run(&advance()).unwrap_err().exit().code(), 124);
    assert_eq!(stage.state().issuing, None);
    stage.lagging.clear();
    let adopted = stage.run(&advance()).unwrap();
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
            .any(|note| note.contains("cannot be known"))
    );
    let ours = stage.issue("alice");
    assert_eq!(
        [stage.answer(theirs), stage.answer(ours)],
        [Verdict::LetIn; 2]
    );
    let drop = |fingerprint: &str| {
        request(Goal::Finish(Finish {
            foreign: [fingerprint.to_owned()].into(),
            ..Finish::default()
        }))
    };
    assert!(stage.run(&drop(&"0".repeat(64))).is_err());
    stage.run(&finish()).unwrap();
    assert_eq!(
        stage.answer(theirs),
        Verdict::LetIn,
        "nobody asked for its end"
    );
    stage.run(&drop(&foreign)).unwrap();
    assert_eq!(
        [stage.answer(theirs), stage.answer(ours)],
        [Verdict::Unknown, Verdict::LetIn]
    );
}

#[test]
fn a_foreign_ca_whose_key_is_taken_in_is_the_oldest_generation() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    let taken = request(Goal::TakeIn(stage.foreign.clone()));
    let report = stage.run(&taken).unwrap();
    assert!(
        report.notes.iter().any(|note| note.contains("serial 0")),
        "{report:?}"
    );
    let first = stage.issue("first");
    stage.run(&advance()).unwrap();
    let second = stage.issue("second");
    assert_eq!(
        [theirs, first, second].map(|client| stage.answer(client)),
        [Verdict::LetIn; 3]
    );
    stage.revoke_in_inventory(first);
    let failure = stage.run(&finish()).unwrap_err();
    assert!(
        failure.to_string().contains("was not made here"),
        "{failure}"
    );
    stage.run(&forced()).unwrap();
    assert_eq!(stage.answer(theirs), Verdict::Unknown);
    assert_eq!(stage.answer(second), Verdict::LetIn);
}

#[test]
fn a_killed_adoption_is_completed_and_never_loses_the_foreign_ca() {
    for steps in 1.. {
        let mut stage = Stage::by_hand();
        let theirs = stage.foreign_client();
        let is_over = stage.killed(&advance(), steps);
        assert_eq!(stage.answer(theirs), Verdict::LetIn);
        if !stage.has_authority() || stage.state().issuing.is_none() || stage.is_unfinished() {
            stage.run(&advance()).unwrap();
        }
        let ours = stage.issue("alice");
        assert_eq!(
            [stage.answer(theirs), stage.answer(ours)],
            [Verdict::LetIn; 2]
        );
        assert_eq!(stage.state().phase(), Phase::Settled);
        if is_over {
            return;
        }
    }
}

#[test]
fn while_a_gateway_reads_a_secret_in_the_place_of_the_authority_nothing_is_begun() {
    let mut stage = Stage::unmoved();
    let client = stage.issue("alice");
    let writes = stage.fake.writes.len();
    for goal in [advance(), finish(), abort()] {
        let failure = stage.run(&goal).unwrap_err();
        assert!(failure.to_string().contains("kyma-mtls-clients-cacert"));
        assert!(
            failure.what_to_do()[0].contains("--fail-closed"),
            "{failure:?}"
        );
    }
    assert!(stage.run(&status()).is_ok());
    assert_eq!(stage.fake.writes.len(), writes);
    assert_eq!(stage.answer(client), Verdict::LetIn);
}

#[test]
fn a_dropped_ca_that_somebody_put_back_leaves_with_the_next_run() {
    let mut stage = Stage::exposed();
    let old = stage.issue("alice");
    let bundle = stage.state().trusted[0].pem();
    stage.run(&advance()).unwrap();
    stage.run(&forced()).unwrap();
    assert_eq!(stage.answer(old), Verdict::Unknown);
    let now = stage.state().trusted[0].pem();
    stage.edit_state("ca.crt", &(now + &bundle));
    stage.load();
    assert_eq!(stage.answer(old), Verdict::LetIn, "it was put back");
    stage.run(&finish()).unwrap();
    assert_eq!(stage.answer(old), Verdict::Unknown);
}

#[test]
fn a_first_ca_that_was_taken_back_can_be_let_in_after_all() {
    let mut stage = Stage::by_hand();
    stage.lagging = vec![0];
    stage.run(&advance()).unwrap_err();
    assert_eq!(stage.run(&abort()).unwrap().phase, Phase::Stopped);
    stage.lagging.clear();
    assert!(stage.run(&finish()).is_err());
    stage.run(&advance()).unwrap();
    assert!(stage.state().issuing.is_some());
}

#[test]
fn what_a_rotation_cannot_go_to_is_refused_with_the_reason_before_anything_is_written() {
    let mut stage = Stage::exposed();
    let writes = stage.fake.writes.len();
    for (ca, reason) in stage.unfit() {
        let failure = stage.run(&request(Goal::Advance(Some(ca)))).unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    assert_eq!(stage.fake.writes.len(), writes);
    let fit = stage.foreign.clone();
    stage
        .run(&request(Goal::Advance(Some(fit.clone()))))
        .unwrap();
    assert_eq!(stage.state().issuing_ca(), Some(fit.certificate()));
    let other = stage.unfit().remove(0).0;
    assert!(stage.run(&request(Goal::Advance(Some(other)))).is_err());
}

#[test]
fn a_state_edited_by_hand_is_refused_and_left_as_it_is() {
    for (field, value, says) in [
        ("format", "3", "newer"),
        ("state.json", "{}", "edited by hand"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA", "ca.crt"),
        ("ca.crt", "", "ca.crt"),
    ] {
        let mut stage = Stage::exposed();
        stage.edit_state(field, value);
        let writes = stage.fake.writes.len();
        for goal in [advance(), finish(), abort(), status()] {
            let failure = stage.run(&goal).unwrap_err();
            assert!(failure.to_string().contains(says), "{failure}");
        }
        assert_eq!(stage.fake.writes.len(), writes);
    }
    let mut stage = Stage::exposed();
    stage.foreign_key();
    let failure = stage.run(&advance()).unwrap_err();
    assert!(failure.to_string().contains("cannot sign"), "{failure}");
}

#[test]
fn a_rotation_that_takes_longer_than_its_canaries_live_never_ends_in_success_unseen() {
    let mut stage = Stage::exposed();
    stage.replicas = 3;
    let old = stage.issue("alice");
    stage.lagging = vec![2];
    for request in [advance(), advance()] {
        let failure = stage.run_slowly(&request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        assert_eq!(stage.state().phase(), Phase::Spreading);
    }
    stage.lagging.clear();
    stage.run(&advance()).unwrap();
    stage.revoke_in_inventory(old);
    stage.lagging = vec![2];
    let failure = stage.run_slowly(&finish()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    stage.lagging.clear();
    assert_eq!(stage.run(&finish()).unwrap().phase, Phase::Settled);
}

fn own(stage: &Stage) -> crate::resources::Object {
    stage.fake.objects[&CredentialNames::first().state()].clone()
}

#[test]
fn a_rotation_goes_on_without_the_lost_key_of_the_old_ca() {
    let mut stage = Stage::exposed();
    let old = stage.issue("old");
    let names = CredentialNames::first();
    stage.fake.objects.remove(&names.keys(1));
    let report = stage.run(&advance()).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    let new = stage.issue("new");
    assert_eq!([stage.answer(old), stage.answer(new)], [Verdict::LetIn; 2]);
}

#[test]
fn what_a_tool_keeps_is_not_changed_unless_that_is_said() {
    let mut stage = Stage::exposed();
    let kept = own(&stage).with_annotation("argocd.argoproj.io/tracking-id", "shop");
    stage.fake.put(&kept);
    let writes = stage.fake.writes.len();
    let failure = stage.run(&advance()).unwrap_err();
    let says = "Argo CD keeps ConfigMap kubectl-mtls/kyma-mtls";
    assert!(failure.to_string().contains(says), "{failure}");
    assert_eq!(stage.fake.writes.len(), writes, "no key either");
    let mut forced = advance();
    forced.force_conflicts = true;
    stage.run(&forced).unwrap();
}
