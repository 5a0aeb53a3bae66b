//! A cluster set up by hand as Kyma's tutorial says, and what the commands make of it.
//!
//! Manifests, names and openssl commands are those of the default domain in
//! <https://github.com/kyma-project/api-gateway/blob/main/docs/user/istio-gateways/configure-mtls-Gardener-certs.md>; the
//! sandbox's echo stands for httpbin.

use std::process::Command;

use sandbox::{Caller, Reply};
use serde_json::Value;

use crate::lab::{Desk, call, requests, seen_by_application};
use crate::stage::{Turn, stage};

pub(crate) const NAMESPACE: &str = "test";
pub(crate) const GATEWAYS: &str = "gateways.networking.istio.io";
pub(crate) const SECRET: &str = "kyma-mtls-cacert";

/// Steps 4 and 5 of the tutorial.
const CERTIFICATES: &str = r#"
CLIENT_ROOT_CA_KEY_FILE="client_root_ca_cn.key"
CLIENT_ROOT_CA_CRT_FILE="client_root_ca_cn.crt"
openssl req -x509 -sha256 -nodes -days 365 -newkey rsa:2048 -subj "/O=Example Client Root CA ORG/CN=Example Client Root CA CN" -keyout "${CLIENT_ROOT_CA_KEY_FILE}" -out "${CLIENT_ROOT_CA_CRT_FILE}"
CLIENT_CERT_CRT_FILE="client_cert_cn.crt"
CLIENT_CERT_CSR_FILE="client_cert_cn.csr"
CLIENT_CERT_KEY_FILE="client_cert_cn.key"
openssl req -out "${CLIENT_CERT_CSR_FILE}" -newkey rsa:2048 -nodes -keyout "${CLIENT_CERT_KEY_FILE}" -subj "/CN=Example Client Cert CN/O=Example Client Cert Org"
openssl x509 -req -days 365 -CA "${CLIENT_ROOT_CA_CRT_FILE}" -CAkey "${CLIENT_ROOT_CA_KEY_FILE}" -set_serial 0 -in "${CLIENT_CERT_CSR_FILE}" -out "${CLIENT_CERT_CRT_FILE}"
"#;

/// Steps 3, 6 and 7.
const MANIFESTS: &str = r#"
apiVersion: cert.gardener.cloud/v1alpha1
kind: Certificate
metadata:
  name: domain-certificate
  namespace: "istio-system"
spec:
  secretName: kyma-mtls
  commonName: "${GATEWAY_DOMAIN}"
  issuerRef:
    name: garden
---
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata:
  name: kyma-mtls-gateway
  namespace: test
spec:
  selector:
    app: istio-ingressgateway
    istio: ingressgateway
  servers:
    - port:
        number: 443
        name: mtls
        protocol: HTTPS
      tls:
        mode: MUTUAL
        credentialName: kyma-mtls
      hosts:
        - "${GATEWAY_DOMAIN}"
---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: httpbin-mtls
  namespace: test
spec:
  gateway: test/kyma-mtls-gateway
  hosts:
    - "${WORKLOAD_DOMAIN}"
  rules:
    - methods:
        - GET
      noAuth: true
      path: /*
      timeout: 300
      request:
        headers:
          X-CLIENT-SSL-CN: '%DOWNSTREAM_PEER_SUBJECT%'
          X-CLIENT-SSL-ISSUER: '%DOWNSTREAM_PEER_ISSUER%'
          X-CLIENT-SSL-SAN: '%DOWNSTREAM_PEER_URI_SAN%'
  service:
    name: httpbin
    port: 8000
"#;

/// The tutorial, done to its end, and a second Service beside `httpbin`.
pub(crate) struct Tutorial {
    pub(crate) desk: Desk,
    pub(crate) httpbin: String,
    pub(crate) orders: String,
    _stage: Turn,
}

impl Tutorial {
    pub(crate) fn done() -> Self {
        Self::done_on(stage())
    }

    pub(crate) fn done_on(stage: Turn) -> Self {
        stage.clear();
        let instance = &stage.desk.instance;
        for service in ["httpbin", "orders"] {
            instance.deploy_echo(NAMESPACE, service).unwrap();
        }
        let desk = Desk::new(instance, NAMESPACE);
        let done = Command::new("bash")
            .args(["-e", "-c", CERTIFICATES])
            .current_dir(desk.folder.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let ca = desk.folder.path().join("client_root_ca_cn.crt");
        let ca = format!("--from-file=cacert={}", ca.display());
        let secret = ["create", "secret", "generic", "-n", "istio-system", SECRET];
        desk.kubectl(&[&secret[..], &[&ca]].concat(), "");
        let domain = format!("mtls.{}", instance.domain());
        let host = |service: &str| format!("{service}.{domain}");
        let manifests = MANIFESTS
            .replace("${GATEWAY_DOMAIN}", &format!("*.{domain}"))
            .replace("${WORKLOAD_DOMAIN}", &host("httpbin"));
        desk.kubectl(&["apply", "-f", "-"], &manifests);
        let tutorial = Self {
            httpbin: host("httpbin"),
            orders: host("orders"),
            desk,
            _stage: stage,
        };
        tutorial.await_client(&tutorial.httpbin);
        tutorial
    }

    /// The tutorial's client, who is let in at a host through every replica, sooner or later.
    #[track_caller]
    pub(crate) fn await_client(&self, host: &str) -> Value {
        let [certificate, key] =
            ["crt", "key"].map(|suffix| self.desk.read(&format!("client_cert_cn.{suffix}")));
        let root = self.desk.instance.stand_ins().root_certificate();
        let replicas = self.desk.instance.replicas().iter();
        let clients: Vec<Caller> = replicas
            .map(|replica| {
                let caller = Caller::new(replica.tls().to_string(), &root);
                caller.with_certificate(&certificate, &key)
            })
            .collect();
        for _ in 0..400 {
            let replies: Vec<Reply> = clients
                .iter()
                .map(|client| call(client, host, &[]))
                .collect();
            let is_in = |reply: &Reply| matches!(reply, Reply::Answered { status: 200, .. });
            if replies.iter().all(is_in) {
                return seen_by_application(&replies[0]);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the client was never let in at {host}");
    }

    /// What came instead of an answer when the tutorial's client called a host once; nothing when it was let in.
    pub(crate) fn refused(&self, host: &str) -> Option<String> {
        let reply = call(&self.desk.client("client_cert_cn"), host, &[]);
        let is_let_in = matches!(reply, Reply::Answered { status: 200, .. });
        (!is_let_in).then(|| reply.to_string())
    }

    /// What the application sees of a client of the tutorial who forges their identity.
    #[track_caller]
    fn forged(&self, host: &str) -> Reply {
        let forged = [("X-CLIENT-SSL-SAN", "spiffe://kyma-mtls-clients/admin")];
        call(&self.desk.client("client_cert_cn"), host, &forged)
    }

    /// The objects of the tutorial, as far as no controller changes them.
    fn objects(&self) -> Vec<Value> {
        let get = |namespace: &str, kind: &str, name: &str| {
            let mut object = self.desk.get(namespace, kind, name);
            object.as_object_mut().unwrap().remove("status");
            object
        };
        vec![
            get("istio-system", "secret", SECRET),
            get(NAMESPACE, GATEWAYS, "kyma-mtls-gateway"),
            get(
                "istio-system",
                "certificates.cert.gardener.cloud",
                "domain-certificate",
            )["spec"]
                .clone(),
            get(
                NAMESPACE,
                "apirules.gateway.kyma-project.io",
                "httpbin-mtls",
            )["spec"]
                .clone(),
        ]
    }
}

impl Drop for Tutorial {
    fn drop(&mut self) {
        let kinds = "apirules.gateway.kyma-project.io,gateways.networking.istio.io";
        self.desk
            .kubectl(&["-n", NAMESPACE, "delete", kinds, "--all"], "");
    }
}

/// What is weaker there, in the words of every command, with the way out.
const WEAKNESSES: [[&str; 2]; 2] = [
    [
        "without Secret istio-system/kyma-mtls-cacert the gateway would trust",
        "--fail-closed",
    ],
    ["has no keyUsage", "kubectl mtls"],
];

#[track_caller]
fn says_once(text: &str) {
    for [weakness, way_out] in WEAKNESSES {
        assert_eq!(text.matches(weakness).count(), 1, "{weakness}: {text}");
        assert!(text.contains(way_out), "{way_out}: {text}");
    }
    assert!(text.contains("the serial number 0"), "{text}");
}

#[test]
fn a_further_service_is_exposed_beside_the_tutorials_and_nothing_of_it_changes() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let before = tutorial.objects();
    let mark = desk.instance.audit_mark().unwrap();
    let run = desk.run(&["expose", "orders"]).exits(0);
    says_once(&run.stderr);
    assert!(run.stdout.contains(&tutorial.orders), "{run:#?}");
    let log = desk.instance.audit_log(mark).unwrap();
    let events = requests(&log);
    let written: Vec<&str> = events
        .iter()
        .filter(|event| event.is_write() && event.subresource.is_empty())
        .map(|event| event.resource.as_str())
        .collect();
    assert_eq!(
        written,
        ["authorizationpolicies", "apirules"],
        "no authority, no Gateway, no Secret"
    );
    for host in [&tutorial.orders, &tutorial.httpbin] {
        tutorial.await_client(host);
        let nobody = call(&desk.nobody(), host, &[]);
        assert_eq!(nobody, Reply::Refused("certificate_required".to_owned()));
    }
    let run = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(run.stdout.starts_with("already up to date"), "{run:#?}");
    assert_eq!(tutorial.objects(), before);
}

#[test]
fn status_tells_each_weakness_of_the_tutorial_once_however_many_hosts_have_it() {
    let tutorial = Tutorial::done();
    tutorial.desk.run(&["expose", "orders"]).exits(0);
    let run = tutorial.desk.run(&["status"]).exits(1);
    says_once(&run.unwrapped());
    assert!(
        run.unwrapped().contains("not managed by kubectl-mtls"),
        "{run:#?}"
    );
    let findings = tutorial.desk.run(&["status", "-o", "json"]).json()["findings"].clone();
    let findings = findings.as_array().unwrap();
    assert_eq!(findings.len(), WEAKNESSES.len(), "{findings:#?}");
}

#[test]
fn a_client_without_uri_san_forges_one_until_the_gateway_has_a_header_guard() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    tutorial.await_client(&tutorial.httpbin);
    let before = seen_by_application(&tutorial.forged(&tutorial.httpbin));
    assert_eq!(
        before["X-Client-Ssl-San"],
        "spiffe://kyma-mtls-clients/admin"
    );
    let weak = desk.run(&["status"]).exits(1).stdout;
    assert!(weak.contains("route/headers-forgeable"), "{weak}");
    desk.run(&["expose", "orders"]).exits(0);
    for host in [&tutorial.httpbin, &tutorial.orders] {
        tutorial.await_client(host);
        let reply = tutorial.forged(host);
        assert!(
            matches!(reply, Reply::Answered { status: 403, .. }),
            "{reply:?}"
        );
    }
    let guarded = desk.run(&["status"]).stdout;
    assert!(!guarded.contains("route/headers-forgeable"), "{guarded}");
    let guarded = ["expose", "orders", "--identity-headers", "guarded"];
    let run = desk.run(&guarded).exits(0);
    assert!(!run.stderr.contains("may have no URI SAN"), "{run:#?}");
    for _ in 0..400 {
        let headers = tutorial.await_client(&tutorial.orders);
        if headers["X-Client-Ssl-Cn"]
            .as_str()
            .unwrap()
            .starts_with("SUBJECT=")
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let headers = tutorial.await_client(&tutorial.orders);
    assert_eq!(headers["X-Client-Ssl-San"], "URI=");
}

#[test]
fn what_is_said_of_the_tutorials_own_route_changes_that_and_nothing_else_of_it() {
    let tutorial = Tutorial::done();
    let desk = &tutorial.desk;
    let guarded = ["expose", "httpbin", "--identity-headers", "guarded"];
    let run = desk.run(&guarded).exits(0);
    let configured = "apirule.gateway.kyma-project.io/httpbin-mtls in test configured";
    assert!(run.stdout.contains(configured), "{run:#?}");
    let rule = desk.get(
        NAMESPACE,
        "apirules.gateway.kyma-project.io",
        "httpbin-mtls",
    );
    assert_eq!(
        rule["metadata"]["labels"],
        Value::Null,
        "it stays somebody else's"
    );
    let rules = &rule["spec"]["rules"][0];
    assert_eq!(rules["methods"], serde_json::json!(["GET"]));
    assert_eq!(
        rules["request"]["headers"]["X-CLIENT-SSL-SAN"],
        "URI=%DOWNSTREAM_PEER_URI_SAN%"
    );
    let again = desk.run(&guarded).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let argo = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=argocd-controller",
        "-f",
        "-",
    ];
    let kept = serde_json::json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": NAMESPACE, "name": "httpbin-mtls"}, "spec": rule["spec"],
    });
    desk.kubectl(&argo, &kept.to_string());
    let plain = ["expose", "httpbin", "--identity-headers", "plain"];
    desk.run(&plain)
        .exits(2)
        .says("`argocd-controller` wrote `.spec.rules`");
    desk.run(&[&plain[..], &["--force-conflicts"]].concat())
        .exits(0);
}
