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
/// Consequences are compared as findings of their own: what follows from a fault of one clock alone may be a fault by both, and the other way
/// round. The ids are compared whole, since a subject has other findings too, and a certificate that has expired by one clock may end soon by
/// the other.
pub(super) fn agreed(found: Vec<Finding>, others: &[Finding]) -> (Vec<Finding>, Vec<Finding>) {
    let (mut kept, mut rest): (Vec<Finding>, Vec<Finding>) = (Vec::new(), Vec::new());
    let known: Vec<(&'static str, Vec<String>)> = found
        .iter()
        .flat_map(|finding| all(finding).map(|one| (one.check.id, finding.hosts.clone())))
        .collect();
    let confirming = |finding: &Finding| confirming(finding, &known, others);
    let mut without_cause = Vec::new();
    for mut finding in found {
        let consequences = std::mem::take(&mut finding.consequences).into_iter();
        let (mut below, mut alone) = (Vec::new(), Vec::new());
        for mut consequence in consequences {
            consequence.hosts.clone_from(&finding.hosts);
            match confirming(&consequence) {
                Some(other) => below.push(milder(consequence, other)),
                None => alone.push(consequence),
            }
        }
        match confirming(&finding) {
            Some(other) => {
                let finding = milder(finding, other);
                let consequences = below.into_iter().map(without_hosts).collect();
                add(
                    &mut kept,
                    Finding {
                        consequences,
                        ..finding
                    },
                );
                rest.extend(alone);
            }
            None => {
                let consequences = alone.into_iter().map(without_hosts).collect();
                rest.push(Finding {
                    consequences,
                    ..finding
                });
                without_cause.extend(below);
            }
        }
    }
    for finding in without_cause {
        let mut causes = kept.iter_mut();
        let explains = |cause: &&mut Finding| {
            let mut hosts = finding.hosts.iter();
            cause.explains(&finding) && hosts.all(|host| cause.hosts.contains(host))
        };
        match causes.find(explains) {
            Some(cause) => cause.take(without_hosts(finding)),
            None => add(&mut kept, finding),
        }
    }
    (kept, rest)
}

/// Adds a finding; a repeated one counts once, with the consequences of both.
fn add(kept: &mut Vec<Finding>, finding: Finding) {
    let mut known = kept.iter_mut();
    let Some(known) = known.find(|known| known.is_same_as(&finding)) else {
        kept.push(finding);
        return;
    };
    known.merge(finding);
}

/// A finding, and its consequences.
fn all(finding: &Finding) -> impl Iterator<Item = &Finding> {
    std::iter::once(finding).chain(&finding.consequences)
}

/// A finding as it stands below another one, whose hosts it has.
fn without_hosts(finding: Finding) -> Finding {
    Finding {
        hosts: Vec::new(),
        ..finding
    }
}

/// The milder one of a finding and the one by the other clock that confirms it, without consequences.
fn milder(finding: Finding, other: &Finding) -> Finding {
    if other.severity >= finding.severity {
        return finding;
    }
    Finding {
        hosts: finding.hosts,
        consequences: Vec::new(),
        ..other.clone()
    }
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
    let near: Vec<&'a Finding> = near.flat_map(all).collect();
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
