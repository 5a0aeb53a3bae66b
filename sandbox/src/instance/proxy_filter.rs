//! What makes the gateway expect PROXY headers, as Kyma's Istio module sets it up on `OpenStack` and AWS.

use serde_json::{Value, json};

use super::gateway::NAMESPACE;
use crate::proxy_protocol::ProxyProtocol;

/// The `EnvoyFilter` of kyma-project/istio `internal/reconciliations/istioresources/proxy_protocol_envoy_filter.yaml`,
/// without its labels; `None` when there is no PROXY protocol.
pub(super) fn envoy_filter(protocol: ProxyProtocol) -> Option<Value> {
    if !protocol.is_understood() {
        return None;
    }
    let mut filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    });
    if protocol == ProxyProtocol::Optional {
        filter["allow_requests_without_proxy_protocol"] = json!(true);
    }
    Some(json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "proxy-protocol", "namespace": NAMESPACE},
        "spec": {
            "workloadSelector": {"labels": {"istio": "ingressgateway"}},
            "configPatches": [{
                "applyTo": "LISTENER_FILTER",
                "match": {"context": "GATEWAY"},
                "patch": {
                    "operation": "INSERT_FIRST",
                    "value": {"name": "proxy_protocol", "typed_config": filter},
                },
            }],
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_optional_filter_allows_connections_without_header() {
        let allows = |filter: ProxyProtocol| {
            let pointer = "/spec/configPatches/0/patch/value/typed_config/allow_requests_without_proxy_protocol";
            Some(envoy_filter(filter)?.pointer(pointer) == Some(&json!(true)))
        };
        assert_eq!(allows(ProxyProtocol::Off), None);
        assert_eq!(allows(ProxyProtocol::Required), Some(false));
        assert_eq!(allows(ProxyProtocol::Optional), Some(true));
    }
}
