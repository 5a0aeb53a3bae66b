//! A Gateway of the Kubernetes Gateway API that reads the authority too.

use super::*;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::testing::kyma::{expose_request, kubernetes_reader};
use crate::resources::{Kind, ObjectRef};

const SERVICE: &str = "istio-ingressgateway.istio-system.svc.cluster.local";

fn cluster(service: &str) -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    for name in ["alice", "stays"] {
        cluster.issue(name);
    }
    // Its server Secret is of no matter here.
    cluster.proxies.have_certificates = true;
    cluster.put(&kubernetes_reader(service));
    cluster.load();
    cluster
}

fn asking() -> Request {
    Request {
        connect_to: None,
        ..named("alice")
    }
}

#[test]
fn its_proxies_are_probed_like_those_of_the_others() {
    let mut cluster = cluster(SERVICE);
    let report = cluster.run(&asking()).unwrap();
    let seen: Vec<(&str, &str, usize)> = report
        .seen
        .iter()
        .map(|at| (at.gateway.as_str(), at.host.as_str(), at.through.len()))
        .collect();
    let own = "shop/kyma-mtls-gateway";
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].0 == own && seen[0].2 == 2, "{seen:?}");
    assert_eq!(seen[1], ("team/web", "web.example.org", 2));
    assert_eq!(report.notes, [""; 0]);

    // A rerun sees in the proxies that both use the published lists.
    let writes = cluster.writes.len();
    let report = cluster.run(&asking()).unwrap();
    assert_eq!(cluster.writes[writes..], [""; 0]);
    assert_eq!(report.seen.len(), 2);
    assert!(
        report
            .seen
            .iter()
            .all(|at| at.evidence == Evidence::LoadedLists)
    );
}

#[test]
fn without_a_gateway_of_istio_it_is_the_one_that_is_waited_for() {
    let mut cluster = cluster(SERVICE);
    cluster.objects.retain(|name, _| name.kind != Kind::Gateway);
    cluster.load();
    cluster.proxies.lagging = vec![1];
    let failure = cluster.run(&asking()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    let hints = failure.what_to_do().join("\n");
    assert!(
        hints.contains("istio-ingressgateway-2 of team/web"),
        "{hints}"
    );
    cluster.proxies.lagging.clear();
    cluster.load();
    let report = cluster.run(&asking()).unwrap();
    assert_eq!(report.seen.len(), 1);
}

#[test]
fn what_is_not_known_of_it_is_said() {
    let mut unknown = cluster("elsewhere.istio-system");
    let report = unknown.run(&asking()).unwrap();
    assert_eq!(report.seen.len(), 1);
    let [note] = report.notes.as_slice() else {
        panic!("{:#?}", report.notes);
    };
    assert!(
        note.contains("team/web") && note.contains("no proxies are known"),
        "{note}"
    );

    let mut denied = cluster(SERVICE);
    let query = kubernetes_gateways();
    denied
        .fixed
        .insert(query, Seen::Denied("`list`".to_owned()));
    let report = denied.run(&asking()).unwrap();
    let [note] = report.notes.as_slice() else {
        panic!("{:#?}", report.notes);
    };
    assert!(note.contains("may not be listed"), "{note}");
}

#[test]
fn one_with_proxies_of_its_own_is_not_looked_for_at_the_address_of_others() {
    let mut cluster = cluster(SERVICE);
    let mut reader = kubernetes_reader(SERVICE);
    let mut spec = reader.at(&["spec"]).unwrap().clone();
    spec.as_object_mut().unwrap().remove("addresses");
    reader = reader.with("spec", spec);
    cluster.put(&reader);
    // istiod has made its proxies.
    let container = serde_json::json!({"name": "istio-proxy", "args": ["proxy", "router"]});
    let pod = Object::new(ObjectRef::new(Kind::Pod, "team", "web-istio-1"))
        .with_label("gateway.networking.k8s.io/gateway-name", "web")
        .with("spec", serde_json::json!({"containers": [container]}));
    cluster.put(&pod);
    cluster.load();
    let report = cluster.run(&named("alice")).unwrap();
    assert_eq!(report.seen.len(), 1);
    let told = |notes: &[String]| {
        notes
            .iter()
            .any(|note| note.contains("leads to other proxies"))
    };
    assert!(told(&report.notes), "{:#?}", report.notes);
}

#[test]
fn one_that_istiod_does_not_serve_keeps_nobody_from_revoking_and_is_told() {
    let sound = kubernetes_reader(SERVICE);
    let mut spec = sound.at(&["spec"]).unwrap().clone();
    spec["gatewayClassName"] = "eg".into();
    let denied = serde_json::json!({"type": "ResolvedRefs", "status": "False"});
    let denied = serde_json::json!({"listeners": [{"name": "web", "conditions": [denied]}]});
    for (object, why) in [
        (sound.clone().with("spec", spec), "its class is `eg`"),
        (sound.clone().with("status", denied), "has not accepted"),
        (
            sound.with("status", serde_json::json!({})),
            "has not accepted",
        ),
    ] {
        let mut cluster = cluster("nowhere.istio-system");
        cluster.put(&object);
        cluster.load();
        let report = cluster.run(&asking()).unwrap();
        assert_eq!(report.seen.len(), 1);
        let [note] = report.notes.as_slice() else {
            panic!("{:#?}", report.notes);
        };
        assert!(note.contains("team/web") && note.contains(why), "{note}");
    }
}

#[test]
fn one_with_another_client_ca_or_none_is_none_of_its_readers() {
    let mut cluster = cluster(SERVICE);
    let name = kubernetes_reader(SERVICE).reference().clone();
    for validation in [
        serde_json::json!({}),
        serde_json::json!({"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "theirs"}]}),
    ] {
        let spec = cluster.objects[&name].at(&["spec"]).unwrap().clone();
        let mut spec = spec;
        spec["tls"]["frontend"]["default"]["validation"] = validation;
        let object = Object::new(name.clone()).with("spec", spec);
        cluster.put(&object);
        cluster.load();
        let report = cluster.run(&asking()).unwrap();
        assert_eq!(report.seen.len(), 1);
    }
}
