//! DNS records of hosts: own ones, those of others, and those that no provider takes.

use serde_json::json;

use crate::lab::{Desk, eventually};

use super::{ground, register};

#[test]
fn the_default_domain_gets_a_record_of_its_own_unless_it_is_left_out() {
    let ground = ground();
    let desk = ground.desk("entry");
    let domain = desk.instance.domain();
    let host = format!("a.entry.{domain}");
    let run = desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let line = format!("{host} leads to 203.0.113.10, seen");
    assert!(run.stdout.contains(&line), "{run:#?}");
    let entries = || desk.kubectl(&["-n", "entry", "get", "dnsentries", "-o", "name"], "");
    assert_ne!(entries(), "");
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");

    let run = desk
        .run(&["expose", "httpbin", "--dns-entry=false"])
        .exits(0);
    assert!(
        run.stdout.contains("dnsentry.dns.gardener.cloud/"),
        "{run:#?}"
    );
    assert_eq!(entries(), "");
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");

    desk.run(&["expose", "httpbin", "--dns-entry", "--dns-ttl", "2m"])
        .exits(0);
    assert_ne!(entries(), "");
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

/// A shoot with a domain that no provider keeps.
struct Unkept<'a>(&'a Desk);

impl<'a> Unkept<'a> {
    fn domain(desk: &'a Desk, domain: &str) -> Self {
        let unkept = Self(desk);
        unkept.shoot_has(domain);
        unkept
    }

    fn shoot_has(&self, domain: &str) {
        let patch = json!({"data": {"domain": domain}}).to_string();
        let shoot_info = ["-n", "kube-system", "patch", "configmap", "shoot-info"];
        self.0.kubectl(
            &[&shoot_info[..], &["--type=merge", "-p", &patch]].concat(),
            "",
        );
    }
}

impl Drop for Unkept<'_> {
    fn drop(&mut self) {
        self.shoot_has(self.0.instance.domain());
    }
}

#[test]
fn a_record_that_no_provider_takes_is_removed_again_where_the_host_resolves_without_it_and_said_once()
 {
    let ground = ground();
    let desk = ground.desk("untaken");
    // That of local clusters, which resolves.
    let _domain = Unkept::domain(&desk, "local.kyma.dev");
    let entries = || desk.kubectl(&["-n", "untaken", "get", "dnsentries", "-o", "name"], "");
    desk.run(&["expose", "httpbin", "--host", "untaken.local.kyma.dev"])
        .exits(0)
        .says("no DNS provider accepts a record for `untaken.local.kyma.dev`");
    assert_eq!(entries(), "");
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert!(!again.stderr.contains("no DNS provider"), "{again:#?}");
    // Asked for, it is waited for.
    desk.run(&["expose", "httpbin", "--dns-entry", "--timeout", "1s"])
        .exits(124)
        .says("no matching DNS provider found");
    assert_ne!(entries(), "");
}

#[test]
fn a_record_that_no_provider_takes_is_kept_where_the_host_does_not_resolve_without_it() {
    let ground = ground();
    let desk = ground.desk("kept");
    let domain = Unkept::domain(&desk, "unkept.example");
    let host = "a.unkept.example";
    let entries = || desk.kubectl(&["-n", "kept", "get", "dnsentries", "-o", "name"], "");
    let told = "no DNS provider accepts DNSEntry kept/";
    let nowhere = "the host `a.unkept.example` has no address in DNS";
    let first = desk.run(&["expose", "httpbin", "--host", host]).exits(0);
    let first = first.says(told).says(nowhere);
    assert!(first.stdout.contains("will lead to 203"), "{first:#?}");
    // Its controller has refused it: there is nothing to wait for.
    assert!(!first.stderr.contains("waiting for DNS of"), "{first:#?}");
    let entry = entries();
    assert_ne!(entry, "");
    let again = desk.run(&["expose", "httpbin"]).exits(0).says(told);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert_eq!(entries(), entry);
    let status = desk.run(&["status", host, "-o", "json"]).exits(1).json();
    let [finding] = status["findings"].as_array().unwrap().as_slice() else {
        panic!("{status:#}");
    };
    assert_eq!(finding["severity"], "error", "{finding:#}");
    let seen = finding["seen"].as_str().unwrap();
    assert!(seen.contains("`a.unkept.example` has no address"), "{seen}");
    drop(domain);
    // Once there is a provider, it takes the same record.
    register(&desk, "unkept.example");
    eventually("the record is taken", || {
        let ready = ["-o", "jsonpath={.items[*].status.state}"];
        let list = ["-n", "kept", "get", "dnsentries"];
        desk.kubectl(&[&list[..], &ready].concat(), "") == "Ready"
    });
    let run = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(
        run.stdout.contains("leads to 203.0.113.10, seen"),
        "{run:#?}"
    );
    assert_eq!(entries(), entry);
}

#[test]
fn a_record_of_somebody_else_for_the_host_is_enough_and_left_alone() {
    let ground = ground();
    let desk = ground.desk("theirs");
    let host = format!("a.theirs.{}", desk.instance.domain());
    let entry = json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSEntry",
        "metadata": {"namespace": "default", "name": "theirs",
            "annotations": {"dns.gardener.cloud/class": "garden"}},
        "spec": {"dnsName": host, "targets": ["203.0.113.10"]},
    });
    desk.instance.create(vec![entry]).unwrap();
    let before = desk.get("default", "dnsentry", "theirs")["spec"].clone();
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let entries = desk.kubectl(&["-n", "theirs", "get", "dnsentries", "-o", "name"], "");
    assert_eq!(entries, "");
    assert_eq!(desk.get("default", "dnsentry", "theirs")["spec"], before);
    desk.run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
    assert_eq!(desk.get("default", "dnsentry", "theirs")["spec"], before);
}

#[test]
fn a_host_without_address_is_told_in_the_end() {
    let ground = ground();
    let desk = ground.desk("nameless");
    desk.run(&["expose", "httpbin", "--host", "a.nameless.example.net"])
        .exits(0)
        .says("the host `a.nameless.example.net` has no address in DNS")
        .says("203.0.113.10");
}
