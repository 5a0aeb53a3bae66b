//! DNSEntries and DNSProviders, as Gardener's DNS management would handle them, and the DNS that they fill.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use sandbox::stand_in::ObjectKey;
use serde_json::{Value, json};

use super::cluster::{Cluster, await_object, instance};

/// What the instance's DNS says of a name now.
pub async fn resolve(name: &str) -> Vec<IpAddr> {
    let server: std::net::SocketAddr = instance().resolver().parse().unwrap();
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_parts(None, vec![], vec![config]);
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .build()
        .unwrap();
    match resolver.lookup_ip(format!("{name}.")).await {
        Ok(answer) => answer.iter().collect(),
        Err(_) => Vec::new(),
    }
}

async fn create(cluster: &Cluster, kind: &str, name: &str, class: Option<&str>, spec: Value) {
    let api: Api<DynamicObject> = cluster.api(kind);
    let group = json!({ "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let mut object: DynamicObject = serde_json::from_value(group).unwrap();
    if let Some(class) = class {
        object.metadata.annotations =
            Some([("dns.gardener.cloud/class".to_owned(), class.to_owned())].into());
    }
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Creates the Secret of a Cloudflare account.
async fn create_token(cluster: &Cluster, name: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "stringData": { "CLOUDFLARE_API_TOKEN": "x" },
    });
    let secret: DynamicObject = serde_json::from_value(secret).unwrap();
    let secrets = cluster.api("Secret");
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

async fn patch(cluster: &Cluster, kind: &str, name: &str, patch: Value) {
    let api = cluster.api(kind);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

fn text<'a>(object: &'a DynamicObject, pointer: &str) -> &'a str {
    let value = object.data.pointer(pointer).and_then(Value::as_str);
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_wildcard_leads_to_the_load_balancer_and_nothing_else_does() {
    let domain = instance().domain();
    assert_eq!(
        resolve(&format!("anything.mtls.{domain}")).await,
        ["203.0.113.10".parse::<IpAddr>().unwrap()]
    );
    assert!(resolve("anything.example.net").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_the_wrong_class_is_ignored_on_a_shoot() {
    let cluster = Cluster::with_namespace("dns-class").await;
    let name = |label: &str| format!("{label}.deep.{}", instance().domain());
    let spec =
        |label: &str| json!({ "dnsName": name(label), "targets": ["127.0.0.9"], "ttl": 600 });
    create(&cluster, "DNSEntry", "plain", None, spec("plain")).await;
    create(
        &cluster,
        "DNSEntry",
        "garden",
        Some("garden"),
        spec("garden"),
    )
    .await;
    let ready = cluster.await_state("DNSEntry", "garden", "Ready").await;
    assert_eq!(ready.data["status"]["message"], "dns entry active");
    assert_eq!(ready.data["status"]["targets"], json!(["127.0.0.9"]));
    assert_eq!(
        resolve(&name("garden")).await,
        ["127.0.0.9".parse::<IpAddr>().unwrap()]
    );
    let plain = cluster.api("DNSEntry").get("plain").await.unwrap();
    assert!(plain.data.get("status").is_none(), "{plain:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_domain_needs_a_provider_with_sound_credentials() {
    let cluster = Cluster::with_namespace("dns-custom").await;
    let entry = json!({ "dnsName": "*.shop.example.net", "targets": ["127.0.0.8", "127.0.0.7"] });
    create(&cluster, "DNSEntry", "shop", Some("garden"), entry).await;
    let lost = cluster.await_state("DNSEntry", "shop", "Error").await;
    assert_eq!(
        lost.data["status"]["message"],
        "no matching DNS provider found"
    );

    let provider = json!({
        "type": "cloudflare-dns",
        "secretRef": { "name": "token" },
        "domains": { "include": ["example.net"] },
    });
    create(
        &cluster,
        "DNSProvider",
        "cloudflare",
        Some("garden"),
        provider,
    )
    .await;
    let failed = cluster
        .await_state("DNSProvider", "cloudflare", "Invalid")
        .await;
    assert_eq!(
        failed.data["status"]["message"],
        "secret dns-custom/token not found"
    );
    create_token(&cluster, "token").await;
    cluster
        .await_state("DNSProvider", "cloudflare", "Ready")
        .await;
    let ready = await_object(&cluster.api("DNSEntry"), "shop", |entry| {
        entry.data["status"]["state"] == "Ready"
    })
    .await;
    assert!(
        text(&ready, "/status/provider").starts_with("shoot--sandbox--local/cloudflare-"),
        "{ready:#?}"
    );
    let mut addresses = resolve("orders.shop.example.net").await;
    addresses.sort();
    assert_eq!(
        addresses,
        [
            "127.0.0.7".parse::<IpAddr>().unwrap(),
            "127.0.0.8".parse().unwrap()
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_a_shoot_shows_the_generation_of_its_copy_and_the_secret_in_use() {
    let cluster = Cluster::with_namespace("dns-copy").await;
    create_token(&cluster, "one").await;
    create_token(&cluster, "two").await;
    let spec = json!({
        "type": "cloudflare-dns",
        "secretRef": { "name": "one" },
        "domains": { "include": ["copy.example.net"] },
    });
    create(&cluster, "DNSProvider", "copied", Some("garden"), spec).await;
    cluster.await_state("DNSProvider", "copied", "Ready").await;

    let other = json!({ "spec": { "secretRef": { "name": "two" } } });
    patch(&cluster, "DNSProvider", "copied", other).await;
    let providers = cluster.api("DNSProvider");
    let seen = await_object(&providers, "copied", |provider| {
        text(provider, "/status/secretRef/name") == "two"
    })
    .await;
    assert_eq!(seen.metadata.generation, Some(2));
    assert_eq!(seen.data["status"]["observedGeneration"], 1);
    assert_eq!(seen.data["status"]["state"], "Ready");
    assert_eq!(seen.data["status"]["lastOperation"]["state"], "Succeeded");
    assert!(seen.data["status"]["lastUpdateTime"].is_string());

    let other = json!({ "spec": { "domains": { "include": ["copy.example.org"] } } });
    patch(&cluster, "DNSProvider", "copied", other).await;
    let seen = await_object(&providers, "copied", |provider| {
        text(provider, "/status/domains/included/0") == "copy.example.org"
    })
    .await;
    assert_eq!(seen.metadata.generation, Some(3));
    assert_eq!(seen.data["status"]["observedGeneration"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_a_shoot_may_have_its_secret_in_another_namespace_and_notices_its_change() {
    let cluster = Cluster::with_namespace("dns-far").await;
    let elsewhere = Cluster::with_namespace("dns-far-secrets").await;
    create_token(&elsewhere, "token").await;
    let spec = json!({
        "type": "cloudflare-dns",
        "secretRef": { "name": "token", "namespace": "dns-far-secrets" },
        "domains": { "include": ["far.example.net"] },
    });
    create(&cluster, "DNSProvider", "far", Some("garden"), spec).await;
    cluster.await_state("DNSProvider", "far", "Ready").await;

    let wrong = json!({ "stringData": { "token": "x" } });
    patch(&elsewhere, "Secret", "token", wrong).await;
    let refused = cluster.await_state("DNSProvider", "far", "Invalid").await;
    assert_eq!(
        refused.data["status"]["message"],
        "validation failed for provider type cloudflare-dns: property \"token\" is not allowed"
    );
    assert_eq!(refused.data["status"]["lastOperation"]["state"], "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_and_a_domain_outside_the_zones_are_told_in_the_controllers_words() {
    let cluster = Cluster::with_namespace("dns-refused").await;
    create_token(&cluster, "token").await;
    let spec = |kind: &str| {
        json!({
            "type": kind,
            "secretRef": { "name": "token" },
            "domains": { "include": ["shop.example.net"] },
        })
    };
    create(
        &cluster,
        "DNSProvider",
        "unknown",
        Some("garden"),
        spec("infoblox-dns"),
    )
    .await;
    let refused = cluster
        .await_state("DNSProvider", "unknown", "Invalid")
        .await;
    assert_eq!(
        refused.data["status"]["message"],
        "provider type \"infoblox-dns\" not found in registry"
    );

    let controls = instance().stand_ins().dns();
    controls.hosted_zones(ObjectKey::new("dns-refused", "outside"), &["example.org"]);
    let spec = spec("cloudflare-dns");
    create(&cluster, "DNSProvider", "outside", Some("garden"), spec).await;
    let refused = cluster.await_state("DNSProvider", "outside", "Error").await;
    assert_eq!(
        refused.data["status"]["message"],
        "no domain matching hosting zones. Need to be a (sub)domain of [example.org]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_shoot_names_its_copy_and_has_each_target_once() {
    let cluster = Cluster::with_namespace("dns-entry").await;
    let name = format!("copy.entries.{}", instance().domain());
    let spec = json!({ "dnsName": name, "targets": ["127.0.0.9", "127.0.0.9"] });
    create(&cluster, "DNSEntry", "twice", Some("garden"), spec).await;
    let ready = cluster.await_state("DNSEntry", "twice", "Ready").await;
    assert_eq!(ready.data["status"]["targets"], json!(["127.0.0.9"]));
    assert_eq!(
        ready.data["status"]["provider"],
        "shoot--sandbox--local/external"
    );
    let zone = format!("{}.", instance().domain());
    assert_eq!(ready.data["status"]["zone"], zone);
    let annotations = ready.metadata.annotations.unwrap();
    let copy = &annotations["dns.gardener.cloud/target-entry"];
    assert!(
        copy.starts_with("shoot--sandbox--local/twice-dnsentry-"),
        "{copy}"
    );
    let mut writers = ready.metadata.managed_fields.iter().flatten();
    assert!(writers.any(|writer| {
        writer.manager.as_deref() == Some("dns-controller-manager-next-generation")
    }));

    // A faulty one is held as well.
    let spec = json!({ "dnsName": "lost.example.info", "targets": ["127.0.0.9"] });
    create(&cluster, "DNSEntry", "lost", Some("garden"), spec).await;
    let lost = cluster.await_state("DNSEntry", "lost", "Error").await;
    assert_eq!(
        lost.metadata.finalizers.unwrap(),
        ["garden.dns.gardener.cloud/dnsentry-source"]
    );
}
