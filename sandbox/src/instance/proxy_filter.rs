//! What makes the gateway expect PROXY headers, as Kyma's Istio module sets it up on `OpenStack` and AWS.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::gateway::IngressGateway;
use super::mesh::Mesh;
use crate::proxy_protocol::ProxyProtocol;

/// The `EnvoyFilter` of kyma-project/istio `internal/reconciliations/istioresources/proxy_protocol_envoy_filter.yaml`,
/// without its labels; one for all gateways with the same labels, none when there is no PROXY protocol.
///
/// In the mesh's root namespace it acts on the gateways of all namespaces.
pub(super) fn envoy_filters(
    protocol: ProxyProtocol,
    mesh: Mesh,
    gateways: &[IngressGateway],
) -> Vec<Value> {
    if !protocol.is_understood() {
        return Vec::new();
    }
    let selected: BTreeSet<&str> = gateways
        .iter()
        .filter_map(|gateway| gateway.labels.get("istio"))
        .map(String::as_str)
        .collect();
    let filters = selected.into_iter();
    filters
        .map(|istio| envoy_filter(protocol, mesh, istio))
        .collect()
}

fn envoy_filter(protocol: ProxyProtocol, mesh: Mesh, istio: &str) -> Value {
    let name = match istio {
        "ingressgateway" => "proxy-protocol".to_owned(),
        other => format!("proxy-protocol-{other}"),
    };
    let mut filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    });
    if protocol == ProxyProtocol::Optional {
        filter["allow_requests_without_proxy_protocol"] = json!(true);
    }
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": mesh.namespace},
        "spec": {
            "workloadSelector": {"labels": {"istio": istio}},
            "configPatches": [{
                "applyTo": "LISTENER_FILTER",
                "match": {"context": "GATEWAY"},
                "patch": {
                    "operation": "INSERT_FIRST",
                    "value": {"name": "proxy_protocol", "typed_config": filter},
                },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    #[test]
    fn only_the_optional_filter_allows_connections_without_header() {
        let mesh = Mesh::of(Environment::Helm);
        let allows = |protocol: ProxyProtocol| {
            let filter = envoy_filter(protocol, mesh, "ingress");
            let pointer = "/spec/configPatches/0/patch/value/typed_config/allow_requests_without_proxy_protocol";
            filter.pointer(pointer) == Some(&json!(true))
        };
        assert!(!allows(ProxyProtocol::Required));
        assert!(allows(ProxyProtocol::Optional));
        assert!(envoy_filters(ProxyProtocol::Off, mesh, &[]).is_empty());
    }
}
