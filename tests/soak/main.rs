//! The full matrices, too long for every change: `cargo soak`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    dead_code,
    reason = "tests play the user and fail by panicking; the modules are shared with the short tests"
)]

#[path = "../it/ca_rotate/mod.rs"]
mod ca_rotate;
mod every_state;
#[path = "../it/exposed.rs"]
mod exposed;
#[path = "../it/faults/mod.rs"]
mod faults;
#[path = "../it/status/healthy.rs"]
mod healthy;
#[path = "../it/issue_faults.rs"]
mod issue_faults;
#[path = "../it/krew.rs"]
mod krew;
#[path = "../it/lab/mod.rs"]
mod lab;
#[path = "../it/permission_matrix/mod.rs"]
mod permission_matrix;
mod recipes;
mod release;
#[path = "../it/revoke_client/mod.rs"]
mod revoke_client;
#[path = "../it/revoke_faults.rs"]
mod revoke_faults;
#[path = "../it/rotation_faults/mod.rs"]
mod rotation_faults;
#[path = "../it/rotation_life.rs"]
mod rotation_life;
#[path = "../it/rotation_load.rs"]
mod rotation_load;
#[path = "../it/rotation_losses.rs"]
mod rotation_losses;
#[path = "../it/rotation_model.rs"]
mod rotation_model;
#[path = "../it/rotation_oracle.rs"]
mod rotation_oracle;
#[path = "../it/shared.rs"]
mod shared;
#[path = "../it/shell.rs"]
mod shell;
#[path = "../it/shop.rs"]
mod shop;
#[path = "../it/situations.rs"]
mod situations;
#[path = "../it/stage.rs"]
mod stage;
mod version_skew;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use faults::Scene;
use rotation_life::a_whole_life;
use rotation_load::{Pace, every_phase, flawless, with_revocations};
use sandbox::Fault;

#[test]
fn expose_recovers_from_a_kill_after_each_single_request() {
    each(Scene::Expose, Fault::Hold);
}

#[test]
fn expose_of_all_that_it_can_make_recovers_from_a_kill_after_each_single_request() {
    each(Scene::ExposeAll, Fault::Hold);
}

#[test]
fn expose_of_all_that_it_can_make_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::ExposeAll);
}

#[test]
fn expose_without_kyma_recovers_from_a_kill_after_each_single_request() {
    each(Scene::ExposePlain, Fault::Hold);
}

#[test]
fn a_purge_recovers_from_a_kill_after_each_single_request() {
    each(Scene::Purge, Fault::Hold);
}

#[test]
fn a_purge_of_a_gateway_chosen_elsewhere_recovers_from_a_kill_after_each_single_request() {
    each(Scene::PurgeChosen, Fault::Hold);
}

#[test]
fn a_purge_of_a_gateway_chosen_elsewhere_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::PurgeChosen);
}

#[test]
fn a_purge_without_kyma_recovers_from_a_kill_after_each_single_request() {
    each(Scene::PurgePlain, Fault::Hold);
}

#[test]
fn expose_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::Expose);
}

#[test]
fn expose_without_kyma_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::ExposePlain);
}

#[test]
fn a_purge_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::Purge);
}

#[test]
fn a_purge_without_kyma_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::PurgePlain);
}

#[test]
fn expose_beside_a_helm_release_recovers_from_a_kill_after_each_single_request() {
    each(Scene::ExposeHelm, Fault::Hold);
}

#[test]
fn expose_beside_a_helm_release_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::ExposeHelm);
}

#[test]
fn expose_beside_a_helm_release_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::ExposeHelm, Fault::Drop);
}

#[test]
fn a_purge_beside_a_helm_release_recovers_from_a_kill_after_each_single_request() {
    each(Scene::PurgeHelm, Fault::Hold);
}

#[test]
fn a_purge_beside_a_helm_release_recovers_from_each_single_request_failing_in_each_way() {
    each_in_each_way(Scene::PurgeHelm);
}

#[test]
fn a_purge_beside_a_helm_release_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::PurgeHelm, Fault::Drop);
}

fn each_in_each_way(scene: Scene) {
    for status in [403, 409, 429, 500] {
        each(scene, Fault::Answer(status));
    }
}

#[test]
fn expose_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::Expose, Fault::Drop);
}

#[test]
fn expose_without_kyma_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::ExposePlain, Fault::Drop);
}

#[test]
fn expose_of_all_that_it_can_make_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::ExposeAll, Fault::Drop);
}

#[test]
fn a_purge_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::Purge, Fault::Drop);
}

#[test]
fn a_purge_without_kyma_recovers_from_a_connection_that_breaks_at_each_single_request() {
    each(Scene::PurgePlain, Fault::Drop);
}

#[test]
fn changes_of_the_allow_list_and_a_repair_recover_from_a_kill_after_each_single_request() {
    for scene in Scene::CHANGES {
        each(scene, Fault::Hold);
    }
}

#[test]
fn changes_of_the_allow_list_and_a_repair_recover_from_each_single_request_failing_in_each_way() {
    for scene in Scene::CHANGES {
        each_in_each_way(scene);
        each(scene, Fault::Drop);
    }
}

/// Every run has other cases: see `config` in `src/pki/tests/properties.rs`.
#[test]
fn what_was_asked_for_is_what_openssl_reads_in_thousands_of_cases() {
    const CASES: &str = "3000";
    let status = std::process::Command::new(std::env::var_os("CARGO").unwrap())
        .args([
            "test",
            "--quiet",
            "--lib",
            "--",
            "properties::what_was",
            "issuers::",
        ])
        .env("PROPTEST_CASES", CASES)
        .status()
        .unwrap();
    assert!(status.success());
    eprintln!(
        "{CASES} random certificates, and as many names of CAs: OpenSSL read what was asked for"
    );
}

/// How many requests are disturbed at a time: their commands wait most of the time.
const AT_ONCE: usize = 4;

/// The sum of what the requests 1 to `last` come to when they are disturbed.
fn at_each(last: u32, count: impl Fn(u32) -> u64 + Sync) -> u64 {
    let next = AtomicU32::new(1);
    let disturb = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let numbers = numbers.take_while(|number| *number <= last);
        numbers.map(&count).sum::<u64>()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = std::iter::repeat_with(|| scope.spawn(disturb))
            .take(AT_ONCE)
            .collect();
        let counts = threads.into_iter().map(|thread| thread.join().unwrap());
        counts.sum()
    })
}

/// The same fault at each single request.
fn each(scene: Scene, fault: Fault) {
    let (_, last) = faults::undisturbed(scene);
    let looks = at_each(*last, |number| faults::recovers(scene, number, fault));
    eprintln!(
        "{scene:?}, {fault:?} at each of {last} requests: recovered; every Envoy looked at {looks} times, nobody got in"
    );
}

#[test]
fn the_start_of_a_rotation_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::Start);
}

#[test]
fn the_end_of_a_rotation_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::Finish);
}

#[test]
fn an_aborted_rotation_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::Abort);
}

#[test]
fn a_ca_beside_a_hand_made_one_recovers_from_a_kill_and_from_every_failure_of_each_single_request()
{
    rotates(rotation_faults::Scene::Adopt);
}

#[test]
fn taking_a_key_in_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::TakeIn);
}

#[test]
fn the_move_of_a_gateway_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::Move);
}

#[test]
fn a_restoration_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    rotates(rotation_faults::Scene::Restore);
}

fn rotates(scene: rotation_faults::Scene) {
    let faults = [403, 409, 429, 500].map(Fault::Answer);
    let (_, last) = rotation_faults::undisturbed(scene);
    for fault in faults.into_iter().chain([Fault::Hold, Fault::Drop]) {
        let calls = at_each(*last, |number| {
            rotation_faults::recovers(scene, number, fault)
        });
        eprintln!(
            "{scene:?}, {fault:?} at each of {last} requests: recovered; {calls} calls answered rightly"
        );
    }
}

#[test]
fn a_revocation_recovers_from_a_kill_and_from_every_failure_of_each_single_request() {
    let faults = [403, 409, 429, 500].map(Fault::Answer);
    for fault in faults.into_iter().chain([Fault::Hold, Fault::Drop]) {
        let mut ward = revoke_faults::Ward::open("ward");
        let (_, last) = ward.requests_of_a_run();
        for number in 1..=last {
            ward.recovers(number, fault);
        }
        eprintln!(
            "revoke-client, {fault:?} at each of {last} requests: recovered; nobody came back, nobody else was shut out"
        );
    }
}

#[test]
fn issuing_and_renewing_recover_from_a_kill_and_from_every_failure_of_each_single_request() {
    let faults = [403, 409, 429, 500].map(Fault::Answer);
    for scene in issue_faults::Scene::ALL {
        let mut office = issue_faults::Office::open(scene);
        let last = office.requests_of_a_run();
        for fault in faults.into_iter().chain([Fault::Hold, Fault::Drop]) {
            let lost: usize = (1..=last)
                .map(|number| office.recovers(number, fault))
                .sum();
            eprintln!(
                "{scene:?}, {fault:?} at each of {last} requests: recovered; {lost} certificates reserved for nobody, all told"
            );
        }
    }
}

#[test]
fn what_an_earlier_version_made_is_moved_under_load_and_that_version_changes_nothing_afterwards() {
    version_skew::moved_from_before();
}

#[test]
fn rotations_under_load_give_no_wrong_answer_for_minutes() {
    let pace = Pace {
        rate: 300.0,
        steady: Duration::from_secs(20),
    };
    for tally in [
        a_whole_life(pace),
        every_phase(pace),
        with_revocations(pace),
    ] {
        flawless(&tally);
        assert!(tally.rate() >= 200.0, "{tally:?}");
    }
}

#[test]
fn long_random_sequences_agree_with_the_model() {
    for seed in 1..=60 {
        eprintln!("{}", rotation_model::sequence(seed, 25).0);
    }
}

#[test]
fn without_each_single_permission_every_command_refuses_by_name_or_does_without_it_and_says_so() {
    let commands = [
        "expose",
        "unexpose",
        "register-domain",
        "issue-client",
        "renew-client",
        "list-clients",
        "revoke-client",
        "ca-rotate",
        "status",
    ];
    // One command for a closer look.
    let chosen = std::env::var("KUBECTL_MTLS_SOAK_COMMAND").ok();
    let commands: Vec<&str> = commands
        .into_iter()
        .filter(|command| chosen.as_deref().is_none_or(|chosen| chosen == *command))
        .collect();
    permission_matrix::matrix(&stage::stage(), &commands, permission_matrix::Extent::All);
}
