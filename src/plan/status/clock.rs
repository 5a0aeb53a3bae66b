//! The clock of this computer beside that of the cluster.

use time::Duration;

use super::check;
use crate::plan::Observed;
use crate::plan::check::Finding;

/// A clock difference that does not matter for certificates.
const TOLERATED_SKEW: Duration = Duration::minutes(1);

/// How far the clock of this computer is ahead of the cluster's, if that matters.
pub(super) fn skew(observed: &Observed) -> Option<Duration> {
    let ahead = observed.clock_ahead()?;
    (ahead.abs() > TOLERATED_SKEW).then_some(ahead)
}

/// The finding on two clocks that differ.
pub(super) fn differ(ahead: Duration) -> Finding {
    let direction = if ahead.is_positive() {
        "ahead of"
    } else {
        "behind"
    };
    let seconds = ahead.whole_seconds().unsigned_abs();
    Finding::new(
        &check::CLOCK_SKEW,
        format!("the clock of this computer is {seconds} s {direction} the cluster's"),
        check::CLOCK_SKEW.remedy,
    )
}
