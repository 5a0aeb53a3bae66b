//! The policy by which only the gateway may call the Service's Pods, where no Kyma makes one.

use serde_json::json;

use super::*;
use crate::resources::{Kind, ObjectRef, access_policy};

const AMBIENT: (&str, &str) = ("ambient.istio.io/redirection", "enabled");

/// A cluster whose Service has these Pods.
fn with_pods(pods: &[Object]) -> Cluster {
    let mut cluster = Cluster::plain();
    let first = ObjectRef::new(Kind::Pod, "shop", "httpbin-1");
    cluster.objects.remove(&first);
    for pod in pods {
        cluster.put(pod);
    }
    cluster
}

fn pod(name: &str) -> Object {
    Object::new(ObjectRef::new(Kind::Pod, "shop", name))
        .with_label("app", "httpbin")
        .with("spec", json!({"containers": [{"name": "app"}]}))
        .with("status", json!({"phase": "Running"}))
}

fn ambient(name: &str) -> Object {
    pod(name).with_annotation(AMBIENT.0, AMBIENT.1)
}

/// Whether the policy is there in the end, and why not.
#[track_caller]
fn outcome(cluster: &mut Cluster) -> (bool, Vec<String>) {
    let report = run(cluster, &plain_request(), HOST);
    let policy = access_policy::reference("shop", "httpbin");
    let notes = report.notes.into_iter();
    let notes = notes.filter(|note| note.contains("no AuthorizationPolicy"));
    (cluster.objects.contains_key(&policy), notes.collect())
}

#[test]
fn the_first_run_writes_it_although_no_pod_is_there_yet() {
    assert_eq!(outcome(&mut with_pods(&[])), (true, Vec::new()));
}

#[test]
fn pods_of_an_ambient_mesh_enforce_it() {
    let (is_written, notes) = outcome(&mut with_pods(&[ambient("a")]));
    assert!(is_written && notes.is_empty(), "{notes:?}");
}

#[test]
fn pods_that_nothing_guards_are_told_each_time() {
    let mut cluster = with_pods(&[pod("a")]);
    for _ in 0..2 {
        let (is_written, notes) = outcome(&mut cluster);
        assert!(!is_written);
        assert!(notes[0].contains("have no sidecar: a"), "{notes:?}");
    }
    // One of them is guarded: the policy acts there, and the others are still told.
    cluster.put(&ambient("b"));
    let (is_written, notes) = outcome(&mut cluster);
    assert!(is_written);
    assert!(notes[0].contains("1 of 2 Pods"), "{notes:?}");
}

#[test]
fn ztunnel_that_would_not_know_the_gateway_is_told_and_nothing_shut_out() {
    let mut behind_waypoint = with_pods(&[ambient("a")]);
    let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
    let service = behind_waypoint.objects[&service].clone();
    behind_waypoint.put(&service.with_label("istio.io/ingress-use-waypoint", "true"));

    let mut without_tunnels = with_pods(&[ambient("a")]);
    let name = ObjectRef::new(Kind::Pod, "istio-system", "istio-ingressgateway-1");
    let proxy = without_tunnels.objects[&name].clone();
    let mut spec = proxy.at(&["spec"]).unwrap().clone();
    spec["containers"][0]["env"] =
        json!([{"name": "ISTIO_META_DISABLE_HBONE_SEND", "value": "true"}]);
    without_tunnels.put(&proxy.with("spec", spec));

    for (mut cluster, told) in [(behind_waypoint, "waypoint"), (without_tunnels, "tunnels")] {
        let (is_written, notes) = outcome(&mut cluster);
        assert!(!is_written, "{told}");
        assert!(notes.iter().any(|note| note.contains(told)), "{notes:?}");
    }
}

#[test]
fn a_policy_from_before_the_waypoint_is_told_with_what_removes_it() {
    // Of the second cluster the Pods come later.
    for (pods, namespace_mode) in [(vec![ambient("a")], None), (vec![], Some("ambient"))] {
        let mut cluster = with_pods(&pods);
        assert!(outcome(&mut cluster).0);
        let namespace = ObjectRef::namespace("shop");
        let mut labelled = cluster.objects[&namespace]
            .clone()
            .with_label("istio.io/ingress-use-waypoint", "true");
        if let Some(mode) = namespace_mode {
            labelled = labelled.with_label("istio.io/dataplane-mode", mode);
        }
        cluster.put(&labelled);
        let report = run(&mut cluster, &plain_request(), HOST);
        let notes = report.notes.join("\n");
        let delete = "kubectl delete authorizationpolicies.security.istio.io -n shop httpbin-mtls";
        for part in ["come through a waypoint", "rejects them", delete] {
            assert!(notes.contains(part), "{notes}");
        }
    }
}

#[test]
fn where_it_may_not_be_read_whether_there_is_a_waypoint_nothing_is_shut_out() {
    let mut cluster = with_pods(&[ambient("a")]);
    cluster.denied.push(ObjectRef::namespace("shop"));
    let (is_written, notes) = outcome(&mut cluster);
    assert!(!is_written);
    assert!(notes[0].contains("waypoint could not be read"), "{notes:?}");
    // One that is there stays.
    cluster.denied.clear();
    assert!(outcome(&mut cluster).0);
    cluster.denied.push(ObjectRef::namespace("shop"));
    assert_eq!(outcome(&mut cluster), (true, Vec::new()));
}
