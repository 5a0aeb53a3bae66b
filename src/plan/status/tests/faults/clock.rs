//! Clocks that differ.

use time::Duration;

use super::*;
use crate::plan::testing::foreign_ca;

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

/// The note on an external CA is about the client CA, too.
#[test]
fn a_note_on_a_subject_does_not_confirm_what_one_clock_alone_says_of_it() {
    let mut cluster = kyma();
    let mut state = cluster.state();
    state.external.push(foreign_ca().certificate().clone());
    cluster.put(&state.object());
    cluster.load();
    only(&mut cluster, "client-ca/external", Severity::Note);
    cluster.now += Duration::days(365 * 20);
    cluster.clock_ahead = Some(Duration::days(-365 * 20));
    let found = findings(&mut cluster);
    let ids: Vec<&str> = found.iter().map(|(id, _)| *id).collect();
    assert!(ids.contains(&"clock/skew"), "{ids:?}");
    assert!(!ids.contains(&"client-ca/expired"), "{ids:?}");
    assert!(!ids.contains(&"server-certificate/expired"), "{ids:?}");
}

/// Nobody renews the server certificate, by both clocks; it has expired by one of them.
#[test]
fn what_has_ended_by_one_clock_alone_does_not_follow_from_a_fault_by_both() {
    let mut cluster = kyma();
    remove(&mut cluster, &super::server::certificate());
    let id = "server-certificate/no-issuer";
    only(&mut cluster, id, Severity::Warning);
    cluster.now += Duration::days(365 * 20);
    cluster.clock_ahead = Some(Duration::days(-365 * 20));
    let report = report(&mut cluster);
    let below = |id: &str| -> Vec<&str> {
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.check.id == id);
        let below = finding.unwrap().consequences.iter();
        below.map(|finding| finding.check.id).collect()
    };
    assert_eq!(below(id), Vec::<&str>::new());
    assert!(below("clock/skew").contains(&"server-certificate/expired"));
}

/// Long ago, a client's last certificate has expired by both clocks; that of another client ends soon, or has ended, by one of them.
#[test]
fn a_client_of_long_ago_does_not_confirm_what_one_clock_alone_says_of_others() {
    for (days, id) in [(20, "client/expired"), (12, "client/ending")] {
        let mut cluster = kyma();
        cluster.issue_for("bob", Duration::days(7));
        cluster.now += Duration::days(50);
        cluster.issue_for("alice", Duration::days(89));
        cluster.issue_for("carol", Duration::days(15));
        only(&mut cluster, "client/expired", Severity::Note);
        cluster.now += Duration::days(days);
        cluster.clock_ahead = Some(Duration::days(-days));
        let report = report(&mut cluster);
        let of_clients = report
            .findings
            .iter()
            .filter(|finding| finding.check.id.starts_with("client/"));
        let of_clients: Vec<(&str, Severity, &str)> = of_clients
            .map(|finding| (finding.check.id, finding.severity, finding.seen.as_str()))
            .collect();
        let [(kept, Severity::Note, seen)] = of_clients.as_slice() else {
            panic!("{id}: {of_clients:#?}");
        };
        assert_eq!(*kept, "client/expired");
        assert!(seen.contains("`bob`") && !seen.contains("carol"), "{seen}");
    }
}

#[test]
fn a_certificate_that_has_expired_by_one_clock_and_ends_soon_by_the_other_is_a_finding() {
    for (behind, ahead) in [(0, 3), (3, -3)] {
        let mut cluster = kyma();
        cluster.issue_for("bob", Duration::days(7));
        cluster.now += Duration::days(6 + behind);
        cluster.clock_ahead = Some(Duration::days(ahead));
        let found = findings(&mut cluster);
        assert!(
            found.iter().any(|(id, _)| id.starts_with("client/e")),
            "{found:?}"
        );
    }
}
