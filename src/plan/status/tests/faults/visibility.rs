//! Objects that istiod hides from the ingress gateway.

use super::*;
use crate::plan::Query;
use crate::plan::Seen;
use crate::resources::environment::mesh_config;
use crate::resources::names::AUTHORITY_NAMESPACE;

const ERROR: Severity = Severity::Error;
/// A mesh configuration that defines the external authorizer `opa`.
pub const OPA: &str =
    "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa, port: 9191}}]\n";

/// A cluster with this mesh configuration.
pub fn with_mesh(mut cluster: Cluster, mesh: &str) -> Cluster {
    add(
        &mut cluster,
        &Object::new(mesh_config()).with("data", json!({"mesh": mesh})),
    );
    cluster
}

fn label(cluster: &mut Cluster, name: &ObjectRef, (key, value): (&str, &str)) {
    let labelled = cluster.objects[name].clone().with_label(key, value);
    add(cluster, &labelled);
}

/// The route of a cluster as the proxies read it.
fn route(cluster: &Cluster) -> ObjectRef {
    let own = own_route(cluster);
    match own.kind {
        Kind::ApiRule => ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls-x7k2p"),
        _ => own,
    }
}

#[test]
fn a_mesh_that_exports_routes_to_their_own_namespace_only() {
    for said in ["[\".\"]", "[team]"] {
        for cluster in both() {
            let mesh = format!("defaultVirtualServiceExportTo: {said}\n");
            let mut cluster = with_mesh(cluster, &mesh);
            let finding = only_until_repaired(&mut cluster, "route/not-exported", ERROR);
            let words = "`defaultVirtualServiceExportTo` in ";
            assert!(finding.seen.starts_with(words), "{}", finding.seen);
        }
    }
    for said in ["[\"*\"]", "[]", "[\".\", istio-system]", "null"] {
        for cluster in both() {
            let mesh =
                format!("defaultVirtualServiceExportTo: {said}\ndefaultServiceExportTo: {said}\n");
            assert_eq!(findings(&mut with_mesh(cluster, &mesh)), [], "{said}");
        }
    }
}

#[test]
fn a_mesh_that_exports_services_to_their_own_namespace_only() {
    for field in ["defaultServiceExportTo", "default_service_export_to"] {
        for cluster in both() {
            let mut cluster = with_mesh(cluster, &format!("{field}: [\".\"]\n"));
            let finding = only_until_repaired(&mut cluster, "service/not-exported", ERROR);
            assert_eq!(
                finding.remedy,
                "kubectl annotate services -n shop httpbin 'networking.istio.io/exportTo=*'"
            );
        }
    }
}

#[test]
fn a_route_for_an_istiod_of_another_revision() {
    for mut cluster in both() {
        let route = route(&cluster);
        label(&mut cluster, &route, ("istio.io/rev", "default"));
        assert_eq!(findings(&mut cluster), []);
        label(&mut cluster, &route, ("istio.io/rev", "canary"));
        let finding = only_until_repaired(&mut cluster, "route/not-exported", ERROR);
        assert!(
            finding.seen.contains("`istio.io/rev=canary`"),
            "{}",
            finding.seen
        );
    }
}

/// A mesh whose istiod sees namespaces with one label, which these namespaces have.
fn selecting(cluster: Cluster, namespaces: &[&str]) -> Cluster {
    let mut cluster = with_mesh(
        cluster,
        "discoverySelectors: [{matchLabels: {mesh: shop}}]\n",
    );
    for namespace in namespaces {
        label(
            &mut cluster,
            &ObjectRef::namespace(*namespace),
            ("mesh", "shop"),
        );
    }
    cluster
}

#[test]
fn an_authority_that_istiod_does_not_see() {
    for cluster in both() {
        let mut cluster = selecting(cluster, &["shop"]);
        let finding = only_until_repaired(&mut cluster, "client-ca/not-seen", ERROR);
        assert_eq!(
            finding.remedy,
            "kubectl label namespace kubectl-mtls mesh=shop"
        );
    }
}

#[test]
fn a_service_that_istiod_does_not_see() {
    for cluster in both() {
        let mut cluster = selecting(cluster, &[AUTHORITY_NAMESPACE]);
        let finding = only_until_repaired(&mut cluster, "service/not-seen", ERROR);
        assert_eq!(finding.remedy, "kubectl label namespace shop mesh=shop");
    }
}

#[test]
fn namespaces_that_may_not_be_read_where_istiod_does_not_see_all() {
    for cluster in both() {
        let mut cluster = selecting(cluster, &["shop", AUTHORITY_NAMESPACE]);
        assert_eq!(findings(&mut cluster), []);
        let namespace = Query::Get(ObjectRef::namespace(AUTHORITY_NAMESPACE));
        let denied = Seen::Denied("you cannot get it".to_owned());
        cluster.fixed.insert(namespace, denied);
        only(&mut cluster, "client-ca/not-checked", Severity::Unknown);
    }
}

#[test]
fn a_gateway_for_an_istiod_of_another_revision() {
    for mut cluster in both() {
        label(&mut cluster, &own_gateway(), ("istio.io/rev", "default"));
        assert_eq!(findings(&mut cluster), []);
        label(&mut cluster, &own_gateway(), ("istio.io/rev", "canary"));
        let finding = only_until_repaired(&mut cluster, "gateway/other-revision", ERROR);
        assert_eq!(
            finding.remedy,
            "kubectl label gateways.networking.istio.io -n shop kyma-mtls-gateway istio.io/rev-"
        );
    }
}

/// A policy that sends requests to an external authorizer.
fn authorizing(namespace: &str, selector: &Value, rules: &Value) -> Object {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, namespace, "theirs");
    let spec = json!({
        "selector": selector, "action": "CUSTOM", "provider": {"name": "opa"}, "rules": rules,
    });
    Object::new(name).with("spec", spec)
}

/// istiod denies the requests then that the policy would send there.
#[test]
fn an_external_authorizer_that_the_mesh_does_not_define() {
    let proxies = json!({"matchLabels": {"istio": "ingressgateway"}});
    let pods = json!({"matchLabels": {"app": "httpbin"}});
    let of_another_kind = "extensionProviders: [{name: opa, zipkin: {service: opa, port: 9411}}]\n";
    let to = |operation: Value| json!([{"to": [{"operation": operation}]}]);
    let elsewhere = to(json!({"hosts": ["other.example.com"]}));
    for (namespace, selector, id) in [
        ("istio-system", &proxies, "ingress-policy/shuts-host"),
        ("shop", &pods, "workload/shuts-gateway"),
    ] {
        for cluster in both() {
            for mesh in ["extensionProviders: []\n", of_another_kind] {
                let mut cluster = with_mesh(cluster.clone(), mesh);
                let all = authorizing(namespace, selector, &json!([{}]));
                add(&mut cluster, &all);
                let finding = only(&mut cluster, id, ERROR);
                assert!(finding.seen.ends_with("`opa`"), "{}", finding.seen);
                assert!(finding.remedy.ends_with(" theirs"), "{}", finding.remedy);
                add(&mut cluster, &authorizing(namespace, selector, &elsewhere));
                assert_eq!(findings(&mut cluster), [], "{id}");
            }
        }
    }
    for cluster in both() {
        let mut cluster = with_mesh(cluster, "extensionProviders: []\n");
        let some = to(json!({"paths": ["/admin"]}));
        add(&mut cluster, &authorizing("istio-system", &proxies, &some));
        only(&mut cluster, "ingress-policy/some-requests", Severity::Note);
    }
}

#[test]
fn a_mesh_without_tls_of_its_own() {
    let mut cluster = with_mesh(plain(), "enableAutoMtls: false\n");
    // The policy of the Pods admits the gateway by its identity only.
    let finding = only(&mut cluster, "service/anonymous", ERROR);
    assert!(
        finding.seen.contains("sets `enableAutoMtls: false`"),
        "{}",
        finding.seen
    );
    let name = ObjectRef::new(Kind::PeerAuthentication, "shop", "strict");
    let strict = Object::new(name).with("spec", json!({"mtls": {"mode": "STRICT"}}));
    add(&mut cluster, &strict);
    only(&mut cluster, "service/tls-mismatch", ERROR);
    let name = ObjectRef::new(Kind::DestinationRule, "shop", "mesh");
    let tls = json!({"mode": "ISTIO_MUTUAL"});
    let spec = json!({"host": "httpbin", "trafficPolicy": {"tls": tls}});
    add(&mut cluster, &Object::new(name).with("spec", spec));
    assert_eq!(findings(&mut cluster), []);
}
