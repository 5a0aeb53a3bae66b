//! Objects that somebody damaged, on purpose or not: whatever stands in them, the commands on a host end, and not by a panic.

use super::*;
use crate::plan::testing::hostile::refusals;
use crate::plan::testing::kyma::unexpose_request;

/// A cluster whose host is served to the clients on its allow-list only.
fn listed(mut cluster: Cluster, request: &Request, host: &str) -> Cluster {
    cluster.issue("alice");
    let access = AccessChoice {
        allow: Allow::Only(vec!["alice".to_owned()]),
        ..AccessChoice::default()
    };
    let request = Request {
        access,
        ..request.clone()
    };
    run(&mut cluster, &request, host);
    cluster
}

#[test]
fn expose_and_unexpose_end_whatever_the_objects_of_a_cluster_look_like() {
    for (cluster, request, host) in both() {
        let cluster = listed(cluster, &request, &host);
        assert!(refusals(&cluster, &request) > 0);
        refusals(&cluster, &unexpose_request());
    }
}
