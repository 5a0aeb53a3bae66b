//! `expose` on a real cluster: what it makes, in which order, whom the gateway lets in, and what stops it.

mod clients;

use std::collections::BTreeSet;

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::AuditEvent;
use sandbox::stand_in::{Answer, ObjectKey};
use serde_json::json;

use crate::lab::{main_job, own_namespace, requests, state_of};

#[test]
fn expose_makes_everything_and_prints_host_and_next_command() {
    let (run, _) = &main_job().expose;
    assert_eq!(run.code, 0, "{run:#?}");
    for line in [
        "secret/kyma-mtls-cacert in istio-system created",
        "certificate.cert.gardener.cloud/domain-certificate in istio-system created",
        "gateway.networking.istio.io/kyma-mtls-gateway in shop created",
        "apirule.gateway.kyma-project.io/httpbin-mtls in shop created",
        "https://httpbin.mtls.sandbox.example.com",
        "a client of the new CA was accepted",
        "next: kubectl mtls issue-client NAME",
    ] {
        assert!(run.stdout.contains(line), "no `{line}` in {}", run.stdout);
    }
    assert!(
        run.stderr
            .contains("waiting for Certificate istio-system/domain-certificate")
    );
}

fn position(events: &[&AuditEvent], resource: &str, name: &str) -> usize {
    let is_write = |event: &&AuditEvent| event.is_write() && event.resource == resource;
    let found = events.iter().position(|event| {
        is_write(event) && (event.name == name || event.name.is_empty() && event.verb == "create")
    });
    found.unwrap_or_else(|| panic!("no write of {resource} {name} in {events:#?}"))
}

#[test]
fn the_client_ca_is_written_before_anything_that_could_trust_another_ca() {
    let events = requests(&main_job().expose.1);
    let writes: Vec<&str> = events
        .iter()
        .filter(|event| event.is_write() && event.subresource.is_empty())
        .map(|event| event.resource.as_str())
        .collect();
    assert_eq!(
        writes,
        [
            "namespaces",
            "namespaces",
            "configmaps",
            "secrets",
            "configmaps",
            "configmaps",
            "secrets",
            "authorizationpolicies",
            "dnsentries",
            "certificates",
            "gateways",
            "apirules",
        ],
        "witness, keys, authority and its witness, fallback, guard, DNS record, server certificate, Gateway, route"
    );
    let certificate = position(&events, "certificates", "domain-certificate");
    let client_ca = events[..certificate]
        .iter()
        .rfind(|event| event.is_write() && event.resource == "secrets")
        .unwrap();
    assert_eq!(client_ca.namespace, "istio-system");
}

/// What `expose` lists before its last write, each with its namespace, or in all namespaces.
const LISTED: [(&str, &str); 12] = [
    ("authorizationpolicies", "istio-system"),
    ("authorizationpolicies", "shop"),
    ("deployments", "istio-system"),
    ("dnsentries", ""),
    ("gateways", ""),
    // Of the Kubernetes Gateway API, which this cluster does not serve.
    ("gateways", ""),
    ("httproutes", ""),
    ("ingresses", "shop"),
    ("pods", ""),
    ("pods", "istio-system"),
    ("services", "shop"),
    ("virtualservices", ""),
];
/// The most objects that it reads one by one until then.
const MOST_READS: usize = 17;

#[test]
fn before_it_waits_expose_reads_nothing_twice_and_writes_each_object_once() {
    let events = requests(&main_job().expose.1);
    let last_write = events
        .iter()
        .rposition(|event| event.is_write() && event.subresource.is_empty())
        .unwrap();
    let before = &events[..=last_write];
    let mut read = BTreeSet::new();
    for event in before.iter().filter(|event| !event.is_write()) {
        assert!(
            read.insert(&event.request_uri),
            "read twice: {}",
            event.request_uri
        );
    }
    let lists: Vec<&str> = before
        .iter()
        .filter(|event| event.verb == "list")
        .map(|event| event.resource.as_str())
        .collect();
    assert!(!lists.contains(&"secrets"), "Secrets are never listed");
    let mut listed: Vec<(&str, &str)> = before
        .iter()
        .filter(|event| event.verb == "list")
        .map(|event| (event.resource.as_str(), event.namespace.as_str()))
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, LISTED);
    let got = before.iter().filter(|event| event.verb == "get").count();
    assert!(got <= MOST_READS, "{got} objects were read");
    for kind in ["gateways", "virtualservices"] {
        let of_kind = before
            .iter()
            .filter(|event| event.verb == "list" && event.resource == kind)
            .filter(|event| event.request_uri.starts_with("/apis/networking.istio.io/"));
        let paged = of_kind.filter(|event| event.request_uri.contains("limit=500"));
        assert_eq!(paged.count(), 1, "{kind}");
    }
}

#[test]
fn a_second_run_writes_nothing_and_says_so() {
    let (run, events) = &main_job().again;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stdout.starts_with("already up to date"),
        "{}",
        run.stdout
    );
    let writes: Vec<_> = events
        .iter()
        .filter(|event| event.user_agent.starts_with("kubectl-mtls/"))
        .filter(|event| event.is_write() && event.subresource != "portforward")
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn the_gateway_reads_the_authority_and_should_it_lose_that_nobody_gets_in() {
    let desk = &main_job().desk;
    let gateway = desk.get("shop", "gateways.networking.istio.io", "kyma-mtls-gateway");
    let tls = &gateway["spec"]["servers"][0]["tls"];
    assert_eq!(tls["mode"], "MUTUAL");
    let field = "configmap://kubectl-mtls/kyma-mtls";
    assert_eq!(tls["caCertCredentialName"], field);
    let authority = desk.get("kubectl-mtls", "configmap", "kyma-mtls");
    let in_use = json!(["kubectl-mtls.dev/in-use"]);
    assert_eq!(authority["metadata"]["finalizers"], in_use);
    let fallback = desk.get("istio-system", "secret", "kyma-mtls-cacert");
    let keys: Vec<&String> = fallback["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cacert"]);
    let told = &fallback["metadata"]["annotations"]["kubectl-mtls.dev/client-ca-is-in"];
    assert_eq!(told, "ConfigMap kubectl-mtls/kyma-mtls");
}

#[test]
fn a_dry_run_prints_manifests_that_the_api_server_takes_and_no_key() {
    let desk = &main_job().desk;
    let run = desk
        .run(&["expose", "httpbin", "--dry-run=client", "-o", "yaml"])
        .exits(0);
    let kinds: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("kind: "))
        .collect();
    assert_eq!(
        kinds,
        [
            "Secret",
            "AuthorizationPolicy",
            "DNSEntry",
            "Certificate",
            "Gateway",
            "APIRule"
        ],
        "the client CA comes first"
    );
    for absent in [
        "PRIVATE KEY",
        "resourceVersion",
        "managedFields",
        "uid:",
        "status:",
    ] {
        assert!(!run.stdout.contains(absent), "{absent} in {}", run.stdout);
    }
    desk.kubectl(&["apply", "--dry-run=server", "-f", "-"], &run.stdout);
}

#[test]
fn a_dry_run_without_any_client_ca_has_a_placeholder_for_it_and_says_how_to_make_one() {
    let (desk, host) = own_namespace("dry");
    for how in ["--dry-run=client", "--dry-run=server"] {
        let expose = ["expose", "httpbin", "--host", &host, how];
        let run = desk
            .run(&expose)
            .exits(0)
            .says("create the client CA first");
        assert!(
            run.stdout.contains("clients of a new client CA"),
            "{run:#?}"
        );
        let shown = desk.run(&[&expose[..], &["-o", "yaml"]].concat()).exits(0);
        assert!(shown.stdout.contains("kind: Gateway"), "{shown:#?}");
        assert!(!shown.stdout.contains("state.json"), "{shown:#?}");
        assert!(
            !shown.stdout.contains("BEGIN CERTIFICATE\nMII") || shown.stdout.contains("-cacert")
        );
    }
}

#[test]
fn unexpose_removes_what_expose_made_and_a_purge_the_rest() {
    let (desk, host) = own_namespace("gone");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    desk.run(&["unexpose", "httpbin", "--purge"])
        .exits(2)
        .says("--yes");
    let run = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes", "-o", "name"])
        .exits(0);
    let kinds: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split('/').next())
        .collect();
    assert_eq!(
        kinds,
        [
            "apirule.gateway.kyma-project.io",
            "gateway.networking.istio.io",
            "authorizationpolicy.security.istio.io",
            "dnsentry.dns.gardener.cloud",
            "certificate.cert.gardener.cloud",
            "secret",
            "secret",
        ],
        "what lets nobody in goes last"
    );
    assert!(run.stdout.trim_end().ends_with("-cacert"), "{}", run.stdout);
    desk.run(&["unexpose", "httpbin"])
        .exits(2)
        .says("is not exposed");
}

#[test]
fn a_failure_that_is_not_tried_again_in_time_ends_the_wait_with_the_issuers_own_words() {
    let (desk, host) = own_namespace("waits");
    let certificates = desk.instance.stand_ins().certificates();
    let authority = names_of(&desk);
    certificates.answer_for(
        ObjectKey::new("istio-system", &authority.certificate),
        Answer::Fail("the quota of certificates is used up".to_owned()),
    );
    desk.run(&["expose", "httpbin", "--host", &host, "--timeout", "2s"])
        .exits(2)
        .says("the quota of certificates is used up")
        .says("the controller of the Certificate tries again at")
        .says("describe certificate");
    certificates.answer_for(
        ObjectKey::new("istio-system", &authority.certificate),
        Answer::Issue,
    );
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
}

#[test]
fn keys_that_no_state_names_are_left_alone_and_the_next_name_is_taken() {
    let (desk, host) = own_namespace("killed");
    let names = names_of(&desk);
    let orphan = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": "kubectl-mtls", "name": names.authority}, "stringData": {"left": "over"},
    });
    desk.instance.create(vec![orphan]).unwrap();
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let state = desk.get("kubectl-mtls", "configmap", &names.authority);
    assert_eq!(
        state_of(&state)["keysSecret"],
        format!("{}-2", names.authority)
    );
}

/// The names of what belongs to the namespace's own Gateway.
pub(crate) fn names_of(desk: &crate::lab::Desk) -> CredentialNames {
    CredentialNames::further(&GatewayName::new(&desk.namespace, "kyma-mtls-gateway"))
}

#[test]
fn bad_input_is_told_with_what_exists() {
    let desk = &main_job().desk;
    desk.run(&["expose", "nosuch"])
        .exits(2)
        .says("existing Services: httpbin");
    desk.run(&["-n", "nowhere", "expose", "httpbin"]).exits(2);
    desk.run(&["expose", "httpbin", "--port", "99"])
        .exits(2)
        .says("the Service has 8000");
    for host in [
        "UPPER.example.com",
        "a.example.com.",
        "*.example.com",
        "127.0.0.1",
        "single",
    ] {
        desk.run(&["expose", "httpbin", "--host", host])
            .exits(2)
            .says("is not a host name");
    }
    let service = |name: &str, spec: serde_json::Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name}, "spec": spec});
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    desk.instance
        .create(vec![
            service("several", json!({"selector": {"app": "x"}, "ports": ports})),
            service("headless", json!({"ports": [{"port": 80}]})),
        ])
        .unwrap();
    desk.run(&["expose", "several"])
        .exits(2)
        .says("choose one with `--port`: 80 (a), 81 (b)");
    desk.run(&["expose", "headless"])
        .exits(2)
        .says("has no selector");
}
