//! `expose` beside what others made, and while controllers fail: it stops before the first write, or waits in their words.

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::{AuditEvent, Rule};
use serde_json::{Value, json};

use crate::lab::{Desk, gateway, let_in, main_job, own_namespace};

/// A tenant whose requests are told apart from those of all other tests.
struct Tenant {
    desk: Desk,
    host: String,
    user: String,
    names: CredentialNames,
}

impl Tenant {
    fn new(purpose: &str) -> Self {
        let (desk, host) = own_namespace(purpose);
        let all = Rule::in_cluster("*", &["*"], &["*"]);
        let user = desk.instance.user(&[all]).unwrap();
        let gateway = GatewayName::new(&desk.namespace, "kyma-mtls-gateway");
        Self {
            desk: desk.with_kubeconfig(&user.kubeconfig),
            host,
            user: user.name,
            names: CredentialNames::further(&gateway),
        }
    }

    /// With these objects in the cluster, `expose` is refused in these words and asks for no change at all.
    #[track_caller]
    fn is_refused(&self, objects: Vec<Value>, words: &[&str]) {
        let instance = &self.desk.instance;
        instance.create(objects).unwrap();
        let mark = instance.audit_mark().unwrap();
        let mut run = self
            .desk
            .run(&["expose", "httpbin", "--host", &self.host])
            .exits(2);
        for word in words {
            run = run.says(word);
        }
        assert_eq!(run.stdout, "");
        let events = instance.audit_log_of(&self.user, mark).unwrap();
        let writes = events
            .iter()
            .filter(|event| event.is_write() && !event.dry_run);
        assert_eq!(
            writes.collect::<Vec<_>>(),
            Vec::<&sandbox::AuditEvent>::new()
        );
    }
}

#[test]
fn a_certificate_of_that_name_for_another_host_is_refused() {
    let tenant = Tenant::new("certified");
    let name = &tenant.names.certificate;
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {"commonName": "other.example.com", "secretName": "somebodys"},
    });
    tenant.is_refused(vec![certificate], &[name, "other.example.com", "somebodys"]);
}

#[test]
fn an_authority_of_another_gateway_is_refused_although_nobody_else_has_the_host() {
    let tenant = Tenant::new("inherited");
    // A Gateway that uses the credential of the cluster's first one.
    let tls = json!({"mode": "MUTUAL", "credentialName": "kyma-mtls", "caCertCredentialName": "configmap://kubectl-mtls/kyma-mtls"});
    let namespace = tenant.desk.namespace.as_str();
    let other = gateway(namespace, "kyma-mtls-gateway", &[&tenant.host], &tls);
    tenant.is_refused(
        vec![other],
        &["belongs to the Gateway `shop/kyma-mtls-gateway`"],
    );
}

#[test]
fn a_route_of_that_name_for_another_host_is_refused() {
    let tenant = Tenant::new("elsewhere");
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": tenant.desk.namespace, "name": "httpbin-mtls"},
        "spec": {
            "gateway": "kyma-system/kyma-gateway", "hosts": ["other.example.com"],
            "service": {"name": "httpbin", "port": 8000},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    tenant.is_refused(vec![rule], &["httpbin-mtls exists", "other.example.com"]);
}

#[test]
fn an_api_rule_of_another_namespace_that_has_the_host_is_refused_by_its_name() {
    let tenant = Tenant::new("ruled");
    let (other, _) = own_namespace("ruling");
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": other.namespace, "name": "there"},
        "spec": {
            "gateway": "kyma-system/kyma-gateway", "hosts": [tenant.host],
            "service": {"name": "httpbin", "port": 8000},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    tenant.desk.instance.create(vec![rule]).unwrap();
    let kind = "virtualservices.networking.istio.io";
    let made = || other.kubectl(&["-n", &other.namespace, "get", kind, "-o", "name"], "");
    while made().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let name = format!("is routed by APIRule {}/there already", other.namespace);
    tenant.is_refused(vec![], &[&tenant.host, &name]);
}

#[test]
fn what_an_earlier_run_made_for_another_host_is_refused_by_its_name() {
    let tenant = Tenant::new("moved");
    let desk = &tenant.desk;
    desk.run(&["expose", "httpbin", "--host", &tenant.host])
        .exits(0);
    let other = format!("other-{}", tenant.host);
    let refused = |arguments: &[&str]| {
        let all = [&["expose", "httpbin", "--host", &other], arguments].concat();
        let mark = desk.instance.audit_mark().unwrap();
        let run = desk.run(&all).exits(2);
        let events = desk.instance.audit_log_of(&tenant.user, mark).unwrap();
        assert!(
            events
                .iter()
                .all(|event| event.dry_run || !event.is_write())
        );
        run
    };
    let gateway = format!("{}/kyma-mtls-gateway", desk.namespace);
    refused(&[])
        .says(&format!(
            "the Gateway `{gateway}` exists and does not serve `{other}`"
        ))
        .says(&format!("the Gateway serves {}", tenant.host));
    refused(&["--gateway", "further"])
        .says("httpbin-mtls exists and serves")
        .says(&tenant.host);
}

#[test]
fn a_field_that_a_controller_changed_is_taken_over_by_force_only() {
    let tenant = Tenant::new("managed");
    let desk = &tenant.desk;
    let arguments = ["expose", "httpbin", "--host", &tenant.host];
    desk.run(&arguments).exits(0);
    let kind = "gateways.networking.istio.io";
    let live = || desk.get(&desk.namespace, kind, "kyma-mtls-gateway");
    let mut spec = live()["spec"].clone();
    spec["servers"][0]["port"]["name"] = "flux".into();
    let changed = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": desk.namespace, "name": "kyma-mtls-gateway"}, "spec": spec,
    });
    let apply = |manager: &str| {
        let manager = format!("--field-manager={manager}");
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            &manager,
            "-f",
            "-",
        ];
        desk.kubectl(&apply, &changed.to_string());
    };
    for manager in [
        "kustomize-controller",
        "helm",
        "argocd-controller",
        "kubectl",
    ] {
        apply(manager);
        let mark = desk.instance.audit_mark().unwrap();
        desk.run(&arguments)
            .exits(2)
            .says(&format!("`{manager}` wrote `.spec.servers`"))
            .says("--force-conflicts");
        let events = desk.instance.audit_log_of(&tenant.user, mark).unwrap();
        assert!(!events.iter().any(AuditEvent::is_write), "{events:#?}");
        desk.run(&[&arguments[..], &["--force-conflicts"]].concat())
            .exits(0);
        assert_eq!(live()["spec"]["servers"][0]["port"]["name"], "mtls");
    }
}

#[test]
fn a_route_that_fails_is_waited_for_in_its_controllers_words_and_a_rerun_ends_what_was_begun() {
    let tenant = Tenant::new("bare");
    let desk = &tenant.desk;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "bare", "namespace": desk.namespace, "labels": {"app": "httpbin"}},
        "spec": {"containers": [{"name": "httpbin", "image": "httpbin"}]},
    });
    desk.instance.create(vec![pod]).unwrap();
    let words = format!(
        "Pod {}/bare does not have an injected istio sidecar",
        desk.namespace
    );
    desk.run(&[
        "expose",
        "httpbin",
        "--host",
        &tenant.host,
        // Long enough for the controller's pauses to have grown: its next look comes after that of the rerun.
        "--timeout",
        "20s",
    ])
    .exits(124)
    .says(&words)
    .says("run the same command again to continue");
    desk.kubectl(&["-n", &desk.namespace, "delete", "pod", "bare"], "");
    // The controller takes its time after an error, unless the spec changes.
    let kind = "apirules.gateway.kyma-project.io";
    let generation =
        || desk.get(&desk.namespace, kind, "httpbin-mtls")["metadata"]["generation"].clone();
    let before = generation();
    desk.run(&["expose", "httpbin"]).exits(0);
    let after = generation();
    assert_ne!(before, after);
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    assert_eq!(generation(), after);
}

#[test]
fn a_run_that_ran_out_of_time_is_continued_by_the_same_command_without_a_further_write() {
    use sandbox::stand_in::{Answer, ObjectKey};
    let tenant = Tenant::new("patient");
    let desk = &tenant.desk;
    let certificates = desk.instance.stand_ins().certificates();
    let key = ObjectKey::new("istio-system", &tenant.names.certificate);
    certificates.answer_for(key.clone(), Answer::Never);
    let arguments = ["expose", "httpbin", "--host", &tenant.host];
    desk.run(&[&arguments[..], &["--timeout", "1s"]].concat())
        .exits(124)
        .says("Certificate istio-system/")
        .says("Pending");
    certificates.answer_for(key, Answer::Issue);
    let mark = desk.instance.audit_mark().unwrap();
    desk.run(&arguments).exits(0);
    let events = desk.instance.audit_log_of(&tenant.user, mark).unwrap();
    let writes = events
        .iter()
        .filter(|event| event.is_write() && !event.dry_run && event.subresource.is_empty());
    assert_eq!(writes.count(), 0, "all was written before");
}

#[test]
fn a_gateway_of_another_namespace_is_shared_only_when_asked_for_and_that_is_said() {
    let job = main_job();
    let tenant = Tenant::new("sharing");
    let wildcard = format!(
        "{}.mtls.{}",
        tenant.desk.namespace,
        tenant.desk.instance.domain()
    );
    let shared = [
        "expose",
        "httpbin",
        "--gateway",
        "shop/kyma-mtls-gateway",
        "--host",
        &wildcard,
    ];
    tenant
        .desk
        .run(&shared)
        .exits(0)
        .says("every client of the Gateway `shop/kyma-mtls-gateway` can reach this Service too");
    let_in(&job.desk.client("alice"), &wildcard);
}
