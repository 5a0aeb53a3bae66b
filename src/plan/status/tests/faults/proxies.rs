//! Faults of the proxies.

use serde_json::{Value, json};

use super::{findings, kyma, only, plain};
use crate::plan::check::Severity;
use crate::plan::testing::Cluster;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::rotation::Entrance;
use crate::resources::{Kind, Object, ObjectRef};

/// Another CA is trusted from now on.
fn trust_another(cluster: &mut Cluster) {
    let ca = cluster.ca("Next CA").certificate().clone();
    let state = cluster.state().going_to(ca, Entrance::default());
    cluster.put(&state.object());
    cluster.load();
}

/// A condition `Ready` of a gateway's Pod.
fn pod(cluster: &mut Cluster, number: u8, ready: &str, since: &str) {
    let name = format!("{INGRESS_SERVICE}-{number}");
    let name = ObjectRef::new(Kind::Pod, INGRESS_NAMESPACE, name);
    let ready: Value = json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
    let status = json!({"phase": "Running", "conditions": [ready]});
    let pod = cluster.objects[&name].clone().with("status", status);
    cluster.put(&pod);
}

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

#[test]
fn a_proxy_with_an_old_bundle_is_named_with_what_restarts_it() {
    let mut cluster = kyma();
    cluster.proxies.lagging = vec![1];
    trust_another(&mut cluster);
    let finding = only(&mut cluster, "proxy/outdated-bundle", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl delete pods -n istio-system istio-ingressgateway-2"
    );
}

#[test]
fn where_no_proxy_has_the_bundle_istiod_is_restarted_and_not_the_proxies() {
    let mut cluster = kyma();
    cluster.proxies.lagging = vec![0, 1];
    trust_another(&mut cluster);
    let finding = only(&mut cluster, "proxy/outdated-bundle", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl rollout restart deployments -n istio-system -l app=istiod"
    );
}

#[test]
fn a_proxy_with_an_old_revocation_list_is_one_finding() {
    let mut cluster = kyma();
    cluster.issue("bob");
    cluster.proxies.lagging = vec![1];
    cluster.revoke(1);
    let finding = only(&mut cluster, "proxy/outdated-crl", Severity::Error);
    assert!(
        finding.seen.starts_with("istio-ingressgateway-2 "),
        "{finding:#?}"
    );
    cluster.proxies.lagging.clear();
    cluster.load();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_proxy_without_a_connection_to_istiod_is_named_before_a_change_is_missed_there() {
    let mut cluster = kyma();
    cluster.proxies.cut_off = vec![1];
    let finding = only(&mut cluster, "proxy/cut-off", Severity::Error);
    let seen = "istio-ingressgateway-2 has no connection to istiod";
    assert_eq!(finding.seen, seen);
    let restart = "kubectl delete pods -n istio-system istio-ingressgateway-2";
    assert_eq!(finding.remedy, restart);
    // What it has missed follows from that.
    trust_another(&mut cluster);
    let finding = only(&mut cluster, "proxy/cut-off", Severity::Error);
    let follows: Vec<_> = finding
        .consequences
        .iter()
        .map(|one| one.check.id)
        .collect();
    assert_eq!(follows, ["proxy/outdated-bundle"]);
    // New proxies would get nothing either.
    cluster.proxies.cut_off = vec![0, 1];
    let finding = only(&mut cluster, "proxy/cut-off", Severity::Error);
    let istiod = "kubectl get deployments,pods -n istio-system -l app=istiod";
    assert_eq!(finding.remedy, istiod);
    cluster.proxies.cut_off.clear();
    cluster.load();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_proxy_that_rejects_updates_is_named_as_such_and_forgiven_what_it_rejected_before() {
    let mut cluster = kyma();
    cluster.proxies.rejecting = vec![1];
    cluster.load();
    assert_eq!(findings(&mut cluster), []);
    trust_another(&mut cluster);
    only(&mut cluster, "proxy/update-rejected", Severity::Error);
}

/// Notes when the data of an object was written, as the API server does.
fn written(cluster: &mut Cluster, name: &ObjectRef, manager: &str, time: &str) {
    let mut body = cluster.objects[name].body().clone();
    let fields = json!({"f:data": {".": {}}});
    body["metadata"]["managedFields"] = json!([
        {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields},
    ]);
    cluster.put(&Object::from_server(name.kind, body).unwrap());
}

#[test]
fn a_server_secret_or_client_ca_that_the_proxies_were_sent_and_did_not_take() {
    let server = ObjectRef::new(Kind::Secret, INGRESS_NAMESPACE, "kyma-mtls");
    let state = ObjectRef::new(Kind::ConfigMap, "kubectl-mtls", "kyma-mtls");
    for (object, manager, name, id, severity) in [
        (
            &server,
            "cert-controller",
            "kyma-mtls",
            "server-certificate/rejected",
            Severity::Warning,
        ),
        (
            &state,
            "kubectl-mtls",
            "configmap://kubectl-mtls/kyma-mtls",
            "proxy/update-rejected",
            Severity::Error,
        ),
    ] {
        let mut cluster = kyma();
        cluster.proxies.rejected_secrets = [name.to_owned()].into();
        // An update that was rejected once, and followed by one that was taken.
        written(&mut cluster, object, manager, "2026-01-01T00:00:00Z");
        assert_eq!(findings(&mut cluster), []);
        written(&mut cluster, object, manager, "2026-02-01T00:00:00Z");
        let finding = only(&mut cluster, id, severity);
        let pods = "istio-ingressgateway-1, istio-ingressgateway-2 rejected ";
        assert!(finding.seen.starts_with(pods), "{}", finding.seen);
    }
}

#[test]
fn a_listener_that_a_proxy_rejects_is_the_cause_of_what_it_has_not_loaded() {
    let mut cluster = kyma();
    cluster.proxies.rejecting = vec![1];
    cluster.proxies.listener_error = Some("script load error".to_owned());
    trust_another(&mut cluster);
    let finding = only(&mut cluster, "proxy/listener-rejected", Severity::Error);
    let seen = "istio-ingressgateway-2 rejects a listener: 0.0.0.0_8443: script load error";
    assert_eq!(finding.seen, seen);
}

const OTHER_KEY: &str = "Failed to load private key from <inline>, Cause: KEY_VALUES_MISMATCH";

#[test]
fn the_key_of_another_certificate_for_which_listeners_are_rejected_is_one_error() {
    let mut cluster = kyma();
    cluster.proxies.rejecting = vec![0, 1];
    cluster.proxies.listener_error = Some(OTHER_KEY.to_owned());
    // Of some other Gateway: which one, Envoy does not tell.
    let finding = only(&mut cluster, "proxy/listener-rejected", Severity::Error);
    for part in [".tls.credentialName", "-n istio-system -l app=istiod"] {
        assert!(finding.remedy.contains(part), "{finding:?}");
    }

    cluster.proxies.rejected_secrets = ["kyma-mtls".to_owned()].into();
    let server = ObjectRef::new(Kind::Secret, INGRESS_NAMESPACE, "kyma-mtls");
    let written_at = "2026-02-01T00:00:00Z";
    written(&mut cluster, &server, "cert-controller", written_at);
    let finding = only(&mut cluster, "server-certificate/rejected", Severity::Error);
    assert!(finding.why.contains("serves no new host"), "{finding:?}");
}

#[test]
fn a_pod_that_is_not_ready_is_one_finding_whatever_it_has_loaded() {
    let mut cluster = plain();
    pod(&mut cluster, 1, "True", LONG_AGO);
    pod(&mut cluster, 2, "False", LONG_AGO);
    cluster.proxies.lagging = vec![1];
    cluster.proxies.have_certificates = false;
    trust_another(&mut cluster);
    let finding = only(&mut cluster, "proxy/not-ready", Severity::Warning);
    assert_eq!(
        finding.remedy,
        "kubectl describe pods -n istio-system istio-ingressgateway-2"
    );
}

#[test]
fn pods_of_which_none_is_ready_are_an_outage_and_one_that_starts_is_no_fault() {
    let mut cluster = plain();
    for number in [1, 2] {
        pod(&mut cluster, number, "False", LONG_AGO);
    }
    only(&mut cluster, "proxy/not-ready", Severity::Error);
    let mut cluster = plain();
    pod(&mut cluster, 2, "False", "2026-06-01T11:59:30Z");
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn proxies_that_cannot_be_asked_are_judged_by_their_handshakes() {
    let mut cluster = kyma();
    cluster.controllers.proxies = false;
    assert_eq!(findings(&mut cluster), []);
}
