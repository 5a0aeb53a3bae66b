//! DNS: the record, and what hides a host.

use super::*;
use crate::resources::dns_entry::{EntryFor, reference};

fn entry(host: &str, status: serde_json::Value) -> Object {
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    EntryFor {
        reference: &reference(&gateway, "domain-certificate"),
        gateway: &gateway,
        host,
        targets: &["192.0.2.1".to_owned()],
        ip_stack: None,
        ttl: 600,
        in_shoot: true,
    }
    .object()
    .with("status", status)
}

fn with_entry(host: &str, status: serde_json::Value) -> Cluster {
    let mut cluster = Cluster::healthy();
    cluster.list(Query::everywhere(Kind::DnsEntry), [entry(host, status)]);
    cluster
}

fn without_address(mut cluster: Cluster) -> Cluster {
    cluster.observed.resolved_to(HOST, Seen::Missing);
    cluster
}

#[test]
fn a_host_without_address_is_told_with_the_fault_of_its_record() {
    let failed = json!({"state": "Error", "message": "no matching DNS provider found"});
    for host in [PATTERN, HOST] {
        let report = without_address(with_entry(host, failed.clone())).report();
        let text = "has no address in DNS: DNSEntry shop/dns-entry is not in effect: Error: no matching DNS provider found";
        found(&report, Mark::Error, text);
        assert_eq!(report.findings.len(), 1);
    }
    let other = with_entry("*.other.example.com", failed);
    let report = without_address(other).report();
    assert_eq!(
        findings(&report),
        [(
            Mark::Error,
            "`httpbin.mtls.example.com` has no address in DNS"
        )]
    );
}

#[test]
fn a_record_at_which_no_controller_looks_is_told_with_its_class() {
    let report = without_address(with_entry(PATTERN, json!({}))).report();
    found(&report, Mark::Error, "its controller has not seen it yet");
    let remedy = &report.findings[0].remedy;
    assert!(
        remedy.contains("dns.gardener.cloud/class=garden"),
        "{remedy}"
    );
}

#[test]
fn a_record_that_fails_while_the_host_resolves_is_a_warning() {
    let stale = json!({"state": "Stale", "message": "provider shop/dns has status Error"});
    let report = with_entry(PATTERN, stale).report();
    assert_eq!(
        findings(&report),
        [(
            Mark::Warning,
            "DNSEntry shop/dns-entry is not in effect: Stale: provider shop/dns has status Error"
        )]
    );
}

#[test]
fn a_challenge_that_hides_the_host_is_told_as_the_cause() {
    let mut cluster = without_address(Cluster::healthy());
    cluster.list(certificates(), [certificate("Pending")]);
    let report = cluster.report();
    found(
        &report,
        Mark::Error,
        "while the DNS challenge of Certificate istio-system/domain-certificate is pending",
    );
    assert_eq!(report.findings.len(), 1);
    // One for a domain elsewhere hides nothing here.
    let mut elsewhere = certificate("Pending").body().clone();
    elsewhere["spec"]["commonName"] = "*.mtls.example.net".into();
    let elsewhere = Object::from_server(Kind::Certificate, elsewhere).unwrap();
    cluster.list(certificates(), [elsewhere]);
    found(
        &cluster.report(),
        Mark::Error,
        "`httpbin.mtls.example.com` has no address in DNS",
    );
    assert!(
        !findings(&cluster.report())
            .iter()
            .any(|(_, says)| says.contains("challenge"))
    );
}
