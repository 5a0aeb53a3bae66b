//! A Gateway of the Kubernetes Gateway API that reads an authority, on real proxies.

use sandbox::{Caller, Environment, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, Run, call, call_new, eventually, seen_by_application, started};
use crate::layout_roles::{Layout, commands_work_under_their_roles};

const OWN: &str = "httpbin.mtls.local.kyma.dev";
const THEIRS: &str = "web.mtls.local.kyma.dev";

/// A Gateway on the default proxies with the authority's `ConfigMap`, and a route to the Service.
fn web(secret: &str) -> Vec<Value> {
    let api = "gateway.networking.k8s.io/v1";
    let ca = json!({
        "group": "", "kind": "ConfigMap", "name": "kyma-mtls", "namespace": "kubectl-mtls",
    });
    let gateway = json!({
        "apiVersion": api, "kind": "Gateway",
        "metadata": {"name": "web", "namespace": "istio-system"},
        "spec": {
            "gatewayClassName": "istio",
            "addresses": [{
                "type": "Hostname", "value": "istio-ingressgateway.istio-system.svc.cluster.local",
            }],
            "listeners": [{
                "name": "web", "port": 443, "protocol": "HTTPS", "hostname": THEIRS,
                "tls": {"mode": "Terminate", "certificateRefs": [{"name": secret}]},
                "allowedRoutes": {"namespaces": {"from": "All"}},
            }],
            "tls": {"frontend": {"default": {"validation": {"caCertificateRefs": [ca]}}}},
        },
    });
    let grant = json!({
        "apiVersion": api, "kind": "ReferenceGrant",
        "metadata": {"name": "web", "namespace": "kubectl-mtls"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "istio-system"}],
            "to": [{"group": "", "kind": "ConfigMap"}],
        },
    });
    let route = json!({
        "apiVersion": api, "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "parentRefs": [{"name": "web", "namespace": "istio-system", "sectionName": "web"}],
            "hostnames": [THEIRS],
            "rules": [{"backendRefs": [{"name": "httpbin", "port": 8000}]}],
        },
    });
    vec![grant, gateway, route]
}

fn client(desk: &Desk, name: &str) -> Caller {
    let [certificate, key] = ["crt", "key"].map(|suffix| desk.read(&format!("{name}.{suffix}")));
    let door = &desk.instance.gateways()[0].connect_to;
    let caller = Caller::new(door, &desk.read("server-ca.crt"));
    caller.with_certificate(&certificate, &key)
}

/// The answers to a client at the host of each Gateway.
fn answers(desk: &Desk, hosts: &[&str], name: &str) -> Vec<Reply> {
    let caller = client(desk, name);
    hosts.iter().map(|host| call(&caller, host, &[])).collect()
}

#[track_caller]
fn admits(desk: &Desk, hosts: &[&str], name: &str) {
    let caller = client(desk, name);
    for host in hosts {
        let reply = call_new(&caller, host, &[]);
        let is_in = matches!(reply, Reply::Answered { status: 200, .. });
        assert!(is_in, "{name} at {host}: {reply:?}");
    }
}

/// The Gateways at which a revocation was verified.
fn seen(run: &Run) -> Vec<String> {
    let seen = run.json()["seen"].clone();
    let gateways = seen.as_array().unwrap().iter();
    gateways
        .map(|at| at["gateway"].as_str().unwrap().to_owned())
        .collect()
}

/// What `status` finds on routes to the Service past the certificate check of its host.
fn external_routes(desk: &Desk) -> Vec<Value> {
    let report = desk.run(&["status", "-o", "json"]).json();
    let findings = report["findings"].as_array().unwrap().iter();
    let is_route = |finding: &&Value| {
        let id = finding["id"].as_str();
        id.is_some_and(|id| id.starts_with("external-route/"))
    };
    findings.filter(is_route).cloned().collect()
}

/// The Gateway that reads the authority admits the clients of the host, and the header guard holds for its host, which lies under ours; one
/// without a client CA admits anybody to the same Service.
fn routes_of_others_to_the_service_are_external_routes(desk: &Desk, secret: &str) {
    const OPEN: &str = "open.example.com";
    let forged = [("X-CLIENT-SSL-CN", "CN=mallory")];
    let by_alice = call(&client(desk, "alice"), THEIRS, &forged);
    assert!(
        matches!(by_alice, Reply::Answered { status: 403, .. }),
        "{by_alice}"
    );
    assert_eq!(external_routes(desk), [] as [Value; 0]);
    let [_, mut gateway, mut route] = <[Value; 3]>::try_from(web(secret)).unwrap();
    for object in [&mut gateway, &mut route] {
        object["metadata"]["name"] = "open".into();
    }
    gateway["spec"]["tls"] = Value::Null;
    gateway["spec"]["listeners"][0]["hostname"] = OPEN.into();
    route["spec"]["parentRefs"][0]["name"] = "open".into();
    route["spec"]["hostnames"] = json!([OPEN]);
    desk.instance.create(vec![gateway, route]).unwrap();
    let anybody = Caller::careless(desk.instance.connect_to());
    let answer = || call(&anybody, OPEN, &forged);
    eventually("anybody is let in", || {
        matches!(answer(), Reply::Answered { status: 200, .. })
    });
    let headers = seen_by_application(&answer());
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=mallory");

    let found = external_routes(desk);
    let [found] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(found["id"], "external-route/open");
    let words = format!(
        "HTTPRoute shop/open sends requests for {OPEN} from port 443 (SIMPLE) of the Gateway istio-system/open"
    );
    let seen = found["seen"].as_str().unwrap();
    assert!(seen.starts_with(&words), "{seen}");
    let warned = desk.run(&["expose", "httpbin"]).exits(0).says(&words);
    assert!(!warned.stderr.contains("HTTPRoute shop/web"), "{warned:#?}");
    let [of_kubernetes, routes] =
        ["gateways", "httproutes"].map(|kind| format!("{kind}.gateway.networking.k8s.io"));
    for (namespace, kind) in [("istio-system", of_kubernetes), ("shop", routes)] {
        desk.kubectl(&["-n", namespace, "delete", &kind, "open"], "");
    }
}

/// Gateways of somebody with servers that pass connections through, which istiod does not serve: one is of another controller, one has
/// no route.
fn hollow() -> Vec<Value> {
    let listener = json!({
        "name": "all", "port": 443, "protocol": "TLS", "hostname": "*.mtls.local.kyma.dev",
        "tls": {"mode": "Passthrough"},
    });
    let address = json!({
        "type": "Hostname", "value": "istio-ingressgateway.istio-system.svc.cluster.local",
    });
    let of_another = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "hollow", "namespace": "default"},
        "spec": {"gatewayClassName": "another", "addresses": [address], "listeners": [listener]},
    });
    let server = json!({
        "hosts": ["zzz.mtls.local.kyma.dev"], "port": {"name": "zzz", "number": 443, "protocol": "TLS"},
        "tls": {"mode": "PASSTHROUGH"},
    });
    let selector = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
    let without_route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "hollow", "namespace": "default"},
        "spec": {"selector": selector, "servers": [server]},
    });
    vec![of_another, without_route]
}

/// The server names of servers that pass connections through are exempt from the guards. Where such a server takes none of them, they
/// come to the mutual-TLS server, whose clients are judged all the same.
fn nobody_gets_in_by_a_name_that_the_guards_spare(desk: &Desk) {
    desk.instance.create(hollow()).unwrap();
    desk.run(&["expose", "httpbin", "--allow", "alice"])
        .exits(0);
    let forged = [("x_client_ssl_cn", "CN=mallory")];
    for server_name in [OWN, "zzz.mtls.local.kyma.dev", "yyy.mtls.local.kyma.dev"] {
        let status = |name: &str, headers: &[(&str, &str)]| {
            let caller = client(desk, name).with_server_name(server_name);
            match call(&caller, OWN, headers) {
                Reply::Answered { status, .. } => status,
                reply => panic!("{name} by {server_name}: {reply}"),
            }
        };
        let seen = [("alice", &[][..]), ("bob", &[]), ("alice", &forged)];
        let seen = seen.map(|(name, headers)| status(name, headers));
        assert_eq!(seen, [200, 403, 403], "{server_name}");
    }
    desk.run(&["expose", "httpbin", "--allow-any"]).exits(0);
    let of_istio = "gateways.networking.istio.io";
    for kind in ["gateways.gateway.networking.k8s.io", of_istio] {
        desk.kubectl(&["-n", "default", "delete", kind, "hollow"], "");
    }
}

/// `expose` tells a Gateway of this kind where it matters, and takes nothing of it.
fn the_other_gateway_is_told(desk: &Desk) {
    let api = "of the Kubernetes Gateway API";
    let shared = format!("Gateway `istio-system/web` {api}): a browser then uses one HTTP/2");
    desk.run(&["expose", "httpbin"]).exits(0).says(&shared);
    desk.run(&["expose", "httpbin", "--gateway", "istio-system/web"])
        .exits(2)
        .says("`istio-system/web` is a Gateway of the Kubernetes Gateway API (class `istio`)")
        .says("nothing was changed");
    desk.instance.deploy_echo("shop", "other").unwrap();
    desk.run(&[
        "expose",
        "other",
        "--host",
        THEIRS,
        "--gateway",
        "shop/other",
    ])
    .exits(2)
    .says(&format!(
        "is served by the Gateway `istio-system/web` {api} already"
    ))
    .says("nothing was changed");
    // The Service is reached through that Gateway too, by the same clients.
    let status = desk.run(&["status", "-o", "json"]);
    let report = status.json();
    assert_eq!(report["findings"], json!([]), "{status:#?}");
    let listed = desk.run(&["list-clients"]).exits(0);
    assert!(listed.stdout.contains("alice"), "{listed:#?}");
}

#[test]
fn one_that_reads_the_authority_is_waited_for_by_whatever_changes_trust() {
    let instance = started(Environment::KubernetesGateway);
    instance.deploy_echo("shop", "httpbin").unwrap();
    let desk = Desk::new(&instance, "shop");
    let layout = Layout {
        ingress: &["istio-system"],
        istiod: "istio-system",
        revisions: &[],
    };
    commands_work_under_their_roles(&desk, &layout);
    desk.run(&["expose", "httpbin"]).exits(0);
    let own = "shop/kyma-mtls-gateway";
    let query = [
        "get",
        "gateways.networking.istio.io",
        "-n",
        "shop",
        "-o",
        "jsonpath={.items[0].spec.servers[0].tls.credentialName}",
    ];
    let secret = desk.kubectl(&query, "");
    instance.create(web(&secret)).unwrap();
    desk.run(&["issue-client", "alice", "bob", "carol"])
        .exits(0);
    let both = [OWN, THEIRS];
    // Nobody waited for this Gateway yet.
    eventually("the Gateway serves", || {
        let answers = answers(&desk, &[THEIRS], "alice");
        matches!(answers[..], [Reply::Answered { status: 200, .. }])
    });
    admits(&desk, &both, "alice");
    the_other_gateway_is_told(&desk);
    nobody_gets_in_by_a_name_that_the_guards_spare(&desk);
    routes_of_others_to_the_service_are_external_routes(&desk, &secret);

    // When the command ends, both Gateways reject the revoked client.
    let revoked = desk.run(&["revoke-client", "bob", "-o", "json"]).exits(0);
    assert_eq!(seen(&revoked), [own, "istio-system/web"]);
    let refused = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(
        answers(&desk, &both, "bob"),
        [refused.clone(), refused.clone()]
    );
    admits(&desk, &both, "alice");

    let rotated = desk.run(&["ca-rotate"]).exits(0);
    assert!(rotated.stdout.contains("istio-system/web"), "{rotated:#?}");
    desk.run(&["renew-client", "alice", "--force"]).exits(0);
    admits(&desk, &both, "alice");

    // Its authority outlives our Gateway, and goes on being changed for it.
    let removed = desk
        .run(&["unexpose", "httpbin", "--purge", "--yes"])
        .exits(0)
        .says("istio-system/web");
    // Nor does it take away a server Secret that the other Gateway uses.
    assert!(
        removed.stdout.contains("Kubernetes Gateway API"),
        "{removed:#?}"
    );
    assert!(
        !removed.stdout.contains("delete configmaps,secrets"),
        "{removed:#?}"
    );
    let finalizers = [
        "get",
        "configmap",
        "kyma-mtls",
        "-n",
        "kubectl-mtls",
        "-o",
        "jsonpath={.metadata.finalizers}",
    ];
    assert!(desk.kubectl(&finalizers, "").contains("kubectl-mtls"));
    admits(&desk, &[THEIRS], "alice");
    let revoked = desk.run(&["revoke-client", "carol", "-o", "json"]).exits(0);
    assert_eq!(seen(&revoked), ["istio-system/web"]);
    assert_eq!(answers(&desk, &[THEIRS], "carol"), [refused]);

    // A replica that is held back is waited for, and named.
    instance.hold_replica(1);
    let held = desk.run(&["revoke-client", "alice", "--timeout", "5s"]);
    instance.release_replica(1);
    held.exits(124)
        .says("istio-ingressgateway-1 of istio-system/web");
    desk.run(&["revoke-client", "alice"]).exits(0);

    // The command that `unexpose` printed removes the finalizer.
    let printed = removed
        .stderr
        .split('`')
        .find(|text| text.starts_with("kubectl patch"));
    let arguments: Vec<&str> = printed.unwrap().split_whitespace().skip(1).collect();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| word.trim_matches('\''))
        .collect();
    desk.kubectl(&arguments, "");
    assert_eq!(desk.kubectl(&finalizers, ""), "");
}
