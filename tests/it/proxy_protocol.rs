//! Gateways behind a load balancer that speaks the PROXY protocol: they reset every connection that begins without its header.

use std::sync::Arc;

use sandbox::{Environment, Instance, ProxyProtocol, Reply, Settings};
use serde_json::Value;

use crate::lab::{Desk, call, let_in, own_namespace_on};
use crate::shared::Shared;

/// A cluster with such a gateway, on which a first Service was exposed: further ones have authorities of their own.
fn instance() -> Arc<Instance> {
    static FIRST: Shared<Desk> = Shared::new(|| {
        let settings = Settings {
            environment: Environment::KymaDefault,
            proxy_protocol: ProxyProtocol::Required,
            ..Settings::default()
        };
        let instance = Arc::new(Instance::start_with(settings).unwrap());
        instance.deploy_echo("first", "httpbin").unwrap();
        let first = Desk::new(&instance, "first");
        first.run(&["expose", "httpbin"]).exits(0);
        first
    });
    FIRST.get().instance.clone()
}

/// A namespace with a Service that was exposed.
fn exposed(purpose: &str) -> (Desk, String) {
    let (desk, host) = own_namespace_on(&instance(), purpose);
    let run = desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    for replica in instance().replicas() {
        assert!(run.stdout.contains(&replica.pod), "{run:#?}");
    }
    assert!(!run.stdout.contains("not checked one by one"), "{run:#?}");
    (desk, host)
}

/// What each replica itself answers a client, whose connections begin with a header.
fn at_each_replica(desk: &Desk, client: &str, host: &str) -> Vec<Reply> {
    let caller = desk.client(client).with_proxy_header();
    let replicas = desk.instance.replicas().iter();
    replicas
        .map(|replica| call(&caller.at(replica.tls().to_string()), host, &[]))
        .collect()
}

#[test]
fn a_service_is_exposed_and_every_proxy_was_seen_to_serve_it() {
    let (desk, host) = exposed("proxied");
    // Without a header nothing is served: what was looked at was not looked at plainly.
    let plain = desk.nobody().at(instance().replicas()[0].tls().to_string());
    assert!(matches!(call(&plain, &host, &[]), Reply::Broken(_)));
    desk.run(&["issue-client", "alice"]).exits(0);
    let headers = let_in(&desk.client("alice"), &host);
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=alice");
    for reply in at_each_replica(&desk, "alice", &host) {
        assert!(
            matches!(reply, Reply::Answered { status: 200, .. }),
            "{reply}"
        );
    }
    let nobody = call(&desk.nobody(), &host, &[]);
    assert_eq!(nobody, Reply::Refused("certificate_required".to_owned()));
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

#[test]
fn a_revoked_client_is_refused_by_every_proxy_when_the_command_ends() {
    let (desk, host) = exposed("proxied-revoke");
    desk.run(&["issue-client", "alice", "bob"]).exits(0);
    let_in(&desk.client("alice"), &host);
    let report = desk.run(&["revoke-client", "alice", "-o", "json"]).exits(0);
    let report = report.json();
    let seen = &report["seen"][0];
    assert_eq!(seen["through"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(seen["replicasUnknown"], Value::Null);
    let revoked = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(
        at_each_replica(&desk, "alice", &host),
        [revoked.clone(), revoked]
    );
    for reply in at_each_replica(&desk, "bob", &host) {
        assert!(
            matches!(reply, Reply::Answered { status: 200, .. }),
            "{reply}"
        );
    }
}

#[test]
fn the_client_ca_is_rotated_from_its_start_to_its_end() {
    let (desk, host) = exposed("proxied-rotate");
    desk.run(&["issue-client", "old"]).exits(0);
    let_in(&desk.client("old"), &host);
    let started = desk.run(&["ca-rotate", "-o", "json"]).exits(0).json();
    assert_eq!(started["phase"], "overlap");
    let through = started["looked"]["through"].as_array().unwrap();
    assert_eq!(through.len(), 2, "{started}");
    std::fs::create_dir(desk.folder.path().join("later")).unwrap();
    desk.run(&["issue-client", "new", "--out", "later"])
        .exits(0);
    for name in ["old", "later/new"] {
        let_in(&desk.client(name), &host);
    }
    let finished = desk.run(&["ca-rotate", "--finish", "--force", "-o", "json"]);
    assert_eq!(finished.exits(0).json()["phase"], "settled");
    for reply in at_each_replica(&desk, "old", &host) {
        assert_eq!(reply, Reply::Refused("unknown_ca".to_owned()));
    }
    let_in(&desk.client("later/new"), &host);
}

#[test]
fn status_finds_nothing_wrong_and_says_how_it_looked() {
    let (desk, _) = exposed("proxied-status");
    let run = desk.run(&["status", "httpbin"]).exits(0);
    let how = "with a header of the PROXY protocol";
    assert!(run.unwrapped().contains(how), "{run:#?}");
    // The load balancer adds the header itself: no second one is sent through it.
    let balancer = ["--connect-to", desk.instance.connect_to()];
    let run = desk.run(&[&["status", "httpbin"], &balancer[..]].concat());
    assert!(!run.unwrapped().contains(how), "{run:#?}");
    assert!(
        run.unwrapped()
            .contains("`--connect-to` leads to one address"),
        "{run:#?}"
    );
    // Straight to a Pod it is sent, as through a port-forward.
    let pod = instance().replicas()[0].tls().to_string();
    let run = desk.run(&["status", "httpbin", "--connect-to", &pod]);
    assert!(run.unwrapped().contains(how), "{run:#?}");
}
