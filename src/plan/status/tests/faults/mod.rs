//! Faults, each made on a healthy host of the cluster in memory that all commands share, and the one finding on it.

mod added_filters;
mod authority;
mod cert_manager;
mod client_ca;
mod clients;
mod clock;
mod counts;
mod dns;
mod endpoints;
mod external;
mod gateway;
mod guard;
mod handshakes;
mod ingress;
mod ingress_policies;
mod mesh;
mod proxies;
mod remedies;
mod requests;
mod rights;
mod rivals;
mod route;
mod server;
mod server_chain;
mod shell;
mod unreadable;
mod visibility;

use counts::count;
pub use remedies::repaired;

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{self, Goal, Restore};
use crate::plan::check::{Finding, Severity};
use crate::plan::status::{Mark, Report, Request};
use crate::plan::testing::Cluster;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;
use crate::plan::{DryRun, expose};
use crate::resources::names::{FIRST_AUTHORITY, GatewayName};
use crate::resources::{Kind, Object, ObjectRef};

/// The host on the cluster with nothing but Istio.
pub const PLAIN_HOST: &str = "orders.example.com";

/// `shop/httpbin` on Kyma's default domain, with a client.
pub fn kyma() -> Cluster {
    static KYMA: LazyLock<Cluster> = LazyLock::new(|| exposed(Cluster::kyma()));
    KYMA.clone()
}

/// The same on a cluster with nothing but Istio.
pub fn plain() -> Cluster {
    static PLAIN: LazyLock<Cluster> = LazyLock::new(|| exposed(Cluster::plain()));
    PLAIN.clone()
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

/// How the host was exposed.
pub fn exposure(cluster: &Cluster) -> expose::Request {
    let is_kyma = cluster.unserved.is_empty();
    expose::Request {
        host: (!is_kyma).then(|| PLAIN_HOST.to_owned()),
        ..expose_request()
    }
}

/// A host exposed as a request says, without a client.
pub fn exposed_as(mut cluster: Cluster, request: expose::Request) -> Cluster {
    let request = expose::Request {
        host: exposure(&cluster).host,
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

/// What `status` reports on all hosts, in the form that its schema describes.
#[track_caller]
pub fn report(cluster: &mut Cluster) -> Report {
    let report = cluster.run(&request()).unwrap();
    assert_fits_schema(&report);
    report
}

/// Asserts that a report in JSON is what `docs/status-schema.json` says.
#[track_caller]
fn assert_fits_schema(report: &Report) {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema = include_str!("../../../../../docs/status-schema.json");
        // Times are RFC 3339, which this version of JSON Schema leaves to those who ask for it.
        let options = jsonschema::options().should_validate_formats(true);
        options
            .build(&serde_json::from_str(schema).unwrap())
            .unwrap()
    });
    let report = serde_json::to_value(report).unwrap();
    let errors = SCHEMA.iter_errors(&report);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect();
    assert_eq!(errors, Vec::<String>::new(), "{report:#}");
}

/// The ids of all findings, with their severities.
pub fn findings(cluster: &mut Cluster) -> Vec<(&'static str, Severity)> {
    let report = report(cluster);
    if report.findings.is_empty() {
        count("healthy", "state");
    }
    let findings = report.findings.iter();
    findings
        .map(|finding| (finding.check.id, finding.severity))
        .collect()
}

/// Asserts that there is exactly one finding, and that its command ends it where it is one that changes something.
#[track_caller]
pub fn only(cluster: &mut Cluster, id: &str, severity: Severity) -> Finding {
    count("made", id);
    let report = report(cluster);
    let [finding] = report.findings.as_slice() else {
        panic!("only `{id}` was expected: {:#?}", report.findings);
    };
    assert_eq!(
        (finding.check.id, finding.severity),
        (id, severity),
        "{finding:#?}"
    );
    count("named", id);
    remedies::ends(cluster, finding);
    finding.clone()
}

/// Asserts that there is exactly one finding, whose command ends it.
#[track_caller]
pub fn only_until_repaired(cluster: &mut Cluster, id: &str, severity: Severity) -> Finding {
    let finding = only(cluster, id, severity);
    repaired(cluster, &finding);
    finding
}

/// The Gateway that `expose` made.
pub fn own_gateway() -> ObjectRef {
    GatewayName::new("shop", "kyma-mtls-gateway").reference()
}

/// The route that `expose` made.
pub fn own_route(cluster: &Cluster) -> ObjectRef {
    let kind = if cluster.unserved.contains(&Kind::ApiRule) {
        Kind::VirtualService
    } else {
        Kind::ApiRule
    };
    ObjectRef::new(kind, "shop", "httpbin-mtls")
}

/// Changes the spec of an object as `kubectl edit` does, and lets the proxies load what comes of it.
pub fn edit(cluster: &mut Cluster, name: &ObjectRef, change: impl FnOnce(&mut Value)) {
    let before = cluster.objects[name].clone();
    let mut body = before.body().clone();
    change(&mut body["spec"]);
    let written = json!({"f:spec": changed(&before.body()["spec"], &body["spec"])});
    let managers = body["metadata"]["managedFields"].take();
    let mut managers = managers.as_array().cloned().unwrap_or_default();
    managers.push(json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": written}));
    body["metadata"]["managedFields"] = managers.into();
    cluster.put(&Object::from_server(name.kind, body).unwrap());
    cluster.act();
    cluster.load();
}

/// The fields that differ, in the form of `managedFields`.
fn changed(before: &Value, after: &Value) -> Value {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return json!({});
    };
    let fields = after.iter().filter_map(|(key, value)| {
        let known = before.get(key).unwrap_or(&Value::Null);
        (known != value).then(|| (format!("f:{key}"), changed(known, value)))
    });
    fields.collect::<Map<_, _>>().into()
}

/// Puts an object of somebody else, and lets the controllers and proxies take it in.
pub fn add(cluster: &mut Cluster, object: &Object) {
    cluster.put(object);
    cluster.act();
    cluster.load();
}

/// Removes an object, and lets the proxies load what is left.
pub fn remove(cluster: &mut Cluster, name: &ObjectRef) {
    cluster.objects.remove(name).expect("it is not there");
    cluster.load();
}

/// Both healthy clusters.
pub fn both() -> [Cluster; 2] {
    [kyma(), plain()]
}

#[test]
fn healthy_hosts_have_no_finding() {
    for mut cluster in both() {
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn what_ends_within_the_time_that_is_asked_for_is_told() {
    let mut cluster = kyma();
    let mut ids = |days: i64| -> Vec<&str> {
        let request = Request {
            expiring_within: Some(time::Duration::days(days)),
            ..request()
        };
        let report = cluster.run(&request).unwrap();
        let findings = report.findings.iter();
        findings.map(|finding| finding.check.id).collect()
    };
    assert_eq!(ids(1), Vec::<&str>::new());
    let mut all = ids(3650);
    all.sort_unstable();
    assert_eq!(
        all,
        [
            "client-ca/ending",
            "client/ending",
            "server-certificate/ending"
        ]
    );
}

#[test]
fn json_is_what_its_schema_says() {
    let mut opened = kyma();
    opened.open_gateway();
    for mut cluster in [kyma(), plain(), opened] {
        let request = Request {
            timeline: true,
            ..request()
        };
        let report = cluster.run(&request).unwrap();
        assert_fits_schema(&report);
        let report = serde_json::to_value(report).unwrap();
        assert!(report["timeline"]["ends"].is_array());
    }
}
