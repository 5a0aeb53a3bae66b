//! The objects that an APIRule turns into, as kyma-project/api-gateway `internal/processing/processors/v2alpha1` makes them.

use std::hash::{DefaultHasher, Hash, Hasher};

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::spec::{ApiRule, CorsPolicy, Gateway, Rule};
use super::surroundings::Backend;
use super::{owner, paths};
use crate::stand_in::resources::Kind;

const HASH: &str = "gateway.kyma-project.io/hash";
const INDEX: &str = "gateway.kyma-project.io/index";
/// The only caller that a policy lets in; neither trust domain nor ServiceAccount can be set.
const INGRESS_PRINCIPAL: &str =
    "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";
const DEFAULT_TIMEOUT_SECONDS: u32 = 180;
/// Only the VirtualService's own CORS policy answers for the Service.
const UPSTREAM_CORS_HEADERS: [&str; 6] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Max-Age",
];

/// An object that the APIRule owns; the API server names it.
pub(super) fn object(kind: Kind, rule: &ApiRule, namespace: &str, spec: &Value) -> DynamicObject {
    let mut object = DynamicObject::new("", &kind.resource())
        .within(namespace)
        .data(json!({ "spec": spec }));
    object.metadata.name = None;
    object.metadata.generate_name = Some(format!("{}-", rule.key.name));
    object.metadata.labels = Some(owner::labels(&rule.key));
    object
}

/// The route from the host to the Services.
pub(super) fn virtual_service(rule: &ApiRule, gateway: &Gateway) -> DynamicObject {
    let host = rule.host(gateway.domain());
    let http: Vec<Value> = rule
        .spec
        .rules
        .iter()
        .map(|each| http_route(rule, each, &host))
        .collect();
    let spec = json!({ "hosts": [host], "gateways": [gateway.key.to_string()], "http": http });
    object(Kind::VirtualService, rule, &rule.key.namespace, &spec)
}

fn http_route(rule: &ApiRule, each: &Rule, host: &str) -> Value {
    let uri = match each.path.as_str() {
        "/*" => json!({ "prefix": "/" }),
        path => json!({ "regex": path_regex(path) }),
    };
    let (service, port) = rule
        .service(each)
        .map_or(("", 0), |service| (service.name.as_str(), service.port));
    let timeout = each
        .timeout
        .or(rule.spec.timeout)
        .unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let mut route = json!({
        "match": [{ "method": { "regex": format!("^({})$", each.methods.join("|")) }, "uri": uri }],
        "route": [{
            "destination": {
                "host": format!("{service}.{}.svc.cluster.local", rule.service_namespace(each)),
                "port": { "number": port },
            },
            "weight": 100,
        }],
        "timeout": format!("{timeout}s"),
        "headers": { "request": { "set": request_headers(each, host) }, "response": { "remove": UPSTREAM_CORS_HEADERS } },
    });
    if let (Some(policy), Some(fields)) = (
        rule.spec.cors_policy.as_ref().and_then(cors_policy),
        route.as_object_mut(),
    ) {
        fields.insert("corsPolicy".into(), policy);
    }
    route
}

fn path_regex(path: &str) -> String {
    let any = path.replace("{**}", r"([A-Za-z0-9-._~!$&'()*+,;=:@/]|%[0-9a-fA-F]{2})*");
    format!(
        "^{}$",
        any.replace("{*}", r"([A-Za-z0-9-._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
    )
}

fn request_headers(each: &Rule, host: &str) -> Map<String, Value> {
    let forwarded = if host.starts_with("*.") {
        "%REQ(:AUTHORITY)%"
    } else {
        host
    };
    let mut headers = Map::from_iter([("x-forwarded-host".to_owned(), json!(forwarded))]);
    headers.extend(
        each.request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value))),
    );
    if !each.request.cookies.is_empty() {
        let cookies: Vec<String> = each
            .request
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        headers.insert("Cookie".into(), json!(cookies.join("; ")));
    }
    headers
}

/// A policy without origins is no policy.
fn cors_policy(policy: &CorsPolicy) -> Option<Value> {
    let matches = policy
        .allow_origins
        .iter()
        .flatten()
        .map(|(kind, value)| match kind.as_str() {
            "regex" | "exact" => json!({ kind.as_str(): value }),
            _ => json!({ "prefix": value }),
        });
    let origins: Vec<Value> = matches.collect();
    if origins.is_empty() {
        return None;
    }
    let mut fields = Map::from_iter([("allowOrigins".to_owned(), json!(origins))]);
    for (name, values) in [
        ("allowHeaders", &policy.allow_headers),
        ("allowMethods", &policy.allow_methods),
        ("exposeHeaders", &policy.expose_headers),
    ] {
        if !values.is_empty() {
            fields.insert(name.into(), json!(values));
        }
    }
    if let Some(allowed) = policy.allow_credentials {
        fields.insert("allowCredentials".into(), json!(allowed));
    }
    if let Some(seconds) = policy.max_age {
        fields.insert("maxAge".into(), json!(format!("{seconds}s")));
    }
    Some(Value::Object(fields))
}

/// Restricts a policy to the Pods of the Service.
pub(super) fn select(spec: &mut Value, backend: &Backend) {
    if let Backend::Selecting { labels, .. } = backend {
        spec["selector"] = json!({ "matchLabels": labels });
    }
}

/// The policies of each rule, in its Service's namespace: one, or one for each authorization of a token.
pub(super) fn authorization_policies(
    rule: &ApiRule,
    gateway: &Gateway,
    backends: &[Backend],
) -> Vec<DynamicObject> {
    let host = rule.host(gateway.domain());
    let policies = rule.spec.rules.iter().zip(backends).flat_map(|(each, backend)| {
        let mut operation = json!({ "hosts": [host], "methods": each.methods, "paths": [paths::standardize(&each.path)] });
        let not_paths = not_paths(&rule.spec.rules, each);
        if let (false, Some(fields)) = (not_paths.is_empty(), operation.as_object_mut()) {
            fields.insert("notPaths".into(), json!(not_paths));
        }
        let mut source = json!({ "principals": [INGRESS_PRINCIPAL] });
        let mut conditions = vec![vec![Vec::new()]];
        if let Some(jwt) = &each.jwt {
            source["requestPrincipals"] = json!(jwt.principals());
            conditions = jwt.conditions();
        }
        conditions.into_iter().enumerate().map(move |(index, rules)| {
            let rules = rules.into_iter().map(|when| {
                let mut rule = json!({
                    "from": [{ "source": source }],
                    "to": [{ "operation": operation }],
                });
                if !when.is_empty() {
                    rule["when"] = json!(when);
                }
                rule
            });
            let mut spec = json!({ "rules": rules.collect::<Vec<Value>>() });
            select(&mut spec, backend);
            policy(rule, rule.service_namespace(each), &spec, index)
        })
    });
    policies.collect()
}

fn policy(rule: &ApiRule, namespace: &str, spec: &Value, index: usize) -> DynamicObject {
    let hash = policy_hash(namespace, spec);
    let mut policy = object(Kind::AuthorizationPolicy, rule, namespace, spec);
    let labels = policy.metadata.labels.get_or_insert_default();
    labels.extend([
        (HASH.to_owned(), hash),
        (INDEX.to_owned(), index.to_string()),
    ]);
    policy
}

/// The paths of earlier rules with a method in common, so that a later, wider rule does not reopen them.
fn not_paths<'a>(rules: &'a [Rule], current: &Rule) -> Vec<&'a str> {
    let earlier = rules.iter().take_while(|rule| rule.path != current.path);
    let narrow =
        earlier.filter(|rule| paths::standardize(&rule.path) != "/{**}" && rule.path != "/");
    let common = narrow.filter(|rule| {
        rule.methods
            .iter()
            .any(|method| current.methods.contains(method))
    });
    common.map(|rule| rule.path.as_str()).collect()
}

/// Names the policy's place and targets, in the real label's three-part form; the values are ours.
fn policy_hash(namespace: &str, spec: &Value) -> String {
    let hash = |value: &str| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    let part = |pointer: &str| {
        hash(
            &spec
                .pointer(pointer)
                .map(Value::to_string)
                .unwrap_or_default(),
        )
    };
    format!(
        "{:x}.{:x}.{:x}",
        hash(namespace),
        part("/selector"),
        part("/rules/0/to")
    )
}

/// By what a policy that exists is matched with one that should.
pub(super) fn policy_identity(policy: &DynamicObject) -> Option<String> {
    let labels = policy.metadata.labels.as_ref()?;
    Some(format!("{}/{}", labels.get(HASH)?, labels.get(INDEX)?))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub(crate) fn gateway(servers: &Value) -> Gateway {
        let resource = Kind::Gateway.resource();
        let object = DynamicObject::new("gate", &resource)
            .within("shop")
            .data(json!({ "spec": { "servers": servers } }));
        Gateway::read(&object).unwrap()
    }

    pub(crate) fn api_rule() -> ApiRule {
        let spec = json!({
            "hosts": ["orders.mtls.example.com"],
            "gateway": "shop/gate",
            "service": { "name": "orders", "port": 8000 },
            "timeout": 300,
            "rules": [{
                "path": "/*",
                "methods": ["GET", "POST"],
                "noAuth": true,
                "request": { "headers": { "X-CLIENT-SSL-CN": "%DOWNSTREAM_PEER_SUBJECT%" } },
            }],
        });
        let object = DynamicObject::new("orders-mtls", &Kind::ApiRule.resource())
            .within("shop")
            .data(json!({ "spec": spec }));
        ApiRule::read(&object).unwrap()
    }

    #[test]
    fn the_route_sets_the_headers_and_leads_to_the_service() {
        let gate = gateway(&json!([{ "hosts": ["*.mtls.example.com"] }]));
        let route = virtual_service(&api_rule(), &gate);
        assert_eq!(
            route.metadata.generate_name.as_deref(),
            Some("orders-mtls-")
        );
        assert!(owner::is_owned(
            route.metadata.labels.as_ref().unwrap(),
            &api_rule().key
        ));
        let expected = json!({
            "hosts": ["orders.mtls.example.com"],
            "gateways": ["shop/gate"],
            "http": [{
                "match": [{ "method": { "regex": "^(GET|POST)$" }, "uri": { "prefix": "/" } }],
                "route": [{
                    "destination": { "host": "orders.shop.svc.cluster.local", "port": { "number": 8000 } },
                    "weight": 100,
                }],
                "timeout": "300s",
                "headers": {
                    "request": {
                        "set": { "x-forwarded-host": "orders.mtls.example.com", "X-CLIENT-SSL-CN": "%DOWNSTREAM_PEER_SUBJECT%" },
                    },
                    "response": { "remove": UPSTREAM_CORS_HEADERS },
                },
            }],
        });
        assert_eq!(route.data["spec"], expected);
    }

    #[test]
    fn the_policy_lets_only_the_ingress_gateway_in() {
        let gate = gateway(&json!([{ "hosts": ["*.mtls.example.com"] }]));
        let labels = BTreeMap::from([("app".to_owned(), "orders".to_owned())]);
        let backends = [Backend::Selecting {
            labels,
            without_sidecar: Vec::new(),
        }];
        let policies = authorization_policies(&api_rule(), &gate, &backends);
        let expected = json!({
            "selector": { "matchLabels": { "app": "orders" } },
            "rules": [{
                "from": [{ "source": { "principals": [INGRESS_PRINCIPAL] } }],
                "to": [{ "operation": { "hosts": ["orders.mtls.example.com"], "methods": ["GET", "POST"], "paths": ["/{**}"] } }],
            }],
        });
        assert_eq!(policies.len(), 1);
        assert_eq!(policies[0].data["spec"], expected);
    }

    #[test]
    fn paths_with_operators_become_anchored_expressions() {
        let expected = "^/a/([A-Za-z0-9-._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+/b$";
        assert_eq!(path_regex("/a/{*}/b"), expected);
        assert!(path_regex("/{**}").ends_with("@/]|%[0-9a-fA-F]{2})*$"));
    }
}
