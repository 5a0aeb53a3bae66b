//! The objects that a cluster has before anybody uses the plugin: namespaces, a Node, and what Gardener and Kyma put there.
//! Data only.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::gateway::IngressGateway;
use super::gateway_objects::NODE;
use super::mesh::Mesh;
use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::parts::crds;

/// Secret with the certificate of Kyma's default gateway.
const KYMA_GATEWAY_SECRET: &str = "kyma-gateway-certs";

/// Reads the custom resource definitions of an environment, with cert-manager's where it is there; `folder` is the part with
/// Istio's and Gardener's.
pub(crate) fn definitions(
    environment: Environment,
    cert_manager: bool,
    folder: &Path,
) -> Result<Vec<Value>> {
    let own = |file: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        crds::read(&folder.join(file))
    };
    let mut definitions = read_list(&folder.join("istio.json"))?;
    if environment.has_kyma() {
        definitions.extend(read_list(&folder.join("cert.json"))?);
        definitions.extend(read_list(&folder.join("dns.json"))?);
        definitions.extend(own("apirule.yaml")?);
    }
    if environment == Environment::KubernetesGateway {
        definitions.extend(read_list(&folder.join("gateway-api.json"))?);
    }
    if cert_manager {
        definitions.extend(own("cert-manager.yaml")?);
    }
    Ok(definitions)
}

fn read_list(path: &Path) -> Result<Vec<Value>> {
    let bytes = std::fs::read(path).trying(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Malformed(format!("{} is no list: {error}", path.display())))
}

/// The namespaces of an environment, with those of its mesh and its gateways.
pub(crate) fn namespaces(
    environment: Environment,
    mesh: Mesh,
    gateways: &[IngressGateway],
) -> Vec<Value> {
    let mut names = BTreeSet::from(["default", "kube-system", mesh.namespace]);
    names.extend(gateways.iter().map(|gateway| gateway.namespace.as_str()));
    if environment.has_kyma() {
        names.insert("kyma-system");
    }
    names
        .into_iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect()
}

/// The Node of all Pods; its kubelet is our port-forward end.
pub(crate) fn node(kubelet_port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Sandbox"}],
        },
    })
}

/// What Gardener and Kyma's API gateway module make in an environment that has them; `gateway` is Kyma's.
pub(crate) fn kyma(environment: Environment, domain: &str, gateway: &IngressGateway) -> Vec<Value> {
    let mut objects = Vec::new();
    if environment.has_kyma() {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "shoot-info", "namespace": "kube-system"},
            "data": {
                "domain": domain,
                "extensions": "shoot-cert-service,shoot-dns-service",
                "kubernetesVersion": "1.36.3",
                "projectName": "sandbox",
                "shootName": "sandbox",
            },
        }));
    }
    if environment.has_kyma_gateway() {
        objects.extend([
            kyma_gateway(domain, gateway),
            kyma_certificate(domain, gateway),
            kyma_dns_entry(domain, gateway),
        ]);
    }
    objects
}

fn kyma_gateway(domain: &str, gateway: &IngressGateway) -> Value {
    let hosts = [format!("*.{domain}")];
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "kyma-gateway", "namespace": "kyma-system"},
        "spec": {
            "selector": gateway.labels,
            "servers": [
                {
                    "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                    "tls": {"mode": "SIMPLE", "credentialName": KYMA_GATEWAY_SECRET},
                    "hosts": hosts,
                },
                {
                    "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                    "tls": {"httpsRedirect": true},
                    "hosts": hosts,
                },
            ],
        },
    })
}

fn kyma_certificate(domain: &str, gateway: &IngressGateway) -> Value {
    json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"name": "kyma-tls-cert", "namespace": gateway.namespace},
        "spec": {"commonName": format!("*.{domain}"), "secretName": KYMA_GATEWAY_SECRET},
    })
}

fn kyma_dns_entry(domain: &str, gateway: &IngressGateway) -> Value {
    json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSEntry",
        "metadata": {
            "name": "kyma-gateway", "namespace": "kyma-system",
            "annotations": {"dns.gardener.cloud/class": "garden"},
        },
        "spec": {"dnsName": format!("*.{domain}"), "ttl": 600, "targets": [gateway.load_balancer.to_string()]},
    })
}
