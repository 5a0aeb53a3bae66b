//! Domains and load balancers: which hosts `expose` takes, where their records lead, and who certifies them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::{Caller, Environment, Instance, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call, eventually, let_in, requests, started};
use crate::shared::Shared;

/// A shoot whose load balancer a test may change; one test has it at a time.
struct Ground {
    instance: Arc<Instance>,
    _alone: MutexGuard<'static, ()>,
}

fn ground() -> Ground {
    static ALONE: Mutex<()> = Mutex::new(());
    // The names of the first Gateway are taken: each test has names of its own.
    static FIRST: Shared<Desk> = Shared::new(|| {
        let instance = started(Environment::KymaCustom);
        instance.deploy_echo("first", "httpbin").unwrap();
        let desk = Desk::new(&instance, "first");
        let host = format!("first.own.{}", instance.domain());
        desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
        desk
    });
    let instance = FIRST.get().instance.clone();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Ground {
        instance,
        _alone: alone,
    }
}

impl Ground {
    /// A namespace with an echo, and a CA in a file.
    fn desk(&self, namespace: &str) -> Desk {
        self.instance.deploy_echo(namespace, "httpbin").unwrap();
        let desk = Desk::new(&self.instance, namespace);
        std::fs::write(desk.folder.path().join("token"), "not-to-be-shown\n").unwrap();
        desk
    }

    /// Gives the load balancer these addresses.
    fn balances(&self, ingress: &Value) {
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        let desk = Desk::new(&self.instance, "istio-system");
        desk.kubectl(
            &[
                "-n",
                "istio-system",
                "patch",
                "service",
                "istio-ingressgateway",
                "--subresource=status",
                "--type=merge",
                "-p",
                &status.to_string(),
            ],
            "",
        );
    }
}

fn register(desk: &Desk, domain: &str) {
    let account = ["--provider", "cloudflare-dns", "--from-file", "token"];
    desk.run(&[&["register-domain", domain], &account[..]].concat())
        .exits(0);
}

/// Where the sandbox's load balancer is, as it says.
fn usual() -> Value {
    json!([{"ip": "203.0.113.10"}])
}

fn targets(desk: &Desk) -> Value {
    let text = desk.kubectl(
        &["-n", &desk.namespace, "get", "dnsentries", "-o", "json"],
        "",
    );
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"][0]["spec"]["targets"].clone()
}

#[test]
fn a_load_balancer_without_address_is_waited_for_before_anything_is_written() {
    let ground = ground();
    let desk = ground.desk("waiting");
    register(&desk, "waiting.example.com");
    ground.balances(&json!([]));
    let expose = ["expose", "httpbin", "--domain", "waiting.example.com"];
    let mark = desk.instance.audit_mark().unwrap();
    let line = "Service istio-system/istio-ingressgateway: its load balancer has no address yet";
    desk.run(&[&expose[..], &["--timeout", "1s"]].concat())
        .exits(124)
        .says(&format!("waiting for {line}"))
        .says("nothing was changed");
    desk.run(&[&expose[..], &["--no-wait"]].concat())
        .exits(2)
        .says(line)
        .says("`--no-wait`");
    let log = desk.instance.audit_log(mark).unwrap();
    assert!(
        !requests(&log)
            .into_iter()
            .any(sandbox::AuditEvent::is_write)
    );
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| desk.run(&expose));
        std::thread::sleep(Duration::from_millis(1500));
        ground.balances(&json!([{"ip": "203.0.113.11"}, {"ip": "203.0.113.10"}]));
        run.join().unwrap()
    });
    ground.balances(&usual());
    run.exits(0).says(line);
    assert_eq!(targets(&desk), json!(["203.0.113.10", "203.0.113.11"]));
}

#[test]
fn a_load_balancer_with_a_host_name_is_followed_and_one_with_both_kinds_is_refused() {
    let ground = ground();
    let desk = ground.desk("named");
    register(&desk, "named.example.com");
    let expose = ["expose", "httpbin", "--domain", "named.example.com"];
    let name = format!("lb.{}", desk.instance.domain());
    ground.balances(&json!([{"hostname": name}, {"ip": "203.0.113.10"}]));
    let mark = desk.instance.audit_mark().unwrap();
    let refused = desk.run(&expose);
    let log = desk.instance.audit_log(mark).unwrap();
    ground.balances(&json!([{"hostname": name}]));
    let run = desk.run(&expose);
    ground.balances(&usual());
    refused
        .exits(2)
        .says("the load balancer has addresses and host names, which one record cannot lead to");
    assert!(
        !requests(&log)
            .into_iter()
            .any(sandbox::AuditEvent::is_write)
    );
    let run = run.exits(0);
    let line = format!("*.mtls.named.example.com leads to {name}, seen");
    assert!(run.stdout.contains(&line), "{run:#?}");
    assert_eq!(targets(&desk), json!([name]));
    // The load balancer has an address again: the record follows with the next run.
    desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(targets(&desk), json!(["203.0.113.10"]));
}

#[test]
fn a_load_balancer_with_a_host_name_and_ipv6_gets_records_of_both_kinds() {
    let ground = ground();
    let desk = ground.desk("stacks");
    register(&desk, "stacks.example.com");
    let stack = || {
        let all = ["-n", "stacks", "get", "dnsentries", "-o", "json"];
        let list: Value = serde_json::from_str(&desk.kubectl(&all, "")).unwrap();
        list["items"][0]["metadata"]["annotations"]["dns.gardener.cloud/ip-stack"].clone()
    };
    let families = |policy: &str| {
        let patch = json!({"spec": {"ipFamilyPolicy": policy}}).to_string();
        let service = [
            "-n",
            "istio-system",
            "patch",
            "service",
            "istio-ingressgateway",
        ];
        desk.kubectl(
            &[&service[..], &["--type=merge", "-p", &patch]].concat(),
            "",
        );
    };
    let expose = ["expose", "httpbin", "--domain", "stacks.example.com"];
    let expose = [&expose[..], &["--no-wait"]].concat();
    ground.balances(&json!([{"hostname": format!("lb.{}", desk.instance.domain())}]));
    families("RequireDualStack");
    let first = desk.run(&expose);
    let both = stack();
    let again = desk.run(&expose);
    families("SingleStack");
    let single = desk.run(&expose);
    let one = stack();
    let still = desk.run(&expose);
    families("PreferDualStack");
    ground.balances(&usual());
    let addresses = desk.run(&expose);
    let none = stack();
    families("SingleStack");
    for run in [first, single, addresses] {
        run.exits(0);
    }
    for run in [again, still] {
        let told = run.exits(0).stdout;
        assert!(told.starts_with("already up to date"), "{told}");
    }
    assert_eq!(
        [both, one, none],
        ["dual-stack".into(), "ipv4".into(), Value::Null]
    );
}

#[test]
fn a_domain_that_gardeners_issuer_does_not_serve_gets_its_certificate_from_an_own_issuer() {
    let ground = ground();
    let desk = ground.desk("issued");
    register(&desk, "issued.example.com");
    let certificates = desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer([desk.instance.domain()]);
    let expose = ["expose", "httpbin", "--domain", "issued.example.com"];
    let refused = desk.run(&expose);
    let missing = desk.run(&[&expose[..], &["--issuer", "issued/none"]].concat());
    let issuer = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
        "metadata": {"namespace": "issued", "name": "mine"},
        "spec": {"acme": {"server": "https://acme.example.com", "email": "a@example.com", "autoRegistration": true}},
    });
    desk.instance.create(vec![issuer]).unwrap();
    let run = desk.run(&[&expose[..], &["--issuer", "issued/mine"]].concat());
    certificates.restrict_default_issuer(Vec::<String>::new());
    refused
        .exits(2)
        .says("is not in domain ranges of default issuer")
        .says("kubectl mtls expose httpbin -n issued --issuer NAMESPACE/NAME");
    missing
        .exits(2)
        .says("fetching issuer failed")
        .says("kubectl get issuers.cert.gardener.cloud -A");
    run.exits(0);
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    desk.run(&["expose", "httpbin", "--issuer", "a/b/c"])
        .exits(2)
        .says("`NAMESPACE/NAME`");
}

#[test]
fn a_host_too_long_for_a_common_name_is_served_with_a_certificate_all_the_same() {
    let ground = ground();
    let desk = ground.desk("long");
    let host = format!("{}.{}", "a".repeat(60), desk.instance.domain());
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let authority = desk.kubectl(
        &[
            "-n",
            "long",
            "get",
            "gateways.networking.istio.io",
            "kyma-mtls-gateway",
            "-o",
            "jsonpath={.spec.servers[0].tls.credentialName}",
        ],
        "",
    );
    desk.run(&["issue-client", "alice", "--authority", &authority])
        .exits(0);
    let_in(&desk.client("alice"), &host);
    assert!(matches!(
        call(&desk.nobody(), &host, &[]),
        Reply::Refused(_)
    ));
}

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

#[test]
fn another_issuer_for_a_certificate_of_somebody_else_is_set_or_refused_never_ignored() {
    let ground = ground();
    let desk = ground.desk("issuers");
    let names = CredentialNames::further(&GatewayName::new("issuers", "kyma-mtls-gateway"));
    let host = format!("a.issuers.{}", desk.instance.domain());
    let issuer = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Issuer",
        "metadata": {"namespace": "issuers", "name": "mine"},
        "spec": {"acme": {"server": "https://acme.example.com", "email": "a@example.com", "autoRegistration": true}},
    });
    desk.instance.create(vec![issuer]).unwrap();
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"namespace": "istio-system", "name": names.certificate},
        "spec": {"commonName": host, "secretName": names.credential(), "issuerRef": {"name": "garden"}},
    });
    let apply = |manager: &str| {
        let manager = format!("--field-manager={manager}");
        desk.kubectl(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                &manager,
                "-f",
                "-",
            ],
            &certificate.to_string(),
        );
    };
    let issuer = || {
        desk.get(
            "istio-system",
            "certificates.cert.gardener.cloud",
            &names.certificate,
        )["spec"]["issuerRef"]
            .clone()
    };
    apply("argocd-controller");
    let expose = [
        "expose",
        "httpbin",
        "--host",
        &host,
        "--issuer",
        "issuers/mine",
    ];
    desk.run(&expose)
        .exits(2)
        .says("Argo CD manages Certificate")
        .says("leave out `--issuer`");
    assert_eq!(issuer()["name"], "garden");
    desk.kubectl(
        &[
            "-n",
            "istio-system",
            "delete",
            "certificates.cert.gardener.cloud",
            &names.certificate,
        ],
        "",
    );
    apply("kubectl");
    desk.run(&expose).exits(0);
    assert_eq!(issuer(), json!({"name": "mine", "namespace": "issuers"}));
    let live = desk.get(
        "istio-system",
        "certificates.cert.gardener.cloud",
        &names.certificate,
    );
    let label = &live["metadata"]["labels"]["app.kubernetes.io/managed-by"];
    assert_eq!(*label, Value::Null, "it stays somebody else's");
    let again = desk.run(&expose).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

#[test]
fn after_an_issuer_that_does_not_serve_the_domain_a_certificate_of_our_own_is_made() {
    let ground = ground();
    let desk = ground.desk("switched");
    let certificates = desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer(["nowhere.example.org"]);
    let host = format!("a.switched.{}", desk.instance.domain());
    let expose = ["expose", "httpbin", "--host", &host];
    let refused = desk.run(&expose);
    let own = [&expose[..], &["--server-certificate", "self-signed"]].concat();
    let run = desk.run(&own);
    let again = desk.run(&expose);
    certificates.restrict_default_issuer(Vec::<String>::new());
    refused
        .exits(2)
        .says("is not in domain ranges of default issuer")
        .says("--server-certificate self-signed");
    let run = run.exits(0);
    assert!(
        run.stdout.contains("certificate.cert.gardener.cloud/"),
        "{run:#?}"
    );
    let again = again.exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let names = CredentialNames::further(&GatewayName::new("switched", "kyma-mtls-gateway"));
    desk.run(&["issue-client", "alice", "--authority", &names.authority])
        .exits(0);
    let [certificate, key] = ["crt", "key"].map(|end| desk.read(&format!("alice.{end}")));
    let ca = desk.read("server-ca.crt");
    let alice = Caller::new(desk.instance.connect_to(), &ca).with_certificate(&certificate, &key);
    let_in(&alice, &host);
}

#[test]
fn kymas_own_gateway_absent_or_of_another_shape_is_known_before_anything_is_written() {
    let ground = ground();
    let desk = ground.desk("shapes");
    let domain = desk.instance.domain();
    let mark = desk.instance.audit_mark().unwrap();
    // Switched off: the shoot tells the domain.
    std::fs::write(desk.folder.path().join("ca.crt"), {
        desk.run(&["issue-client", "nobody", "--ca-dir", "ca"])
            .exits(0);
        desk.read("ca/ca.crt")
    })
    .unwrap();
    let dry = [
        "expose",
        "httpbin",
        "--client-ca",
        "ca.crt",
        "--dry-run",
        "-o",
        "json",
    ];
    let shown = desk.run(&dry).exits(0);
    assert!(
        shown.stdout.contains(&format!("httpbin.mtls.{domain}")),
        "{shown:#?}"
    );
    let kymas = |hosts: &[&[&str]]| {
        let servers: Vec<Value> = hosts
            .iter()
            .map(|hosts| {
                json!({
                    "hosts": hosts, "port": {"name": hosts[0].replace(['*', '.'], ""), "number": 443, "protocol": "HTTPS"},
                    "tls": {"mode": "SIMPLE", "credentialName": "x"},
                })
            })
            .collect();
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"namespace": "kyma-system", "name": "kyma-gateway"},
            "spec": {"selector": {"istio": "none"}, "servers": servers},
        })
    };
    let create =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kyma-system"}});
    desk.kubectl(&["apply", "-f", "-"], &create.to_string());
    desk.kubectl(
        &["apply", "-f", "-"],
        &kymas(&[&["*.a.example.com"], &["*.mtls.a.example.com"]]).to_string(),
    );
    let two = desk.run(&["expose", "httpbin"]);
    desk.kubectl(
        &["apply", "-f", "-"],
        &kymas(&[&["a.example.com"]]).to_string(),
    );
    let exact = desk.run(&["expose", "httpbin"]);
    desk.kubectl(
        &[
            "-n",
            "kyma-system",
            "delete",
            "gateways.networking.istio.io",
            "kyma-gateway",
        ],
        "",
    );
    two.exits(2)
        .says("differs from what Kyma creates: the Gateway has 2 HTTPS servers")
        .says("silently reconciles no APIRule of the cluster");
    exact
        .exits(2)
        .says("the HTTPS server has the hosts a.example.com");
    let log = desk.instance.audit_log(mark).unwrap();
    assert!(
        !requests(&log)
            .into_iter()
            .any(sandbox::AuditEvent::is_write)
    );
}

#[test]
fn what_is_no_domain_or_no_host_is_refused_in_words_that_help_and_punycode_is_one() {
    let ground = ground();
    let desk = ground.desk("refused");
    let long_label = format!("{}.example.com", "a".repeat(64));
    let long_name = format!("{}com", "abcdefg.".repeat(32));
    let mark = desk.instance.audit_mark().unwrap();
    for (text, words) in [
        ("bücher.example", "punycode"),
        ("Shop.example.com", "`shop.example.com`"),
        ("shop.example.com.", "ends with a dot"),
        ("*.example.com", "wildcard"),
        (&long_label, "63 at most"),
        (&long_name, "253 at most"),
        ("192.0.2.1", "address"),
        ("2001:db8::1", "address"),
        ("localhost", "one label"),
        ("a_b.example.com", "not a DNS label"),
        ("", "such as"),
    ] {
        for flag in ["--host", "--domain"] {
            desk.run(&["expose", "httpbin", flag, text])
                .exits(2)
                .says(words);
        }
    }
    let log = desk.instance.audit_log(mark).unwrap();
    assert_eq!(requests(&log).len(), 0, "nothing is asked for it");
    let punycode = "xn--bcher-kva.example.com";
    desk.run(&["expose", "httpbin", "--host", punycode])
        .exits(0);
}
