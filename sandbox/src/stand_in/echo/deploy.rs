//! The objects through which the cluster finds an echo that runs outside of it.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::stand_in::resources::Kind;

/// The port of every echo's Service, as in the tutorials.
pub(in crate::stand_in) const SERVICE_PORT: u16 = 8000;

/// Creates the Namespace if need be, the Service, and a WorkloadEntry in the place of Pods: istiod takes the endpoint from it.
pub(in crate::stand_in) async fn deploy(
    client: &Client,
    namespace: &str,
    service: &str,
    address: SocketAddr,
) -> kube::Result<()> {
    let namespaces = Api::<Namespace>::all(client.clone());
    if namespaces.get_opt(namespace).await?.is_none() {
        let mut fresh = Namespace::default();
        fresh.metadata.name = Some(namespace.to_owned());
        fresh.metadata.labels = Some([("istio-injection".to_owned(), "enabled".to_owned())].into());
        match namespaces.create(&PostParams::default(), &fresh).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            answer => drop(answer?),
        }
    }
    let params = PatchParams::apply("sandbox").force();
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    services
        .patch(
            service,
            &params,
            &Patch::Apply(service_object(service, address.port())),
        )
        .await?;
    let entries: Api<DynamicObject> = Kind::WorkloadEntry.within(client, namespace);
    entries
        .patch(
            service,
            &params,
            &Patch::Apply(workload_entry(service, address)),
        )
        .await?;
    Ok(())
}

fn service_object(name: &str, target_port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "labels": { "app": name, "service": name } },
        "spec": {
            "selector": { "app": name },
            "ports": [{ "name": "http", "port": SERVICE_PORT, "targetPort": target_port, "protocol": "TCP" }],
        },
    })
}

fn workload_entry(name: &str, address: SocketAddr) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": { "name": name },
        "spec": { "address": address.ip(), "labels": { "app": name } },
    })
}
