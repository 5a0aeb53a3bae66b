//! The host's DNS: records that are refused, and hosts that a running renewal hides.

use super::*;
use crate::lab::eventually;

const CERTIFICATES: &str = "certificates.cert.gardener.cloud";

/// A host directly below the default domain, whose wildcard leads to the gateway: no other test has records beside it.
fn below_the_wildcard(purpose: &str, flags: &[&str]) -> Exposed {
    let mut exposed = Exposed::prepared(purpose);
    let namespace = &exposed.desk.namespace;
    exposed.host = format!("{namespace}.{}", exposed.desk.instance.domain());
    let expose = ["expose", "httpbin", "--host", &exposed.host];
    exposed.desk.run(&[&expose[..], flags].concat()).exits(0);
    exposed.is_healthy();
    exposed
}

fn answers(exposed: &Exposed, answer: Answer) {
    let certificates = exposed.desk.instance.stand_ins().certificates();
    let key = ObjectKey::new("istio-system", &exposed.names.certificate);
    certificates.answer_for(key, answer);
}

fn state(exposed: &Exposed) -> String {
    let name = &exposed.names.certificate;
    let certificate = exposed.desk.get("istio-system", CERTIFICATES, name);
    certificate["status"]["state"].as_str().unwrap().to_owned()
}

/// Its issuer begins to renew the certificate, and waits for the DNS challenge.
fn begins_a_renewal(exposed: &Exposed) {
    answers(exposed, Answer::Never);
    let renew = json!({"spec": {"renew": true}});
    let name = &exposed.names.certificate;
    exposed.patch("istio-system", CERTIFICATES, name, &renew);
    eventually("the renewal is pending", || state(exposed) == "Pending");
}

#[test]
fn a_running_renewal_is_no_fault_and_hides_a_host_only_where_it_has_no_record_of_its_own() {
    let recorded = below_the_wildcard("recorded", &[]);
    let recordless = below_the_wildcard("recordless", &["--dns-entry=false"]);
    for exposed in [&recorded, &recordless] {
        begins_a_renewal(exposed);
    }
    let finding = recordless.finds("dns/challenge-hides-host", "error");
    let seen = finding["seen"].as_str().unwrap();
    let certificate = format!(
        "the DNS challenge of Certificate istio-system/{} is pending",
        recordless.names.certificate
    );
    assert!(seen.contains("has no address in DNS"), "{seen}");
    assert!(seen.contains(&certificate), "{seen}");

    recorded.is_healthy();
    let status = ["status", &recorded.host, "-o", "json"];
    let status = recorded.desk.run(&status).exits(0);
    let renewed = format!(
        "Certificate istio-system/{} is being renewed: certificate requested",
        recorded.names.certificate
    );
    assert!(status.stdout.contains(&renewed), "{status:#?}");

    // It waits for the renewal, too; the host is found before that.
    std::thread::scope(|scope| {
        let remedy = scope.spawn(|| recordless.pastes_remedy(&finding));
        recordless.is_healthy();
        assert_eq!(state(&recordless), "Pending");
        answers(&recordless, Answer::Issue);
        remedy.join().unwrap();
    });
    assert_eq!(state(&recorded), "Pending");
    answers(&recorded, Answer::Issue);
    for exposed in [&recorded, &recordless] {
        eventually("it is renewed", || state(exposed) == "Ready");
        exposed.is_healthy();
    }
}

#[test]
fn a_record_that_its_controller_refuses_is_told_in_its_words() {
    let exposed = Exposed::new("refused");
    let namespace = exposed.desk.namespace.as_str();
    let name = exposed.names.certificate.as_str();
    let kind = "dnsentries.dns.gardener.cloud";
    let targets = json!({"spec": {"targets": ["203.0.113.10", "lb.example.com"]}});
    exposed.patch(namespace, kind, name, &targets);
    // What was published before is still answered.
    let finding = exposed.finds("dns/entry-failed", "warning");
    let seen = finding["seen"].as_str().unwrap();
    let words = format!(
        "DNSEntry {namespace}/{name} is not in effect: Invalid: cannot mix CNAME and other record types in targets"
    );
    assert_eq!(seen, words);
    let described = exposed.pastes_remedy(&finding);
    assert!(described.contains("cannot mix CNAME"), "{described}");
    let expose = ["expose", "httpbin", "--force-conflicts"];
    exposed.desk.run(&expose).exits(0);
    exposed.is_healthy();
}

#[test]
fn a_provider_whose_account_has_lost_its_zone_is_the_cause() {
    let desk = crate::register_domain::desk("zoneless");
    let domain = "zoneless.example.com";
    let provider = ["--provider", "cloudflare-dns", "--from-file", "token"];
    let register = [&["register-domain", domain], &provider[..]].concat();
    desk.run(&register).exits(0);
    let host = format!("httpbin.mtls.{domain}");
    let exposed = Exposed::of((desk, host));
    let expose = ["expose", "httpbin", "--domain", domain];
    exposed.desk.run(&expose).exits(0);
    exposed.is_healthy();
    let named = "zoneless-example-com";
    let has_zone = |zone: &str| {
        let key = ObjectKey::new("zoneless", named);
        let controls = exposed.desk.instance.stand_ins();
        controls.dns().hosted_zones(key, &[zone]);
        // Its controller looks at the account again.
        let again = format!("example.com/zone={zone}");
        let annotate = ["annotate", "--overwrite", "dnsproviders", named, &again];
        exposed.own(&annotate);
    };
    has_zone("example.org");
    // What was published before is still answered.
    let finding = exposed.finds("dns/provider-failed", "warning");
    let seen = finding["seen"].as_str().unwrap();
    let words = format!(
        "DNSProvider zoneless/{named} is Error: no domain matching hosting zones. Need to be a (sub)domain of [example.org]"
    );
    assert_eq!(seen, words);
    let described = exposed.pastes_remedy(&finding);
    assert!(described.contains("no domain matching"), "{described}");
    has_zone(domain);
    exposed.is_healthy();
}
