//! Proxies that go on with what they had: nothing is said to be enforced that they do not enforce. No other test shares them.

use std::sync::Arc;
use std::time::Duration;

use sandbox::{Environment, Instance};
use serde_json::json;

use crate::exposed::{Exposed, GATEWAY};
use crate::lab::{Run, own_namespace_on, started};
use crate::plain_istio::made_by_openssl;

#[test]
fn nothing_is_said_to_be_done_that_a_proxy_does_not_do() {
    let instance = started(Environment::KymaDefault);
    let host = Exposed::on(own_namespace_on(&instance, "stuck"));
    let beside = Exposed::on(own_namespace_on(&instance, "beside"));
    for client in ["ada", "ben"] {
        let issue = ["issue-client", client, "--format", "pem"];
        host.desk.run(&issue).exits(0);
    }
    a_key_of_another_certificate(&host, &beside);
    a_replica_that_istiod_does_not_reach(&host, &instance);
    a_second_server_of_the_gateway(&host, &beside);
}

/// No proxy here has ever rejected an update, so that each shows that it has loaded the revocation lists.
#[test]
fn each_command_waits_for_a_replica_that_has_not_loaded_what_it_changed() {
    let instance = started(Environment::KymaDefault);
    let host = Exposed::on(own_namespace_on(&instance, "late"));
    for client in ["ada", "cleo"] {
        let issue = ["issue-client", client, "--format", "pem"];
        host.desk.run(&issue).exits(0);
    }
    allows(&host, "ada");
    a_replica_that_keeps_open_connections(&host, &instance);
    a_replica_that_still_routes_an_unexposed_host(&host, &instance);
    a_replica_that_shows_the_former_server_certificate(&instance);
    a_replica_without_a_connection_to_istiod(&host, &instance);
}

/// The server Secret of another host has such a key: the proxies reject every change of their listeners.
fn a_key_of_another_certificate(host: &Exposed, beside: &Exposed) {
    // Some time after the proxies took the first one.
    std::thread::sleep(Duration::from_secs(8));
    put_another_key(beside, beside.names.credential());
    beside.finds("server-certificate/rejected", "warning");
    host.is_healthy();

    let rejects = |run: Run| {
        run.exits(124)
            .says("it rejects the listener")
            .says("Failed to load private key")
            .says("until its cause is repaired and istiod sends it again")
    };
    // Port 80, where nobody shows a certificate, has the guard at once.
    let allow = ["expose", "httpbin", "--allow", "ada", "--timeout", "8s"];
    rejects(host.desk.run(&allow));
    host.finds("proxy/listener-rejected", "error");
    let finding = beside.finds("server-certificate/rejected", "error");
    beside.pastes_remedy(&finding);
    // The Secret is right again, and Envoy does not try again by itself: the guard is written, and not enforced.
    beside.finds("proxy/listener-rejected", "error");
    rejects(host.desk.run(&allow));
    allows(host, "ada,ben");
    beside.is_healthy();
}

/// It enforces the guard that it had; a rerun, and one that repairs the guard, wait for it in vain.
fn a_replica_that_istiod_does_not_reach(host: &Exposed, instance: &Instance) {
    let waits_in_vain = |arguments: &[&str]| {
        let arguments = [&["expose", "httpbin", "--timeout", "6s"], arguments].concat();
        host.desk
            .run(&arguments)
            .exits(124)
            .says("istio-ingressgateway-1: the guards are not enforced yet");
        let finding = host.finds("guard/not-enforced", "error");
        let seen = finding["seen"].as_str().unwrap();
        assert!(
            seen.starts_with("istio-ingressgateway-1 does not"),
            "{seen}"
        );
    };
    instance.hold_replica(1);
    waits_in_vain(&["--allow", "ada"]);
    waits_in_vain(&["--allow", "ada"]);
    instance.release_replica(1);
    allows(host, "ada");

    // A guard about another host is loaded, and its repair is not.
    let name = guard_of(host);
    let policy = || host.desk.get("istio-system", POLICIES, &name);
    let mut rules = policy()["spec"]["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        if let Some(hosts) = rule.pointer_mut("/to/0/operation/hosts") {
            *hosts = json!(["x.example.com"]);
        }
    }
    let patch = json!({"spec": {"rules": rules}});
    host.patch("istio-system", POLICIES, &name, &patch);
    host.finds("guard/weakened", "error");
    std::thread::sleep(Duration::from_secs(2));
    instance.hold_replica(1);
    waits_in_vain(&[]);
    instance.release_replica(1);
    allows(host, "ada");

    // One that verifies no certificates is loaded, and its repair is not.
    host.set_tls("insecureSkipVerify", true.into());
    host.finds("gateway/skips-verification", "error");
    std::thread::sleep(Duration::from_secs(2));
    instance.hold_replica(1);
    for _ in 0..2 {
        host.desk
            .run(&["expose", "httpbin", "--timeout", "6s"])
            .exits(124)
            .says("a client of a CA that is not trusted was");
    }
    instance.release_replica(1);
    allows(host, "ada");
}

/// It has loaded the revocation, and not the change of the guard for which connections are closed.
fn a_replica_that_keeps_open_connections(host: &Exposed, instance: &Instance) {
    host.desk.run(&["revoke-client", "cleo"]).exits(0);
    let close = ["revoke-client", "cleo", "--close-connections"];
    instance.hold_replica(1);
    let late = [&close[..], &["--timeout", "6s"]].concat();
    host.desk
        .run(&late)
        .exits(124)
        .says("istio-ingressgateway-1: it has not loaded AuthorizationPolicy istio-system/")
        .says("connections that were open before continue");
    instance.release_replica(1);
    let run = host.desk.run(&close).exits(0);
    run.says("closed within Envoy's drain time");
    host.is_healthy();
}

/// It has not loaded that the route is gone; the guard, which goes after that, tells a rerun the host.
fn a_replica_that_still_routes_an_unexposed_host(host: &Exposed, instance: &Instance) {
    instance.hold_replica(1);
    let says = format!("istio-ingressgateway-1: it still routes `{}`", host.host);
    for _ in 0..2 {
        host.desk
            .run(&["unexpose", "httpbin", "--timeout", "6s"])
            .exits(124)
            .says(&says)
            .says("run the same command again to delete the rest");
    }
    guard_of(host);
    instance.release_replica(1);
    let run = host.desk.run(&["unexpose", "httpbin"]).exits(0);
    assert!(!run.stderr.contains("was not seen"), "{run:#?}");
    let again = ["expose", "httpbin", "--host", &host.host, "--allow", "ada"];
    host.desk.run(&again).exits(0);
    host.is_healthy();
}

/// Neither another certificate in its Secret nor another Secret is taken for loaded.
fn a_replica_that_shows_the_former_server_certificate(instance: &Arc<Instance>) {
    let (desk, host) = own_namespace_on(instance, "given");
    let folder = desk.folder.path();
    for name in ["first", "second"] {
        made_by_openssl(folder, name, &host);
    }
    let expose = |source: &str, more: &[&str]| {
        let arguments = [
            "expose",
            "httpbin",
            "--host",
            &host,
            "--server-certificate",
            source,
        ];
        desk.run(&[&arguments[..], more].concat())
    };
    expose("first.crt,first.key", &[]).exits(0);
    let waits_in_vain = |source: &str, says: &str| {
        instance.hold_replica(1);
        for _ in 0..2 {
            expose(source, &["--timeout", "6s"]).exits(124).says(says);
        }
        instance.release_replica(1);
        expose(source, &[]).exits(0);
    };
    let another = "the proxy shows another server certificate than the Secret";
    waits_in_vain("second.crt,second.key", another);
    let [certificate, key] = ["first.crt", "first.key"].map(|name| folder.join(name));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let create = ["-n", "istio-system", "create", "secret", "tls", "theirs"];
    let files = ["--cert", &certificate, "--key", &key];
    desk.kubectl(&[&create[..], &files].concat(), "");
    waits_in_vain(
        "secret/theirs",
        "istio-ingressgateway-1: it does not use the server Secret `theirs` yet",
    );
}

/// It goes on, and nothing is missing there yet.
fn a_replica_without_a_connection_to_istiod(host: &Exposed, instance: &Instance) {
    instance.cut_replica(1);
    let finding = host.finds("proxy/cut-off", "error");
    let seen = "istio-ingressgateway-1 has no connection to istiod";
    assert_eq!(finding["seen"], seen);
    instance.release_replica(1);
    host.is_healthy();
}

/// It reads the same authority, and its proxies cannot take the new revocation list: whoever is revoked still passes TLS there.
fn a_second_server_of_the_gateway(host: &Exposed, beside: &Exposed) {
    let secret = host
        .desk
        .get("istio-system", "secret", beside.names.credential());
    let copy = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": "istio-system", "name": "second"}, "data": secret["data"],
    });
    host.desk.instance.create(vec![copy]).unwrap();
    let own = host.server();
    let mut second = own.clone();
    second["hosts"] = json!([beside_of(&host.host)]);
    second["port"]["name"] = "second".into();
    second["tls"]["credentialName"] = "second".into();
    let servers = json!({"spec": {"servers": [own, second]}});
    let namespace = &host.desk.namespace;
    host.patch(namespace, GATEWAY, "kyma-mtls-gateway", &servers);
    std::thread::sleep(Duration::from_secs(3));
    put_another_key(host, "second");
    std::thread::sleep(Duration::from_secs(3));
    let revoke = ["revoke-client", "ben", "--timeout", "8s"];
    let run = host.desk.run(&revoke);
    assert_eq!(run.code, 124, "{run:#?}");
}

const POLICIES: &str = "authorizationpolicies.security.istio.io";

fn beside_of(host: &str) -> String {
    format!("second-{host}")
}

fn put_another_key(exposed: &Exposed, secret: &str) {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let data = json!({"stringData": {"tls.key": key}});
    exposed.patch("istio-system", "secrets", secret, &data);
}

/// Exactly these clients may call the host, and all is well.
fn allows(host: &Exposed, clients: &str) {
    host.desk
        .run(&["expose", "httpbin", "--allow", clients])
        .exits(0);
    host.is_healthy();
}

/// The name of the host guard.
fn guard_of(host: &Exposed) -> String {
    let namespace = &host.desk.namespace;
    let begin = format!("{namespace}-httpbin-mtls-");
    let listed = host
        .desk
        .kubectl(&["-n", "istio-system", "get", POLICIES, "-o", "name"], "");
    let names = listed
        .lines()
        .filter_map(|line| Some(line.split_once('/')?.1));
    let mut names = names.filter(|name| name.starts_with(&begin));
    names
        .next()
        .unwrap_or_else(|| panic!("{begin} in {listed}"))
        .to_owned()
}
