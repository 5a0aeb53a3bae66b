//! Certificates that clients send in a header, and that the gateway forwards.

use super::*;

#[test]
fn a_mesh_that_forwards_what_clients_send_as_their_certificate() {
    for (way, severity) in [
        ("ALWAYS_FORWARD_ONLY", ERROR),
        ("FORWARD_ONLY", ERROR),
        ("APPEND_FORWARD", Severity::Warning),
    ] {
        let mut cluster = kyma();
        let spec = json!({"config": {"forwardClientCertDetails": way}});
        add(&mut cluster, &Object::new(kyma_istio()).with("spec", spec));
        only_until_repaired(&mut cluster, "route/xfcc-forwarded", severity);

        let mut cluster = with_mesh(way);
        let finding = only(&mut cluster, "route/xfcc-forwarded", severity);
        assert_eq!(
            finding.remedy,
            "kubectl edit configmaps -n istio-system istio"
        );
    }
    for harmless in ["SANITIZE", "SANITIZE_SET", "UNDEFINED"] {
        let mut cluster = kyma();
        let spec = json!({"config": {"forwardClientCertDetails": harmless}});
        add(&mut cluster, &Object::new(kyma_istio()).with("spec", spec));
        assert_eq!(findings(&mut cluster), []);
    }
}

/// A mesh with a mode for all its proxies.
fn with_mesh(way: &str) -> Cluster {
    let mut cluster = plain();
    let mesh = format!("defaultConfig:\n  gatewayTopology:\n    forwardClientCertDetails: {way}\n");
    let mesh = Object::new(mesh_config()).with("data", json!({"mesh": mesh}));
    add(&mut cluster, &mesh);
    cluster
}

/// Sets a mode for the first proxies of the ingress gateway.
fn set_on_proxies(cluster: &mut Cluster, count: usize, variable: bool, way: &str) {
    let config = json!({"gatewayTopology": {"forwardClientCertDetails": way}}).to_string();
    for pod in cluster.proxy_pods().into_iter().take(count) {
        super::dns::edit(cluster, &pod, |body| {
            if variable {
                let env = json!([{"name": "PROXY_CONFIG", "value": config}]);
                body["spec"]["containers"][0]["env"] = env;
            } else {
                body["metadata"]["annotations"]["proxy.istio.io/config"] = config.clone().into();
            }
        });
    }
}

#[test]
fn a_proxy_that_forwards_what_clients_send_as_their_certificate() {
    let labels = "app=istio-ingressgateway,istio=ingressgateway";
    for (variable, source) in [(false, "the annotation"), (true, "the variable")] {
        for (way, severity) in [
            ("ALWAYS_FORWARD_ONLY", ERROR),
            ("APPEND_FORWARD", Severity::Warning),
        ] {
            for mut cluster in both() {
                set_on_proxies(&mut cluster, 1, variable, way);
                let finding = only(&mut cluster, "route/xfcc-forwarded", severity);
                let seen = format!(
                    "of Pod istio-system/istio-ingressgateway-1 sets `forwardClientCertDetails: {way}`"
                );
                assert!(finding.seen.starts_with(source), "{}", finding.seen);
                assert!(finding.seen.ends_with(&seen), "{}", finding.seen);
                let edit = format!("kubectl edit deployments -n istio-system -l {labels}");
                assert_eq!(finding.remedy, edit);
            }
        }
    }
    let mut cluster = plain();
    set_on_proxies(&mut cluster, 2, true, "FORWARD_ONLY");
    let pod = cluster.proxy_pods().remove(0);
    super::dns::edit(&mut cluster, &pod, |body| {
        body["metadata"]["annotations"]["sidecar.istio.io/status"] = "{}".into();
    });
    let finding = only(&mut cluster, "route/xfcc-forwarded", ERROR);
    let restart = format!("kubectl rollout restart deployments -n istio-system -l {labels}");
    assert_eq!(finding.remedy, restart);
}

#[test]
fn what_a_proxy_is_told_itself_counts_before_the_mesh() {
    let mut cluster = with_mesh("ALWAYS_FORWARD_ONLY");
    set_on_proxies(&mut cluster, 1, false, "SANITIZE_SET");
    let finding = only(&mut cluster, "route/xfcc-forwarded", ERROR);
    assert!(finding.seen.starts_with("ConfigMap"), "{}", finding.seen);
    set_on_proxies(&mut cluster, 2, true, "FORWARD_ONLY");
    only(&mut cluster, "route/xfcc-forwarded", ERROR);
    set_on_proxies(&mut cluster, 2, false, "SANITIZE_SET");
    assert_eq!(findings(&mut cluster), []);
}
