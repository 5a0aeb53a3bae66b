//! The kind of cluster, and its default domain.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::control_plane::{ControlPlane, own_configs};
use super::names::{KYMA_GATEWAY, KYMA_GATEWAY_NAMESPACE};
use super::{Kind, Object, ObjectRef};
use crate::resources::gateway::{Gateway, Server};

/// The domain of a Kyma cluster on the user's own machine; it resolves publicly to 127.0.0.1.
pub const LOCAL_DOMAIN: &str = "local.kyma.dev";

/// The default trust domain of a mesh.
const LOCAL_TRUST_DOMAIN: &str = "cluster.local";

/// The `ConfigMap` in which Gardener describes a shoot.
pub fn shoot_info() -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "kube-system", "shoot-info")
}

/// Kyma's own Gateway.
pub fn kyma_gateway() -> ObjectRef {
    ObjectRef::new(Kind::Gateway, KYMA_GATEWAY_NAMESPACE, KYMA_GATEWAY)
}

/// The mesh configuration of a default installation.
pub fn mesh_config() -> ObjectRef {
    ControlPlane::default().mesh_config()
}

/// The Istio resource by which Kyma installs Istio (<https://github.com/kyma-project/istio>,
/// `api/v1alpha2`).
pub fn kyma_istio() -> ObjectRef {
    ObjectRef::new(Kind::KymaIstio, "kyma-system", "default")
}

/// How the proxies of ingress gateways treat the header `X-Forwarded-Client-Cert` of clients, as a value of Envoy's
/// `ForwardClientCertDetails`, from Kyma's Istio resource or a mesh configuration; Istio's default is `SANITIZE_SET`.
pub fn forwarding(object: &Object) -> Option<String> {
    if object.reference().kind == Kind::KymaIstio {
        let said = object.text(&["spec", "config", "forwardClientCertDetails"]);
        return Some(said.to_owned()).filter(|said| !said.is_empty());
    }
    stated_forwarding(&mesh(Some(object))?.default_config)
}

/// The same from the configuration of one proxy, by its Pod, with the words for its source; `None` where that of the mesh counts.
pub fn own_forwarding(pod: &Object) -> Option<(&'static str, String)> {
    own_configs(pod).find_map(|(source, text)| {
        let config: Value = serde_saphyr::from_str(text).ok()?;
        Some((source, stated_forwarding(&config)?))
    })
}

fn stated_forwarding(proxy_config: &Value) -> Option<String> {
    let said = proxy_config.pointer("/gatewayTopology/forwardClientCertDetails")?;
    said.as_str().map(str::to_owned)
}

/// Whether ingress gateways take the headers `X-Forwarded-*` of clients for those of a proxy in front of them (`numTrustedProxies`), by a
/// mesh configuration.
pub fn trusts_forwarded_headers(mesh_config: &Object) -> bool {
    mesh(Some(mesh_config)).is_some_and(|mesh| stated_trust(&mesh.default_config) == Some(true))
}

/// The same by the configuration of one proxy; `None` where that of the mesh counts.
pub fn trusts_forwarded_headers_itself(pod: &Object) -> Option<bool> {
    own_configs(pod).find_map(|(_, text)| stated_trust(&serde_saphyr::from_str(text).ok()?))
}

fn stated_trust(proxy_config: &Value) -> Option<bool> {
    let said = proxy_config.pointer("/gatewayTopology/numTrustedProxies")?;
    Some(said.as_u64()? > 0)
}

/// The default domain, if the cluster has one: that of Kyma's Gateway, else of the shoot, else of a cluster on the user's own machine.
pub fn default_domain(
    kyma_gateway: Option<&Gateway>,
    shoot_info: Option<&Object>,
    local_domain: Option<&str>,
) -> Option<String> {
    let mut hosts = kyma_gateway
        .into_iter()
        .flat_map(|gateway| &gateway.servers)
        .flat_map(|server| &server.hosts);
    let of_gateway = hosts.find_map(|host| host.strip_prefix("*."));
    let of_shoot = shoot_info
        .map(|object| object.text(&["data", "domain"]))
        .filter(|domain| !domain.is_empty());
    let local = local_domain.filter(|_| kyma_gateway.is_none());
    of_gateway.or(of_shoot).or(local).map(str::to_owned)
}

/// Why Kyma's controller silently reconciles no APIRule: its own Gateway has another shape than one HTTPS server with one `*.` host
/// (<https://github.com/kyma-project/api-gateway>, `internal/processing/default_domain/default_domain.go`).
pub fn kyma_gateway_fault(kyma_gateway: &Gateway) -> Option<String> {
    let is_https = |server: &&Server| server.protocol.eq_ignore_ascii_case("HTTPS");
    let https: Vec<&Server> = kyma_gateway.servers.iter().filter(is_https).collect();
    let [server] = https.as_slice() else {
        return Some(format!("the Gateway has {} HTTPS servers", https.len()));
    };
    match server.hosts.as_slice() {
        [host] if host.len() > 2 && host.starts_with("*.") => None,
        hosts => Some(format!(
            "the HTTPS server has the hosts {}",
            hosts.join(", ")
        )),
    }
}

/// The trust domains of the workloads of these meshes: `cluster.local`, their own, and their aliases
/// (<https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/>, `trustDomainAliases`).
pub fn trust_domains<'a>(mesh_configs: impl IntoIterator<Item = &'a Object>) -> Vec<String> {
    let mut domains = vec![LOCAL_TRUST_DOMAIN.to_owned()];
    let meshes = mesh_configs
        .into_iter()
        .filter_map(|config| mesh(Some(config)));
    let found = meshes.flat_map(|mesh| [vec![mesh.trust_domain], mesh.trust_domain_aliases]);
    for domain in found.flatten() {
        if !domain.is_empty() && !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}

/// The namespace from which policies act on the whole mesh, where a mesh configuration names one.
pub fn root_namespace(mesh_config: &Object) -> Option<String> {
    let named = mesh(Some(mesh_config))?.root_namespace;
    Some(named).filter(|named| !named.is_empty())
}

/// The namespaces to which a Service, a `DestinationRule`, or else a `VirtualService` is exported that says nothing of it
/// (`defaultServiceExportTo`, `defaultDestinationRuleExportTo`, `defaultVirtualServiceExportTo`); none stands for all.
pub fn default_exports(mesh_config: &Object, kind: Kind) -> Vec<String> {
    let mesh = mesh(Some(mesh_config)).unwrap_or_default();
    let said = match kind {
        Kind::Service => mesh.default_service_export_to,
        Kind::DestinationRule => mesh.default_destination_rule_export_to,
        _ => mesh.default_virtual_service_export_to,
    };
    said.unwrap_or_default()
}

/// The external authorizers that a mesh configuration defines, by their names; `None` where it cannot be read.
pub fn authorizers(mesh_config: &Object) -> Option<BTreeSet<String>> {
    let is_one = |provider: &&Value| {
        let fields = provider.as_object();
        fields.is_some_and(|fields| {
            let mut names = fields
                .keys()
                .map(|name| name.replace('_', "").to_lowercase());
            names.any(|name| name.starts_with("envoyextauthz"))
        })
    };
    let mesh = mesh(Some(mesh_config))?;
    let providers = mesh.extension_providers.as_array();
    let authorizers = providers.into_iter().flatten().filter(is_one);
    let names = authorizers.filter_map(|provider| provider.get("name")?.as_str());
    Some(names.map(str::to_owned).collect())
}

/// Whether proxies use mutual TLS of the mesh where no `DestinationRule` says otherwise (`enableAutoMtls`), which is the default.
pub fn has_auto_mtls(mesh_config: &Object) -> bool {
    let said = mesh(Some(mesh_config)).and_then(|mesh| mesh.enable_auto_mtls);
    said.unwrap_or(true)
}

/// The mesh's trust domain, the first part of principals in policies. Istio replaces `cluster.local` by the mesh's own.
pub fn trust_domain(mesh_config: Option<&Object>) -> String {
    match mesh(mesh_config) {
        Some(mesh) if !mesh.trust_domain.is_empty() => mesh.trust_domain,
        _ => LOCAL_TRUST_DOMAIN.to_owned(),
    }
}

fn mesh(mesh_config: Option<&Object>) -> Option<Mesh> {
    let text = mesh_config?.text(&["data", "mesh"]);
    serde_saphyr::from_str(text).ok()
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Mesh {
    trust_domain: String,
    trust_domain_aliases: Vec<String>,
    root_namespace: String,
    default_config: Value,
    #[serde(alias = "extension_providers")]
    extension_providers: Value,
    #[serde(alias = "enable_auto_mtls")]
    enable_auto_mtls: Option<bool>,
    #[serde(alias = "default_service_export_to")]
    default_service_export_to: Option<Vec<String>>,
    #[serde(alias = "default_destination_rule_export_to")]
    default_destination_rule_export_to: Option<Vec<String>>,
    #[serde(alias = "default_virtual_service_export_to")]
    default_virtual_service_export_to: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(servers: &serde_json::Value) -> Gateway {
        let object = Object::new(kyma_gateway()).with("spec", json!({"servers": servers}));
        Gateway::read(&object).unwrap()
    }

    fn https(hosts: &[&str]) -> serde_json::Value {
        json!({"hosts": hosts, "port": {"number": 443, "protocol": "HTTPS"}})
    }

    #[test]
    fn the_domain_comes_from_kymas_gateway_then_the_shoot_then_is_that_of_a_local_cluster() {
        let kymas = gateway(&json!([https(&["*.c-1.kyma.example.com"])]));
        let shoot = Object::new(shoot_info()).with("data", json!({"domain": "shoot.example.com"}));
        let domain = |gateway, shoot| default_domain(gateway, shoot, Some(LOCAL_DOMAIN)).unwrap();
        assert_eq!(domain(Some(&kymas), Some(&shoot)), "c-1.kyma.example.com");
        assert_eq!(domain(None, Some(&shoot)), "shoot.example.com");
        assert_eq!(domain(None, None), "local.kyma.dev");
        let exact = gateway(&json!([https(&["a.example.com"])]));
        assert_eq!(domain(Some(&exact), Some(&shoot)), "shoot.example.com");
        assert_eq!(default_domain(Some(&exact), None, Some(LOCAL_DOMAIN)), None);
        assert_eq!(default_domain(None, None, None), None);
    }

    #[test]
    fn another_shape_of_kymas_gateway_is_a_fault_and_a_plain_server_beside_it_is_none() {
        let plain = json!({"hosts": ["*.example.com"], "port": {"number": 80, "protocol": "HTTP"}});
        let sound = https(&["*.example.com"]);
        assert_eq!(kyma_gateway_fault(&gateway(&json!([sound, plain]))), None);
        for other in [
            json!([sound, https(&["*.mtls.example.com"])]),
            json!([https(&["*.example.com", "*.example.org"])]),
            json!([https(&["example.com"])]),
            json!([plain]),
        ] {
            assert!(kyma_gateway_fault(&gateway(&other)).is_some(), "{other}");
        }
    }

    #[test]
    fn the_meshs_own_trust_domain_and_its_aliases_count_beside_cluster_local() {
        let mesh = Object::new(mesh_config()).with(
            "data",
            json!({"mesh": "a: b\ntrustDomain: corp.example\ntrustDomainAliases: [old.example]\n"}),
        );
        assert_eq!(
            trust_domains(Some(&mesh)),
            ["cluster.local", "corp.example", "old.example"]
        );
        assert_eq!(trust_domain(Some(&mesh)), "corp.example");
        assert_eq!(trust_domains(None), ["cluster.local"]);
        assert_eq!(trust_domain(None), "cluster.local");
    }
}
