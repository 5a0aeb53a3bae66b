//! Starts the Envoy of a replica.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::gateway::IngressGateway;
use super::mesh::ISTIO_VERSION;
use super::replica::Replica;
use crate::error::Result;
use crate::parts::Part;
use crate::process::Process;

/// Starts the Envoy of a gateway's replica with the gateway's token.
pub(crate) fn start(
    plane: ControlPlane<'_>,
    gateway: &IngressGateway,
    replica: &Replica,
    token: &str,
) -> Result<Process> {
    let name = replica.process();
    let bootstrap = bootstrap(gateway, replica, token).to_string();
    let file = plane
        .directory
        .write(&format!("{name}.json"), bootstrap.as_bytes())?;
    plane.start(Part::Envoy, &name, |envoy| {
        envoy
            .arg("-c")
            .arg(file)
            .args(["--use-dynamic-base-id", "--concurrency", "1"]);
    })
}

/// What the agent in a gateway's Pod would tell Envoy, without the agent.
fn bootstrap(gateway: &IngressGateway, replica: &Replica, token: &str) -> Value {
    let Replica { pod, pod_ip, .. } = replica;
    let IngressGateway {
        namespace,
        service,
        service_account,
        labels,
        ..
    } = gateway;
    // istiod needs them as long as it has not heard of the Pod, which may be as new as the Envoy.
    let ports = json!([
        {"name": "http2", "containerPort": replica.http_port, "protocol": "TCP"},
        {"name": "https", "containerPort": replica.tls_port, "protocol": "TCP"},
    ]);
    let from_discovery =
        json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    json!({
        "node": {
            "id": format!("router~{pod_ip}~{pod}.{namespace}~{namespace}.svc.cluster.local"),
            "cluster": format!("{service}.{namespace}"),
            "metadata": {
                "NAMESPACE": namespace,
                "SERVICE_ACCOUNT": service_account,
                "CLUSTER_ID": "Kubernetes",
                "LABELS": labels,
                "POD_PORTS": ports.to_string(),
                "ISTIO_VERSION": ISTIO_VERSION,
                "INSTANCE_IPS": pod_ip.to_string(),
                "MESH_ID": "cluster.local",
            },
        },
        "admin": {"address": socket(replica.admin)},
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
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(replica.discovery)}}]}],
            },
        }]},
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
