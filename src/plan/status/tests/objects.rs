//! Objects that several tests of a report put into the cluster.

use super::*;

pub(super) fn rule(service: &str, host: &str) -> Object {
    let route = Route {
        namespace: "shop",
        name: &format!("{service}-mtls"),
        host,
        gateway: &GatewayName::new("shop", "kyma-mtls-gateway"),
        service,
        port: 8000,
        options: &crate::resources::api_rule::RouteOptions::default(),
    };
    route.object().with("status", json!({"state": "Ready"}))
}

pub(super) fn broken_rule() -> Object {
    Object::new(api_rule::reference("shop", "odd")).with("spec", json!({"hosts": "not a list"}))
}

pub(super) fn certificates() -> Query {
    Query::within(Kind::Certificate, INGRESS_NAMESPACE)
}

pub(super) fn certificate(state: &str) -> Object {
    ServerCertificate {
        kind: Kind::Certificate,
        namespace: "istio-system",
        name: "domain-certificate",
        gateway: &GatewayName::new("shop", "kyma-mtls-gateway"),
        host: PATTERN,
        secret: "kyma-mtls",
        issuer: crate::resources::certificate::DEFAULT_ISSUER,
    }
    .object()
    .with(
        "status",
        json!({"state": state, "message": "asked the issuer"}),
    )
}

pub(super) fn pod(name: &str) -> Object {
    Object::new(ObjectRef::new(Kind::Pod, INGRESS_NAMESPACE, name))
        .with("status", json!({"phase": "Running"}))
}

/// What Kyma makes for the Pods behind an `APIRule`.
pub(super) fn kymas_policy() -> Object {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "httpbin-x7k2p");
    let from = json!([{"source": {"namespaces": [INGRESS_NAMESPACE]}}]);
    Object::new(name).with("spec", json!({"rules": [{"from": from}]}))
}
