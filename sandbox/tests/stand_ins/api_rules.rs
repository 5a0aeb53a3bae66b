//! APIRules, as Kyma's API gateway would handle them.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::{Cluster, await_object, instance};

fn rule(host: &str, gateway: &str) -> Value {
    json!({
        "hosts": [host],
        "gateway": gateway,
        "service": { "name": "orders", "port": 8000 },
        "rules": [{
            "path": "/*",
            "methods": ["GET"],
            "noAuth": true,
            "request": { "headers": { "X-CLIENT-SSL-CN": "nobody" } },
        }],
    })
}

fn service() -> Value {
    json!({ "selector": { "app": "orders" }, "ports": [{ "port": 8000 }] })
}

fn description(rule: &DynamicObject) -> &str {
    rule.data["status"]["description"]
        .as_str()
        .unwrap_or_default()
}

async fn get(host: &str, path: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = instance().stand_ins().root_certificate();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority.as_bytes()).flatten());
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(instance().connect_to()).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_echo_with_the_headers_that_the_rule_sets() {
    let cluster = Cluster::with_namespace("rule-route").await;
    instance().deploy_echo(cluster.namespace, "orders").unwrap();
    let host = format!("rule-route.{}", instance().domain());
    cluster
        .create("APIRule", "orders", rule(&host, "kyma-system/kyma-gateway"))
        .await;
    let ready = cluster.await_state("APIRule", "orders", "Ready").await;
    assert_eq!(description(&ready), "Reconciled successfully");
    assert!(ready.data["status"]["lastProcessedTime"].is_string());
    assert_eq!(cluster.names("VirtualService").await.len(), 1);
    assert_eq!(cluster.names("AuthorizationPolicy").await.len(), 1);

    let mut answer = String::new();
    for _ in 0..200 {
        answer = get(&host, "/headers").await.unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        answer.contains("\"X-Client-Ssl-Cn\": \"nobody\""),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("\"X-Forwarded-Host\": \"{host}\"")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_rule_takes_its_route_and_policy_along() {
    let cluster = Cluster::with_namespace("rule-delete").await;
    cluster.create("Service", "orders", service()).await;
    let host = format!("rule-delete.{}", instance().domain());
    cluster
        .create("APIRule", "orders", rule(&host, "kyma-system/kyma-gateway"))
        .await;
    cluster.await_state("APIRule", "orders", "Ready").await;
    let api = cluster.api("APIRule");
    api.delete("orders", &DeleteParams::default())
        .await
        .unwrap();
    for _ in 0..500 {
        if api.get_opt("orders").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(api.get_opt("orders").await.unwrap().is_none());
    assert!(cluster.names("VirtualService").await.is_empty());
    assert!(cluster.names("AuthorizationPolicy").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_before_its_service_stays_in_error_until_its_back_off_ends() {
    let cluster = Cluster::with_namespace("rule-early").await;
    let host = format!("rule-early.{}", instance().domain());
    cluster
        .create("APIRule", "orders", rule(&host, "kyma-system/kyma-gateway"))
        .await;
    let failed = cluster.await_state("APIRule", "orders", "Error").await;
    let expected = "Validation errors: Attribute '.spec.rules[0]': Failed to execute sidecar injection validation, err: \
                    Service \"orders\" not found";
    assert_eq!(description(&failed), expected);
    // After one, then two more seconds it looks again; the wait after that is four.
    let time = |object: &DynamicObject| object.data["status"]["lastProcessedTime"].clone();
    let second = await_object(&cluster.api("APIRule"), "orders", |object| {
        time(object) != time(&failed)
    })
    .await;
    await_object(&cluster.api("APIRule"), "orders", |object| {
        time(object) != time(&second)
    })
    .await;
    cluster.create("Service", "orders", service()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let still = cluster.api("APIRule").get("orders").await.unwrap();
    assert_eq!(still.data["status"]["state"], "Error");
    cluster.await_state("APIRule", "orders", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_host_and_a_missing_gateway_are_told_in_the_controllers_words() {
    let cluster = Cluster::with_namespace("rule-taken").await;
    cluster.create("Service", "orders", service()).await;
    let host = format!("rule-taken.{}", instance().domain());
    let route = json!({
        "hosts": [host],
        "gateways": ["kyma-system/kyma-gateway"],
        "http": [{ "route": [{ "destination": { "host": "orders" } }] }],
    });
    cluster.create("VirtualService", "foreign", route).await;
    cluster
        .create("APIRule", "orders", rule(&host, "kyma-system/kyma-gateway"))
        .await;
    let failed = cluster.await_state("APIRule", "orders", "Error").await;
    let expected = "Validation errors: Attribute '.spec.hosts[0]': Host is occupied by another Virtual Service";
    assert_eq!(description(&failed), expected);

    cluster
        .create(
            "APIRule",
            "lost",
            rule("lost.example.org", "rule-taken/nowhere"),
        )
        .await;
    let failed = cluster.await_state("APIRule", "lost", "Error").await;
    let expected = "Validation errors: Attribute 'spec.gateway': Could not get specified Gateway";
    assert_eq!(description(&failed), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_refuses_what_the_real_one_refuses() {
    let cluster = Cluster::with_namespace("rule-schema").await;
    let sound = rule("orders.example.org", "shop/gate");
    let refused = |pointer: &'static str, value: Value| {
        let mut spec = sound.clone();
        *spec.pointer_mut(pointer).unwrap() = value;
        let cluster = &cluster;
        async move {
            cluster
                .try_create("APIRule", "orders", spec)
                .await
                .unwrap_err()
                .to_string()
        }
    };
    for (pointer, value, message) in [
        (
            "/gateway",
            json!("shop.gate/x"),
            "Gateway must be in the namespace/name format",
        ),
        (
            "/hosts",
            json!(["Orders.example.org"]),
            "Host must be a lowercase RFC 1123 label",
        ),
        ("/hosts", json!([]), "should have at least 1 items"),
        (
            "/rules/0/noAuth",
            json!(false),
            "One of the following fields must be set: noAuth, jwt, extAuth",
        ),
        ("/rules/0/methods", json!(["FETCH"]), "Unsupported value"),
        ("/rules/0/path", json!("/a b"), "should match"),
    ] {
        let answer = refused(pointer, value).await;
        assert!(answer.contains(message), "{pointer}: {answer}");
    }
}

/// The API version in which a field manager wrote to an object.
fn version_of(object: &DynamicObject, manager: &str) -> Option<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let mut of_manager = entries.filter(|entry| entry.manager.as_deref() == Some(manager));
    of_manager.next()?.api_version.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_writes_in_the_versions_of_the_original() {
    let cluster = Cluster::with_namespace("rule-versions").await;
    cluster.create("Service", "orders", service()).await;
    let host = format!("rule-versions.{}", instance().domain());
    cluster
        .create("APIRule", "orders", rule(&host, "kyma-system/kyma-gateway"))
        .await;
    let ready = cluster.await_state("APIRule", "orders", "Ready").await;
    let annotations = ready.metadata.annotations.clone().unwrap();
    assert_eq!(
        annotations["gateway.kyma-project.io/original-version"],
        "v2"
    );
    assert_eq!(
        version_of(&ready, "manager").as_deref(),
        Some("gateway.kyma-project.io/v2alpha1")
    );
    for (kind, version) in [
        ("VirtualService", "networking.istio.io/v1beta1"),
        ("AuthorizationPolicy", "security.istio.io/v1beta1"),
    ] {
        let name = cluster.names(kind).await.remove(0);
        let object = cluster.api(kind).get(&name).await.unwrap();
        assert_eq!(version_of(&object, "manager").as_deref(), Some(version));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_with_jwt_is_ready_and_makes_a_request_authentication() {
    let cluster = Cluster::with_namespace("rule-jwt").await;
    cluster.create("Service", "orders", service()).await;
    let host = format!("rule-jwt.{}", instance().domain());
    let mut spec = rule(&host, "kyma-system/kyma-gateway");
    let jwt =
        json!({ "authentications": [{ "issuer": "shop", "jwksUri": "https://127.0.0.1:1/keys" }] });
    let rules = spec["rules"][0].as_object_mut().unwrap();
    rules.remove("noAuth");
    rules.insert("jwt".into(), jwt);
    cluster.create("APIRule", "orders", spec).await;
    cluster.await_state("APIRule", "orders", "Ready").await;

    let names = cluster.names("RequestAuthentication").await;
    assert_eq!(names.len(), 1);
    let check = cluster
        .api("RequestAuthentication")
        .get(&names[0])
        .await
        .unwrap();
    assert_eq!(check.data["spec"]["jwtRules"][0]["issuer"], "shop");
    let policies = cluster.names("AuthorizationPolicy").await;
    let policy = cluster
        .api("AuthorizationPolicy")
        .get(&policies[0])
        .await
        .unwrap();
    assert_eq!(
        policy.data["spec"]["rules"][0]["from"][0]["source"]["requestPrincipals"],
        json!(["shop/*"])
    );

    let api = cluster.api("APIRule");
    api.delete("orders", &DeleteParams::default())
        .await
        .unwrap();
    for _ in 0..500 {
        if api.get_opt("orders").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cluster.names("RequestAuthentication").await.is_empty());
}
