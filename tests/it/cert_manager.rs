//! The server certificate by cert-manager, on an ingress gateway of the Helm chart.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sandbox::stand_in::RequestAnswer;
use sandbox::{AuditEvent, Caller, Environment, Instance, Reply, Rule, Settings, User};
use serde_json::{Value, json};

use crate::examples::CERT_MANAGER;
use crate::lab::{Desk, Run, call, call_new};
use crate::pages::{GATEWAYS, run_section};
use crate::rbac::{is_for_cert_manager, rules_in};
use crate::shared::Shared;
use crate::shell::Shell;
use crate::situations::used;

const HOST: &str = "httpbin.mtls.local.kyma.dev";
const NAMESPACE: &str = "shop";
const INGRESS: &str = "istio-ingress";
const CERTIFICATES: &str = "certificates.cert-manager.io";

/// A cluster with cert-manager, for one test at a time; each leaves nothing but the authority.
struct Site {
    desk: Desk,
    _alone: MutexGuard<'static, ()>,
}

impl Site {
    /// No issuer is there, and each would sign.
    fn enter() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        static INSTANCE: Shared<Instance> = Shared::new(|| {
            let instance = Instance::start_with(Settings {
                environment: Environment::Helm,
                cert_manager: true,
                ..Settings::default()
            });
            let instance = instance.unwrap();
            instance.deploy_echo(NAMESPACE, "httpbin").unwrap();
            // They come with the Roles.
            let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let own = ["kubectl-mtls", "kubectl-mtls-clients", "cert-manager"].map(namespace);
            instance.create(own.into()).unwrap();
            instance
        });
        let instance = INSTANCE.get();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        instance
            .stand_ins()
            .cert_manager()
            .answer(RequestAnswer::Sign);
        let site = Self {
            desk: Desk::new(&instance, NAMESPACE),
            _alone: alone,
        };
        // A test that failed may have left it.
        site.desk.run(&["unexpose", "httpbin", "--purge", "--yes"]);
        for kinds in ["issuers.cert-manager.io", "clusterissuers.cert-manager.io"] {
            let delete = ["-n", INGRESS, "delete", kinds, "--all"];
            site.desk.kubectl(&delete, "");
        }
        site
    }

    fn answer(&self, answer: RequestAnswer) {
        let instance = &self.desk.instance;
        instance.stand_ins().cert_manager().answer(answer);
    }

    /// An issuer of its CA; a `ClusterIssuer` where no namespace is given. Its Secret is there where it is to be `ready`.
    fn issuer(&self, namespace: Option<&str>, name: &str, ready: bool) {
        let kind = namespace.map_or("ClusterIssuer", |_| "Issuer");
        let issuer = json!({
            "apiVersion": "cert-manager.io/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ca": {"secretName": format!("{name}-ca")}},
        });
        let place = namespace.unwrap_or("cert-manager");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{name}-ca"), "namespace": place},
        });
        let mut objects = vec![issuer];
        objects.extend(ready.then_some(secret));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        self.desk.kubectl(&["apply", "-f", "-"], &list);
        let kind = format!("{}s.cert-manager.io", kind.to_lowercase());
        let wanted = if ready { "True" } else { "False" };
        eventually(&format!("{kind} {name} to be Ready={wanted}"), || {
            let issuer = self.desk.get(INGRESS, &kind, name);
            issuer["status"]["conditions"][0]["status"] == wanted
        });
    }

    fn certificate(&self) -> Value {
        self.desk.get(INGRESS, CERTIFICATES, "domain-certificate")
    }

    /// A client that trusts the CA in the server Secret.
    fn client(&self, name: Option<&str>) -> Caller {
        let secret = self.desk.get(INGRESS, "secret", "kyma-mtls");
        let ca = BASE64.decode(secret["data"]["ca.crt"].as_str().unwrap());
        let ca = String::from_utf8(ca.unwrap()).unwrap();
        let caller = Caller::new(self.desk.instance.connect_to(), &ca);
        let read = |name: &str, suffix: &str| self.desk.read(&format!("{name}.{suffix}"));
        match name {
            Some(name) => caller.with_certificate(&read(name, "crt"), &read(name, "key")),
            None => caller,
        }
    }

    #[track_caller]
    fn admits(&self, name: &str) {
        let reply = call_new(&self.client(Some(name)), HOST, &[]);
        assert!(
            matches!(reply, Reply::Answered { status: 200, .. }),
            "{name}: {reply:?}"
        );
    }

    /// Asserts that `status` finds nothing wrong with the server certificate, and no error at all.
    #[track_caller]
    fn is_sound(&self) {
        let status = self.desk.run(&["status", "-o", "json"]);
        let report = status.json();
        let findings = report["findings"].as_array().unwrap().iter();
        let faults = findings.filter(|finding| {
            let severity = finding["severity"].as_str().unwrap();
            let id = finding["id"].as_str().unwrap_or_default();
            ["error", "unknown"].contains(&severity) || id.starts_with("server-certificate/")
        });
        let faults: Vec<&Value> = faults.collect();
        assert_eq!(faults, Vec::<&Value>::new(), "{status:#?}");
    }

    /// Purges what was exposed; asserts that Certificate and Secrets are gone.
    #[track_caller]
    fn purge(&self) {
        let run = self.desk.run(&["unexpose", "httpbin", "--purge", "--yes"]);
        run.exits(0);
        for (kind, name) in [
            (CERTIFICATES, "domain-certificate"),
            ("secret", "kyma-mtls"),
            ("secret", "kyma-mtls-cacert"),
        ] {
            let get = ["-n", INGRESS, "get", kind, name, "--ignore-not-found"];
            assert_eq!(self.desk.kubectl(&get, ""), "", "{kind} {name} is left");
        }
    }
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_only_issuer_that_is_ready_signs_and_the_host_lives_with_its_certificate() {
    let site = Site::enter();
    site.issuer(Some(INGRESS), "own", true);
    site.issuer(None, "broken", false);
    let first = site.desk.run(&["expose", "httpbin"]).exits(0);
    let first = first.says("Issuer istio-ingress/own signs the server certificate");
    let created = "certificate.cert-manager.io/domain-certificate in istio-ingress created";
    assert!(first.stdout.contains(created), "{first:#?}");
    site.desk
        .run(&["issue-client", "alice", "--force", "--another"])
        .exits(0);
    site.admits("alice");
    let nobody = call(&site.client(None), HOST, &[]);
    assert!(matches!(nobody, Reply::Refused(_)), "{nobody:?}");
    site.is_sound();

    let again = site.desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    site.desk.run(&["ca-rotate"]).exits(0);
    site.desk
        .run(&["renew-client", "alice", "--force"])
        .exits(0);
    site.admits("alice");

    // Another issuer signs at once, and the gateway shows what it signed.
    site.issuer(None, "letsencrypt", true);
    let other = ["expose", "httpbin", "--issuer", "ClusterIssuer/letsencrypt"];
    site.desk.run(&other).exits(0);
    let certificate = site.certificate();
    assert_eq!(certificate["spec"]["issuerRef"]["kind"], "ClusterIssuer");
    assert_eq!(certificate["status"]["revision"], 2);
    site.admits("alice");
    site.is_sound();
    site.purge();
}

#[test]
fn an_issuer_that_is_missing_or_not_ready_stops_the_run_before_its_first_write() {
    let site = Site::enter();
    site.issuer(Some(INGRESS), "unready", false);
    site.issuer(None, "letsencrypt", true);
    let mark = site.desk.instance.audit_mark().unwrap();
    let expose = |issuer: &str| {
        let source = ["--server-certificate", "cert-manager", "--issuer", issuer];
        site.desk
            .run(&[&["expose", "httpbin"][..], &source].concat())
    };
    expose("letsencrypt")
        .exits(2)
        .says("cert-manager's Issuer istio-ingress/letsencrypt does not exist")
        .says("--issuer ClusterIssuer/letsencrypt");
    expose("unready")
        .exits(2)
        .says("Issuer istio-ingress/unready is not Ready: Error getting keypair for CA issuer: secret \"unready-ca\" not found");
    let log = site.desk.instance.audit_log(mark).unwrap();
    let plugins = crate::lab::requests(&log).into_iter();
    let writes: Vec<_> = plugins.filter(|event| event.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");

    let shell = Shell::new(&site.desk);
    for line in CERT_MANAGER {
        shell.runs(line);
    }
    site.desk
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0);
}

#[test]
fn the_lines_of_the_page_on_gateways_choose_the_issuer() {
    let site = Site::enter();
    site.issuer(None, "letsencrypt", true);
    site.issuer(Some(INGRESS), "my-ca", true);
    run_section(GATEWAYS, "Server certificates", &site.desk);
    assert_eq!(site.certificate()["spec"]["issuerRef"]["name"], "my-ca");
    site.is_sound();
    site.purge();
}

#[test]
fn a_request_that_a_policy_denies_ends_the_wait_and_is_tried_again_by_the_command_that_is_named() {
    let site = Site::enter();
    site.issuer(Some(INGRESS), "own", true);
    site.answer(RequestAnswer::Fail {
        reason: "policy.cert-manager.io".to_owned(),
        message: "No policy approved this request".to_owned(),
    });
    let start = Instant::now();
    let denied = site.desk.run(&["expose", "httpbin"]).exits(2);
    assert!(start.elapsed() < Duration::from_secs(60), "{denied:#?}");
    let denied = denied.says(
        "policy.cert-manager.io: The certificate request has failed to complete and will be retried: No policy approved this request",
    );
    let status = site.desk.run(&["status"]);
    let told = status.unwrapped();
    assert!(told.contains("No policy approved this request"), "{told}");

    site.answer(RequestAnswer::Sign);
    let lines = denied.stderr.lines().map(str::trim);
    let retry = lines.clone().find(|line| line.starts_with("kubectl patch"));
    let retry = retry.unwrap_or_else(|| panic!("{denied:#?}"));
    Shell::new(&site.desk).runs(retry);
    site.desk.run(&["expose", "httpbin"]).exits(0);
    site.desk
        .run(&["issue-client", "alice", "--force", "--another"])
        .exits(0);
    site.admits("alice");
    site.is_sound();
    site.purge();
}

#[test]
fn a_certificate_that_takes_long_is_waited_for_in_cert_managers_words() {
    let site = Site::enter();
    site.issuer(Some(INGRESS), "own", true);
    site.answer(RequestAnswer::After(Duration::from_secs(8)));
    site.desk
        .run(&["expose", "httpbin", "--timeout", "3s"])
        .exits(124)
        .says("Certificate istio-ingress/domain-certificate: Pending: Issuing certificate as Secret does not exist")
        .says("describe certificaterequests.cert-manager.io");
    site.desk.run(&["expose", "httpbin"]).exits(0);
    site.is_sound();
    site.purge();
}

#[test]
fn every_command_works_under_its_roles_and_uses_those_for_cert_manager() {
    let site = Site::enter();
    site.issuer(Some(INGRESS), "own", true);
    let instance = &site.desk.instance;
    let mark = instance.audit_mark().unwrap();
    let cast = |command: &'static str| -> (&'static str, Vec<Rule>, User) {
        let arguments = ["--service", "httpbin", "--ingress-namespace", INGRESS];
        let rules = rules_in(NAMESPACE, command, &arguments);
        let user = instance.user(&rules).unwrap();
        (command, rules, user)
    };
    let casts = ["expose", "unexpose", "status"].map(cast);
    let run = |number: usize, code: i32, arguments: &[&str]| -> Run {
        let (command, _, user) = &casts[number];
        let desk = site.desk.with_kubeconfig(&user.kubeconfig);
        desk.run(&[&[*command], arguments].concat()).exits(code)
    };
    site.answer(RequestAnswer::Fail {
        reason: "Failed".to_owned(),
        message: "no".to_owned(),
    });
    run(0, 2, &["httpbin"]);
    let own = ["httpbin", "--server-certificate", "self-signed"];
    run(0, 0, &own);
    run(1, 0, &["httpbin", "--purge", "--yes"]);
    site.answer(RequestAnswer::Sign);
    run(0, 0, &["httpbin"]);
    site.desk
        .run(&["issue-client", "alice", "--force", "--another"])
        .exits(0);
    run(2, 0, &["httpbin"]);
    site.issuer(None, "shared", true);
    run(0, 0, &["httpbin", "--issuer", "ClusterIssuer/shared"]);
    run(2, 0, &["httpbin"]);
    run(1, 0, &["httpbin", "--purge", "--yes"]);

    let mut wrong = Vec::new();
    for (command, rules, user) in &casts {
        let events = instance.audit_log_of(&user.name, mark).unwrap();
        // Where the proxies run is guessed first.
        let is_guess = |event: &AuditEvent| event.namespace == "istio-system";
        let denied = events
            .iter()
            .filter(|event| event.code == 403 && !is_guess(event));
        wrong
            .extend(denied.map(|event| {
                format!("{command} was denied: {} {}", event.verb, event.request_uri)
            }));
        for rule in rules.iter().filter(|rule| is_for_cert_manager(rule)) {
            for verb in &rule.verbs {
                if !events.iter().any(|event| used(rule, verb, event)) {
                    wrong.push(format!("{command} never used `{verb}` of {rule:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
