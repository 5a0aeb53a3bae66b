//! What stands beside the path of a request: each is proven by a request where the sandbox has the parts for it, and `status` finds it.

mod filters;

use sandbox::{Caller, Environment, Reply};
use serde_json::{Value, json};

use crate::exposed::{Exposed, broken, count};
use crate::lab::{Desk, call_new, eventually, gateway, started};
use crate::shell::Shell;
use crate::stage::{Turn, stage};

use super::healthy::Walk;
use filters::{FILTERS, filter};

/// A host on a cluster where one may do what changes all hosts, with the clients `ada`, who may call it, and `eve`.
struct Host {
    stage: Turn,
    name: String,
}

impl Host {
    fn new() -> Self {
        let stage = stage();
        stage.clear();
        let name = format!("httpbin.mtls.{}", stage.desk.instance.domain());
        let host = Self { stage, name };
        // What a failed test left.
        let left = [
            "delete",
            "envoyfilters,wasmplugins,trafficextensions,requestauthentications,authorizationpolicies",
            "theirs",
            "--ignore-not-found",
        ];
        host.desk()
            .kubectl(&[&["-n", "istio-system"][..], &left].concat(), "");
        host.desk().run(&["expose", "httpbin"]).exits(0);
        for client in ["ada", "eve"] {
            let issue = ["issue-client", client, "--format", "pem", "--force"];
            host.desk().run(&issue).exits(0);
        }
        host.desk()
            .run(&["expose", "httpbin", "--allow", "ada"])
            .exits(0);
        assert_eq!(host.findings(), json!([]));
        host
    }

    fn desk(&self) -> &Desk {
        &self.stage.desk
    }

    fn findings(&self) -> Value {
        let run = self.desk().run(&["status", &self.name, "-o", "json"]);
        run.json()["findings"].clone()
    }

    /// What a client comes to on a new connection, or somebody without a certificate.
    fn answers(&self, client: Option<&str>, headers: &[(&str, &str)]) -> Reply {
        let caller = Caller::careless(self.desk().instance.connect_to());
        let Some(client) = client else {
            return call_new(&caller, &self.name, headers);
        };
        let [certificate, key] =
            ["crt", "key"].map(|suffix| self.desk().read(&format!("{client}.{suffix}")));
        call_new(
            &caller.with_certificate(&certificate, &key),
            &self.name,
            headers,
        )
    }

    fn is_answered(&self, client: Option<&str>, wanted: u16) -> bool {
        matches!(self.answers(client, &[]), Reply::Answered { status, .. } if status == wanted)
    }

    /// Adds an object beside the proxies for as long as `seen` looks.
    fn with(&self, kind: &str, version: &str, spec: &Value, seen: impl FnOnce()) {
        let object = json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": "theirs", "namespace": "istio-system"}, "spec": spec,
        });
        self.desk().instance.create(vec![object]).unwrap();
        seen();
        self.desk().kubectl(
            &[
                "-n",
                "istio-system",
                "delete",
                &kind.to_lowercase(),
                "theirs",
            ],
            "",
        );
        eventually("nothing is found any more", || self.findings() == json!([]));
    }

    /// The only finding of `status`, in time.
    fn finds(&self, id: &str, severity: &str) -> Value {
        count("made", id);
        let mut last = json!([]);
        for _ in 0..60 {
            last = self.findings();
            let all = last.as_array().unwrap();
            if let [finding] = all.as_slice()
                && finding["id"] == id
                && finding["severity"] == severity
            {
                count("named", id);
                return finding.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("`{id}` ({severity}) only was expected: {last:#}");
    }
}

/// Of the public key in Istio's samples (`security/tools/jwt/samples/jwks.json`).
const MODULUS: &str = "xAE7eB6qugXyCAG3yhh7pkDkT65pHymX-P7KfIupjf59vsdo91bSP9C8H07pSAGQO1MV_xFj9VswgsCg4R6otmg5PV2He95lZdHtOcU5DXIg_pbhLdKXbi66GlVeK6ABZOUW3WYtnNHD-91gVuoeJT_DwtGGcp4ignkgXfkiEm4sw-4sfb4qdt5oLbyVpmW6x9cfa7vs2WTfURiCrBoUqgBo_-4WTiULmmHSGZHOjzwa8WtrtOQGsAFjIbno85jp6MnGGGZPYZbDAa_b3y5u-YpW7ypZrvD8BgtKVjgtQgZhLAGezMt0ua3DRrWnKqTZ0BJ_EyxOGuHJrLsn00fnMQ";

#[test]
fn what_answers_in_the_place_of_the_service_is_told() {
    let host = Host::new();
    assert!(host.is_answered(Some("ada"), 200));
    let mesh = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"mesh": "trustDomain: cluster.local\n"},
        "metadata": {"name": "istio", "namespace": "istio-system"},
    });
    host.desk().instance.create(vec![mesh]).unwrap();
    let spec = json!({
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [{}],
    });
    host.with("AuthorizationPolicy", "security.istio.io/v1", &spec, || {
        eventually("every request is denied", || {
            host.is_answered(Some("ada"), 403)
        });
        let finding = host.finds("ingress-policy/shuts-host", "error");
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains("`nobody`"), "{seen}");
    });
    host.desk()
        .kubectl(&["-n", "istio-system", "delete", "configmap", "istio"], "");
    let named = "envoy.filters.network.http_connection_manager";
    let before = json!({"listener": {"filterChain": {"filter": {"name": named}}}});
    let fault = json!({
        "name": "theirs",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": {"http_status": 418, "percentage": {"numerator": 100}},
        },
    });
    let patch = json!({"operation": "INSERT_BEFORE", "value": fault});
    let spec = filter("HTTP_FILTER", &before, &patch);
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("every request is aborted", || {
            host.is_answered(Some("ada"), 418)
        });
        host.finds("proxy/added-filter", "error");
    });
    let script = json!({
        "name": "theirs",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "inlineCode": "function envoy_on_request(handle) handle:respond({[\":status\"] = \"418\"}, \"\") end",
        },
    });
    let patch = json!({"operation": "INSERT_BEFORE", "value": script});
    let spec = filter("HTTP_FILTER", &before, &patch);
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("a script answers", || host.is_answered(Some("ada"), 418));
        host.finds("proxy/added-filter", "note");
    });
}

#[test]
fn a_gateway_that_istiod_does_not_read_is_one_finding() {
    let host = Host::new();
    let (namespace, gateway) = (&host.desk().namespace, "gateways.networking.istio.io");
    let revision = ["label", gateway, "kyma-mtls-gateway", "istio.io/rev=canary"];
    host.desk()
        .kubectl(&[&["-n", namespace][..], &revision].concat(), "");
    let finding = host.finds("gateway/other-revision", "error");
    let remedy = finding["remedy"].as_str().unwrap();
    assert!(
        remedy.ends_with(" kyma-mtls-gateway istio.io/rev-"),
        "{remedy}"
    );
    Shell::new(host.desk()).runs(remedy);
    eventually("nothing is found any more", || host.findings() == json!([]));
    assert!(host.is_answered(Some("ada"), 200));
}

#[test]
fn tokens_and_identities_that_the_gateway_checks_are_told() {
    let host = Host::new();
    let bearer = [("Authorization", "Bearer e30.e30.AA")];
    let is_rejected = || {
        matches!(
            host.answers(Some("ada"), &bearer),
            Reply::Answered { status: 401, .. }
        )
    };
    assert!(!is_rejected());
    // Envoy takes no listener with a set of no keys.
    let key = json!({"kty": "RSA", "e": "AQAB", "kid": "k1", "n": MODULUS});
    let keys = json!({"keys": [key]});
    let spec = json!({
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "jwtRules": [{"issuer": "https://issuer.example", "jwks": keys.to_string()}],
    });
    host.with(
        "RequestAuthentication",
        "security.istio.io/v1",
        &spec,
        || {
            eventually("a token of another issuer is rejected", is_rejected);
            assert!(host.is_answered(Some("ada"), 200));
            host.finds("ingress-policy/tokens", "note");
        },
    );
    identities(&host);
}

/// A client has the identity of its certificate, and is in no namespace.
fn identities(host: &Host) {
    for (source, id, severity) in [
        (json!({"namespaces": ["*"]}), "shuts-host", "error"),
        (
            json!({"remoteIpBlocks": ["192.0.2.0/24"]}),
            "some-requests",
            "note",
        ),
    ] {
        let spec = json!({
            "selector": {"matchLabels": {"istio": "ingressgateway"}},
            "rules": [{"from": [{"source": source}]}],
        });
        let seen = || {
            eventually("the policy is in force", || {
                host.is_answered(Some("ada"), 403)
            });
            host.finds(&format!("ingress-policy/{id}"), severity);
        };
        host.with("AuthorizationPolicy", "security.istio.io/v1", &spec, seen);
    }
}

#[test]
fn a_network_policy_that_leaves_out_the_gateway_is_told() {
    let exposed = broken("closed-in", |exposed| {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "closed", "namespace": exposed.desk.namespace},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        });
        exposed.desk.instance.create(vec![policy]).unwrap();
    });
    let finding = exposed.finds("workload/network-policy", "warning");
    exposed.pastes_remedy(&finding);
    exposed.own(&["delete", "networkpolicies", "closed"]);
    exposed.is_healthy();
}

#[test]
fn a_gateway_and_pods_that_do_not_agree_on_tls_are_told() {
    let exposed = Exposed::new("disagreeing");
    let namespace = exposed.desk.namespace.clone();
    let peers = json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"mtls": {"mode": "STRICT"}},
    });
    exposed.desk.instance.create(vec![peers]).unwrap();
    exposed.is_healthy();
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "plain", "namespace": namespace},
        "spec": {"host": "httpbin", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
    });
    exposed.desk.instance.create(vec![rule]).unwrap();
    let finding = exposed.finds("service/tls-mismatch", "error");
    exposed.is_repaired_by_remedy(&finding);
}

#[test]
fn proxies_of_two_namespaces_behind_one_gateway_are_told() {
    let instance = started(Environment::TwoGateways);
    instance.deploy_echo("shop", "httpbin").unwrap();
    let desk = Desk::new(&instance, "shop");
    let tls = json!({"mode": "MUTUAL", "credentialName": "shared"});
    let host = "shared.local.kyma.dev";
    let shared = gateway("shop", "shared", &[host], &tls);
    instance.create(vec![shared]).unwrap();
    let run = desk.run(&["status", host, "-o", "json"]);
    let report = run.json();
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["id"] == "gateway/several-namespaces");
    let seen = found.unwrap_or_else(|| panic!("{run:#?}"))["seen"]
        .as_str()
        .unwrap();
    assert!(seen.contains("also run in `istio-ingress`"), "{seen}");
}

#[test]
fn nothing_is_found_on_custom_domains_without_kyma_and_beside_a_gateway_of_helm() {
    let environments = [
        Environment::KymaCustom,
        Environment::PlainIstio,
        Environment::Helm,
    ];
    for environment in environments {
        let mut walk = Walk::begin(&started(environment), "sampled");
        walk.exposes(&[]);
        walk.issues("ada");
        walk.runs(&["expose", "httpbin", "--allow", "ada"]);
        walk.is_healthy("allow-list");
        walk.issues("eve");
        walk.client = Some("ada".to_owned());
        walk.runs(&["revoke-client", "eve"]);
        walk.runs(&["ca-rotate"]);
        walk.is_healthy("client revoked and rotation begun");
    }
}
