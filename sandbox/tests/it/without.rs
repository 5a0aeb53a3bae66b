//! A sandbox whose stand-ins are left out, for the real controllers.

use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use sandbox::stand_in::Controller;
use sandbox::{Environment, Instance, Mark, Settings};
use serde_json::{Value, json};

/// Kinds of the three controllers, as they stand in URLs, with an object for each.
const KINDS: [(Controller, &str, &str); 3] = [
    (Controller::ApiRule, "apirules", "APIRule"),
    (Controller::Certificate, "certificates", "Certificate"),
    (Controller::Dns, "dnsentries", "DNSEntry"),
];

fn start(without: &[Controller]) -> Instance {
    Instance::start_with(Settings {
        environment: Environment::KymaDefault,
        without: without.to_vec(),
        ..Settings::default()
    })
    .unwrap()
}

fn objects(sandbox: &Instance) -> Vec<Value> {
    let domain = sandbox.domain();
    vec![
        json!({
            "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {
                "hosts": [format!("one.{domain}")],
                "gateway": "kyma-system/kyma-gateway",
                "service": {"name": "httpbin", "port": 8000},
                "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
            },
        }),
        json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {"commonName": format!("one.{domain}"), "secretName": "one"},
        }),
        json!({
            "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSEntry",
            "metadata": {
                "name": "one", "namespace": "default",
                "annotations": {"dns.gardener.cloud/class": "garden"},
            },
            "spec": {"dnsName": format!("one.{domain}"), "targets": ["127.0.0.1"]},
        }),
    ]
}

fn api(sandbox: &Instance, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = match kind {
        "APIRule" => ("gateway.kyma-project.io", "v2"),
        "Certificate" => ("cert.gardener.cloud", "v1alpha1"),
        _ => ("dns.gardener.cloud", "v1alpha1"),
    };
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(sandbox.client().unwrap(), "default", &resource)
}

async fn await_ready(api: &Api<DynamicObject>) {
    let begin = Instant::now();
    loop {
        let object = api.get("one").await.unwrap();
        if object.data["status"]["state"] == "Ready" {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{object:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a stand-in has ever asked for objects of the kind.
fn is_played(sandbox: &Instance, plural: &str) -> bool {
    let events = sandbox.audit_log(Mark::default()).unwrap();
    events
        .iter()
        .any(|event| event.user == "stand-ins" && event.verb == "list" && event.resource == plural)
}

#[tokio::test]
async fn a_controller_that_is_left_out_is_played_by_nobody_and_the_others_go_on() {
    let everything = KINDS.map(|(controller, ..)| controller);
    for without in [everything.to_vec(), vec![Controller::Certificate]] {
        let sandbox = start(&without);
        sandbox.deploy_echo("default", "httpbin").unwrap();
        sandbox.create(objects(&sandbox)).unwrap();
        for (controller, plural, kind) in KINDS {
            let api = api(&sandbox, kind, plural);
            if without.contains(&controller) {
                assert!(
                    !is_played(&sandbox, plural),
                    "{kind} is played without {without:?}"
                );
                let object = api.get("one").await.unwrap();
                assert!(object.data.get("status").is_none(), "{object:#?}");
            } else {
                await_ready(&api).await;
                assert!(is_played(&sandbox, plural), "{kind} is played by nobody");
            }
        }
    }
}
