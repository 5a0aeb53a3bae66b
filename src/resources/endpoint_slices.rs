//! The endpoints of Services (discovery.k8s.io/v1 `EndpointSlice`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, ObjectRef};

/// The label with the name of the Service (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices>).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The endpoints of a Service, among the slices of its namespace; `None` if it has no slice.
pub fn endpoints<'a>(slices: &'a [Object], service: &ObjectRef) -> Option<Vec<&'a Value>> {
    let is_its = |slice: &&Object| slice.label(SERVICE_NAME) == Some(&service.name);
    let mut its = slices.iter().filter(is_its).peekable();
    its.peek()?;
    let lists = its.filter_map(|slice| slice.at(&["endpoints"])?.as_array());
    Some(lists.flatten().collect())
}

/// The addresses of a Service's endpoints, among the slices of its namespace.
pub fn addresses<'a>(slices: &'a [Object], service: &ObjectRef) -> BTreeSet<&'a str> {
    let endpoints = endpoints(slices, service).unwrap_or_default().into_iter();
    let lists = endpoints.filter_map(|endpoint| endpoint.get("addresses")?.as_array());
    lists.flatten().filter_map(Value::as_str).collect()
}
