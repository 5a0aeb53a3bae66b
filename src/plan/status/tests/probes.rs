//! What handshakes show, and which link it is told at.

use super::*;
use crate::plan::Event;

#[test]
fn a_refusal_that_was_not_seen_is_unknown() {
    let mut cluster = Cluster::healthy();
    cluster.observation.outcome = Outcome::Broken("end of file".to_owned());
    let report = cluster.report();
    assert_eq!(
        findings(&report),
        [(
            Mark::Unknown,
            "`httpbin.mtls.example.com` through gw-1, gw-2: the handshake was aborted: end of file"
        )]
    );
    assert_eq!(link(&report, "client CA").mark, Mark::Unknown);
}

#[test]
fn a_handshake_that_shows_nothing_is_one_finding_and_leaves_the_client_ca_unseen() {
    let mut cluster = Cluster::healthy();
    cluster.observation = Observation {
        offered: None,
        server: None,
        chain: Vec::new(),
        outcome: Outcome::Broken("connection reset".to_owned()),
        proxy_protocol: false,
    };
    let report = cluster.report();
    assert_eq!(report.findings.len(), 1);
    found(
        &report,
        Mark::Error,
        "showed no certificate through gw-1, gw-2",
    );
    assert_eq!(link(&report, "client CA").mark, Mark::Unknown);
}

#[test]
fn a_gateway_that_asks_for_no_certificate_is_an_error_also_when_it_refuses() {
    let mut cluster = Cluster::healthy();
    cluster.observation.offered = None;
    found(
        &cluster.report(),
        Mark::Error,
        "the proxy requests no client certificate",
    );
}

#[test]
fn a_gateway_that_asks_for_no_certificate_is_an_error_also_before_a_slow_service_answers() {
    let mut cluster = Cluster::healthy();
    cluster.observation.offered = None;
    cluster.observation.outcome = Outcome::Broken("no answer within 10 s".to_owned());
    let report = cluster.report();
    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings);
    };
    assert_eq!(finding.check.id, "proxy/requests-no-certificate");
    assert!(
        finding.seen.ends_with("no answer within 10 s"),
        "{}",
        finding.seen
    );
}

#[test]
fn a_client_that_is_let_in_without_certificate_is_one_error() {
    let mut cluster = Cluster::healthy();
    cluster.observation.outcome = Outcome::Answered(200);
    cluster.observation.offered = None;
    let report = cluster.report();
    assert_eq!(report.findings.len(), 1);
    found(
        &report,
        Mark::Error,
        "a client without a certificate was accepted (HTTP 200)",
    );
}

#[test]
fn a_gateway_that_asks_for_other_cas_is_an_error() {
    let mut cluster = Cluster::healthy();
    let other = authority([9; 4]);
    cluster.observation = refusal(&[other.certificate()], server(PATTERN, 60));
    found(
        &cluster.report(),
        Mark::Error,
        "the proxy requests certificates of `CN=kyma-mtls client CA 09090909`",
    );
}

#[test]
fn one_proxy_of_several_that_differs_is_named() {
    let mut cluster = Cluster::healthy();
    cluster.report();
    let request = Request::default();
    let host = super::super::hosts::find(
        &request,
        &super::super::Facts::of(&cluster.observed, &Request::default()).unwrap(),
    );
    let ways = crate::plan::probe::ways(&cluster.observed, &host[0].gateway.ingress, None).unwrap();
    let mut probes = crate::plan::probe::probes(&ways, HOST, &crate::plan::probe::Client::Nobody);
    let second = probes.nth(1).unwrap();
    let observation = Observation {
        outcome: Outcome::Answered(404),
        ..cluster.observation.clone()
    };
    cluster
        .observed
        .apply(Event::Probed(vec![(second, vec![observation])]));
    found(
        &cluster.report(),
        Mark::Error,
        "through gw-2: a client without a certificate",
    );
}

#[test]
fn a_port_forward_that_is_denied_and_no_other_way_is_not_looked_at() {
    let mut cluster = Cluster::healthy();
    cluster.observation = Observation {
        offered: None,
        server: None,
        chain: Vec::new(),
        outcome: Outcome::Denied("no port-forward".to_owned()),
        proxy_protocol: false,
    };
    let service = Object::new(ingress_service()).with(
        "spec",
        json!({"ports": [{"name": "https", "port": 443, "targetPort": 8443}]}),
    );
    cluster.get(service);
    let report = cluster.report();
    found(
        &report,
        Mark::Unknown,
        "was not probed: port-forward is not permitted",
    );
    for name in ["server certificate", "client CA", "Gateway"] {
        assert_eq!(link(&report, name).mark, Mark::Unknown, "{name}");
    }
}

#[test]
fn a_proxy_that_takes_the_fail_closed_secret_is_named_as_such() {
    let mut cluster = Cluster::healthy();
    let nobody = authority([9; 4]);
    cluster.observation = refusal(&[nobody.certificate()], server(PATTERN, 60));
    let report = cluster.report();
    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings);
    };
    assert_eq!(finding.check.id, "proxy/fails-closed");
}
