//! The checks of an ingress gateway that an `EnvoyFilter` may change
//! (<https://istio.io/latest/docs/reference/config/networking/envoy-filter>).
//!
//! Judged by the names in its patches, not by their effect, which only the proxy knows.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::Object;
use super::workload_access::Labels;

/// A part of the configuration that a patch may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The TLS of the listener, and with it the check of client certificates.
    Tls,
    /// The RBAC filters that istiod makes from `AuthorizationPolicies`: the guards.
    Policies,
    /// The treatment of the header `X-Forwarded-Client-Cert` of clients.
    ForwardedCertificate,
    /// The identity headers.
    IdentityHeaders,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "the TLS of the listener",
            Self::Policies => "the filters that enforce the guards",
            Self::ForwardedCertificate => "the header X-Forwarded-Client-Cert",
            Self::IdentityHeaders => "the identity headers",
        })
    }
}

/// The parts of a gateway's configuration that take part in its checks (`networking/v1alpha3/envoy_filter.proto`, `ApplyTo`).
const CHECKING: [&str; 6] = [
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
];
/// The part of the configuration for one route of a virtual host.
const ROUTE: &str = "HTTP_ROUTE";

/// Parts of names in a patch, without `_` and in lower case, and the subjects that they stand for. `forwardonly` is a value of
/// `ForwardClientCertDetails`.
const WORDS: [(&str, Subject); 7] = [
    ("transportsocket", Subject::Tls),
    ("tlscontext", Subject::Tls),
    ("rbac", Subject::Policies),
    ("clientcertdetails", Subject::ForwardedCertificate),
    ("x-forwarded-client-cert", Subject::ForwardedCertificate),
    ("forwardonly", Subject::ForwardedCertificate),
    ("x-client-ssl-", Subject::IdentityHeaders),
];

/// Whether a filter in the namespace of a proxy, or in the mesh's root namespace, acts on it; unknown counts as yes.
pub fn acts_on(filter: &Object, labels: Labels<'_>) -> bool {
    let targets = filter.at(&["spec", "targetRefs"]).and_then(Value::as_array);
    if targets.is_some_and(|targets| !targets.is_empty()) {
        // Gateways of the Gateway API, and waypoints.
        return false;
    }
    let known = filter.at(&["spec", "workloadSelector", "labels"]);
    let selector = known.map(|labels| serde_json::json!({"matchLabels": labels}));
    labels.are_selected_by(selector.as_ref()) != Some(false)
}

/// The parts that the patches of a filter may change at an ingress gateway for the server of these
/// hosts.
pub fn subjects(filter: &Object, hosts: &[String]) -> BTreeSet<Subject> {
    let mut found = BTreeSet::new();
    for Patch {
        place,
        operation,
        whole,
    } in patches(filter, hosts)
    {
        if !(CHECKING.contains(&place) || place == ROUTE) {
            continue;
        }
        collect(&whole["patch"], &mut found);
        // What is inserted beside a filter does not change that filter.
        if !operation.starts_with("INSERT") {
            collect(&whole["match"], &mut found);
        }
        if matches!(operation, "REMOVE" | "REPLACE") {
            match place {
                "LISTENER" | "FILTER_CHAIN" => found.extend([Subject::Tls, Subject::Policies]),
                "NETWORK_FILTER" => found.extend([Subject::Policies]),
                _ => {}
            }
        }
    }
    found
}

/// A patch of a filter that may act at an ingress gateway.
struct Patch<'a> {
    place: &'a str,
    operation: &'a str,
    whole: &'a Value,
}

/// The patches of a filter that may act at an ingress gateway on the server of these hosts.
fn patches<'a>(filter: &'a Object, hosts: &'a [String]) -> impl Iterator<Item = Patch<'a>> {
    let all = filter
        .at(&["spec", "configPatches"])
        .and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|whole| {
        let text = |pointer: &str| whole.pointer(pointer).and_then(Value::as_str);
        let is_of_gateways = !matches!(
            text("/match/context"),
            Some("SIDECAR_INBOUND" | "SIDECAR_OUTBOUND")
        );
        let sni = text("/match/listener/filterChain/sni");
        let is_of_others = sni.is_some_and(|sni| !hosts.iter().any(|host| host == sni));
        (is_of_gateways && !is_of_others).then(|| Patch {
            place: text("/applyTo").unwrap_or_default(),
            operation: text("/patch/operation").unwrap_or_default(),
            whole,
        })
    })
}

/// HTTP filters of Envoy that answer requests themselves, by parts of their names and types without `_` and in lower case, as text
/// (<https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/http_filters>).
const ANSWERING: [(&str, &str); 8] = [
    ("filters.http.fault", "faults"),
    ("filters.http.extauthz", "an external authorizer"),
    ("filters.http.extproc", "an external processor"),
    ("filters.http.lua", "a Lua script"),
    ("filters.http.localratelimit", "a rate limit"),
    ("filters.http.ratelimit", "a rate limit"),
    ("filters.http.wasm", "a WebAssembly module"),
    ("filters.http.jwtauthn", "a check of tokens"),
];

/// HTTP filters that a filter inserts at an ingress gateway and that may answer requests instead of the Service, as text.
pub fn answering(filter: &Object, hosts: &[String]) -> BTreeSet<&'static str> {
    let inserted = inserted(filter, hosts);
    let names = inserted.map(|value| value.to_string().to_lowercase().replace('_', ""));
    let names: Vec<String> = names.collect();
    let is_named = |(part, _): &&(&str, &str)| names.iter().any(|name| name.contains(part));
    let found = ANSWERING.iter().filter(is_named);
    found.map(|(_, text)| *text).collect()
}

/// Whether a filter inserts a fault that aborts every request
/// (`envoy/extensions/filters/http/fault/v3/fault.proto`).
pub fn aborts_all(filter: &Object, hosts: &[String]) -> bool {
    inserted(filter, hosts).any(|value| {
        let config = value.get("typed_config").unwrap_or(&Value::Null);
        let config = config.get("value").unwrap_or(config);
        let Some(abort) = config.get("abort") else {
            return false;
        };
        let is_fixed = ["http_status", "httpStatus", "grpc_status", "grpcStatus"]
            .iter()
            .any(|field| abort.get(field).is_some());
        let numerator = abort
            .pointer("/percentage/numerator")
            .and_then(Value::as_u64);
        let whole = match abort
            .pointer("/percentage/denominator")
            .and_then(Value::as_str)
        {
            None | Some("HUNDRED") => 100,
            Some("TEN_THOUSAND") => 10_000,
            Some(_) => 1_000_000,
        };
        let is_for_some = ["headers", "upstream_cluster", "downstream_nodes"]
            .iter()
            .any(|field| config.get(field).is_some());
        is_fixed && !is_for_some && numerator.is_some_and(|numerator| numerator >= whole)
    })
}

/// The HTTP filters that a filter inserts.
fn inserted<'a>(filter: &'a Object, hosts: &'a [String]) -> impl Iterator<Item = &'a Value> {
    let is_inserted = |patch: &Patch<'_>| {
        let inserts = patch.operation.starts_with("INSERT") || patch.operation == "ADD";
        patch.place == "HTTP_FILTER" && inserts
    };
    let patches = patches(filter, hosts).filter(is_inserted);
    patches.filter_map(|patch| patch.whole.pointer("/patch/value"))
}

/// The filter by which a listener expects headers of the PROXY protocol.
const PROXY_PROTOCOL: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

/// Whether a filter makes listeners expect headers of the PROXY protocol.
pub fn expects_proxy_protocol(filter: &Object) -> bool {
    has_value(filter, &[PROXY_PROTOCOL])
}

/// Whether a patch of a filter has one of these values.
pub fn has_value(filter: &Object, values: &[&str]) -> bool {
    fn is_told(value: &Value, values: &[&str]) -> bool {
        match value {
            Value::String(text) => values.contains(&text.as_str()),
            Value::Array(items) => items.iter().any(|item| is_told(item, values)),
            Value::Object(fields) => fields.values().any(|field| is_told(field, values)),
            _ => false,
        }
    }
    let patches = filter.at(&["spec", "configPatches"]);
    patches.is_some_and(|patches| is_told(patches, values))
}

fn collect(value: &Value, found: &mut BTreeSet<Subject>) {
    match value {
        Value::String(text) => tell(text, found),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                tell(key, found);
                collect(field, found);
            }
        }
        _ => {}
    }
}

fn tell(name: &str, found: &mut BTreeSet<Subject>) {
    let name = name.to_lowercase().replace('_', "");
    let told = WORDS.iter().filter(|(word, _)| name.contains(word));
    found.extend(told.map(|(_, subject)| *subject));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Kind, ObjectRef};
    use serde_json::json;

    fn filter(spec: &Value) -> Object {
        Object::new(ObjectRef::new(Kind::EnvoyFilter, "istio-system", "theirs"))
            .with("spec", spec.clone())
    }

    fn told(place: &str, context: &str, patch: &Value) -> Vec<Subject> {
        let patch = json!({"applyTo": place, "match": {"context": context}, "patch": patch});
        let filter = filter(&json!({"configPatches": [patch]}));
        subjects(&filter, &[]).into_iter().collect()
    }

    fn merge(value: &Value) -> Value {
        json!({"operation": "MERGE", "value": value})
    }

    #[test]
    fn patches_of_the_checks_are_told() {
        let tls =
            json!({"transport_socket": {"typed_config": {"require_client_certificate": false}}});
        assert_eq!(
            told("FILTER_CHAIN", "GATEWAY", &merge(&tls)),
            [Subject::Tls]
        );
        assert_eq!(told("FILTER_CHAIN", "ANY", &merge(&tls)), [Subject::Tls]);
        let rbac = json!({"name": "envoy.filters.http.rbac"});
        assert_eq!(
            told("HTTP_FILTER", "GATEWAY", &merge(&rbac)),
            [Subject::Policies]
        );
        let off = json!({"typed_per_filter_config": {"envoy.filters.http.rbac": {}}});
        assert_eq!(
            told("HTTP_ROUTE", "GATEWAY", &merge(&off)),
            [Subject::Policies]
        );
        let forward = json!({"typed_config": {"forward_client_cert_details": "FORWARD_ONLY"}});
        assert_eq!(
            told("NETWORK_FILTER", "GATEWAY", &merge(&forward)),
            [Subject::ForwardedCertificate]
        );
        let header = json!({"request_headers_to_remove": ["X-CLIENT-SSL-CN"]});
        assert_eq!(
            told("VIRTUAL_HOST", "GATEWAY", &merge(&header)),
            [Subject::IdentityHeaders]
        );
        let remove = json!({"operation": "REMOVE"});
        assert_eq!(
            told("NETWORK_FILTER", "GATEWAY", &remove),
            [Subject::Policies]
        );
        assert_eq!(told("HTTP_FILTER", "SIDECAR_INBOUND", &merge(&rbac)), []);
    }

    #[test]
    fn filters_that_many_clusters_have_change_no_check() {
        let proxy = json!({"name": "proxy_protocol", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}});
        let first = json!({"operation": "INSERT_FIRST", "value": proxy});
        assert_eq!(told("LISTENER_FILTER", "GATEWAY", &first), []);
        let limit = json!({"name": "envoy.filters.http.local_ratelimit"});
        let before = json!({"operation": "INSERT_BEFORE", "value": limit});
        assert_eq!(told("HTTP_FILTER", "GATEWAY", &before), []);
        let limit = json!({"typed_per_filter_config": {"envoy.filters.http.local_ratelimit": {"status": {}}}});
        assert_eq!(told("HTTP_ROUTE", "GATEWAY", &merge(&limit)), []);
        let upstream = json!({"transport_socket": {"name": "tls"}});
        assert_eq!(told("CLUSTER", "GATEWAY", &merge(&upstream)), []);
        let beside = json!({
            "applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE", "value": {"name": "lua"}},
            "match": {"listener": {"filterChain": {"filter": {"subFilter": {"name": "envoy.filters.http.rbac"}}}}},
        });
        assert!(subjects(&filter(&json!({"configPatches": [beside]})), &[]).is_empty());
        let timeout = json!({"typed_config": {"stream_idle_timeout": "30s"}});
        assert_eq!(told("NETWORK_FILTER", "GATEWAY", &merge(&timeout)), []);
    }

    #[test]
    fn inserted_filters_that_answer_requests_are_told() {
        let insert = |operation: &str, value: &Value| {
            let patch = json!({"operation": operation, "value": value});
            let patch =
                json!({"applyTo": "HTTP_FILTER", "match": {"context": "GATEWAY"}, "patch": patch});
            filter(&json!({"configPatches": [patch]}))
        };
        let typed = |name: &str, config: Value| {
            let mut config = config;
            config["@type"] =
                format!("type.googleapis.com/envoy.extensions.filters.http.{name}").into();
            json!({"name": "theirs", "typed_config": config})
        };
        for (name, text) in [
            ("ext_authz.v3.ExtAuthz", "an external authorizer"),
            ("lua.v3.Lua", "a Lua script"),
            ("local_ratelimit.v3.LocalRateLimit", "a rate limit"),
            ("wasm.v3.Wasm", "a WebAssembly module"),
            ("fault.v3.HTTPFault", "faults"),
        ] {
            let value = typed(name, json!({}));
            let told = |operation: &str| answering(&insert(operation, &value), &[]);
            assert_eq!(told("INSERT_BEFORE"), [text].into());
            assert_eq!(told("MERGE"), BTreeSet::new());
            assert!(!aborts_all(&insert("INSERT_BEFORE", &value), &[]));
        }
        let buffer = typed("buffer.v3.Buffer", json!({}));
        assert_eq!(
            answering(&insert("INSERT_FIRST", &buffer), &[]),
            BTreeSet::new()
        );
        let aborts = |abort: Value| {
            let value = typed("fault.v3.HTTPFault", json!({"abort": abort}));
            aborts_all(&insert("INSERT_BEFORE", &value), &[])
        };
        let percentage = |numerator: u32, denominator: &str| json!({"http_status": 503, "percentage": {"numerator": numerator, "denominator": denominator}});
        assert!(aborts(
            json!({"http_status": 503, "percentage": {"numerator": 100}})
        ));
        assert!(aborts(percentage(100, "HUNDRED")));
        assert!(aborts(percentage(1_000_000, "MILLION")));
        assert!(!aborts(percentage(100, "MILLION")));
        assert!(!aborts(percentage(1, "HUNDRED")));
        assert!(!aborts(
            json!({"header_abort": {}, "percentage": {"numerator": 100}})
        ));
    }

    #[test]
    fn a_filter_acts_on_the_proxies_that_it_selects() {
        let known = [("istio".to_owned(), "ingressgateway".to_owned())];
        let labels = Labels {
            known: &known,
            are_complete: true,
        };
        let with = |selector: Value| acts_on(&filter(&selector), labels);
        assert!(with(json!({})));
        assert!(with(
            json!({"workloadSelector": {"labels": {"istio": "ingressgateway"}}})
        ));
        assert!(!with(
            json!({"workloadSelector": {"labels": {"app": "web"}}})
        ));
        assert!(!with(
            json!({"targetRefs": [{"kind": "Gateway", "name": "x"}]})
        ));
    }
}
