//! What kind of cluster this is, and its default domain.

use serde::Deserialize;

use super::names::{KYMA_GATEWAY, KYMA_GATEWAY_NAMESPACE};
use super::{Kind, Object, ObjectRef};
use crate::resources::gateway::Gateway;

/// The domain of a Kyma cluster outside Gardener; it resolves publicly to 127.0.0.1.
pub const LOCAL_DOMAIN: &str = "local.kyma.dev";

/// The `ConfigMap` in which Gardener describes a shoot.
pub fn shoot_info() -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "kube-system", "shoot-info")
}

/// Kyma's own Gateway.
pub fn kyma_gateway() -> ObjectRef {
    ObjectRef::new(Kind::Gateway, KYMA_GATEWAY_NAMESPACE, KYMA_GATEWAY)
}

/// Istio's mesh configuration, which holds the trust domain.
pub fn mesh_config() -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "istio-system", "istio")
}

/// The default domain: Kyma's Gateway tells it, else the shoot, else there is only the local one.
pub fn default_domain(kyma_gateway: Option<&Gateway>, shoot_info: Option<&Object>) -> String {
    let of_gateway = kyma_gateway
        .and_then(|gateway| gateway.servers.first())
        .and_then(|server| server.hosts.first())
        .and_then(|host| host.strip_prefix("*."));
    let of_shoot = shoot_info
        .map(|object| object.text(&["data", "domain"]))
        .filter(|domain| !domain.is_empty());
    of_gateway.or(of_shoot).unwrap_or(LOCAL_DOMAIN).to_owned()
}

/// The mesh's trust domains: `cluster.local` always, its own where it is known.
pub fn trust_domains(mesh_config: Option<&Object>) -> Vec<String> {
    let mut domains = vec!["cluster.local".to_owned()];
    let mesh = mesh_config
        .map(|object| object.text(&["data", "mesh"]))
        .unwrap_or_default();
    let parsed: Option<Mesh> = serde_saphyr::from_str(mesh).ok();
    let own = parsed.map(|mesh| mesh.trust_domain).unwrap_or_default();
    domains.extend(Some(own).filter(|domain| !domain.is_empty()));
    domains
}

/// The mesh's trust domain, as principals in policies begin. Istio takes `cluster.local` for its own, whatever that is.
pub fn trust_domain(mesh_config: Option<&Object>) -> String {
    trust_domains(mesh_config).pop().unwrap_or_default()
}

#[derive(Deserialize)]
struct Mesh {
    #[serde(rename = "trustDomain", default)]
    trust_domain: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_domain_comes_from_kymas_gateway_then_the_shoot_then_is_local() {
        let gateway = Object::new(kyma_gateway()).with(
            "spec",
            json!({"servers": [{"hosts": ["*.c-1.kyma.example.com"], "port": {"number": 443}}]}),
        );
        let gateway = Gateway::read(&gateway).unwrap();
        let shoot = Object::new(shoot_info()).with("data", json!({"domain": "shoot.example.com"}));
        assert_eq!(
            default_domain(Some(&gateway), Some(&shoot)),
            "c-1.kyma.example.com"
        );
        assert_eq!(default_domain(None, Some(&shoot)), "shoot.example.com");
        assert_eq!(default_domain(None, None), "local.kyma.dev");
    }

    #[test]
    fn the_meshs_own_trust_domain_counts_beside_cluster_local() {
        let mesh = Object::new(mesh_config())
            .with("data", json!({"mesh": "a: b\ntrustDomain: corp.example\n"}));
        assert_eq!(
            trust_domains(Some(&mesh)),
            ["cluster.local", "corp.example"]
        );
        assert_eq!(trust_domains(None), ["cluster.local"]);
    }
}
