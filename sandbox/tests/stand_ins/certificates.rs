//! Certificates, as Gardener's certificate management would handle them.

use base64::Engine;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use sandbox::stand_in::{Answer, ObjectKey};
use serde_json::{Value, json};

use super::cluster::{Cluster, await_object, instance};
use super::dns::resolve;

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

/// The first certificate of a Secret, DER.
fn leaf(secret: &DynamicObject) -> Vec<u8> {
    let chain = secret.data["data"]["tls.crt"].as_str().unwrap();
    let chain = base64::engine::general_purpose::STANDARD
        .decode(chain)
        .unwrap();
    let pem = x509_parser::pem::Pem::iter_from_buffer(&chain).next();
    pem.unwrap().unwrap().contents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_for_servers_only_and_its_names_stand_in_a_critical_extension() {
    let cluster = Cluster::with_namespace("cert-leaf").await;
    cluster
        .create("Certificate", "server", spec("*.leaf"))
        .await;
    cluster.await_state("Certificate", "server", "Ready").await;
    let der = leaf(&cluster.api("Secret").get("server").await.unwrap());
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(certificate.subject().iter().count(), 0);
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_is_refused_for_a_day_and_says_why() {
    let cluster = Cluster::with_namespace("cert-duration").await;
    let mut spec = spec("*.duration");
    spec["duration"] = json!("2160h");
    cluster.create("Certificate", "server", spec).await;
    let failed = cluster.await_state("Certificate", "server", "Error").await;
    assert_eq!(
        message(&failed),
        "duration cannot be set for ACME certificate"
    );
    assert_eq!(
        failed.data["status"]["backoff"]["recheckInterval"],
        "24h0m0s"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_gets_the_one_that_was_kept_back() {
    let cluster = Cluster::with_namespace("cert-backup").await;
    cluster
        .create("Certificate", "server", spec("*.backup"))
        .await;
    let ready = cluster.await_state("Certificate", "server", "Ready").await;
    let before = leaf(&cluster.api("Secret").get("server").await.unwrap());
    let hash = &ready.metadata.labels.unwrap()["cert.gardener.cloud/hash"];
    let selector = format!("cert.gardener.cloud/hash={hash},cert.gardener.cloud/backup=true");
    let kept = cluster
        .api_in("kube-system", "Secret")
        .list(&ListParams::default().labels(&selector))
        .await
        .unwrap();
    let names: Vec<&str> = kept
        .iter()
        .filter_map(|secret| secret.metadata.name.as_deref())
        .collect();
    assert!(
        names.len() == 1 && names[0].starts_with("cert-backup-garden-"),
        "{names:?}"
    );

    for kind in ["Certificate", "Secret"] {
        let api = cluster.api(kind);
        api.delete("server", &DeleteParams::default())
            .await
            .unwrap();
    }
    cluster
        .create("Certificate", "server", spec("*.backup"))
        .await;
    cluster.await_state("Certificate", "server", "Ready").await;
    let after = leaf(&cluster.api("Secret").get("server").await.unwrap());
    assert!(before == after, "another certificate was issued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_challenge_hides_the_hosts_beside_it_from_the_wildcard_above() {
    let cluster = Cluster::with_namespace("cert-challenge").await;
    let controls = instance().stand_ins().certificates();
    let key = ObjectKey::new(cluster.namespace, "server");
    controls.answer_for(key.clone(), Answer::Never);
    let host = format!("orders.challenge.{}", instance().domain());
    assert_eq!(resolve(&host).await.len(), 1);
    cluster
        .create("Certificate", "server", spec("*.challenge"))
        .await;
    cluster
        .await_state("Certificate", "server", "Pending")
        .await;
    await_resolved(&host, 0).await;
    controls.answer_for(key, Answer::Issue);
    cluster.await_state("Certificate", "server", "Ready").await;
    await_resolved(&host, 1).await;
}

async fn await_resolved(host: &str, count: usize) {
    for _ in 0..500 {
        if resolve(host).await.len() == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{host} has not {count} addresses");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_for_a_second_certificate_has_to_wait() {
    let cluster = Cluster::with_namespace("cert-twice").await;
    let controls = instance().stand_ins().certificates();
    let key = ObjectKey::new(cluster.namespace, "server");
    controls.answer_for(key, Answer::Never);
    cluster
        .create("Certificate", "server", spec("*.twice"))
        .await;
    cluster
        .await_state("Certificate", "server", "Pending")
        .await;
    let mut second = spec("*.twice");
    second["secretName"] = json!("second");
    cluster.create("Certificate", "second", second).await;
    let waiting = cluster
        .await_state("Certificate", "second", "Waiting")
        .await;
    let name = format!("*.twice.{}", instance().domain());
    assert_eq!(
        message(&waiting),
        format!("concurrent obtain for domain name {name}")
    );
    assert!(waiting.data["status"].get("backoff").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_dns_provider_stays_pending_until_there_is_one() {
    let cluster = Cluster::with_namespace("cert-no-dns").await;
    let controls = instance().stand_ins().certificates();
    controls.needs_dns_provider(true);
    let spec = json!({ "commonName": "*.pending.example.net", "secretName": "server" });
    cluster.create("Certificate", "server", spec).await;
    cluster
        .await_state("Certificate", "server", "Pending")
        .await;
    let provider = json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSProvider",
        "metadata": {
            "name": "late", "namespace": "cert-no-dns",
            "annotations": { "dns.gardener.cloud/class": "garden" },
        },
        "spec": {
            "type": "cloudflare-dns",
            "secretRef": { "name": "token" },
            "domains": { "include": ["pending.example.net"] },
        },
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "token", "namespace": "cert-no-dns" },
        "stringData": { "CLOUDFLARE_API_TOKEN": "x" },
    });
    let still = cluster.api("Certificate").get("server").await.unwrap();
    assert_eq!(still.data["status"]["state"], "Pending");
    instance().create(vec![secret, provider]).unwrap();
    cluster.await_state("Certificate", "server", "Ready").await;
}
