//! `--close-connections`, where every proxy can be asked whether it has the changed guard.

use super::*;
use crate::plan::testing::kyma::expose_request;
use crate::resources::guard::headers_reference;
use crate::resources::names::GatewayName;
use crate::resources::proxy_config::Part;

fn closing() -> Request {
    Request {
        connect_to: None,
        close_connections: true,
        ..named("alice")
    }
}

/// Two proxies that can be asked, which have loaded that alice is revoked.
fn cluster() -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    cluster.issue("alice");
    let revoking = Request {
        close_connections: false,
        ..closing()
    };
    cluster.run(&revoking).unwrap();
    cluster
}

/// The notes of a run on open connections.
fn notes(cluster: &mut Cluster) -> String {
    cluster.run(&closing()).unwrap().notes.join("\n")
}

#[test]
fn a_proxy_that_has_not_loaded_the_changed_guard_is_waited_for() {
    let mut cluster = cluster();
    cluster.proxies.lagging = vec![1];
    let failure = cluster.run(&closing()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let guard = headers_reference("istio-system", &gateway);
    let says = format!("istio-ingressgateway-2: it has not loaded {guard} yet");
    assert!(failure.to_string().contains(&says), "{failure}");
    let hints = failure.what_to_do().join("\n");
    assert!(hints.contains("the certificates are revoked"), "{hints}");
    cluster.proxies.lagging.clear();
    cluster.load();
    let notes = notes(&mut cluster);
    assert!(notes.contains("closed within Envoy's drain time"));
    assert!(!notes.contains("was not seen"), "{notes}");
}

#[test]
fn where_a_proxy_may_not_be_asked_that_is_told() {
    let mut cluster = cluster();
    let second = cluster.proxy_pods()[1].clone();
    let query = Query::Proxy(second, Part::Policies);
    let denied = Seen::Denied("`create` pods/portforward".to_owned());
    cluster.fixed.insert(query, denied);
    let told = notes(&mut cluster);
    let says = "whether every proxy closes its connections was not seen: not permitted";
    assert!(told.contains(says), "{told}");
    let through_one_address = Request {
        connect_to: Some("gateway:443".to_owned()),
        ..closing()
    };
    let report = cluster.run(&through_one_address).unwrap();
    let told = report.notes.join("\n");
    assert!(told.contains("was not seen: `--connect-to`"), "{told}");
}
