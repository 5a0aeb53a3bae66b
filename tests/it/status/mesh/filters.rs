//! Filters of others (`EnvoyFilter`) on the proxies of the gateway.

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::eventually;

use super::Host;

pub(super) fn filter(place: &str, matched: &Value, patch: &Value) -> Value {
    let mut matched = matched.clone();
    matched["context"] = "GATEWAY".into();
    json!({
        "workloadSelector": {"labels": {"istio": "ingressgateway"}},
        "configPatches": [{"applyTo": place, "match": matched, "patch": patch}],
    })
}

pub(super) const FILTERS: &str = "networking.istio.io/v1alpha3";

#[test]
fn filters_that_change_what_checks_clients_are_told_with_what_they_do() {
    let host = Host::new();
    // Without a client certificate: a socket of another name takes the place of istiod's.
    let secret = json!({
        "name": "kubernetes://kyma-mtls", "sds_config": {"ads": {}, "resource_api_version": "V3"},
    });
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [secret]},
    });
    let socket = json!({"name": "theirs", "typed_config": context});
    let patch = json!({"operation": "MERGE", "value": {"transport_socket": socket}});
    let pattern = host.name.replacen("httpbin", "*", 1);
    let own = json!({"listener": {"filterChain": {"sni": pattern}}});
    let spec = filter("FILTER_CHAIN", &own, &patch);
    assert!(!host.is_answered(None, 403));
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("the certificate is not required any more", || {
            host.is_answered(None, 403)
        });
        let finding = host.finds("proxy/envoy-filter", "error");
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains("without a certificate"), "{seen}");
    });
    // Without the guards.
    let rbac = json!({"listener": {"filterChain": {"filter": {
        "name": "envoy.filters.network.http_connection_manager",
        "subFilter": {"name": "envoy.filters.http.rbac"},
    }}}});
    let spec = filter("HTTP_FILTER", &rbac, &json!({"operation": "REMOVE"}));
    assert!(host.is_answered(Some("eve"), 403));
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("the allow-list is gone", || {
            host.is_answered(Some("eve"), 200)
        });
        let finding = host.finds("proxy/envoy-filter", "error");
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains("do not enforce the guard"), "{seen}");
    });
    // With a client's own X-Forwarded-Client-Cert.
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "forward_client_cert_details": "ALWAYS_FORWARD_ONLY",
    });
    let named = "envoy.filters.network.http_connection_manager";
    let matched = json!({"listener": {"filterChain": {"filter": {"name": named}}}});
    let patch = json!({"operation": "MERGE", "value": {"name": named, "typed_config": manager}});
    let spec = filter("NETWORK_FILTER", &matched, &patch);
    let forged = [("X-Forwarded-Client-Cert", "By=x;Hash=forged")];
    let arrives = || match host.answers(Some("ada"), &forged) {
        Reply::Answered { body, .. } => body.contains("Hash=forged"),
        _ => false,
    };
    assert!(!arrives());
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("the forged header arrives", arrives);
        host.finds("proxy/envoy-filter", "error");
    });
}

#[test]
fn a_filter_that_the_proxies_reject_is_told_by_status_and_by_whoever_waits_for_them() {
    let host = Host::new();
    let filter = json!({
        "name": "theirs",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "inlineCode": "this is not lua",
        },
    });
    let spec = json!({
        "workloadSelector": {"labels": {"istio": "ingressgateway"}},
        "configPatches": [{
            "applyTo": "HTTP_FILTER",
            "match": {"context": "GATEWAY", "listener": {"filterChain": {"filter": {
                "name": "envoy.filters.network.http_connection_manager",
            }}}},
            "patch": {"operation": "INSERT_BEFORE", "value": filter},
        }],
    });
    host.with("EnvoyFilter", FILTERS, &spec, || {
        eventually("the proxies reject it", || {
            let run = host.desk().run(&["status", &host.name, "-o", "json"]);
            run.stdout.contains("proxy/listener-rejected")
        });
        let finding = host.finds("proxy/listener-rejected", "error");
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains("script load error"), "{seen}");
        // What they have goes on, and nothing that is new gets there.
        assert!(host.is_answered(Some("ada"), 200));
        let allow = ["expose", "httpbin", "--allow", "eve", "--timeout", "8s"];
        let run = host.desk().run(&allow);
        assert_eq!(run.code, 124, "{run:#?}");
        assert!(run.stderr.contains("it rejects the listener"), "{run:#?}");
    });
    host.desk()
        .run(&["expose", "httpbin", "--allow", "ada"])
        .exits(0);
    assert!(host.is_answered(Some("ada"), 200));
}

const EXTENSIONS: &str = "extensions.istio.io/v1alpha1";

#[test]
fn extensions_of_the_proxies_are_told() {
    let host = Host::new();
    let selector = json!({"matchLabels": {"istio": "ingressgateway"}});
    let says = |words: &str| {
        let finding = host.finds("proxy/added-filter", "note");
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains(words), "{seen}");
    };
    let answers = r#"function envoy_on_request(handle)
  handle:respond({[":status"] = "418"}, "theirs")
end"#;
    let spec = json!({"selector": selector, "lua": {"inlineCode": answers}});
    host.with("TrafficExtension", EXTENSIONS, &spec, || {
        eventually("the script answers in the place of the Service", || {
            host.is_answered(Some("ada"), 418)
        });
        says("TrafficExtension istio-system/theirs adds a Lua script");
    });
    let spec = json!({
        "selector": selector, "url": "https://127.0.0.1:9/theirs.wasm",
        "failStrategy": "FAIL_CLOSE",
    });
    host.with("WasmPlugin", EXTENSIONS, &spec, || {
        eventually("no request passes without the module", || {
            !host.is_answered(Some("ada"), 200)
        });
        says("WasmPlugin istio-system/theirs adds a WebAssembly module");
    });
}
