//! Certificates, as Gardener's certificate management would handle them.

use kube::api::{DynamicObject, Patch, PatchParams};
use sandbox::stand_in::{Answer, ObjectKey};
use serde_json::{Value, json};

use super::cluster::{Cluster, await_object, instance};

fn spec(name: &str) -> Value {
    let name = format!("{name}.{}", instance().domain());
    json!({ "commonName": name, "secretName": "server", "issuerRef": { "name": "garden" } })
}

fn message(object: &DynamicObject) -> &str {
    object.data["status"]["message"]
        .as_str()
        .unwrap_or_default()
}

async fn patch(cluster: &Cluster, patch: Value) {
    let api = cluster.api("Certificate");
    api.patch("server", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_yields_a_secret_with_the_issuing_ca_and_is_written_back_to() {
    let cluster = Cluster::with_namespace("cert-issue").await;
    cluster
        .create("Certificate", "server", spec("*.issue"))
        .await;
    let ready = cluster.await_state("Certificate", "server", "Ready").await;
    assert!(
        message(&ready).starts_with("certificate (SN "),
        "{}",
        message(&ready)
    );
    assert_eq!(
        ready.data["spec"]["secretRef"],
        json!({ "name": "server", "namespace": "cert-issue" })
    );
    assert!(
        ready
            .metadata
            .labels
            .unwrap()
            .contains_key("cert.gardener.cloud/hash")
    );
    assert_eq!(ready.data["status"]["conditions"][0]["status"], "True");
    assert!(ready.data["status"]["expirationDate"].is_string());

    let writers = ready.metadata.managed_fields.unwrap();
    let owns = |entry: &str| {
        writers
            .iter()
            .any(|writer| writer.manager.as_deref() == Some(entry))
    };
    assert!(owns("cert-controller-manager"), "{writers:#?}");

    let secret = cluster.api("Secret").get("server").await.unwrap();
    assert_eq!(secret.data["type"], "kubernetes.io/tls");
    let keys: Vec<&String> = secret.data["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(
        secret.metadata.labels.unwrap()["cert.gardener.cloud/certificate"],
        "true"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_issuer_is_quoted_and_the_annotation_retries_at_once() {
    let cluster = Cluster::with_namespace("cert-fail").await;
    let controls = instance().stand_ins().certificates();
    let key = ObjectKey::new(cluster.namespace, "server");
    controls.answer_for(key.clone(), Answer::Fail("acme: rate limited".into()));
    cluster
        .create("Certificate", "server", spec("*.fail"))
        .await;
    let failed = cluster.await_state("Certificate", "server", "Error").await;
    assert_eq!(
        message(&failed),
        "obtaining certificate failed: acme: rate limited"
    );
    assert_eq!(failed.data["status"]["backoff"]["recheckInterval"], "2m0s");
    assert_eq!(failed.data["status"]["conditions"][0]["reason"], "Error");

    controls.answer_for(key, Answer::Issue);
    patch(
        &cluster,
        json!({ "metadata": { "annotations": { "gardener.cloud/operation": "reconcile" } } }),
    )
    .await;
    let ready = cluster.await_state("Certificate", "server", "Ready").await;
    assert!(
        !ready
            .metadata
            .annotations
            .unwrap_or_default()
            .contains_key("gardener.cloud/operation")
    );
    assert!(ready.data["status"].get("backoff").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_stays_pending_as_long_as_the_issuer_takes() {
    let cluster = Cluster::with_namespace("cert-pending").await;
    let controls = instance().stand_ins().certificates();
    let key = ObjectKey::new(cluster.namespace, "server");
    controls.answer_for(key.clone(), Answer::Never);
    cluster
        .create("Certificate", "server", spec("*.pending"))
        .await;
    let pending = cluster
        .await_state("Certificate", "server", "Pending")
        .await;
    assert_eq!(
        message(&pending),
        "certificate requested, preparing/waiting for successful DNS01 challenge"
    );
    assert!(
        cluster
            .api("Secret")
            .get_opt("server")
            .await
            .unwrap()
            .is_none()
    );
    controls.answer_for(key, Answer::Issue);
    cluster.await_state("Certificate", "server", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renew_makes_a_new_key_once_and_is_written_back_as_a_date() {
    let cluster = Cluster::with_namespace("cert-renew").await;
    cluster
        .create("Certificate", "server", spec("*.renew"))
        .await;
    cluster.await_state("Certificate", "server", "Ready").await;
    let before = cluster.api("Secret").get("server").await.unwrap();
    patch(&cluster, json!({ "spec": { "renew": true } })).await;
    let renewed =
        |secret: &DynamicObject| secret.data["data"]["tls.key"] != before.data["data"]["tls.key"];
    await_object(&cluster.api("Secret"), "server", renewed).await;
    let ready = cluster.await_state("Certificate", "server", "Ready").await;
    assert!(ready.data["spec"].get("renew").is_none());
    assert!(ready.data["spec"]["ensureRenewedAfter"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_issuer_is_an_error() {
    let cluster = Cluster::with_namespace("cert-issuer").await;
    let mut spec = spec("*.issuer");
    spec["issuerRef"] = json!({ "name": "own", "namespace": "cert-issuer" });
    cluster.create("Certificate", "server", spec).await;
    let failed = cluster.await_state("Certificate", "server", "Error").await;
    assert_eq!(
        message(&failed),
        "fetching issuer failed: issuers.cert.gardener.cloud \"own\" not found"
    );
}
