//! Hosts: where their domain comes from, and which of them share connections.

use serde_json::json;

use super::*;
use crate::resources::environment::shoot_info;
use crate::resources::{Kind, ObjectRef};

#[test]
fn without_a_domain_the_user_chooses_the_host() {
    let mut cluster = Cluster::plain();
    let failure = cluster.run(&expose_request()).unwrap_err();
    assert!(
        failure.to_string().contains("there is no domain"),
        "{failure}"
    );
    assert!(failure.what_to_do().join("\n").contains("`--domain`"));
    assert_eq!(cluster.writes, Vec::<String>::new());
    // What may not be read is not taken for missing.
    cluster.denied.push(shoot_info());
    let failure = cluster.run(&expose_request()).unwrap_err();
    assert!(failure.to_string().contains("`shoot-info`"), "{failure}");
    assert_eq!(cluster.writes, Vec::<String>::new());
}

#[test]
fn a_cluster_on_the_users_machine_has_a_domain_that_leads_there_and_says_so_once() {
    let mut cluster = Cluster::plain();
    let request = Request {
        local_domain: Some("local.kyma.dev"),
        ..expose_request()
    };
    let host = "httpbin.mtls.local.kyma.dev";
    let is_told = |report: &Report| {
        let mut notes = report.notes.iter();
        notes.any(|note| note.contains("leads to 127.0.0.1"))
    };
    let report = run(&mut cluster, &request, host);
    assert_eq!(report.host, host);
    assert!(is_told(&report), "{:?}", report.notes);
    let again = run(&mut cluster, &request, host);
    assert!(!is_told(&again), "{:?}", again.notes);
}

/// The warning of one connection for two hosts.
fn confusion(report: &Report) -> Option<&String> {
    report
        .notes
        .iter()
        .find(|note| note.contains("one HTTP/2 connection"))
}

#[test]
fn a_host_under_the_wildcard_of_another_server_shares_its_connections() {
    let host = format!("orders.{DOMAIN}");
    let mut cluster = Cluster::kyma();
    let request = Request {
        host: Some(host.clone()),
        ..expose_request()
    };
    let report = run(&mut cluster, &request, &host);
    let note = confusion(&report).unwrap();
    assert!(note.contains("kyma-system/kyma-gateway"), "{note}");
}

#[test]
fn a_wildcard_of_its_own_is_shared_only_with_the_hosts_under_it() {
    let plain = |host: &str| {
        let servers = json!([{
            "hosts": [host],
            "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": "others"},
        }]);
        let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": servers});
        let reference = ObjectRef::new(Kind::Gateway, "others", "web");
        Object::new(reference).with("spec", spec)
    };
    for (other, is_shared) in [
        (None, false),
        (Some("www.example.com"), false),
        (Some("www.mtls.example.com"), true),
    ] {
        let mut cluster = Cluster::plain();
        if let Some(other) = other {
            cluster.put(&plain(other));
        }
        let host = "httpbin.mtls.example.com";
        let request = Request {
            dns: DnsChoice {
                domain: Some("example.com".parse().unwrap()),
                entry: Some(false),
                ttl: None,
            },
            ..expose_request()
        };
        let report = run(&mut cluster, &request, host);
        assert_eq!(confusion(&report).is_some(), is_shared, "{other:?}");
    }
}

#[test]
fn a_host_without_an_address_in_dns_is_told_with_where_a_record_must_lead() {
    let mut cluster = Cluster::plain();
    let request = Request {
        host: Some("api.example.com".to_owned()),
        ..expose_request()
    };
    let told = |report: &Report| {
        let mut notes = report.notes.iter();
        let note = notes.find(|note| note.contains("has no address in DNS"));
        note.cloned()
    };
    let report = run(&mut cluster, &request, "api.example.com");
    let note = told(&report).unwrap();
    for part in ["`api.example.com`", "load balancer at 192.0.2.10"] {
        assert!(note.contains(part), "{note}");
    }
    let records = &mut cluster.controllers.records;
    records.insert("api.example.com".to_owned(), vec!["192.0.2.10".to_owned()]);
    let report = run(&mut cluster, &request, "api.example.com");
    assert_eq!(told(&report), None);
}
