//! Other ways to the Service: each list that finds them, and what is said if it may not be read.

use super::*;
use crate::plan::external_routes::queries;
use crate::plan::{Query, Seen};
use crate::resources::names::ISTIO_NAMESPACE;
use crate::resources::{Kind, ObjectRef};

/// A Service with the same Pods that is reached from outside of the cluster.
fn node_port() -> Object {
    let own = crate::resources::sample::service("shop");
    let mut spec = own.at(&["spec"]).unwrap().clone();
    spec["type"] = "NodePort".into();
    Object::new(ObjectRef::new(Kind::Service, "shop", "public")).with("spec", spec)
}

#[test]
fn each_list_that_may_not_be_read_is_reported_as_not_checked() {
    let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
    let all = queries(&service, [ISTIO_NAMESPACE]);
    assert_eq!(all.len(), 5, "{all:#?}");
    for (cluster, request, _) in both() {
        for query in &all {
            let Query::List { kind, .. } = query else {
                panic!("{query:?}");
            };
            let mut cluster = cluster.clone();
            cluster.put(&node_port());
            let denied = Seen::Denied("you may not `list` them".to_owned());
            cluster.fixed.insert(query.clone(), denied);
            let report = cluster.run(&request).unwrap();
            let resource = match kind {
                Kind::AuthorizationPolicy => "AuthorizationPolicies".to_owned(),
                kind => kind.resource().clone(),
            };
            let says = format!("the {resource} ");
            let mut notes = report.notes.iter();
            let is_said = |note: &String| {
                note.contains(&says)
                    && note.contains("could not be listed")
                    && note.contains("you may not `list` them")
            };
            assert!(notes.any(is_said), "{query:?}: {:#?}", report.notes);
        }
    }
}
