//! Other servers of the Gateway object that take the requests for an exposed host.

use std::net::SocketAddr;

use sandbox::{Caller, Environment, Reply};
use serde_json::{Value, json};

use crate::lab::{Desk, call, eventually, own_namespace, started};

use super::{GATEWAYS, finds, patch, plain, plain_address, plain_with};

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

fn https(name: &str, hosts: &str, port: u16, tls: &Value) -> Value {
    let port = json!({"number": port, "name": name, "protocol": "HTTPS"});
    json!({"hosts": [hosts], "port": port, "tls": tls})
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
    let both = with(json!({"mode": "OPTIONAL_MUTUAL", "insecureSkipVerify": true}));
    let rows: [(Value, &str, &dyn Fn() -> String); 7] = [
        (
            json!({"hosts": [host], "port": {"number": 80, "name": "plain", "protocol": "HTTP"}}),
            "server `plain` (port 80, HTTP)",
            &plain_code,
        ),
        (
            https("simple", &wildcard, 443, &with(json!({"mode": "SIMPLE"}))),
            "server `simple` (port 443, HTTPS SIMPLE)",
            &by_nobody,
        ),
        (
            https("optional", &wildcard, 443, &optional),
            "server `optional` (port 443, HTTPS OPTIONAL_MUTUAL)",
            &by_nobody,
        ),
        (
            https("both", &wildcard, 443, &both),
            "server `both` (port 443, HTTPS OPTIONAL_MUTUAL, insecureSkipVerify)",
            &by_nobody,
        ),
        (
            https("careless", &wildcard, 443, &careless),
            "server `careless` (port 443, HTTPS MUTUAL, insecureSkipVerify)",
            &by_theirs,
        ),
        (
            https("theirs", &wildcard, 443, &trusting_theirs),
            "server `theirs` (port 443, HTTPS MUTUAL)",
            &by_theirs,
        ),
        (
            https("port", &host, OTHER_PORT, &trusting_theirs),
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
    add(&https("same", &host, 443, &with(json!({"mode": "SIMPLE"}))));
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

/// The redirect to HTTPS of a plain server, where proxies believe clients that call themselves a proxy in front.
#[test]
fn a_redirect_that_a_header_bypasses_is_another_server() {
    let instance = started(Environment::PlainIstio);
    let namespace = "shop";
    instance.deploy_echo(namespace, "httpbin").unwrap();
    let desk = Desk::new(&instance, namespace);
    let host = format!("httpbin.mtls.{}", instance.domain());
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let server = json!({
        "hosts": [host], "tls": {"httpsRedirect": true},
        "port": {"number": 80, "name": "plain", "protocol": "HTTP"},
    });
    let add = json!([{"op": "add", "path": "/spec/servers/1", "value": server}]);
    patch(&desk, GATEWAYS, "kyma-mtls-gateway", &add);
    let address = plain_address(&desk);
    let by = |header: (&str, &str)| code(&plain_with(address, &host, &[header]));
    eventually("the redirect", || by(("Accept", "*/*")) == "301");
    let bypass = ("X-Forwarded-Proto", "https");
    assert_eq!(by(bypass), "301");
    desk.run(&["status", &host]).exits(0);

    // istiod of the sandbox reads it from a file, and again when that changes.
    let file = instance.run_dir().join("mesh.yaml");
    let topology = "defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}\n";
    let mesh = std::fs::read_to_string(&file).unwrap() + topology;
    std::fs::write(&file, &mesh).unwrap();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"mesh": mesh},
        "metadata": {"name": "istio", "namespace": "istio-system"},
    });
    instance.create(vec![object]).unwrap();
    eventually("anybody gets in", || by(bypass) == "200");
    let words = "X-Forwarded-Proto";
    finds(&desk, &[&host], "gateway/other-server", "error", words);
    desk.run(&["expose", "httpbin"]).exits(2).says(words);
    desk.run(&["expose", "httpbin", "--guard"]).exits(0);
    assert_eq!(by(bypass), "403");
    finds(&desk, &[&host], "gateway/other-server", "warning", words);

    a_server_for_every_host_is_one_without_a_server_name(&desk, &host);
}

/// A server for every host takes connections without a server name, and with any that no other server has.
fn a_server_for_every_host_is_one_without_a_server_name(desk: &Desk, host: &str) {
    let remove = json!([{"op": "remove", "path": "/spec/servers/1"}]);
    patch(desk, GATEWAYS, "kyma-mtls-gateway", &remove);
    desk.run(&["expose", "httpbin", "--guard=false"]).exits(0);
    let own = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let credential = &own["spec"]["servers"][0]["tls"]["credentialName"];
    let server = json!({
        "hosts": ["*"], "port": {"number": 443, "name": "every", "protocol": "HTTPS"},
        "tls": {"mode": "SIMPLE", "credentialName": credential},
    });
    let add = json!([{"op": "add", "path": "/spec/servers/-", "value": server}]);
    patch(desk, GATEWAYS, "kyma-mtls-gateway", &add);
    // Of an address no client sends a server name.
    let nameless = Caller::careless(desk.instance.connect_to()).with_server_name("127.0.0.1");
    let other = nameless.clone().with_server_name("other.example.org");
    let answers = || [&nameless, &other].map(|caller| code(&call(caller, host, &[])));
    eventually("anybody gets in", || answers() == ["200", "200"]);
    let words = "server `every` (port 443, HTTPS SIMPLE)";
    finds(desk, &[host], "gateway/other-server", "error", words);
    desk.run(&["expose", "httpbin"]).exits(2).says(words);
    desk.run(&["expose", "httpbin", "--guard"]).exits(0);
    assert_eq!(answers(), ["403", "403"]);
    finds(desk, &[host], "gateway/other-server", "warning", words);
}
