//! Filters that others insert at the ingress gateway.

use super::*;
use crate::resources::names::INGRESS_NAMESPACE;

/// An `EnvoyFilter` that inserts an HTTP filter of this type.
fn inserting(context: &str, name: &str, config: &Value) -> Object {
    let mut config = config.clone();
    config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.http.{name}").into();
    let value = json!({"name": "theirs", "typed_config": config});
    let patch = json!({"operation": "INSERT_BEFORE", "value": value});
    let spec = json!({
        "workloadSelector": {"labels": {"istio": "ingressgateway"}},
        "configPatches": [{"applyTo": "HTTP_FILTER", "match": {"context": context}, "patch": patch}],
    });
    let name = ObjectRef::new(Kind::EnvoyFilter, INGRESS_NAMESPACE, "theirs");
    Object::new(name).with("spec", spec)
}

#[test]
fn a_filter_that_may_answer_requests_is_worth_a_note() {
    for (name, words) in [
        ("lua.v3.Lua", "adds a Lua script to"),
        ("ext_authz.v3.ExtAuthz", "adds an external authorizer to"),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &inserting("GATEWAY", name, &json!({})));
            let finding = only(&mut cluster, "proxy/added-filter", Severity::Note);
            assert!(finding.seen.contains(words), "{}", finding.seen);
            add(
                &mut cluster,
                &inserting("SIDECAR_INBOUND", name, &json!({})),
            );
            assert_eq!(findings(&mut cluster), []);
        }
    }
}

#[test]
fn a_filter_that_aborts_every_request_is_an_error() {
    for (share, severity) in [(100, Severity::Error), (5, Severity::Note)] {
        for mut cluster in both() {
            let abort = json!({"http_status": 503, "percentage": {"numerator": share}});
            let fault = inserting("GATEWAY", "fault.v3.HTTPFault", &json!({"abort": abort}));
            add(&mut cluster, &fault);
            only(&mut cluster, "proxy/added-filter", severity);
        }
    }
}

/// An extension of the proxies of the ingress gateway by this kind.
fn extension(kind: Kind, spec: &Value) -> Object {
    let mut spec = spec.clone();
    if spec["selector"].is_null() && spec["targetRefs"].is_null() {
        spec["selector"] = json!({"matchLabels": {"istio": "ingressgateway"}});
    }
    let name = ObjectRef::new(kind, INGRESS_NAMESPACE, "theirs");
    Object::new(name).with("spec", spec)
}

#[test]
fn an_extension_of_the_proxies_is_worth_a_note() {
    let module = json!({"url": "oci://example.com/theirs:1"});
    let lua = json!({"lua": {"inlineCode": "function envoy_on_request(handle) end"}});
    for (kind, spec, words) in [
        (Kind::WasmPlugin, &module, "adds a WebAssembly module to"),
        (
            Kind::TrafficExtension,
            &json!({"wasm": module}),
            "adds a WebAssembly module to",
        ),
        (Kind::TrafficExtension, &lua, "adds a Lua script to"),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &extension(kind, spec));
            let finding = only(&mut cluster, "proxy/added-filter", Severity::Note);
            let named = format!("{} istio-system/theirs {words}", kind.name());
            assert!(finding.seen.starts_with(&named), "{}", finding.seen);
            assert!(
                finding.remedy.ends_with(" -n istio-system theirs"),
                "{}",
                finding.remedy
            );
        }
    }
}

#[test]
fn a_module_without_which_no_request_passes_says_so() {
    let url = "oci://example.com/theirs:1";
    for (strategy, is_closing) in [
        (json!(null), true),
        (json!("FAIL_CLOSE"), true),
        (json!("FAIL_RELOAD"), true),
        (json!("FAIL_OPEN"), false),
    ] {
        let mut cluster = plain();
        let spec = json!({"url": url, "failStrategy": strategy});
        add(&mut cluster, &extension(Kind::WasmPlugin, &spec));
        let finding = only(&mut cluster, "proxy/added-filter", Severity::Note);
        assert_eq!(
            finding.why.contains("cannot load"),
            is_closing,
            "{}",
            finding.why
        );
    }
}

#[test]
fn an_extension_of_other_proxies_is_no_matter() {
    let url = "oci://example.com/theirs:1";
    for spec in [
        json!({"url": url, "selector": {"matchLabels": {"app": "web"}}}),
        json!({"url": url, "targetRefs": [{"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "web"}]}),
        json!({"url": url, "match": [{"mode": "SERVER"}]}),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &extension(Kind::WasmPlugin, &spec));
            assert_eq!(findings(&mut cluster), [], "{spec}");
        }
    }
}

#[test]
fn what_no_istiod_of_the_proxies_reads_does_not_act_on_them() {
    let fault = json!({"abort": {"http_status": 503, "percentage": {"numerator": 100}}});
    let filter = inserting("GATEWAY", "fault.v3.HTTPFault", &fault);
    let module = extension(
        Kind::WasmPlugin,
        &json!({"url": "oci://example.com/theirs:1"}),
    );
    let rules = json!([{"issuer": "https://example.com", "jwksUri": "https://example.com/keys"}]);
    let tokens = extension(Kind::RequestAuthentication, &json!({"jwtRules": rules}));
    let shut = extension(
        Kind::AuthorizationPolicy,
        &json!({"action": "DENY", "rules": [{}]}),
    );
    for object in [filter, module, tokens, shut] {
        for mut cluster in both() {
            add(
                &mut cluster,
                &object.clone().with_label("istio.io/rev", "canary"),
            );
            assert_eq!(findings(&mut cluster), [], "{}", object.reference());
            add(
                &mut cluster,
                &object.clone().with_label("istio.io/rev", "default"),
            );
            assert_eq!(findings(&mut cluster).len(), 1, "{}", object.reference());
        }
    }
}
