//! The server certificate.

use super::*;

#[test]
fn a_host_below_what_the_wildcard_covers_is_one_error_with_its_cause() {
    let mut cluster = Cluster::healthy();
    let deep = "a.b.mtls.example.com";
    cluster.list(Query::everywhere(Kind::ApiRule), [rule("httpbin", deep)]);
    let here = Seen::Found(vec!["192.0.2.1".to_owned()]);
    cluster.observed.resolved_to(deep, here);
    let report = cluster.report();
    assert_eq!(
        findings(&report),
        [(
            Mark::Error,
            "`a.b.mtls.example.com` has more labels than `*.mtls.example.com` of the server certificate covers: clients that check it refuse the gateway"
        )]
    );
}

#[test]
fn the_certificate_of_another_host_is_an_error_of_the_server_certificate_only() {
    let mut cluster = Cluster::healthy();
    let other = authority([9; 4]);
    cluster.observation = refusal(&[other.certificate()], server("*.example.com", 60));
    let report = cluster.report();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(link(&report, "server certificate").mark, Mark::Error);
    assert_eq!(link(&report, "client CA").mark, Mark::Unknown);
}

#[test]
fn an_end_in_sight_is_a_warning_within_a_third_of_the_life_at_most_two_weeks() {
    let mut cluster = Cluster::healthy();
    let ca = cluster.authority.certificate().clone();
    cluster.observation = refusal(&[&ca], server(PATTERN, 13));
    found(&cluster.report(), Mark::Warning, "ends on 2026-09-14");
}

#[test]
fn the_issuers_own_words_are_passed_on() {
    let mut cluster = Cluster::healthy();
    cluster.list(certificates(), [certificate("Error")]);
    found(&cluster.report(), Mark::Error, "is Error: asked the issuer");
}

#[test]
fn a_renewal_that_runs_is_no_fault_while_a_valid_certificate_is_served() {
    let pending = || {
        let mut cluster = Cluster::healthy();
        cluster.list(certificates(), [certificate("Pending")]);
        cluster
    };
    let report = pending().report();
    assert_eq!(findings(&report), []);
    let details = &link(&report, "server certificate").details;
    let line = "is being renewed: asked the issuer";
    assert!(
        details.iter().any(|detail| detail.contains(line)),
        "{details:?}"
    );
    let mut cluster = pending();
    let ca = cluster.authority.certificate().clone();
    cluster.observation = refusal(&[&ca], server("*.example.net", 60));
    found(
        &cluster.report(),
        Mark::Error,
        "is Pending: asked the issuer",
    );
}
