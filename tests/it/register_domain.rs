//! `register-domain` and `expose --domain` on a real cluster: who keeps the domain, where its hosts lead, what stops it.

use std::sync::Arc;

use sandbox::{AuditEvent, Environment, Instance, Reply};
use serde_json::json;

use crate::lab::{Desk, call, let_in, plugin, requests};
use crate::shared::Shared;

pub(crate) const TOKEN: &str = "not-to-be-shown";

fn instance() -> Arc<Instance> {
    static INSTANCE: Shared<Instance> =
        Shared::new(|| Instance::start(Environment::KymaCustom).unwrap());
    INSTANCE.get()
}

/// A namespace with an echo `httpbin`, and a token in a file.
pub(crate) fn desk(namespace: &str) -> Desk {
    instance().deploy_echo(namespace, "httpbin").unwrap();
    let desk = Desk::new(&instance(), namespace);
    std::fs::write(desk.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    desk
}

fn register(domain: &str) -> Vec<&str> {
    let provider = ["--provider", "cloudflare-dns", "--from-file", "token"];
    [&["register-domain", domain], &provider[..]].concat()
}

/// The writes in a namespace and beside the proxies; other tests work in namespaces of their own.
fn writes(events: &[AuditEvent], namespace: &str) -> usize {
    let is_write = |event: &&&AuditEvent| {
        let places = [namespace, "istio-system", "kubectl-mtls"];
        event.is_write() && event.subresource.is_empty() && places.contains(&&*event.namespace)
    };
    requests(events).iter().filter(is_write).count()
}

#[test]
fn a_host_below_a_custom_domain_resolves_and_lets_its_clients_in() {
    let desk = desk("custom");
    let domain = "my.example.com";
    let host = format!("httpbin.mtls.{domain}");
    let expose = ["expose", "httpbin", "--domain", domain, "--dns-ttl", "60s"];
    desk.run(&expose)
        .exits(2)
        .says("`kubectl mtls register-domain my.example.com --provider TYPE`");

    let run = desk.run(&register(domain)).exits(0);
    assert!(
        run.stdout.contains("Ready: provider operational"),
        "{run:#?}"
    );
    assert!(!format!("{run:?}").contains(TOKEN));
    let provider = desk.get("custom", "dnsprovider", "my-example-com");
    assert_eq!(
        provider["metadata"]["annotations"]["dns.gardener.cloud/class"],
        "garden"
    );
    assert_eq!(provider["spec"]["domains"]["include"], json!([domain]));
    let mark = instance().audit_mark().unwrap();
    let again = desk
        .run(&["register-domain", domain, "--provider", "cloudflare-dns"])
        .exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert_eq!(writes(&instance().audit_log(mark).unwrap(), "custom"), 0);

    let run = desk.run(&expose).exits(0);
    let seen = "*.mtls.my.example.com leads to 203.0.113.10, seen";
    assert!(run.stdout.contains(seen), "{run:#?}");
    let entry = desk.get("custom", "dnsentry", "dns-entry");
    assert_eq!(entry["spec"]["ttl"], 60);
    let provider = entry["status"]["provider"].as_str().unwrap();
    assert!(
        provider.starts_with("shoot--sandbox--local/my-example-com-"),
        "{provider}"
    );
    desk.run(&["issue-client", "alice"]).exits(0);
    let_in(&desk.client("alice"), &host);
    assert!(matches!(
        call(&desk.nobody(), &host, &[]),
        Reply::Refused(_)
    ));

    let mark = instance().audit_mark().unwrap();
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert_eq!(writes(&instance().audit_log(mark).unwrap(), "custom"), 0);

    let gone = desk.run(&["unexpose", "httpbin", "--gateway-too"]).exits(0);
    let entry = "dnsentry.dns.gardener.cloud/dns-entry in custom deleted";
    assert!(gone.stdout.contains(entry), "{gone:#?}");
}

#[test]
fn what_somebody_else_made_stops_it_before_the_first_write() {
    let desk = desk("occupied");
    let other = json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSProvider",
        "metadata": {"namespace": "occupied", "name": "taken-example-com"},
        "spec": {"type": "cloudflare-dns", "secretRef": {"name": "x"}},
    });
    instance().create(vec![other]).unwrap();
    desk.run(&register("taken.example.com"))
        .exits(2)
        .says("DNSProvider occupied/taken-example-com was not created by kubectl-mtls")
        .says("`--name`");
    let secrets = desk.kubectl(&["-n", "occupied", "get", "secrets", "-o", "name"], "");
    assert_eq!(secrets, "");
}

#[test]
fn a_dry_run_writes_nothing_and_prints_no_secret() {
    let desk = desk("rehearsal");
    for how in ["--dry-run=client", "--dry-run=server"] {
        let arguments = [&register("dry.example.com")[..], &[how, "-o", "yaml"]].concat();
        let run = desk.run(&arguments).exits(0).says("without its values");
        assert!(run.stdout.contains("kind: DNSProvider") && run.stdout.contains("kind: Secret"));
        assert!(!run.stdout.contains("\ndata:"), "{run:#?}");
    }
    let objects = desk.kubectl(
        &[
            "-n",
            "rehearsal",
            "get",
            "secrets,dnsproviders",
            "-o",
            "name",
        ],
        "",
    );
    assert_eq!(objects, "");
}

#[test]
fn an_existing_secret_is_used_as_it_is() {
    let desk = desk("given");
    let literal = format!("--from-literal=apiToken={TOKEN}");
    desk.kubectl(
        &[
            "-n", "given", "create", "secret", "generic", "mine", &literal,
        ],
        "",
    );
    let before = desk.get("given", "secret", "mine")["data"].clone();
    let arguments = [
        "register-domain",
        "given.example.com",
        "--provider",
        "cloudflare-dns",
    ];
    desk.run(&[&arguments[..], &["--secret", "none"]].concat())
        .exits(2)
        .says("Secret given/none does not exist");
    desk.run(&[&arguments[..], &["--secret", "mine"]].concat())
        .exits(0);
    assert_eq!(desk.get("given", "secret", "mine")["data"], before);
}

#[test]
fn another_secret_is_taken_and_its_provider_waited_for_to_an_end() {
    let desk = desk("other");
    let arguments = [
        "register-domain",
        "other.example.com",
        "--provider",
        "cloudflare-dns",
    ];
    for name in ["first", "second"] {
        let literal = format!("--from-literal=apiToken={TOKEN}-{name}");
        let create = ["-n", "other", "create", "secret", "generic", name, &literal];
        desk.kubectl(&create, "");
    }
    for name in ["first", "second", "first"] {
        let run = desk
            .run(&[&arguments[..], &["--secret", name, "--timeout", "30s"]].concat())
            .exits(0);
        assert!(run.stdout.contains("Ready: "), "{run:#?}");
        let provider = desk.get("other", "dnsprovider", "other-example-com");
        assert_eq!(provider["status"]["secretRef"]["name"], *name);
    }
}

#[test]
fn what_is_no_domain_or_no_credential_is_refused_without_asking_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file(
        "aws.env",
        &format!("AWS_ACCESS_KEY_ID={TOKEN}\nAWS_SECRET_ACCESS_KEY=\nzone=x\n"),
    );
    file(
        "user.json",
        &format!(r#"{{"type":"authorized_user","refresh_token":"{TOKEN}"}}"#),
    );
    file("token", TOKEN);
    file("bare.env", &format!("{TOKEN}=\n"));
    let refused = |domain: &str, arguments: &[&str], said: &str| {
        let all = [&["register-domain", domain], arguments].concat();
        let run = plugin(folder.path(), &[], &all).exits(2).says(said);
        assert!(!format!("{run:?}").contains(TOKEN), "{run:#?}");
    };
    let token = ["--provider", "cloudflare-dns", "--from-file", "token"];
    for (domain, said) in [
        ("bücher.example", "punycode"),
        ("My.example.com", "`my.example.com`"),
        ("example.com.", "ends with a dot"),
        ("*.example.com", "wildcard"),
        ("192.0.2.1", "address"),
    ] {
        refused(domain, &token, said);
    }
    let good = "my.example.com";
    let aws = ["--provider", "aws-route53", "--from-env-file", "aws.env"];
    refused(
        good,
        &aws,
        "`AWS_SECRET_ACCESS_KEY` is empty; line 3 names a key that",
    );
    let bare = [
        "--provider",
        "cloudflare-dns",
        "--from-env-file",
        "bare.env",
    ];
    refused(good, &bare, "line 1 names a key that");
    let google = ["--provider", "google-clouddns", "--from-file", "user.json"];
    refused(good, &google, "not the key of a service account");
    let unnamed = ["--provider", "rfc2136", "--from-file", "token"];
    refused(good, &unnamed, "does not name the key");
    refused(
        good,
        &["--provider", "infoblox"],
        "invalid value 'infoblox'",
    );
}

#[test]
fn a_provider_that_its_controller_cannot_use_is_told_in_its_words() {
    let desk = desk("unusable");
    let register = [
        "register-domain",
        "bad.example.com",
        "--provider",
        "aws-route53",
        "--secret",
        "keys",
    ];
    let literal = format!("--from-literal=AWS_ACCESS_KEY_ID={TOKEN}");
    let create = [
        "-n", "unusable", "create", "secret", "generic", "keys", &literal,
    ];
    desk.kubectl(&create, "");
    let run = desk
        .run(&register)
        .exits(2)
        .says("`AWS_SECRET_ACCESS_KEY` (or `secretAccessKey`) is missing");
    assert!(!format!("{run:?}").contains(TOKEN), "{run:#?}");
}
