//! The Service that is named.

use super::*;
use crate::pki::names::Subject;
use crate::plan::Seen;
use crate::resources::ObjectRef;

#[test]
fn a_service_of_another_namespace_is_named_with_the_command_for_it() {
    let mut cluster = Cluster::kyma();
    let request = Request {
        namespace: "orders".to_owned(),
        ..expose_request()
    };
    let there = [
        "the Service exists in the namespace `shop`:",
        "  kubectl mtls expose httpbin -n shop",
    ];
    let failure = cluster.run(&request).unwrap_err();
    assert_eq!(failure.to_string(), "the namespace `orders` does not exist");
    assert_eq!(failure.what_to_do(), there);
    cluster.put(&Object::new(ObjectRef::namespace("orders")));
    let failure = cluster.run(&request).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the Service `httpbin` does not exist in the namespace `orders`"
    );
    assert_eq!(failure.what_to_do(), there);
    let misspelt = Request {
        service: "httpbni".to_owned(),
        ..expose_request()
    };
    let failure = cluster.run(&misspelt).unwrap_err();
    assert_eq!(failure.what_to_do(), ["existing Services: httpbin"]);
    // Who may not list Services of all namespaces learns what is there.
    let denied = Seen::Denied("`list` services".to_owned());
    let everywhere = super::super::service::everywhere();
    cluster.fixed.insert(everywhere, denied);
    let failure = cluster.run(&request).unwrap_err();
    assert_eq!(
        failure.what_to_do(),
        ["the namespace has no Services; `-n` names another namespace"]
    );
    assert_eq!(cluster.writes, Vec::<String>::new());
}

#[test]
fn a_new_ca_has_the_subject_that_was_asked_for() {
    let subject: Subject = "CN=Shop clients,O=Example".parse().unwrap();
    let mut cluster = Cluster::kyma();
    let request = Request {
        ca_subject: Some(subject),
        ..expose_request()
    };
    run(&mut cluster, &request, &default_host());
    let ca = cluster.state().issuing_ca().unwrap().clone();
    assert_eq!(ca.subject(), "CN=Shop clients,O=Example");
}
