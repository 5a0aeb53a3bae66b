//! Objects that somebody damaged, on purpose or not: whatever stands in them, the command ends, and not by a panic.

use super::*;
use crate::plan::testing::hostile::refusals;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;

#[test]
fn issue_client_ends_whatever_the_objects_of_a_cluster_look_like() {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    cluster.issue("alice");
    assert!(refusals(&cluster, &issue_request("bob")) > 0);
    refusals(&cluster, &issue_request("alice"));
}
