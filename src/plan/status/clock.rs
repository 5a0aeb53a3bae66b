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

/// The findings by one clock that those of `others`, by another clock, confirm, and the rest. Of two that differ in severity the milder one
/// is kept.
///
/// The ids are compared whole, since a subject has other findings too, and a certificate that has expired by one clock may end soon by the
/// other.
pub(super) fn agreed(found: Vec<Finding>, others: &[Finding]) -> (Vec<Finding>, Vec<Finding>) {
    let (mut kept, mut rest): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    let known: Vec<(&'static str, Vec<String>)> = found
        .iter()
        .map(|finding| (finding.check.id, finding.hosts.clone()))
        .collect();
    for finding in found {
        let Some(other) = confirming(&finding, &known, others) else {
            rest.push(finding);
            continue;
        };
        let milder = if other.severity < finding.severity {
            Finding {
                hosts: finding.hosts,
                ..other.clone()
            }
        } else {
            finding
        };
        if !kept.iter().any(|known| known.is_same_as(&milder)) {
            kept.push(milder);
        }
    }
    (kept, rest)
}

/// The one of the `others` that is about the same as a finding; `known` are the ids and hosts of all findings by the clock of this one.
fn confirming<'a>(
    finding: &Finding,
    known: &[(&'static str, Vec<String>)],
    others: &'a [Finding],
) -> Option<&'a Finding> {
    let shares = |one: &[String], other: &[String]| {
        one == other || one.iter().any(|host| other.contains(host))
    };
    let near = others
        .iter()
        .filter(|other| shares(&other.hosts, &finding.hosts));
    let near: Vec<&'a Finding> = near
        .flat_map(|other| std::iter::once(other).chain(&other.consequences))
        .collect();
    let of_check = |id: &str| -> Vec<&'a Finding> {
        let of_check = near.iter().filter(|other| other.check.id == id);
        of_check.copied().collect()
    };
    let id = finding.check.id;
    let same = of_check(id);
    let alike = same.iter().find(|other| other.seen == finding.seen);
    alike.or(same.first()).copied().or_else(|| {
        let other = match id.split_once('/')? {
            (subject, "expired") => format!("{subject}/ending"),
            (subject, "ending") => format!("{subject}/expired"),
            _ => return None,
        };
        // What this clock finds as well is about something else.
        let is_known = known
            .iter()
            .any(|(known, hosts)| *known == other && shares(hosts, &finding.hosts));
        of_check(&other).first().copied().filter(|_| !is_known)
    })
}
