//! The endpoints of Services (discovery.k8s.io/v1 `EndpointSlice`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, ObjectRef};

/// The label with the name of the Service (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices>).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The endpoints of a Service, among the slices of its namespace; `None` if it has no slice.
pub fn endpoints<'a>(slices: &'a [Object], service: &ObjectRef) -> Option<Vec<&'a Value>> {
    let mut its = of_service(slices, service).peekable();
    its.peek()?;
    Some(its.flat_map(listed).collect())
}

/// The endpoints of a Service that have its port of this name. A Pod without the port that `targetPort` names has no port at all in its
/// slice (<https://github.com/kubernetes/kubernetes>, `staging/src/k8s.io/endpointslice/utils.go`, `getEndpointPorts`), and none at istiod
/// (<https://github.com/istio/istio>, `pilot/pkg/serviceregistry/kube/controller/endpointslice.go`).
pub fn endpoints_with_port<'a>(
    slices: &'a [Object],
    service: &ObjectRef,
    port: &str,
) -> impl Iterator<Item = &'a Value> {
    let has_port = move |slice: &&Object| {
        let ports = slice.at(&["ports"]).and_then(Value::as_array);
        let names = ports.into_iter().flatten().map(|port| port.get("name"));
        let mut names = names.map(|name| name.and_then(Value::as_str).unwrap_or_default());
        names.any(|name| name == port)
    };
    of_service(slices, service)
        .filter(has_port)
        .flat_map(listed)
}

fn of_service<'a>(slices: &'a [Object], service: &ObjectRef) -> impl Iterator<Item = &'a Object> {
    let is_its = |slice: &&Object| slice.label(SERVICE_NAME) == Some(&service.name);
    slices.iter().filter(is_its)
}

fn listed(slice: &Object) -> impl Iterator<Item = &Value> {
    let endpoints = slice.at(&["endpoints"]).and_then(Value::as_array);
    endpoints.into_iter().flatten()
}

/// The addresses of a Service's endpoints, among the slices of its namespace.
pub fn addresses<'a>(slices: &'a [Object], service: &ObjectRef) -> BTreeSet<&'a str> {
    let endpoints = endpoints(slices, service).unwrap_or_default().into_iter();
    let lists = endpoints.filter_map(|endpoint| endpoint.get("addresses")?.as_array());
    lists.flatten().filter_map(Value::as_str).collect()
}
