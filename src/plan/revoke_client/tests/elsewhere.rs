//! A second Gateway of Istio, which reads the authority and has proxies of its own.

use super::*;
use crate::plan::testing::kyma::{another_gateway, expose_request};
use crate::resources::names::GatewayName;
use crate::resources::{Kind, client_ca};
use serde_json::json;

/// A Service that is exposed, with alice as a client, and another Gateway in `edge` whose one proxy is the third of all.
fn cluster() -> Cluster {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    cluster.issue("alice");
    let labels = another_gateway(&mut cluster, "edge", "edge-ingress");
    cluster.proxies.further.push("edge".to_owned());
    cluster.proxies.have_certificates = true;
    let state = CredentialNames::first().state();
    let tls = json!({
        "mode": "MUTUAL",
        "credentialName": "edge-tls",
        "caCertCredentialName": client_ca::field(&state),
    });
    let server = json!({
        "hosts": ["edge.example.com"],
        "port": {"name": "mtls", "number": 443, "protocol": "HTTPS"},
        "tls": tls,
    });
    let gateway = GatewayName::new("edge", "second").reference();
    cluster
        .put(&Object::new(gateway).with("spec", json!({"selector": labels, "servers": [server]})));
    cluster.load();
    cluster
}

fn asking() -> Request {
    Request {
        connect_to: None,
        ..named("alice")
    }
}

fn rotating() -> ca_rotate::Request {
    ca_rotate::Request {
        connect_to: None,
        ..rotation(Goal::Advance(None))
    }
}

#[test]
fn the_proxies_of_a_second_gateway_are_waited_for_by_a_revocation_and_by_a_rotation() {
    let mut lagging = cluster();
    lagging.proxies.lagging = vec![2];
    let before = lagging.state().issuing;
    let revoked = lagging.clone().run(&asking()).map(drop).unwrap_err();
    let rotated = lagging.run(&rotating()).map(drop).unwrap_err();
    for failure in [revoked, rotated] {
        assert_eq!(failure.exit().code(), 124, "{failure}");
        let hints = failure.what_to_do().join("\n");
        assert!(hints.contains("edge/edge-ingress-1"), "{failure} {hints}");
        assert!(!hints.contains("istio-ingressgateway-"), "{hints}");
    }
    assert_eq!(lagging.state().issuing, before, "the new CA does not issue");

    let mut cluster = cluster();
    let gateways = ["edge/second", "shop/kyma-mtls-gateway"];
    let looked = cluster.run(&rotating()).unwrap().looked.unwrap();
    let mut seen = looked.gateways;
    seen.sort_unstable();
    assert_eq!(seen, gateways);
    let report = cluster.run(&asking()).unwrap();
    let mut seen: Vec<&str> = report.seen.iter().map(|at| at.gateway.as_str()).collect();
    seen.sort_unstable();
    assert_eq!(seen, gateways);
    assert_eq!(cluster.answers(0), [Verdict::Revoked; 3]);
}

#[test]
fn where_the_gateways_of_other_namespaces_may_not_be_listed_that_is_said() {
    let mut cluster = cluster();
    let everywhere = Query::everywhere(Kind::Gateway);
    let denied = Seen::Denied("`list`".to_owned());
    cluster.fixed.insert(everywhere, denied);
    let says = "Gateways of other namespaces may not be listed";
    let notes = cluster.run(&rotating()).unwrap().notes.join("\n");
    assert!(notes.contains(says), "{notes}");
    let report = cluster.run(&asking()).unwrap();
    assert!(report.notes.join("\n").contains(says), "{:?}", report.notes);
    assert_eq!(report.seen.len(), 1);
}
