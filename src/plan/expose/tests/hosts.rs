//! Hosts: where their domain comes from, and which of them share connections.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::*;
use crate::plan::testing::kyma::server_identity;
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

/// A Gateway of somebody else, for clients without a certificate.
fn simple(host: &str, credential: &str) -> Object {
    let servers = json!([{
        "hosts": [host],
        "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": credential},
    }]);
    let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": servers});
    Object::new(ObjectRef::new(Kind::Gateway, "others", "web")).with("spec", spec)
}

#[test]
fn the_names_in_the_certificate_count() {
    let host = "api.example.com";
    for (names, other, is_shared) in [
        ("*.example.com", "www.example.com", true),
        ("api.example.com", "www.example.com", false),
        ("*.example.com", "www.example.org", false),
    ] {
        let mut cluster = Cluster::plain();
        cluster.put(&simple(other, "others"));
        let request = Request {
            host: Some(host.to_owned()),
            server: ServerChoice::Given(Arc::new(server_identity(names))),
            ..expose_request()
        };
        let report = run(&mut cluster, &request, host);
        let note = confusion(&report);
        assert_eq!(note.is_some(), is_shared, "{names} {other}");
        // What the proxies show is known without the files, too.
        let again = Request {
            server: ServerChoice::Auto,
            ..request
        };
        let again = run(&mut cluster, &again, host);
        assert_eq!(confusion(&again), note, "{names} {other}");
    }
}

#[test]
fn a_server_with_the_same_certificate_shares_connections() {
    let host = "api.example.com";
    let mut cluster = Cluster::plain();
    let identity = server_identity(host);
    let data = json!({
        "tls.crt": BASE64.encode(identity.chain_pem()),
        "tls.key": BASE64.encode(identity.key().to_pem().as_bytes()),
    });
    let secret = ObjectRef::new(Kind::Secret, "istio-system", "others");
    cluster.put(&Object::new(secret).with("data", data));
    cluster.put(&simple("www.example.org", "others"));
    let request = Request {
        host: Some(host.to_owned()),
        server: ServerChoice::Secret("others".to_owned()),
        ..expose_request()
    };
    let report = run(&mut cluster, &request, host);
    let note = confusion(&report).unwrap();
    assert!(note.contains("`www.example.org`"), "{note}");
}

#[test]
fn a_wildcard_of_its_own_is_shared_only_with_the_hosts_under_it() {
    for (other, is_shared) in [
        (None, false),
        (Some("www.example.com"), false),
        (Some("www.mtls.example.com"), true),
    ] {
        let mut cluster = Cluster::plain();
        if let Some(other) = other {
            cluster.put(&simple(other, "others"));
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
fn a_domain_names_the_host_where_the_cluster_has_no_dns_entries() {
    let mut cluster = Cluster::plain();
    let mut request = Request {
        dns: DnsChoice {
            domain: Some("example.com".parse().unwrap()),
            ..DnsChoice::default()
        },
        ..expose_request()
    };
    let report = run(&mut cluster, &request, "httpbin.mtls.example.com");
    let notes = report.notes.join("\n");
    assert!(notes.contains("has no address in DNS"), "{notes}");
    // A record that is asked for is no assumption.
    request.dns.entry = Some(true);
    let failure = Cluster::plain().run(&request).unwrap_err();
    assert!(failure.to_string().contains("dnsentries"), "{failure}");
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
    let front = crate::plan::probe::ingress_service();
    let service = cluster.objects[&front].clone();
    let mut spec = service.at(&["spec"]).cloned().unwrap();
    spec["type"] = json!("NodePort");
    spec["ports"] = json!([{"name": "https", "port": 443, "targetPort": 8443, "nodePort": 31443}]);
    cluster.put(&Object::new(front.clone()).with("spec", spec.clone()));
    let report = run(&mut cluster, &request, "api.example.com");
    let note = told(&report).unwrap();
    assert!(note.contains("their port 31443"), "{note}");
    spec["externalIPs"] = json!(["192.0.2.77"]);
    cluster.put(&Object::new(front).with("spec", spec));
    let report = run(&mut cluster, &request, "api.example.com");
    let note = told(&report).unwrap();
    assert!(note.contains("the nodes at 192.0.2.77"), "{note}");
    cluster.put(&service);
    let records = &mut cluster.controllers.records;
    records.insert("api.example.com".to_owned(), vec!["192.0.2.10".to_owned()]);
    let report = run(&mut cluster, &request, "api.example.com");
    assert_eq!(told(&report), None);
}

#[test]
fn a_client_leaves_the_allow_list_with_all_its_uris() {
    let mut cluster = Cluster::kyma();
    cluster.issue("alice");
    let names = crate::plan::identity::Names {
        uris: vec![
            "spiffe://example.com/b1".to_owned(),
            "spiffe://example.com/b2".to_owned(),
        ],
        ..Default::default()
    };
    let ben = crate::plan::issue_client::Request {
        names,
        ..crate::plan::testing::issue_request("ben")
    };
    cluster.run(&ben).unwrap();
    let allowed = |allow| Request {
        access: AccessChoice {
            allow,
            ..AccessChoice::default()
        },
        ..expose_request()
    };
    let host = format!("httpbin.mtls.{DOMAIN}");
    let only = [
        "alice",
        "spiffe://example.com/b1",
        "spiffe://example.com/b2",
    ];
    let only = Allow::Only(only.map(str::to_owned).to_vec());
    run(&mut cluster, &allowed(only), &host);
    let less = Allow::Change {
        add: Vec::new(),
        remove: vec!["ben".to_owned()],
    };
    let report = run(&mut cluster, &allowed(less), &host);
    assert_eq!(report.allowed_removed.len(), 2, "{report:?}");
}
