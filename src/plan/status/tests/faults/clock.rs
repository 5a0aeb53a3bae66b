//! Clocks that differ.

use time::Duration;

use super::*;

/// Asserts that the clocks are the only finding, and no link looks worse for them.
#[track_caller]
fn is_told_once(cluster: &mut Cluster, words: &str) -> Finding {
    let finding = only(cluster, "clock/skew", Severity::Warning);
    assert_eq!(finding.seen, words);
    let report = report(cluster);
    let links = report.hosts.iter().flat_map(|host| &host.links);
    assert!(
        links.clone().all(|link| link.mark == Mark::Ok),
        "{links:#?}"
    );
    finding
}

#[test]
fn a_clock_that_is_off_by_less_than_a_minute_is_no_matter() {
    for seconds in [-59, 59] {
        let mut cluster = kyma();
        cluster.clock_ahead = Some(Duration::seconds(seconds));
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn a_clock_of_this_computer_that_is_off_is_the_only_finding() {
    for mut cluster in both() {
        cluster.clock_ahead = Some(Duration::minutes(10));
        let words = "the clock of this computer is 600 s ahead of the cluster's";
        let finding = is_told_once(&mut cluster, words);
        assert_eq!(finding.consequences, []);
        // Everything would have expired by it.
        cluster.clock_ahead = Some(Duration::days(8000));
        only(&mut cluster, "clock/skew", Severity::Warning);
    }
}

#[test]
fn a_clock_of_the_api_server_that_is_off_is_the_only_finding_and_what_it_expires_follows_from_it() {
    for (years, ids) in [
        (20, ["server-certificate/expired", "client-ca/expired"]),
        (
            -20,
            [
                "server-certificate/not-yet-valid",
                "client-ca/not-yet-valid",
            ],
        ),
    ] {
        for mut cluster in both() {
            cluster.now += Duration::days(365 * years);
            cluster.clock_ahead = Some(Duration::days(-365 * years));
            let finding = only(&mut cluster, "clock/skew", Severity::Warning);
            let found = finding.consequences.iter().map(|finding| finding.check.id);
            let found: Vec<&str> = found.collect();
            for id in ids {
                assert!(found.contains(&id), "{id} in {found:?}");
            }
        }
    }
}

#[test]
fn what_has_ended_by_both_clocks_is_a_finding_beside_theirs() {
    let mut cluster = kyma();
    cluster.now += Duration::days(365 * 20);
    cluster.clock_ahead = Some(Duration::minutes(10));
    let found = findings(&mut cluster);
    for id in [
        "clock/skew",
        "server-certificate/expired",
        "client-ca/expired",
    ] {
        assert!(
            found.iter().any(|(known, _)| *known == id),
            "{id} in {found:?}"
        );
    }
}
