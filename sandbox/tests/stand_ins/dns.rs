//! DNSEntries and DNSProviders, as Gardener's DNS management would handle them, and the DNS that they fill.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, await_object, instance};

/// What the instance's DNS says of a name now.
async fn resolve(name: &str) -> Vec<IpAddr> {
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
        .await_state("DNSProvider", "cloudflare", "Error")
        .await;
    assert_eq!(
        failed.data["status"]["message"],
        "secret dns-custom/token not found"
    );
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
        "stringData": { "CLOUDFLARE_API_TOKEN": "x" },
    });
    let secret: DynamicObject = serde_json::from_value(secret).unwrap();
    cluster
        .api("Secret")
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    cluster
        .await_state("DNSProvider", "cloudflare", "Ready")
        .await;
    let ready = await_object(&cluster.api("DNSEntry"), "shop", |entry| {
        entry.data["status"]["state"] == "Ready"
    })
    .await;
    assert_eq!(ready.data["status"]["provider"], "dns-custom/cloudflare");
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
