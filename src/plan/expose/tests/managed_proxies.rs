//! Proxies that istiod deploys for a Gateway of the Kubernetes Gateway API.

use serde_json::json;

use super::*;
use crate::resources::{Kind, ObjectRef};

/// Proxies that istiod deploys for a Gateway take Gateways of Istio in their own namespace only.
#[test]
fn on_proxies_that_istiod_deploys_the_gateway_lies_beside_them() {
    let label = "gateway.networking.k8s.io/gateway-name".to_owned();
    let labels = [(label, "web".to_owned())].into();
    let cluster = Cluster::plain().with_gateway_in("edge", "web-istio", &labels);
    let named = Request {
        ingress: vec![ObjectRef::new(Kind::Service, "edge", "web-istio")],
        ..plain_request()
    };
    let report = cluster.clone().run(&named).unwrap();
    assert_eq!(
        report.gateway, "shop/kyma-mtls-gateway",
        "before Istio 1.31"
    );
    let mut cluster = cluster;
    let istiod = ObjectRef::new(Kind::Deployment, "istio-system", "istiod");
    let containers = json!([{"name": "discovery", "image": "docker.io/istio/pilot:1.31.0"}]);
    let spec = json!({"template": {"spec": {"containers": containers}}});
    let istiod = cluster.objects[&istiod].clone().with("spec", spec);
    cluster.put(&istiod);
    let report = cluster.clone().run(&named).unwrap();
    assert_eq!(report.gateway, "edge/shop-kyma-mtls-gateway");

    let mut elsewhere = cluster;
    let request = Request {
        gateway: Some(GatewayName::new("shop", "own")),
        ..named
    };
    let failure = elsewhere.run(&request).unwrap_err();
    let told = "from Istio 1.31 on lets only Gateways in `edge` configure them, not `shop/own`";
    assert!(failure.to_string().contains(told), "{failure}");
    let hints = failure.what_to_do().join("\n");
    assert!(hints.contains("--gateway edge/NAME"), "{hints}");
    assert_eq!(elsewhere.writes, Vec::<String>::new());
}
