//! Faults of DNSProviders.

use super::super::only_until_repaired;
use super::*;

fn without_provider(cluster: &mut Cluster) {
    let known = provider("my.example.com", "Ready");
    cluster.objects.remove(known.reference());
}

#[test]
fn a_domain_without_provider_is_an_error_or_a_warning_while_the_record_stands() {
    let mut cluster = custom();
    without_provider(&mut cluster);
    remake(&mut cluster, |_| {});
    let finding = only(&mut cluster, "dns/provider-missing", Severity::Error);
    assert!(
        finding
            .remedy
            .ends_with("`kubectl mtls register-domain my.example.com --provider TYPE`")
    );
    let mut cluster = custom();
    without_provider(&mut cluster);
    edit(&mut cluster, &entry(), |body| {
        body["spec"]["ttl"] = 60.into();
    });
    cluster.act();
    only(&mut cluster, "dns/provider-missing", Severity::Warning);
}

#[test]
fn a_record_whose_provider_is_gone_stays_ready_until_somebody_looks_at_it() {
    let mut cluster = custom();
    cluster.controllers.dns_waits = true;
    without_provider(&mut cluster);
    let id = "dns/provider-missing";
    let finding = only(&mut cluster, id, Severity::Warning);
    assert!(
        finding.seen.contains("there is no DNSProvider"),
        "{}",
        finding.seen
    );
    // Gardener itself keeps the shoot's own domain.
    let mut cluster = kyma();
    cluster.controllers.dns_waits = true;
    assert_eq!(findings(&mut cluster), []);
    let mut cluster = custom();
    cluster.controllers.dns_waits = true;
    let list = Query::everywhere(Kind::DnsProvider);
    let denied = Seen::Denied("you cannot list them".to_owned());
    cluster.fixed.insert(list, denied);
    let unseen = ("dns/not-checked", Severity::Unknown);
    assert_eq!(findings(&mut cluster), [unseen]);
}

#[test]
fn a_provider_without_class_is_annotated() {
    let mut cluster = custom();
    let known = provider("my.example.com", "Ready");
    cluster.put(&known.without_annotation("dns.gardener.cloud/class"));
    remake(&mut cluster, |_| {});
    let finding = only(&mut cluster, "dns/class-missing", Severity::Error);
    assert!(
        finding
            .remedy
            .contains(" dnsproviders.dns.gardener.cloud -n shop my-example-com ")
    );
}

#[test]
fn a_provider_of_another_domain_is_named() {
    let mut cluster = custom();
    without_provider(&mut cluster);
    cluster.put(&provider("my.example.org", "Ready"));
    let mut standing = cluster.clone();
    remake(&mut cluster, |_| {});
    let id = "dns/provider-not-covering";
    let finding = only_until_repaired(&mut cluster, id, Severity::Error);
    assert!(
        finding
            .seen
            .contains("DNSProvider shop/my-example-org is for my.example.org")
    );
    // While the record stands, it is maintained no more.
    edit(&mut standing, &entry(), |body| {
        body["spec"]["ttl"] = 60.into();
    });
    standing.act();
    only_until_repaired(&mut standing, id, Severity::Warning);
}

#[test]
fn a_provider_that_fails_is_the_cause_also_while_the_record_stands() {
    let mut cluster = custom();
    cluster.put(&provider("my.example.com", "Error"));
    only(&mut cluster, "dns/provider-failed", Severity::Warning);
    edit(&mut cluster, &entry(), |body| {
        body["spec"]["ttl"] = 60.into();
    });
    cluster.act();
    only(&mut cluster, "dns/provider-failed", Severity::Warning);
    remake(&mut cluster, |_| {});
    let finding = only(&mut cluster, "dns/provider-failed", Severity::Error);
    assert!(
        finding.seen.contains("Error: the account said so"),
        "{}",
        finding.seen
    );
}
