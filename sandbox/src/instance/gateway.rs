//! The ingress gateway: Envoy replicas that istiod configures, each with a Pod object of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::addresses::{Addresses, REPLICAS};
use super::control_plane::ControlPlane;
use crate::error::{Error, Result, Trying};
use crate::parts::Part;
use crate::process::Process;

/// Namespace of istiod and the gateway.
pub(crate) const NAMESPACE: &str = "istio-system";
/// Name of the gateway's Service.
pub(crate) const SERVICE: &str = "istio-ingressgateway";
/// Name of the gateway's `ServiceAccount`.
pub(crate) const SERVICE_ACCOUNT: &str = "istio-ingressgateway-service-account";
/// Port of Envoy's administration page in every Pod.
const ADMIN_PORT: u16 = 15_000;
/// What istiod and the proxies claim to be; istiod adapts to older ones.
pub(crate) const ISTIO_VERSION: &str = "1.31.0";
/// Longer than any sandbox runs, in seconds.
const TOKEN_LIFETIME: i64 = 14 * 24 * 3600;

/// One Envoy of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Name of its Pod in `istio-system`.
    pub pod: String,
    /// Address of its Pod, a loopback address that only this replica has.
    pub pod_ip: Ipv4Addr,
    /// Its administration page, port 15000 of the Pod.
    pub admin: SocketAddr,
    /// Port of its HTTPS listener.
    pub tls_port: u16,
    /// Port of its HTTP listener, there as long as a Gateway has an HTTP server.
    pub http_port: u16,
    /// Where it finds istiod.
    pub(crate) discovery: SocketAddr,
}

impl Replica {
    /// The replicas of an instance with these addresses.
    pub(crate) fn all(addresses: &Addresses) -> Vec<Self> {
        (0..REPLICAS)
            .map(|number| {
                let pod_ip = addresses.pod(number);
                Self {
                    pod: format!("{SERVICE}-{number}"),
                    pod_ip,
                    admin: SocketAddr::new(IpAddr::V4(pod_ip), ADMIN_PORT),
                    tls_port: addresses.replica_https(number),
                    http_port: addresses.replica_http(number),
                    discovery: addresses.replica_discovery(number),
                }
            })
            .collect()
    }

    /// Address of its HTTPS listener.
    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.pod_ip), self.tls_port)
    }

    /// Starts the replica's Envoy with the gateway's token.
    pub(crate) fn start(&self, plane: ControlPlane<'_>, token: &str) -> Result<Process> {
        let bootstrap = self.bootstrap(token).to_string();
        let file = plane
            .directory
            .write(&format!("{}.json", self.pod), bootstrap.as_bytes())?;
        plane.start(Part::Envoy, &self.pod, |envoy| {
            envoy
                .arg("-c")
                .arg(file)
                .args(["--use-dynamic-base-id", "--concurrency", "1"]);
        })
    }

    /// What the agent in a gateway's Pod would tell Envoy, without the agent.
    fn bootstrap(&self, token: &str) -> Value {
        let Self { pod, pod_ip, .. } = self;
        let from_discovery =
            json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
        json!({
            "node": {
                "id": format!("router~{pod_ip}~{pod}.{NAMESPACE}~{NAMESPACE}.svc.cluster.local"),
                "cluster": format!("{SERVICE}.{NAMESPACE}"),
                "metadata": {
                    "NAMESPACE": NAMESPACE,
                    "SERVICE_ACCOUNT": SERVICE_ACCOUNT,
                    "CLUSTER_ID": "Kubernetes",
                    "LABELS": labels(),
                    "ISTIO_VERSION": ISTIO_VERSION,
                    "INSTANCE_IPS": pod_ip.to_string(),
                    "MESH_ID": "cluster.local",
                },
            },
            "admin": {"address": socket(self.admin)},
            "dynamic_resources": {
                "lds_config": from_discovery,
                "cds_config": from_discovery,
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{
                        "envoy_grpc": {"cluster_name": "xds-grpc"},
                        "initial_metadata": [{"key": "authorization", "value": format!("Bearer {token}")}],
                    }],
                },
            },
            "static_resources": {"clusters": [{
                "name": "xds-grpc",
                "type": "STATIC",
                "connect_timeout": "1s",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }},
                "load_assignment": {
                    "cluster_name": "xds-grpc",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(self.discovery)}}]}],
                },
            }]},
        })
    }
}

/// The `EnvoyFilter` that has each replica listen on its Pod's address only.
///
/// istiod binds a gateway's listeners to 0.0.0.0, and a Gateway's `bind` is the user's; in the mesh's root namespace the patch
/// reaches every proxy whose metadata name the address.
pub(crate) fn loopback_only(replicas: &[Replica]) -> Value {
    let patches: Vec<Value> = replicas
        .iter()
        .map(|replica| {
            let address = replica.pod_ip.to_string();
            json!({
                "applyTo": "LISTENER",
                "match": {"context": "GATEWAY", "proxy": {"metadata": {"INSTANCE_IPS": address}}},
                "patch": {
                    "operation": "MERGE",
                    "value": {"address": {"socket_address": {"address": address}}},
                },
            })
        })
        .collect();
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "sandbox-loopback-only", "namespace": NAMESPACE},
        "spec": {"configPatches": patches},
    })
}

/// The labels by which Gateways select the replicas. Those of the Pod replace those of the bootstrap.
pub(crate) fn labels() -> Value {
    json!({"app": SERVICE, "istio": "ingressgateway"})
}

/// Asks for the token with which the replicas identify themselves to istiod.
pub(crate) async fn request_token(client: &kube::Client) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["istio-ca".to_owned()],
            expiration_seconds: Some(TOKEN_LIFETIME),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(SERVICE_ACCOUNT, &PostParams::default(), &request)
        .await;
    let answer = answer.trying(|| "get a token for the gateway".to_owned())?;
    let status = answer
        .status
        .ok_or_else(|| Error::Malformed("the token request has no answer".to_owned()))?;
    Ok(status.token)
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
