//! The objects of an ingress gateway, as its installer and the sidecar injector make them. Data only.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::gateway::{IngressGateway, Installer};
use super::mesh::{ISTIO_VERSION, Mesh};
use super::replica::Replica;

/// Name of the only Node; its kubelet is our port-forward end.
pub(super) const NODE: &str = "sandbox";
/// Name of a gateway Pod's container, as Istio has it.
const CONTAINER: &str = "istio-proxy";
/// No image is ever pulled.
const IMAGE: &str = "docker.io/istio/proxyv2";

/// The gateway's Service, its identity and the Pods with which it starts.
pub(crate) fn all(gateway: &IngressGateway) -> Vec<Value> {
    let mut objects = identity(gateway);
    objects.push(service(gateway));
    let pods = gateway.replicas.iter();
    objects.extend(pods.map(|replica| pod(gateway, replica, true)));
    objects
}

/// The gateway's `ServiceAccount` and its right to read Secrets, without which istiod hands it none.
fn identity(gateway: &IngressGateway) -> Vec<Value> {
    let IngressGateway {
        namespace,
        service_account: account,
        ..
    } = gateway;
    let group = "rbac.authorization.k8s.io";
    let api_version = format!("{group}/v1");
    let role = match gateway.installer {
        Installer::Istioctl => format!("{}-sds", gateway.service),
        Installer::Helm => account.clone(),
    };
    let role_metadata = json!({"name": role, "namespace": namespace});
    vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        }),
        json!({
            "apiVersion": api_version, "kind": "Role", "metadata": role_metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}],
        }),
        json!({
            "apiVersion": api_version, "kind": "RoleBinding", "metadata": role_metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }),
    ]
}

/// Ports by name: istiod resolves them per Pod, so that each replica listens on ports of its own.
fn service(gateway: &IngressGateway) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": gateway.service, "namespace": gateway.namespace, "labels": gateway.labels},
        "spec": {
            "type": "LoadBalancer",
            "selector": gateway.labels,
            "ports": [
                {"name": "http2", "port": 80, "targetPort": "http2", "protocol": "TCP"},
                {"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"},
            ],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": gateway.load_balancer.to_string()}]}},
    })
}

/// The Pod of a replica, scheduled and running.
pub(crate) fn pod(gateway: &IngressGateway, replica: &Replica, ready: bool) -> Value {
    let mesh = replica.mesh;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": replica.pod,
            "namespace": replica.namespace,
            "labels": pod_labels(gateway, mesh),
            "annotations": pod_annotations(gateway, mesh),
        },
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": gateway.service_account,
            "containers": [{
                "name": CONTAINER,
                "image": format!("{IMAGE}:{ISTIO_VERSION}"),
                "args": [
                    "proxy", "router",
                    "--domain", "$(POD_NAMESPACE).svc.cluster.local",
                    "--proxyLogLevel=warning",
                    "--proxyComponentLogLevel=misc:error",
                    "--log_output_level=default:info",
                ],
                "env": variables(gateway, mesh),
                "ports": [
                    {"name": "http2", "containerPort": replica.http_port},
                    {"name": "https", "containerPort": replica.tls_port},
                    {"name": "http-envoy-prom", "containerPort": 15090},
                ],
            }],
        },
        "status": pod_status(replica, ready),
    })
}

/// The environment of the proxy: the chart's, or the injector's, which leaves the address of a default installation out of the
/// proxy's configuration (`pkg/kube/inject/template.go`, `cleanProxyConfig`).
fn variables(gateway: &IngressGateway, mesh: Mesh) -> Vec<Value> {
    let address = mesh.address();
    let mut all = vec![
        json!({"name": "CA_ADDR", "value": address}),
        json!({"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
        json!({"name": "TRUST_DOMAIN", "value": "cluster.local"}),
        json!({"name": "ISTIO_META_CLUSTER_ID", "value": "Kubernetes"}),
    ];
    if gateway.installer == Installer::Helm {
        let config = match address.as_str() {
            "istiod.istio-system.svc:15012" => json!({}),
            other => json!({"discoveryAddress": other}),
        };
        all.push(json!({"name": "PROXY_CONFIG", "value": format!("{config}\n")}));
    }
    all
}

/// The labels of the installer's Pod template (`templates/deployment.yaml` of its chart), and those of the injector
/// (`istio-discovery/files/gateway-injection-template.yaml`). They replace those of the bootstrap.
fn pod_labels(gateway: &IngressGateway, mesh: Mesh) -> Value {
    let IngressGateway {
        service, labels, ..
    } = gateway;
    let mut all = json!(labels);
    all["app.kubernetes.io/managed-by"] = json!("Helm");
    all["app.kubernetes.io/name"] = json!(service);
    all["app.kubernetes.io/part-of"] = json!("istio");
    all["app.kubernetes.io/version"] = json!(ISTIO_VERSION);
    all["istio.io/dataplane-mode"] = json!("none");
    all["service.istio.io/canonical-name"] = json!(service);
    match gateway.installer {
        Installer::Istioctl => {
            all["app.kubernetes.io/instance"] = json!("istio");
            all["chart"] = json!("gateways");
            all["helm.sh/chart"] = json!(format!("istio-ingress-{ISTIO_VERSION}"));
            all["heritage"] = json!("Tiller");
            all["install.operator.istio.io/owning-resource"] = json!("unknown");
            all["istio.io/rev"] = json!(mesh.revision);
            all["operator.istio.io/component"] = json!("IngressGateways");
            all["release"] = json!("istio");
            all["service.istio.io/canonical-revision"] = json!("latest");
            all["sidecar.istio.io/inject"] = json!("false");
        }
        Installer::Helm => {
            all["app.kubernetes.io/instance"] = json!(service);
            all["helm.sh/chart"] = json!(format!("gateway-{ISTIO_VERSION}"));
            all["service.istio.io/canonical-revision"] = json!(ISTIO_VERSION);
            all["sidecar.istio.io/inject"] = json!("true");
            if mesh.revision != "default" {
                all["istio.io/rev"] = json!(mesh.revision);
            }
        }
    }
    all
}

fn pod_annotations(gateway: &IngressGateway, mesh: Mesh) -> Value {
    let mut all = json!({
        "istio.io/rev": mesh.revision,
        "prometheus.io/path": "/stats/prometheus",
        "prometheus.io/port": "15020",
        "prometheus.io/scrape": "true",
    });
    match gateway.installer {
        Installer::Istioctl => all["sidecar.istio.io/inject"] = json!("false"),
        Installer::Helm => {
            let status = json!({
                "initContainers": null, "containers": [CONTAINER], "volumes": null, "imagePullSecrets": null,
                "revision": mesh.revision,
            });
            all["inject.istio.io/templates"] = json!("gateway");
            all["sidecar.istio.io/inject"] = json!("true");
            all["sidecar.istio.io/status"] = json!(status.to_string());
        }
    }
    all
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
            "name": CONTAINER, "image": format!("{IMAGE}:{ISTIO_VERSION}"), "imageID": "", "restartCount": 0,
            "ready": ready, "started": ready,
        }],
    })
}

/// The `EnvoyFilter` that has each replica listen on its Pod's address only; `pods` are all addresses that replicas may get.
///
/// istiod binds a gateway's listeners to 0.0.0.0, and a Gateway's `bind` is the user's; in the mesh's root namespace the patch
/// reaches every proxy whose metadata name the address.
pub(crate) fn loopback_only(mesh: Mesh, pods: impl Iterator<Item = Ipv4Addr>) -> Value {
    let patches: Vec<Value> = pods
        .map(|address| {
            let address = address.to_string();
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
        "metadata": {"name": "sandbox-loopback-only", "namespace": mesh.namespace},
        "spec": {"configPatches": patches},
    })
}
