//! The stand-in of cert-manager: conditions, revisions, waits and failures as the original has them.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch};
use kube::api::{PatchParams, PostParams};
use sandbox::stand_in::RequestAnswer;
use sandbox::{Environment, Instance, Settings};
use serde_json::{Value, json};

use crate::loopback::is_on_loopback_only;

fn api(instance: &Instance, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(instance.client().unwrap(), "default", &resource)
}

async fn condition(api: &Api<DynamicObject>, name: &str) -> Value {
    let object = api.get("one").await.unwrap();
    let conditions = object.data["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == name));
    found.cloned().unwrap_or_default()
}

/// Waits until a condition has a status and reason; its message.
async fn eventually(api: &Api<DynamicObject>, name: &str, status: &str, reason: &str) -> String {
    let begin = Instant::now();
    loop {
        let found = condition(api, name).await;
        if found["status"] == status && found["reason"] == reason {
            return found["message"].as_str().unwrap_or_default().to_owned();
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{found:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_revision(api: &Api<DynamicObject>, revision: i64) {
    let begin = Instant::now();
    while api.get("one").await.unwrap().data["status"]["revision"] != revision {
        assert!(begin.elapsed() < Duration::from_secs(20), "{revision}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eventually(api, "Ready", "True", "Ready").await;
}

#[tokio::test]
async fn certificates_wait_for_their_issuer_are_made_again_and_back_off_after_a_failure() {
    let instance = Instance::start_with(Settings {
        environment: Environment::PlainIstio,
        cert_manager: true,
        ..Settings::default()
    });
    let instance = instance.unwrap();
    let issuers = api(&instance, "Issuer", "issuers");
    let certificates = api(&instance, "Certificate", "certificates");
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": kind,
            "metadata": {"name": "one", "namespace": "default"}, "spec": spec,
        })
    };
    let spec =
        json!({"dnsNames": ["a.example.com"], "secretName": "one", "issuerRef": {"name": "one"}});
    let objects = [
        object("Issuer", json!({"ca": {"secretName": "ca"}})),
        object("Certificate", spec),
    ];
    instance.create(objects.into()).unwrap();
    let words = eventually(&issuers, "Ready", "False", "ErrGetKeyPair").await;
    assert_eq!(
        words,
        "Error getting keypair for CA issuer: secret \"ca\" not found"
    );
    let words = "Issuing certificate as Secret does not exist";
    for (name, status) in [("Ready", "False"), ("Issuing", "True")] {
        let told = eventually(&certificates, name, status, "DoesNotExist").await;
        assert_eq!(told, words);
    }
    let secrets = Api::<Secret>::namespaced(instance.client().unwrap(), "default");
    let mut ca = Secret::default();
    ca.metadata.name = Some("ca".into());
    secrets.create(&PostParams::default(), &ca).await.unwrap();
    until_revision(&certificates, 1).await;
    let secret = secrets.get("one").await.unwrap();
    let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
    let annotations = secret.metadata.annotations.unwrap();
    assert_eq!(annotations["cert-manager.io/certificate-name"], "one");

    secrets
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    until_revision(&certificates, 2).await;

    instance
        .stand_ins()
        .cert_manager()
        .answer(RequestAnswer::Fail {
            reason: "Failed".into(),
            message: "no".into(),
        });
    let changed = json!({"spec": {"dnsNames": ["b.example.com"]}});
    certificates
        .patch("one", &PatchParams::default(), &Patch::Merge(changed))
        .await
        .unwrap();
    let told = eventually(&certificates, "Issuing", "False", "Failed").await;
    assert_eq!(
        told,
        "The certificate request has failed to complete and will be retried: no"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = certificates.get("one").await.unwrap().data["status"].clone();
    assert_eq!(status["failedIssuanceAttempts"], 1);
    assert!(status["lastFailureTime"].is_string(), "{status:#}");
    assert_eq!(condition(&certificates, "Ready").await["status"], "False");
    is_on_loopback_only(&instance);
}
