//! Ways to a Service past the certificate check of its host: each is proven by a request, and `status` finds it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sandbox::{Caller, Reply};
use serde_json::{Value, json};

use crate::lab::{
    Desk, Run, call, eventually, gateway, own_namespace, own_namespace_on, plain_job, plugin,
    seen_by_application,
};
use crate::shop::Shop;
use crate::stage::{NAMESPACE, SERVICE, stage};

const FORGED: [(&str, &str); 2] = [
    ("X-CLIENT-SSL-CN", "CN=mallory"),
    ("X-CLIENT-SSL-SAN", "spiffe://mallory"),
];
const GATEWAYS: &str = "gateways.networking.istio.io";

/// The checks of this id that a run of `status` shows.
fn checks(run: &Run, id: &str) -> Vec<Value> {
    let report = run.json();
    let findings = report["findings"].as_array().unwrap();
    let meant = findings.iter().filter(|finding| finding["id"] == id);
    meant.cloned().collect()
}

/// `status` ends with 1 and one check of this id, which has these words and a remedy.
#[track_caller]
fn finds(desk: &Desk, arguments: &[&str], id: &str, severity: &str, words: &str) -> Value {
    let run = desk.run(&[&["status", "-o", "json"], arguments].concat());
    let found = checks(&run, id);
    assert_eq!(found.len(), 1, "{id}: {run:#?}");
    assert_eq!(found[0]["severity"], severity, "{run:#?}");
    let seen = found[0]["seen"].as_str().unwrap();
    assert!(seen.contains(words), "no `{words}` in {seen}");
    assert!(!found[0]["why"].as_str().unwrap().is_empty());
    assert!(found[0]["remedy"].as_str().unwrap().starts_with("kubectl "));
    assert_eq!(run.code, 1, "{run:#?}");
    found[0].clone()
}

/// What a caller without a certificate comes to, who takes every server for the right one and claims to be somebody.
fn forger(desk: &Desk, host: &str) -> Reply {
    call(&Caller::careless(desk.instance.connect_to()), host, &FORGED)
}

/// What a caller without a certificate comes to, who takes every server for the right one.
fn anybody(desk: &Desk, host: &str) -> Reply {
    call(&Caller::careless(desk.instance.connect_to()), host, &[])
}

/// Waits until a caller without a certificate reaches the application, and tells whom it takes them for.
#[track_caller]
fn impersonated(answer: impl Fn() -> Reply) -> [String; 2] {
    // Another look at one that was let in may come to a proxy that lags.
    let admitted = std::cell::RefCell::new(None);
    eventually("a caller without a certificate is let in", || {
        let reply = answer();
        let is_in = matches!(reply, Reply::Answered { status: 200, .. });
        *admitted.borrow_mut() = is_in.then_some(reply);
        is_in
    });
    let headers = seen_by_application(&admitted.into_inner().unwrap());
    ["X-Client-Ssl-Cn", "X-Client-Ssl-San"]
        .map(|name| headers[name].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn is_mallory(identity: &[String; 2]) {
    assert_eq!(identity, &["CN=mallory", "spiffe://mallory"]);
}

/// One request over plain HTTP.
fn plain(address: SocketAddr, host: &str) -> Reply {
    let start = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > Duration::from_secs(20) => {
                return Reply::Broken(error.to_string());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let forged: String = FORGED
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request =
        format!("GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{forged}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // A chunked body has the JSON between its sizes.
    let body = match (body.find('{'), body.rfind('}')) {
        (Some(begin), Some(end)) => &body[begin..=end],
        _ => body,
    };
    match status {
        Some(status) => Reply::Answered {
            status,
            body: body.to_owned(),
        },
        None => Reply::Broken(answer),
    }
}

/// A host of its own on Kyma.
fn exposed(purpose: &str) -> (Desk, String) {
    let (desk, host) = own_namespace(purpose);
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let healthy = desk.run(&["status", "-o", "json"]).exits(0);
    assert_eq!(healthy.json()["findings"], json!([]));
    (desk, host)
}

/// The same without Kyma.
fn exposed_on_plain_istio(purpose: &str) -> (Desk, String) {
    let (desk, host) = own_namespace_on(&plain_job().instance, purpose);
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let healthy = desk.run(&["status", "-o", "json"]);
    let ids: Vec<&Value> = Vec::new();
    let found = healthy.json();
    let found: Vec<&Value> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"].is_string())
        .collect();
    assert_eq!(found, ids);
    (desk, host)
}

fn patch(desk: &Desk, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    let arguments = [
        "-n",
        &desk.namespace,
        "patch",
        kind,
        name,
        "--type=json",
        "-p",
        &patch,
    ];
    desk.kubectl(&arguments, "");
}

fn set_mode(desk: &Desk, mode: &str) {
    let change = json!([{"op": "replace", "path": "/spec/servers/0/tls/mode", "value": mode}]);
    patch(desk, GATEWAYS, "kyma-mtls-gateway", &change);
}

#[test]
fn a_gateway_of_ours_without_its_certificate_check_is_an_error_however_status_is_asked() {
    let (desk, host) = exposed("weakened");
    for mode in ["SIMPLE", "OPTIONAL_MUTUAL"] {
        set_mode(&desk, mode);
        eventually("anybody is let in", || {
            matches!(anybody(&desk, &host), Reply::Answered { status: 200, .. })
        });
        // The header guard stands by the name of the server, whatever its mode.
        eventually("nobody is taken for somebody else", || {
            matches!(forger(&desk, &host), Reply::Answered { status: 403, .. })
        });
        for asked in [&[][..], &[host.as_str()], &["httpbin"]] {
            let words = format!("`{host}` on port 443 in mode {mode}");
            let check = finds(&desk, asked, "gateway/weakened", "error", &words);
            let remedy = format!("kubectl mtls expose httpbin -n {}", desk.namespace);
            assert_eq!(check["remedy"], remedy);
        }
        // Without a namespace it is among all others.
        let mut variables: Vec<_> = desk.instance.variables().into();
        variables.push((
            "KUBECONFIG",
            desk.instance.kubeconfig().display().to_string(),
        ));
        let all = plugin(desk.folder.path(), &variables, &["status", "-o", "json"]).exits(1);
        let mut found = checks(&all, "gateway/weakened").into_iter();
        assert!(found.any(|check| check["seen"].as_str().unwrap().contains(&host)));
    }
    set_mode(&desk, "MUTUAL");
    eventually("nobody is let in without a certificate", || {
        matches!(forger(&desk, &host), Reply::Refused(_))
    });
    desk.run(&["status"]).exits(0);
    // Nothing is left of it but a server without TLS.
    let open = json!({"hosts": [host], "port": {"name": "http", "number": 80, "protocol": "HTTP"}});
    let replace = json!([{"op": "replace", "path": "/spec/servers/0", "value": open}]);
    patch(&desk, GATEWAYS, "kyma-mtls-gateway", &replace);
    let address = plain_address(&desk);
    is_mallory(&impersonated(|| plain(address, &host)));
    let words = format!("`{host}` on port 80 in mode HTTP");
    for asked in [&[][..], &[host.as_str()], &["httpbin"]] {
        finds(&desk, asked, "gateway/weakened", "error", &words);
    }
}

#[test]
fn a_route_of_ours_whose_gateway_was_deleted_is_an_error_however_status_is_asked() {
    let (desk, host) = exposed("gateless");
    desk.kubectl(
        &[
            "-n",
            &desk.namespace,
            "delete",
            GATEWAYS,
            "kyma-mtls-gateway",
        ],
        "",
    );
    for asked in [&[][..], &[host.as_str()], &["httpbin"]] {
        finds(
            &desk,
            asked,
            "gateway/missing",
            "error",
            "kyma-mtls-gateway does not exist",
        );
    }
    let shown = desk.run(&["status"]).exits(1).stdout;
    assert!(
        shown.contains(&host) && !shown.contains("no Gateway with mutual TLS"),
        "{shown}"
    );
}

#[test]
fn a_gateway_of_ours_that_reads_another_client_ca_is_an_error() {
    let (desk, host) = exposed("swapped");
    let change = json!([
        {"op": "replace", "path": "/spec/servers/0/tls/caCertCredentialName", "value": "others-cacert"},
    ]);
    patch(&desk, GATEWAYS, "kyma-mtls-gateway", &change);
    let words = "by Secret istio-system/others-cacert, not by";
    finds(&desk, &[&host], "gateway/client-ca-changed", "error", words);
}

#[test]
fn a_kyma_gateway_of_a_shape_that_stops_every_api_rule_is_an_error() {
    let stage = stage();
    stage.clear();
    let desk = Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", SERVICE]).exits(0);
    let kymas = [
        "-n",
        "kyma-system",
        "patch",
        GATEWAYS,
        "kyma-gateway",
        "--type=json",
        "-p",
    ];
    let second = json!({
        "hosts": ["*.second.example.com"], "port": {"number": 443, "name": "second", "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": "x"},
    });
    let add = json!([{"op": "add", "path": "/spec/servers/-", "value": second}]).to_string();
    desk.kubectl(&[&kymas[..], &[&add]].concat(), "");
    let run = desk.run(&["status", "-o", "json"]);
    let remove = json!([{"op": "remove", "path": "/spec/servers/2"}]).to_string();
    desk.kubectl(&[&kymas[..], &[&remove]].concat(), "");
    let found = checks(&run.exits(1), "kyma-gateway/shape");
    assert_eq!(found.len(), 1);
    assert!(
        found[0]["seen"]
            .as_str()
            .unwrap()
            .ends_with("the Gateway has 2 HTTPS servers")
    );
    desk.run(&["status"]).exits(0);
}

#[test]
fn an_allow_list_on_which_nobody_has_a_valid_certificate_is_an_error() {
    let shop = Shop::open("deserted-list", &["alice", "bob"]);
    let desk = &shop.desk;
    desk.run(&["expose", "httpbin", "--allow", "alice"])
        .exits(0);
    let healthy = desk.run(&["status", "-o", "json"]).exits(0);
    assert_eq!(healthy.json()["findings"], json!([]));
    shop.revoke(&["alice"]).exits(0);
    let words = "none of them has a valid certificate";
    finds(desk, &[], "allow-list/nobody", "error", words);
    // The one who has a certificate is not on the list.
    eventually("bob is denied", || {
        matches!(shop.call("bob"), Reply::Answered { status: 403, .. })
    });
}

#[test]
fn a_second_api_rule_on_kymas_own_gateway_is_an_external_route() {
    let (desk, host) = exposed("second-rule");
    let open = format!("{}.{}", desk.namespace, desk.instance.domain());
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": desk.namespace, "name": "open"},
        "spec": {
            "gateway": "kyma-system/kyma-gateway", "hosts": [open],
            "service": {"name": "httpbin", "port": 8000},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    desk.instance.create(vec![rule]).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let check = finds(
        &desk,
        &[&host],
        "external-route/open",
        "error",
        "/open sends requests for",
    );
    let remedy = format!(
        "kubectl delete apirules.gateway.kyma-project.io -n {} open",
        desk.namespace
    );
    assert_eq!(check["remedy"], remedy);
    assert!(
        check["why"]
            .as_str()
            .unwrap()
            .contains("can choose the identity headers")
    );
    // expose says the same, and leaves it to whoever made it.
    desk.run(&["expose", "httpbin"])
        .exits(0)
        .says(check["seen"].as_str().unwrap())
        .says("can choose the identity headers")
        .says(&remedy);
}

/// Kyma's policy of the `APIRule` admits requests for its own host only, whatever Gateway they came through.
#[test]
fn a_virtual_service_that_sets_the_name_of_the_host_as_a_header_is_an_external_route() {
    let (desk, host) = exposed("other-name");
    let open = format!("{}.{}", desk.namespace, desk.instance.domain());
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "renamed"},
        "spec": {"hosts": [open], "gateways": ["kyma-system/kyma-gateway"], "http": [{
            "headers": {"request": {"set": {"Host": host}}},
            "route": [{"destination": {"host": "httpbin", "port": {"number": 8000}}}],
        }]},
    });
    desk.instance.create(vec![route]).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let words = format!("VirtualService {}/renamed sends requests", desk.namespace);
    finds(&desk, &[&host], "external-route/open", "error", &words);
}

#[test]
fn a_virtual_service_on_another_gateway_is_an_external_route() {
    let (desk, host) = exposed_on_plain_istio("side-door");
    let own = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let credential = own["spec"]["servers"][0]["tls"]["credentialName"].clone();
    let open = format!("{}.open.example.com", desk.namespace);
    let tls = json!({"mode": "SIMPLE", "credentialName": credential});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": desk.namespace, "name": "side"},
        "spec": {"hosts": [open], "gateways": ["side"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}]}]},
    });
    let objects = vec![gateway(&desk.namespace, "side", &[&open], &tls), route];
    desk.instance.create(objects).unwrap();
    is_mallory(&impersonated(|| forger(&desk, &open)));
    let words = format!(
        "from port 443 (SIMPLE) of the Gateway {}/side",
        desk.namespace
    );
    finds(&desk, &[&host], "external-route/open", "error", &words);
    desk.run(&["expose", "httpbin"]).exits(0).says(&words);
}

#[test]
fn an_ingress_is_an_external_route() {
    let (desk, host) = exposed_on_plain_istio("ingressed");
    let open = format!("{}.open.example.com", desk.namespace);
    let backend = json!({"service": {"name": "httpbin", "port": {"number": 8000}}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": desk.namespace, "name": "side", "annotations": {"kubernetes.io/ingress.class": "istio"}},
        "spec": {"rules": [{"host": open, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    });
    desk.instance.create(vec![ingress]).unwrap();
    let address = plain_address(&desk);
    is_mallory(&impersonated(|| plain(address, &open)));
    let words = format!("Ingress {}/side sends requests for {open}", desk.namespace);
    finds(&desk, &[&host], "external-route/open", "error", &words);
    desk.run(&["expose", "httpbin"]).exits(0).says(&words);
}

/// A Pod behind the Service on which no policy acts.
fn run_without_sidecar(desk: &Desk) {
    let service = desk.get(&desk.namespace, "service", "httpbin");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": desk.namespace, "name": "bare", "labels": service["spec"]["selector"]},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    });
    desk.instance.create(vec![pod]).unwrap();
}

#[test]
fn services_that_lead_to_the_same_pods_from_outside_are_external_routes() {
    let (desk, host) = exposed_on_plain_istio("outside");
    run_without_sidecar(&desk);
    let service = desk.get(&desk.namespace, "service", "httpbin");
    let entry = desk.get(&desk.namespace, "workloadentry", "httpbin");
    let ip = entry["spec"]["address"].as_str().unwrap();
    // Endpoints that nobody selects; those of the exposed Service its controller would write. No slice may hold a loopback address.
    let slices = ["httpbin", "public"].map(|name| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": desk.namespace, "name": format!("{name}-own"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.7"]}],
        })
    });
    for (kind, selects) in [
        ("NodePort", true),
        ("LoadBalancer", true),
        ("LoadBalancer", false),
    ] {
        let mut public = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": desk.namespace, "name": "public"},
            "spec": {"type": kind, "selector": service["spec"]["selector"], "ports": [
                {"port": 80, "targetPort": service["spec"]["ports"][0]["targetPort"]},
            ]},
        });
        if !selects {
            public["spec"]["selector"] = Value::Null;
            desk.instance.create(slices.to_vec()).unwrap();
        }
        desk.instance.create(vec![public]).unwrap();
        // What a node does with such a request: it goes to an endpoint, past every gateway.
        let port = &service["spec"]["ports"][0]["targetPort"];
        let endpoint = format!("{ip}:{port}").parse().unwrap();
        is_mallory(&impersonated(|| plain(endpoint, &host)));
        let words = format!("public of type {kind} leads to the Pods");
        finds(&desk, &[&host], "external-route/open", "error", &words);
        desk.run(&["expose", "httpbin"]).exits(0).says(&words);
        desk.kubectl(&["-n", &desk.namespace, "delete", "service", "public"], "");
    }
}

#[test]
fn pods_without_a_sidecar_are_a_warning_where_no_kyma_sees_to_it() {
    let (desk, host) = exposed_on_plain_istio("bare");
    run_without_sidecar(&desk);
    let words = "1 of 1 Pods of the Service";
    finds(&desk, &[&host], "workload/no-sidecar", "warning", words);
}

/// The address of a proxy's listener for port 80.
fn plain_address(desk: &Desk) -> SocketAddr {
    let proxy = &desk.instance.replicas()[0];
    let pod = desk.get("istio-system", "pod", &proxy.pod);
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    let http = ports.iter().find(|port| port["name"] == "http2").unwrap();
    let port = http["containerPort"].as_u64().unwrap();
    SocketAddr::new(proxy.tls().ip(), port.try_into().unwrap())
}

/// What a caller comes to, in figures.
fn code(reply: &Reply) -> String {
    match reply {
        Reply::Answered { status, .. } => status.to_string(),
        other => other.to_string(),
    }
}

/// A Secret beside the proxies with the CA of the server certificates as a client CA, and a client of it; both last as long as this.
struct OtherCa<'a> {
    desk: &'a Desk,
    secret: String,
    client: (String, String),
}

impl<'a> OtherCa<'a> {
    fn new(desk: &'a Desk) -> Self {
        let secret = format!("{}-other-cacert", desk.namespace);
        let cacert = desk.instance.stand_ins().root_certificate();
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": {"cacert": cacert},
            "metadata": {"namespace": "istio-system", "name": secret},
        });
        desk.instance.create(vec![object]).unwrap();
        let client = desk.instance.stand_ins().client_of_the_issuer().unwrap();
        Self {
            desk,
            secret,
            client,
        }
    }
}

impl Drop for OtherCa<'_> {
    fn drop(&mut self) {
        let delete = ["-n", "istio-system", "delete", "secret", &self.secret];
        self.desk.kubectl(&delete, "");
    }
}

/// Every server of the Gateway object through which a request for the host gets past its certificate check, on real proxies.
#[test]
fn another_server_of_the_gateway_is_an_error_and_behind_the_host_guard_a_warning() {
    let (desk, _) = own_namespace("servers");
    let below = format!("{}.own.{}", desk.namespace, desk.instance.domain());
    let (host, other) = (format!("a.{below}"), format!("b.{below}"));
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    desk.run(&["status"]).exits(0);
    let other_ca = OtherCa::new(&desk);
    let own = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let tls = own["spec"]["servers"][0]["tls"].clone();
    let with = |fields: Value| {
        let mut tls = tls.clone();
        tls.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        tls
    };
    let wildcard = format!("*.{below}");
    let https = |name: &str, hosts: &str, port: u16, tls: Value| json!({"hosts": [hosts], "port": {"number": port, "name": name, "protocol": "HTTPS"}, "tls": tls});
    let (certificate, key) = &other_ca.client;
    let nobody = Caller::careless(desk.instance.connect_to()).with_server_name(&other);
    let theirs = nobody.clone().with_certificate(certificate, key);
    let elsewhere = SocketAddr::new(desk.instance.replicas()[0].pod_ip.into(), OTHER_PORT);
    let at_other_port = Caller::careless(elsewhere.to_string()).with_certificate(certificate, key);
    let plain_code = || code(&plain(plain_address(&desk), &host));
    let by_nobody = || code(&call(&nobody, &host, &[]));
    let by_theirs = || code(&call(&theirs, &host, &[]));
    let by_port = || code(&call(&at_other_port, &host, &[]));
    let optional = with(json!({"mode": "OPTIONAL_MUTUAL"}));
    let careless = with(json!({"insecureSkipVerify": true}));
    let trusting_theirs = with(json!({"caCertCredentialName": other_ca.secret}));
    let rows: [(Value, &str, &dyn Fn() -> String); 6] = [
        (
            json!({"hosts": [host], "port": {"number": 80, "name": "plain", "protocol": "HTTP"}}),
            "server `plain` (port 80, HTTP)",
            &plain_code,
        ),
        (
            https("simple", &wildcard, 443, with(json!({"mode": "SIMPLE"}))),
            "server `simple` (port 443, HTTPS SIMPLE)",
            &by_nobody,
        ),
        (
            https("optional", &wildcard, 443, optional),
            "server `optional` (port 443, HTTPS OPTIONAL_MUTUAL)",
            &by_nobody,
        ),
        (
            https("careless", &wildcard, 443, careless),
            "server `careless` (port 443, HTTPS MUTUAL, insecureSkipVerify)",
            &by_theirs,
        ),
        (
            https("theirs", &wildcard, 443, trusting_theirs.clone()),
            "server `theirs` (port 443, HTTPS MUTUAL)",
            &by_theirs,
        ),
        (
            https("port", &host, OTHER_PORT, trusting_theirs),
            "server `port` (port 18443, HTTPS MUTUAL)",
            &by_port,
        ),
    ];
    let add = |server: &Value| {
        let add = json!([{"op": "add", "path": "/spec/servers/1", "value": server}]);
        patch(&desk, GATEWAYS, "kyma-mtls-gateway", &add);
    };
    let remove = || {
        let remove = json!([{"op": "remove", "path": "/spec/servers/1"}]);
        patch(&desk, GATEWAYS, "kyma-mtls-gateway", &remove);
    };
    for (server, words, answer) in rows {
        add(&server);
        eventually(&format!("others get in by {words}"), || answer() == "200");
        let check = finds(&desk, &[&host], "gateway/other-server", "error", words);
        let remedy = format!("kubectl mtls expose httpbin -n {} --guard", desk.namespace);
        assert_eq!(check["remedy"], remedy);
        desk.run(&["expose", "httpbin"])
            .exits(2)
            .says(words)
            .says("--guard");
        desk.run(&["expose", "httpbin", "--guard"]).exits(0);
        assert_eq!(answer(), "403", "{words}");
        finds(&desk, &[&host], "gateway/other-server", "warning", words);
        remove();
        desk.run(&["expose", "httpbin", "--guard=false"]).exits(0);
    }
    // With the same host string on the same port nothing tells the two apart.
    add(&https("same", &host, 443, with(json!({"mode": "SIMPLE"}))));
    for flags in [&[][..], &["--guard"]] {
        desk.run(&[&["expose", "httpbin"], flags].concat())
            .exits(2)
            .says("server `same` (port 443, HTTPS SIMPLE)")
            .says("`--guard` does not help");
    }
    desk.run(&["status"]).exits(1);
    remove();
    desk.run(&["status"]).exits(0);
}

/// A port that the Service in front of the proxies does not have; they listen on it as the Gateway says.
const OTHER_PORT: u16 = 18443;

/// The host guard of a Service as `expose --allow` wrote it.
struct Guard {
    shop: Shop,
    name: String,
}

impl Guard {
    fn open(purpose: &str) -> Self {
        let shop = Shop::open(purpose, &["alice", "bob"]);
        shop.desk
            .run(&["expose", "httpbin", "--allow", "alice"])
            .exits(0);
        let namespace = &shop.desk.namespace;
        let name =
            kubectl_mtls::resources::guard::host_reference("istio-system", namespace, "httpbin")
                .name;
        Self { shop, name }
    }

    fn kubectl(&self, arguments: &[&str]) {
        let all = [&["-n", "istio-system"], arguments].concat();
        self.shop.desk.kubectl(&all, "");
    }

    fn patch(&self, patch: &Value) {
        let text = patch.to_string();
        self.kubectl(&[
            "patch",
            "authorizationpolicy",
            &self.name,
            "--type=json",
            "-p",
            &text,
        ]);
    }

    fn status_of_bob(&self) -> Option<u16> {
        match self.shop.call("bob") {
            Reply::Answered { status, .. } => Some(status),
            _ => None,
        }
    }
}

#[test]
fn a_guard_that_somebody_weakened_is_an_error_while_it_lets_others_in() {
    let guard = Guard::open("weak-guard");
    let desk = &guard.shop.desk;
    assert_eq!(guard.status_of_bob(), Some(403));
    desk.run(&["status"]).exits(0);
    let reference = ["authorizationpolicy", guard.name.as_str()];
    let annotate = |value: &str| guard.kubectl(&[&["annotate"], &reference[..], &[value]].concat());
    let label = |value: &str| guard.kubectl(&[&["label"], &reference[..], &[value]].concat());
    let audit = json!([{"op": "replace", "path": "/spec/action", "value": "AUDIT"}]);
    let other = json!([{"op": "replace", "path": "/spec/selector", "value": {"matchLabels": {"app": "other"}}}]);
    let opened = json!([{"op": "replace", "path": "/spec/rules/0/from/0/source/notPrincipals", "value": ["*"]}]);
    let foreign = json!([
        {"op": "replace", "path": "/spec/rules/0/to/0/operation/hosts", "value": ["other.example.com"]},
    ]);
    let ways: [(&str, &dyn Fn()); 7] = [
        ("the action of the guard is `AUDIT`", &|| {
            guard.patch(&audit);
        }),
        ("the selector of the guard selects other proxies", &|| {
            guard.patch(&other);
        }),
        ("the rules of the guard were changed", &|| {
            guard.patch(&opened);
        }),
        ("the rules of the guard were changed", &|| {
            guard.patch(&foreign);
        }),
        ("`istio.io/dry-run` disables the guard", &|| {
            annotate("istio.io/dry-run=true");
        }),
        ("`istio.io/rev=canary`", &|| label("istio.io/rev=canary")),
        ("does not exist", &|| {
            guard.kubectl(&[&["delete"], &reference[..]].concat());
        }),
    ];
    for (words, weaken) in ways {
        weaken();
        let open = format!("bob is let in: {words}");
        eventually(&open, || guard.status_of_bob() == Some(200));
        let id = if words == "does not exist" {
            "guard/missing"
        } else {
            "guard/weakened"
        };
        finds(desk, &[], id, "error", words);
        desk.run(&["expose", "httpbin"]).exits(0);
        eventually("bob is denied again", || guard.status_of_bob() == Some(403));
        desk.run(&["status"]).exits(0);
    }
}
