//! A revocation in an update of which the proxies reject something else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sandbox::{Environment, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call, eventually, gateway, own_namespace_on, started};
use crate::shop::Shop;

/// istiod sends what changed within this time in one update at the latest (`PILOT_DEBOUNCE_MAX` is 10 s).
const ONE_UPDATE: Duration = Duration::from_secs(13);

/// Replaces a ConfigMap; a kubectl each time would take too long.
fn put(desk: &Desk, object: &Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/{}/configmaps/{name}", desk.namespace);
    let request = http::Request::put(path).header("Content-Type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    // The client begins to work where it is made.
    let answer = runtime.block_on(async {
        let client = desk.instance.client().unwrap();
        client.request_text(request).await
    });
    answer.unwrap();
}

/// Envoy drops a client CA of another Gateway too when it rejects one, and istiod does not send it again.
#[test]
fn a_list_that_the_proxies_dropped_with_the_broken_ca_of_another_team_is_sent_again() {
    // Proxies of its own, since they drop the client CAs of everybody.
    let instance = started(Environment::KymaDefault);
    let shop = Shop::exposed_in(own_namespace_on(&instance, "dropped"), &[]);
    for client in ["alice", "bob"] {
        shop.issue(client, &[]);
    }
    let desk = &shop.desk;
    let ca = shop.state()["data"]["ca.crt"].as_str().unwrap().to_owned();
    let config_map = |ca: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": desk.namespace},
            "data": {"ca.crt": ca},
        })
    };
    // Proxies take newer client CAs first.
    let tls = json!({
        "mode": "MUTUAL", "credentialName": shop.authority,
        "caCertCredentialName": format!("configmap://{}/other", desk.namespace),
    });
    let other = gateway(&desk.namespace, "other", &["other.example.com"], &tls);
    for object in [config_map(&ca), other] {
        desk.kubectl(&["apply", "-f", "-"], &object.to_string());
    }
    eventually("the other Gateway is served", || {
        let reply = call(&desk.nobody(), "other.example.com", &[]);
        matches!(reply, Reply::Broken(reason) if reason.contains("certificate not valid for name"))
    });
    // As long as something changes, istiod waits with its update.
    let is_over = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        let is_over = &is_over;
        scope.spawn(move || {
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let broken = format!(
                    "-----BEGIN CERTIFICATE-----\n{number:04}\n-----END CERTIFICATE-----\n"
                );
                put(desk, &config_map(&broken));
            }
        });
        let start = Instant::now();
        scope.spawn(move || {
            std::thread::sleep(ONE_UPDATE);
            is_over.store(true, Ordering::Relaxed);
        });
        shop.revoke(&["alice", "--timeout", "90s"]).exits(0);
        start.elapsed()
    });
    let again = &shop.state()["metadata"]["annotations"]["kubectl-mtls.dev/sent-again-after"];
    assert!(again.is_string(), "it was loaded at once, after {took:?}");
    shop.refuses("alice");
    shop.admits("bob");
}
