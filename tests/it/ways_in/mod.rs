//! Ways to a Service past the certificate check of its host: each is proven by a request, and `status` finds it.

mod external_routes;
mod guard;
mod other_servers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sandbox::{Caller, Reply};
use serde_json::{Value, json};

use crate::lab::{
    Desk, Run, call, eventually, own_namespace, own_namespace_on, plain_job, plugin,
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

/// `status` without a namespace ends with 1 and has a check of this id with these words, among those of all others.
#[track_caller]
fn finds_without_a_namespace(desk: &Desk, id: &str, words: &str) {
    let mut variables: Vec<_> = desk.instance.variables().into();
    let kubeconfig = desk.instance.kubeconfig().display().to_string();
    variables.push(("KUBECONFIG", kubeconfig));
    let all = plugin(desk.folder.path(), &variables, &["status", "-o", "json"]).exits(1);
    let found = checks(&all, id);
    let has_words = |check: &Value| check["seen"].as_str().unwrap().contains(words);
    assert!(found.iter().any(has_words), "no `{words}` in {found:#?}");
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

/// One request over plain HTTP, by a caller who claims to be somebody.
fn plain(address: SocketAddr, host: &str) -> Reply {
    plain_with(address, host, &FORGED)
}

/// One request over plain HTTP with these headers.
fn plain_with(address: SocketAddr, host: &str, headers: &[(&str, &str)]) -> Reply {
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
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request =
        format!("GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
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

/// The address of a proxy's listener for port 80.
fn plain_address(desk: &Desk) -> SocketAddr {
    let proxy = &desk.instance.replicas()[0];
    let pod = desk.get("istio-system", "pod", &proxy.pod);
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    let http = ports.iter().find(|port| port["name"] == "http2").unwrap();
    let port = http["containerPort"].as_u64().unwrap();
    SocketAddr::new(proxy.tls().ip(), port.try_into().unwrap())
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
        finds_without_a_namespace(&desk, "gateway/weakened", &host);
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
    finds_without_a_namespace(&desk, "gateway/weakened", &words);
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
    let words = format!(
        "Gateway {}/kyma-mtls-gateway does not exist",
        desk.namespace
    );
    finds_without_a_namespace(&desk, "gateway/missing", &words);
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
