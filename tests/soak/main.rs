//! The full matrices, too long for every change: `cargo soak`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    reason = "tests play the user and fail by panicking; the modules are shared with the short tests"
)]

#[path = "../it/faults.rs"]
mod faults;
#[path = "../it/lab.rs"]
mod lab;

use sandbox::Fault;

#[test]
fn expose_recovers_from_a_kill_after_each_single_request() {
    let last = faults::requests_of_a_run();
    for number in 1..=last {
        faults::recovers(number, Fault::Hold);
        eprintln!("killed after request {number} of {last}: recovered");
    }
}

#[test]
fn expose_recovers_from_each_single_request_failing_in_each_way() {
    let last = faults::requests_of_a_run();
    let faults = [403, 409, 429, 500]
        .map(Fault::Answer)
        .into_iter()
        .chain([Fault::Drop]);
    for fault in faults {
        for number in 1..=last {
            faults::recovers(number, fault);
        }
        eprintln!("{fault:?} at each of {last} requests: recovered");
    }
}
