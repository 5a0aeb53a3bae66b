//! The objects that a cluster has before anybody uses the plugin: what Gardener, Kyma and Istio put there. Data only.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::gateway::{ISTIO_VERSION, NAMESPACE, Replica, SERVICE, SERVICE_ACCOUNT, labels};
use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::parts::crds;

/// Name of the only Node; its kubelet is our port-forward end.
const NODE: &str = "sandbox";
/// Name of a gateway Pod's container, as Istio has it.
const CONTAINER: &str = "istio-proxy";
/// No image is ever pulled.
const IMAGE: &str = "envoy";
/// Address of the load balancer as the cloud reports it; a documentation address (RFC 5737) that nobody reaches.
pub(crate) const LOAD_BALANCER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Secret with the certificate of Kyma's default gateway.
const KYMA_GATEWAY_SECRET: &str = "kyma-gateway-certs";

/// Reads the custom resource definitions of an environment; `folder` is the part with Istio's and Gardener's.
pub(crate) fn definitions(environment: Environment, folder: &Path) -> Result<Vec<Value>> {
    let mut definitions = read_list(&folder.join("istio.json"))?;
    if environment.has_kyma() {
        definitions.extend(read_list(&folder.join("cert.json"))?);
        definitions.extend(read_list(&folder.join("dns.json"))?);
        definitions.extend(crds::read(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("crds")
                .join("apirule.yaml"),
        )?);
    }
    Ok(definitions)
}

fn read_list(path: &Path) -> Result<Vec<Value>> {
    let bytes = std::fs::read(path).trying(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Malformed(format!("{} is no list: {error}", path.display())))
}

/// The namespaces of an environment.
pub(crate) fn namespaces(environment: Environment) -> Vec<Value> {
    let kyma = if environment.has_kyma() {
        &["kyma-system"][..]
    } else {
        &[]
    };
    let names = ["default", "kube-system", NAMESPACE].iter().chain(kyma);
    names
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect()
}

/// What runs in every environment: istiod, and the gateway's Service, identity, Node and Pods.
pub(crate) fn gateway(replicas: &[Replica], kubelet_port: u16) -> Vec<Value> {
    let mut objects = identity();
    objects.extend([istiod(), service(), node(kubelet_port)]);
    objects.extend(replicas.iter().map(pod));
    objects
}

/// The gateway's `ServiceAccount` and its right to read Secrets, without which istiod hands it none.
fn identity() -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let (api_version, role) = (format!("{group}/v1"), "istio-ingressgateway-sds");
    let role_metadata = json!({"name": role, "namespace": NAMESPACE});
    vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE},
        }),
        json!({
            "apiVersion": api_version, "kind": "Role", "metadata": role_metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}],
        }),
        json!({
            "apiVersion": api_version, "kind": "RoleBinding", "metadata": role_metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        }),
    ]
}

/// istiod as its chart has it (`manifests/charts/istio-control/istio-discovery/templates/deployment.yaml`); it runs as a process.
fn istiod() -> Value {
    let labels = json!({"app": "istiod", "istio": "pilot", "istio.io/rev": "default"});
    let image = format!("docker.io/istio/pilot:{ISTIO_VERSION}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"istio": "pilot"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "discovery", "image": image}]},
            },
        },
    })
}

/// Ports by name: istiod resolves them per Pod, so that each replica listens on ports of its own.
fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE, "labels": labels()},
        "spec": {
            "type": "LoadBalancer",
            "selector": labels(),
            "ports": [
                {"name": "http2", "port": 80, "targetPort": "http2", "protocol": "TCP"},
                {"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"},
            ],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": LOAD_BALANCER.to_string()}]}},
    })
}

fn node(kubelet_port: u16) -> Value {
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

fn pod(replica: &Replica) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": replica.pod, "namespace": NAMESPACE, "labels": labels()},
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": SERVICE_ACCOUNT,
            "containers": [{
                "name": CONTAINER,
                "image": IMAGE,
                "ports": [
                    {"name": "http2", "containerPort": replica.http_port},
                    {"name": "https", "containerPort": replica.tls_port},
                ],
            }],
        },
        "status": pod_status(replica, true),
    })
}

/// Status of a replica's Pod while its Envoy runs, or does not.
pub(crate) fn pod_status(replica: &Replica, ready: bool) -> Value {
    let condition = if ready { "True" } else { "False" };
    let ip = replica.pod_ip.to_string();
    json!({
        "phase": "Running",
        "hostIP": "127.0.0.1",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [
            {"type": "Ready", "status": condition},
            {"type": "ContainersReady", "status": condition},
        ],
        "containerStatuses": [{
            "name": CONTAINER, "image": IMAGE, "imageID": "", "restartCount": 0, "ready": ready, "started": ready,
        }],
    })
}

/// What Gardener and Kyma's API gateway module make in an environment that has them.
pub(crate) fn kyma(environment: Environment, domain: &str) -> Vec<Value> {
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
            kyma_gateway(domain),
            kyma_certificate(domain),
            kyma_dns_entry(domain),
        ]);
    }
    objects
}

fn kyma_gateway(domain: &str) -> Value {
    let hosts = [format!("*.{domain}")];
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "kyma-gateway", "namespace": "kyma-system"},
        "spec": {
            "selector": labels(),
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

fn kyma_certificate(domain: &str) -> Value {
    json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"name": "kyma-tls-cert", "namespace": NAMESPACE},
        "spec": {"commonName": format!("*.{domain}"), "secretName": KYMA_GATEWAY_SECRET},
    })
}

fn kyma_dns_entry(domain: &str) -> Value {
    json!({
        "apiVersion": "dns.gardener.cloud/v1alpha1", "kind": "DNSEntry",
        "metadata": {
            "name": "kyma-gateway", "namespace": "kyma-system",
            "annotations": {"dns.gardener.cloud/class": "garden"},
        },
        "spec": {"dnsName": format!("*.{domain}"), "ttl": 600, "targets": [LOAD_BALANCER.to_string()]},
    })
}
