//! Situations in which commands find themselves, for tests of all of them.

use sandbox::{AuditEvent, Rule};
use serde_json::{Value, json};

use crate::lab::gateway;
use crate::stage::{NAMESPACE, Stage};

/// The client CA of somebody else.
pub(crate) fn foreign_client_ca(name: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system"},
        "stringData": {"cacert": certificate},
    })
}

/// Deletes a `ConfigMap`, whatever keeps it.
pub(crate) fn lose(stage: &Stage, namespace: &str, name: &str) {
    let free = r#"{"metadata":{"finalizers":null}}"#;
    let patch = ["patch", "configmap", name, "--type=merge", "-p", free];
    for arguments in [&patch[..], &["delete", "configmap", name]] {
        stage
            .desk
            .kubectl(&[&["-n", namespace], arguments].concat(), "");
    }
}

/// The CAs of the first authority.
pub(crate) fn authority_bundle(stage: &Stage) -> String {
    let authority = stage.desk.get("kubectl-mtls", "configmap", "kyma-mtls");
    authority["data"]["ca.crt"].as_str().unwrap().to_owned()
}

/// A Gateway that reads its client CA from the Secret that istiod derives.
pub(crate) fn set_up_by_hand(stage: &Stage) {
    stage.clear();
    let tls = json!({"mode": "MUTUAL", "credentialName": "kyma-mtls"});
    let hosts = format!("*.mtls.{}", stage.desk.instance.domain());
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"name": "domain-certificate", "namespace": "istio-system"},
        "spec": {"commonName": hosts, "secretName": "kyma-mtls"},
    });
    let objects = [
        foreign_client_ca("kyma-mtls-cacert"),
        certificate,
        gateway(NAMESPACE, "kyma-mtls-gateway", &[&hosts], &tls),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    stage.desk.kubectl(&["create", "-f", "-"], &list);
}

/// The path of a CA of others.
pub(crate) fn others_ca(stage: &Stage) -> String {
    let path = stage.desk.folder.path().join("others.crt");
    std::fs::write(&path, stage.desk.instance.stand_ins().root_certificate()).unwrap();
    path.display().to_string()
}

/// Issues a certificate and takes its entry from the inventory.
pub(crate) fn unbooked(stage: &Stage) -> String {
    stage
        .desk
        .run(&["issue-client", "dave", "--force"])
        .exits(0);
    let inventory = ["-n", "kubectl-mtls-clients"];
    let get = ["get", "configmaps", "-o", "json"];
    let listed = stage.desk.kubectl(&[&inventory[..], &get].concat(), "");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let is_daves = |entry: &&serde_json::Value| {
        entry["metadata"]["annotations"]["kubectl-mtls.dev/client-name"] == "dave"
    };
    let entry = listed["items"].as_array().unwrap().iter().find(is_daves);
    let name = entry.unwrap()["metadata"]["name"].as_str().unwrap();
    let delete = ["delete", "configmap", name];
    stage.desk.kubectl(&[&inventory[..], &delete].concat(), "");
    let certificate = stage.desk.folder.path().join("dave.crt");
    certificate.display().to_string()
}

/// Lets the Secret that a Gateway reads in the place of its authority lag behind it.
pub(crate) fn lag_behind(stage: &Stage, secret: &str) {
    let old = json!({"stringData": {"cacert": authority_bundle(stage) + "# as it was\n"}});
    let patch = ["-n", "istio-system", "patch", "secret", secret];
    let merge = ["--type=merge", "-p", &old.to_string()];
    stage.desk.kubectl(&[&patch[..], &merge].concat(), "");
}

/// Whether a request needed a verb of a rule. What is not a request of its own shows in another one: an apply that made an
/// object needed `create`, and so did a port-forward.
pub(crate) fn used(rule: &Rule, verb: &str, event: &AuditEvent) -> bool {
    let asked = if event.subresource.is_empty() {
        event.resource.clone()
    } else {
        format!("{}/{}", event.resource, event.subresource)
    };
    let by_verb = match event.verb.as_str() {
        "patch" if event.code == 201 => verb == "patch" || verb == "create",
        "get" if event.subresource == "portforward" => verb == "get" || verb == "create",
        other => verb == other,
    };
    // A Namespace lies in itself, as far as rights are concerned.
    by_verb
        && rule.group == event.group
        && rule.resources == [asked]
        && rule
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == event.namespace)
        && (rule.names.is_empty() || event.name.is_empty() || rule.names.contains(&event.name))
}
