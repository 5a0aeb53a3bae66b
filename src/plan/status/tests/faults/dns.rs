//! Faults of the host's DNS.

mod providers;

use serde_json::{Value, json};

use super::{findings, kyma, only, plain};
use crate::plan::check::Severity;
use crate::plan::expose::{self, DnsChoice};
use crate::plan::testing::kyma::expose_request;
use crate::plan::testing::{Cluster, issue_request};
use crate::plan::{Query, Seen};
use crate::resources::dns_entry::DnsEntry;
use crate::resources::dns_provider::{ProviderFor, provider_name};
use crate::resources::environment::shoot_info;
use crate::resources::names::INGRESS_NAMESPACE;
use crate::resources::{Kind, Object, ObjectRef};

const ENTRY: &str = "dns-entry";

/// Changes an object as somebody by hand does; the controllers have not looked at it yet.
pub(super) fn edit(cluster: &mut Cluster, reference: &ObjectRef, change: impl FnOnce(&mut Value)) {
    let mut body = cluster.objects[reference].body().clone();
    change(&mut body);
    cluster.put(&Object::from_server(reference.kind, body).unwrap());
}

fn entry() -> ObjectRef {
    ObjectRef::new(Kind::DnsEntry, "shop", ENTRY)
}

fn provider(domain: &str, state: &str) -> Object {
    let provider = ProviderFor {
        namespace: "shop",
        name: &provider_name(&domain.parse().unwrap()),
        account: "cloudflare-dns",
        secret: "my-example-com-credentials",
        domain,
        in_shoot: true,
    };
    let status = json!({"state": state, "message": "the account said so", "observedGeneration": 9});
    provider.object().with("status", status)
}

/// A host below a domain of its own, which a DNSProvider keeps.
fn custom() -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.put(&provider("my.example.com", "Ready"));
    cluster.run(&of_domain()).unwrap();
    cluster.run(&issue_request("alice")).unwrap();
    cluster
}

fn of_domain() -> expose::Request {
    let dns = DnsChoice {
        domain: Some("my.example.com".parse().unwrap()),
        ..DnsChoice::default()
    };
    expose::Request {
        dns,
        ..expose_request()
    }
}

/// Makes the DNSEntry anew by hand.
fn remake(cluster: &mut Cluster, change: impl FnOnce(&mut Value)) {
    let mut body = cluster.objects.remove(&entry()).unwrap().body().clone();
    cluster.act();
    body.as_object_mut().unwrap().shift_remove("status");
    body["metadata"]["finalizers"] = json!([]);
    change(&mut body);
    cluster.put(&Object::from_server(Kind::DnsEntry, body).unwrap());
    cluster.act();
}

#[test]
fn a_host_of_a_domain_with_a_provider_has_no_finding() {
    assert_eq!(findings(&mut custom()), []);
}

#[test]
fn a_record_that_is_gone_is_written_again_by_expose() {
    let mut cluster = custom();
    cluster.objects.remove(&entry());
    let finding = only(&mut cluster, "dns/no-record", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl mtls expose httpbin -n shop --dns-entry"
    );
    let dns = DnsChoice {
        entry: Some(true),
        ..DnsChoice::default()
    };
    let remedy = expose::Request {
        dns,
        ..expose_request()
    };
    cluster.run(&remedy).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn without_dns_management_a_missing_record_is_made_by_hand() {
    let mut cluster = plain();
    cluster.controllers.records.clear();
    let finding = only(&mut cluster, "dns/no-record", Severity::Error);
    assert_eq!(
        finding.remedy,
        "make the DNS record of `orders.example.com` lead to 192.0.2.10"
    );
}

#[test]
fn a_record_without_class_is_annotated() {
    let mut cluster = custom();
    let unclass = |body: &mut Value| {
        let annotations = body["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.shift_remove("dns.gardener.cloud/class");
    };
    remake(&mut cluster, unclass);
    let finding = only(&mut cluster, "dns/class-missing", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl annotate --overwrite dnsentries.dns.gardener.cloud -n shop dns-entry dns.gardener.cloud/class=garden"
    );
    // Its status may be of the time when it still had its class.
    let mut cluster = custom();
    edit(&mut cluster, &entry(), unclass);
    cluster.act();
    only(&mut cluster, "dns/class-missing", Severity::Error);
}

#[test]
fn a_record_without_class_is_not_checked_where_the_cluster_may_need_one() {
    for answer in [
        Seen::Denied("you may not read it".to_owned()),
        Seen::Failed("HTTP 500: an error".to_owned()),
    ] {
        let mut cluster = custom();
        edit(&mut cluster, &entry(), |body| {
            let annotations = body["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.shift_remove("dns.gardener.cloud/class");
        });
        cluster.fixed.insert(Query::Get(shoot_info()), answer);
        let finding = only(&mut cluster, "dns/not-checked", Severity::Unknown);
        assert!(finding.seen.contains("shoot-info"), "{}", finding.seen);
    }
}

#[test]
fn a_record_without_class_below_a_wildcard_that_answers_is_a_warning() {
    let mut cluster = kyma();
    remake(&mut cluster, |body| {
        body["metadata"]["annotations"] = json!({});
    });
    only(&mut cluster, "dns/class-missing", Severity::Warning);
}

#[test]
fn a_record_that_its_controller_refuses_is_told_with_its_words() {
    let mut cluster = kyma();
    let status = json!({"state": "Invalid", "message": "validation failed: target 1 is empty", "observedGeneration": 9});
    edit(&mut cluster, &entry(), |body| body["status"] = status);
    let finding = only(&mut cluster, "dns/entry-failed", Severity::Warning);
    assert!(
        finding
            .seen
            .ends_with("Invalid: validation failed: target 1 is empty")
    );
}

#[test]
fn a_record_to_another_load_balancer_is_written_anew_by_expose() {
    let mut cluster = custom();
    edit(&mut cluster, &entry(), |body| {
        body["spec"]["targets"] = json!(["192.0.2.99"]);
    });
    cluster.act();
    let finding = only(&mut cluster, "dns/wrong-target", Severity::Error);
    assert!(
        finding
            .remedy
            .starts_with("kubectl mtls expose httpbin -n shop")
    );
    let remedy = expose::Request {
        force_conflicts: true,
        ..expose_request()
    };
    cluster.run(&remedy).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn another_record_of_the_same_name_that_leads_elsewhere_is_named() {
    let mut cluster = custom();
    let host = DnsEntry::read(&cluster.objects[&entry()]).unwrap().host;
    let other = ObjectRef::new(Kind::DnsEntry, "shop", "other");
    let spec = json!({"dnsName": host, "targets": ["192.0.2.99"]});
    let other = Object::new(other).with_annotation("dns.gardener.cloud/class", "garden");
    cluster.put(&other.with("spec", spec));
    cluster.act();
    let finding = only(&mut cluster, "dns/other-address", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl delete dnsentries.dns.gardener.cloud -n shop other"
    );
}

#[test]
fn a_resolver_that_answers_another_address_is_an_error() {
    let mut cluster = plain();
    let records = &mut cluster.controllers.records;
    records.insert(
        "orders.example.com".to_owned(),
        vec!["192.0.2.99".to_owned()],
    );
    only(&mut cluster, "dns/other-address", Severity::Error);
}

#[test]
fn a_record_that_is_ready_and_not_served_is_told_so() {
    let mut cluster = kyma();
    cluster.controllers.dns = false;
    only(&mut cluster, "dns/record-not-served", Severity::Error);
}

/// The record of Kyma's own gateway, which covers the whole domain.
fn record_of_the_domain(cluster: &Cluster) -> Object {
    let shoot = &cluster.objects[&shoot_info()];
    let name = format!("*.{}", shoot.text(&["data", "domain"]));
    let entry = ObjectRef::new(Kind::DnsEntry, "kyma-system", "kyma-gateway");
    let entry = Object::new(entry).with_annotation("dns.gardener.cloud/class", "garden");
    entry.with("spec", json!({"dnsName": name, "targets": ["192.0.2.10"]}))
}

#[test]
fn a_challenge_hides_a_host_without_a_record_of_its_own() {
    for is_recorded in [false, true] {
        let mut cluster = kyma();
        cluster.objects.remove(&entry());
        if is_recorded {
            let record = record_of_the_domain(&cluster);
            cluster.put(&record);
            cluster.act();
        }
        assert_eq!(findings(&mut cluster), []);
        cluster.controllers.certificates = false;
        let namespace = INGRESS_NAMESPACE;
        let certificate = ObjectRef::new(Kind::Certificate, namespace, "domain-certificate");
        edit(&mut cluster, &certificate, |body| {
            body["status"]["state"] = "Pending".into();
        });
        let finding = only(&mut cluster, "dns/challenge-hides-host", Severity::Error);
        assert_eq!(
            finding.remedy,
            "kubectl mtls expose httpbin -n shop --dns-entry"
        );
    }
}

#[test]
fn a_challenge_hides_no_host_that_has_a_record_of_its_own() {
    let mut cluster = kyma();
    let record = record_of_the_domain(&cluster);
    cluster.put(&record);
    cluster.act();
    cluster.controllers.certificates = false;
    cluster.controllers.dns = false;
    let certificate = ObjectRef::new(Kind::Certificate, INGRESS_NAMESPACE, "domain-certificate");
    edit(&mut cluster, &certificate, |body| {
        body["status"]["state"] = "Pending".into();
    });
    only(&mut cluster, "dns/record-not-served", Severity::Error);
}

#[test]
fn a_record_with_a_second_target_loses_it() {
    let mut cluster = custom();
    edit(&mut cluster, &entry(), |body| {
        let targets = body["spec"]["targets"].as_array_mut().unwrap();
        targets.push("192.0.2.99".into());
    });
    cluster.act();
    let finding = only(&mut cluster, "dns/wrong-target", Severity::Error);
    assert!(finding.seen.contains("192.0.2.99 too"), "{}", finding.seen);
    super::repaired(&mut cluster, &finding);
}

#[test]
fn a_resolver_that_answers_a_second_address_is_an_error_unless_it_may_be_the_load_balancers() {
    for (second, is_fault) in [("203.0.113.9", true), ("2001:db8::9", false)] {
        let mut cluster = plain();
        let both = vec!["192.0.2.10".to_owned(), second.to_owned()];
        let records = &mut cluster.controllers.records;
        records.insert(super::PLAIN_HOST.to_owned(), both);
        if is_fault {
            only(&mut cluster, "dns/other-address", Severity::Error);
        } else {
            assert_eq!(findings(&mut cluster), []);
        }
    }
}

#[test]
fn a_record_that_goes_or_is_left_alone_is_a_warning() {
    for (pointer, value) in [
        ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        (
            "/metadata/annotations/dns.gardener.cloud~1ignore",
            json!("reconcile"),
        ),
    ] {
        let mut cluster = custom();
        edit(&mut cluster, &entry(), |body| {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let field = field.replace("~1", "/");
            body.pointer_mut(parent).unwrap()[field] = value.clone();
        });
        cluster.controllers.records.insert(
            "*.mtls.my.example.com".to_owned(),
            vec!["192.0.2.10".to_owned()],
        );
        only(&mut cluster, "dns/entry-failed", Severity::Warning);
    }
}
