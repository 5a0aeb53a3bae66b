//! HTTP filters that others insert at the ingress gateway.

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
