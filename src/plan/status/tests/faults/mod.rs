//! Faults, each made on a healthy host of the cluster in memory that all commands share, and the one finding on it.

mod authority;
mod client_ca;
mod clients;
mod dns;
mod ingress;
mod proxies;
mod rights;
mod server;

use std::time::Duration;

use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Goal, Restore};
use crate::plan::check::{Finding, Severity};
use crate::plan::status::{Report, Request};
use crate::plan::testing::Cluster;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;
use crate::plan::{DryRun, expose};
use crate::resources::Kind;
use crate::resources::names::{FIRST_AUTHORITY, GatewayName};

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

/// `ca-rotate` on the authority of the host.
pub fn ca_rotate(goal: Goal) -> ca_rotate::Request {
    ca_rotate::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal,
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: None,
        force_conflicts: false,
    }
}

/// The next step of a rotation.
pub fn rotate() -> ca_rotate::Request {
    ca_rotate(Goal::Advance(None))
}

/// `ca-rotate --restore`, by somebody who has read what may be lost.
pub fn restore() -> ca_rotate::Request {
    ca_rotate(Goal::Restore(Restore {
        external: Vec::new(),
        accept_loss: true,
    }))
}

fn exposed(cluster: Cluster) -> Cluster {
    let mut cluster = exposed_as(cluster, expose_request());
    cluster.run(&issue_request("alice")).unwrap();
    cluster
}

/// A host exposed as a request says, without a client.
pub fn exposed_as(mut cluster: Cluster, request: expose::Request) -> Cluster {
    let is_kyma = cluster.unserved.is_empty();
    let request = expose::Request {
        host: (!is_kyma).then(|| PLAIN_HOST.to_owned()),
        ..request
    };
    let records = &mut cluster.controllers.records;
    records.insert(PLAIN_HOST.to_owned(), vec!["192.0.2.10".to_owned()]);
    cluster.run(&request).unwrap();
    cluster
}

/// `kubectl mtls status` of a user whose namespace is `shop`.
pub fn request() -> Request {
    Request {
        own_namespace: "shop".to_owned(),
        ..Request::default()
    }
}

/// What `status` reports on all hosts.
pub fn report(cluster: &mut Cluster) -> Report {
    cluster.run(&request()).unwrap()
}

impl Cluster {
    /// The Gateway asks nobody for a certificate any more.
    fn open_gateway(&mut self) {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let mut spec = self.objects[&gateway].at(&["spec"]).unwrap().clone();
        spec["servers"][0]["tls"]["mode"] = "SIMPLE".into();
        let opened = self.objects[&gateway].clone().with("spec", spec);
        self.put(&opened);
        self.load();
    }
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

#[test]
fn json_is_what_its_schema_says() {
    let schema = include_str!("../../../../../docs/status-schema.json");
    let schema = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut opened = kyma();
    opened.open_gateway();
    for mut cluster in [kyma(), plain(), opened] {
        let request = Request {
            timeline: true,
            ..request()
        };
        let report = serde_json::to_value(cluster.run(&request).unwrap()).unwrap();
        let errors: Vec<String> = schema
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{report:#}");
        assert!(report["timeline"]["ends"].is_array());
    }
}
