//! Gateways of the Kubernetes Gateway API.

use serde_json::json;

use crate::resources::names::CredentialNames;
use crate::resources::{Kind, Object, ObjectRef};

/// A Gateway on the proxies behind this Service, with a listener that istiod serves with the first authority as its client CA.
pub fn kubernetes_reader(service: &str) -> Object {
    let authority = CredentialNames::first().state();
    let reference = json!({
        "group": "", "kind": "ConfigMap", "name": authority.name, "namespace": authority.namespace,
    });
    let spec = json!({
        "gatewayClassName": "istio",
        "addresses": [{"type": "Hostname", "value": service}],
        "listeners": [{
            "name": "web", "port": 443, "protocol": "HTTPS", "hostname": "web.example.org",
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "web-tls"}]},
        }],
        "tls": {"frontend": {"default": {"validation": {"caCertificateRefs": [reference]}}}},
    });
    let name = ObjectRef::new(Kind::KubernetesGateway, "team", "web");
    let condition = json!({"type": "ResolvedRefs", "status": "True"});
    let status = json!({"listeners": [{"name": "web", "conditions": [condition]}]});
    Object::new(name).with("spec", spec).with("status", status)
}
