//! The endpoints of Services (discovery.k8s.io/v1 `EndpointSlice`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, ObjectRef};

/// The label with the name of the Service (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices>).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The addresses of a Service's endpoints, among the slices of its namespace.
pub fn addresses<'a>(slices: &'a [Object], service: &ObjectRef) -> BTreeSet<&'a str> {
    let its = slices
        .iter()
        .filter(|slice| slice.label(SERVICE_NAME) == Some(&service.name));
    let endpoints = its
        .filter_map(|slice| slice.at(&["endpoints"])?.as_array())
        .flatten();
    let lists = endpoints.filter_map(|endpoint| endpoint.get("addresses")?.as_array());
    lists.flatten().filter_map(Value::as_str).collect()
}
