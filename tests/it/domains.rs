//! Domains and load balancers: which hosts `expose` takes, where their records lead, and who certifies them.

mod issuers;
mod load_balancers;
mod records;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox::{Environment, Instance, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call, let_in, requests, started};
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
