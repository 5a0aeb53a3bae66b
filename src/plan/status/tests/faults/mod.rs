//! Faults, each made on a healthy host of the cluster in memory that all commands share, and the one finding on it.

mod dns;
mod ingress;
mod server;
mod server_chain;

use crate::plan::check::{Finding, Severity};
use crate::plan::expose;
use crate::plan::status::{Report, Request};
use crate::plan::testing::Cluster;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;
use crate::resources::names::GatewayName;

/// The host on the cluster with nothing but Istio.
pub const PLAIN_HOST: &str = "orders.example.com";

/// `shop/httpbin` on Kyma's default domain, with a client.
pub fn kyma() -> Cluster {
    exposed(Cluster::kyma())
}

/// The same on a cluster with nothing but Istio.
pub fn plain() -> Cluster {
    exposed(Cluster::plain())
}

fn exposed(mut cluster: Cluster) -> Cluster {
    let is_kyma = cluster.unserved.is_empty();
    let request = expose::Request {
        host: (!is_kyma).then(|| PLAIN_HOST.to_owned()),
        ..expose_request()
    };
    let records = &mut cluster.controllers.records;
    records.insert(PLAIN_HOST.to_owned(), vec!["192.0.2.10".to_owned()]);
    cluster.run(&request).unwrap();
    cluster.run(&issue_request("alice")).unwrap();
    cluster
}

/// What `status` reports on all hosts.
pub fn report(cluster: &mut Cluster) -> Report {
    cluster.run(&Request::default()).unwrap()
}

/// The ids of all findings, with their severities.
pub fn findings(cluster: &mut Cluster) -> Vec<(&'static str, Severity)> {
    let report = report(cluster);
    let findings = report.findings.iter();
    findings
        .map(|finding| (finding.check.id, finding.severity))
        .collect()
}

/// Asserts that there is exactly one finding.
#[track_caller]
pub fn only(cluster: &mut Cluster, id: &str, severity: Severity) -> Finding {
    let report = report(cluster);
    let [finding] = report.findings.as_slice() else {
        panic!("only `{id}` was expected: {:#?}", report.findings);
    };
    assert_eq!(
        (finding.check.id, finding.severity),
        (id, severity),
        "{finding:#?}"
    );
    finding.clone()
}

#[test]
fn a_gateway_that_is_gone_is_one_finding() {
    let mut cluster = kyma();
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    cluster.objects.remove(&gateway);
    cluster.load();
    only(&mut cluster, "gateway/missing", Severity::Error);
}

#[test]
fn healthy_hosts_have_no_finding() {
    for mut cluster in [kyma(), plain()] {
        assert_eq!(findings(&mut cluster), []);
    }
}
