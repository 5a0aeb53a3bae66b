//! What stands beside the request's path: network policies, filters, and how the gateway and the Pods speak to each other.

use super::*;
use crate::plan::testing::kyma::another_gateway;
use crate::resources::names::INGRESS_NAMESPACE;

fn object(kind: Kind, namespace: &str, spec: &Value) -> Object {
    Object::new(ObjectRef::new(kind, namespace, "theirs")).with("spec", spec.clone())
}

fn proxies() -> Value {
    json!({"matchLabels": {"istio": "ingressgateway"}})
}

#[test]
fn network_policies_that_keep_clients_from_the_gateway() {
    let near = json!([{"from": [{"podSelector": {}}]}]);
    let other_port = json!([{"ports": [{"port": 15021}]}]);
    for rules in [json!([]), near, other_port] {
        for mut cluster in both() {
            let spec = json!({"podSelector": proxies(), "ingress": rules});
            add(
                &mut cluster,
                &object(Kind::NetworkPolicy, INGRESS_NAMESPACE, &spec),
            );
            let finding = only(&mut cluster, "ingress/network-policy", Severity::Warning);
            assert!(
                finding.seen.contains("istio-system/theirs"),
                "{}",
                finding.seen
            );
            assert!(finding.seen.ends_with("on port 8443"), "{}", finding.seen);
        }
    }
}

#[test]
fn network_policies_that_keep_the_gateway_from_the_pods() {
    let monitoring = json!({"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}});
    let from = |peer: Value| json!([{"from": [peer]}]);
    for rules in [
        json!([]),
        from(json!({"podSelector": {}})),
        from(json!({"namespaceSelector": monitoring})),
        json!([{"from": [{"namespaceSelector": {}}], "ports": [{"port": 1}]}]),
    ] {
        for mut cluster in both() {
            let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules});
            add(&mut cluster, &object(Kind::NetworkPolicy, "shop", &spec));
            let finding = only(&mut cluster, "workload/network-policy", Severity::Warning);
            assert!(finding.seen.contains("shop/theirs"), "{}", finding.seen);
            assert_eq!(
                finding.remedy,
                "kubectl edit networkpolicies.networking.k8s.io -n shop theirs"
            );
        }
    }
}

/// The policies on the ingress gateway that Kyma's Istio module keeps
/// (<https://github.com/kyma-project/istio>, `internal/reconciliations/istioresources/networkpolicies`).
fn policies_of_kyma() -> [Object; 2] {
    let reachable =
        json!({"matchLabels": {"networking.kyma-project.io/from-ingressgateway": "allowed"}});
    let pilot = json!({"podSelector": {"matchLabels": {"istio": "pilot"}}});
    let policy = |name: &str, spec: Value| {
        let name = ObjectRef::new(Kind::NetworkPolicy, INGRESS_NAMESPACE, name);
        let policy = Object::new(name).with_label("kyma-project.io/managed-by", "kyma");
        policy.with("spec", spec)
    };
    [
        policy(
            "kyma-project.io--istio-ingressgateway",
            json!({
                "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
                "policyTypes": ["Egress", "Ingress"],
                "egress": [
                    {"to": [pilot], "ports": [{"protocol": "TCP", "port": 15012}]},
                    {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                ],
                "ingress": [{"ports": [{"protocol": "TCP", "port": 8080}, {"protocol": "TCP", "port": 8443}]}],
            }),
        ),
        policy(
            "kyma-project.io--istio-ingressgateway-egress",
            json!({
                "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"podSelector": reachable, "namespaceSelector": {}}]}],
            }),
        ),
    ]
}

#[test]
fn the_network_policies_of_kyma_keep_requests_from_pods_without_its_label() {
    for mut cluster in both() {
        for policy in policies_of_kyma() {
            add(&mut cluster, &policy);
        }
        let finding = only(&mut cluster, "workload/network-policy", Severity::Warning);
        let named =
            "kyma-project.io--istio-ingressgateway-egress isolates the Pods of the ingress gateway";
        assert!(finding.seen.contains(named), "{}", finding.seen);
        assert_eq!(
            finding.remedy,
            "add the label `networking.kyma-project.io/from-ingressgateway: allowed` to the Pod template of the workload behind Service shop/httpbin"
        );
        let pod = cluster.objects[&ObjectRef::new(Kind::Pod, "shop", "httpbin-1")].clone();
        let label = "networking.kyma-project.io/from-ingressgateway";
        add(&mut cluster, &pod.with_label(label, "allowed"));
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn network_policies_that_keep_the_gateways_requests_in() {
    let team = json!({"matchLabels": {"kubernetes.io/metadata.name": "team"}});
    for rules in [
        json!([]),
        json!([{"to": [{"podSelector": {}}]}]),
        json!([{"to": [{"namespaceSelector": team}]}]),
        json!([{"ports": [{"port": 1}]}]),
    ] {
        for mut cluster in both() {
            let spec =
                json!({"podSelector": proxies(), "policyTypes": ["Egress"], "egress": rules});
            add(
                &mut cluster,
                &object(Kind::NetworkPolicy, INGRESS_NAMESPACE, &spec),
            );
            let finding = only(&mut cluster, "workload/network-policy", Severity::Warning);
            assert_eq!(
                finding.remedy,
                "kubectl edit networkpolicies.networking.k8s.io -n istio-system theirs"
            );
        }
    }
}

#[test]
fn network_policies_that_let_in_what_is_needed_are_no_fault() {
    let ingress = json!({"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}});
    let gateway = json!({"namespaceSelector": ingress, "podSelector": proxies()});
    let closed = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    for mut cluster in both() {
        let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
        let port = cluster.objects[&service].at(&["spec", "ports"]).unwrap()[0].clone();
        let port = port.get("targetPort").unwrap_or(&port["port"]);
        let opened =
            json!({"podSelector": {}, "ingress": [{"from": [gateway], "ports": [{"port": port}]}]});
        let front = json!({"podSelector": proxies(), "ingress": [{"ports": [{"port": 8443}, {"port": 8080}]}]});
        for (namespace, spec) in [("shop", &opened), (INGRESS_NAMESPACE, &front)] {
            add(
                &mut cluster,
                &object(Kind::NetworkPolicy, namespace, &closed),
            );
            let name = ObjectRef::new(Kind::NetworkPolicy, namespace, "opened");
            add(&mut cluster, &Object::new(name).with("spec", spec.clone()));
        }
        for spec in [
            json!({"podSelector": {"matchLabels": {"app": "db"}}}),
            json!({"podSelector": {}, "policyTypes": ["Egress"]}),
        ] {
            let name = ObjectRef::new(Kind::NetworkPolicy, "shop", "others");
            add(&mut cluster, &Object::new(name).with("spec", spec));
        }
        let out = json!({"podSelector": proxies(), "policyTypes": ["Egress"], "egress": [{"ports": [{"port": port}]}]});
        let name = ObjectRef::new(Kind::NetworkPolicy, INGRESS_NAMESPACE, "out");
        add(&mut cluster, &Object::new(name).with("spec", out));
        assert_eq!(findings(&mut cluster), []);
    }
}

fn filter(place: &str, patch: &Value) -> Value {
    json!({
        "workloadSelector": {"labels": {"istio": "ingressgateway"}},
        "configPatches": [{"applyTo": place, "match": {"context": "GATEWAY"}, "patch": patch}],
    })
}

#[test]
fn a_filter_that_may_change_the_checks() {
    let value = json!({"transport_socket": {"name": "envoy.transport_sockets.tls"}});
    let merge = json!({"operation": "MERGE", "value": value});
    for mut cluster in both() {
        let filter = object(
            Kind::EnvoyFilter,
            INGRESS_NAMESPACE,
            &filter("FILTER_CHAIN", &merge),
        );
        add(&mut cluster, &filter);
        let finding = only(&mut cluster, "proxy/envoy-filter", Severity::Warning);
        let words = "istio-system/theirs changes the TLS of the listener at the ingress gateway; the proxies reject";
        assert!(finding.seen.contains(words), "{}", finding.seen);
        // What was seen is the filter's doing.
        cluster.open_gateway();
        let report = report(&mut cluster);
        let all = report.findings.iter();
        let filter = all
            .clone()
            .find(|finding| finding.check.id == "proxy/envoy-filter");
        assert!(
            filter.is_none_or(|filter| filter.severity == Severity::Error),
            "{:#?}",
            report.findings
        );
    }
}

#[test]
fn a_filter_by_which_certificates_can_be_forged() {
    let context = json!({"trust_chain_verification": "ACCEPT_UNTRUSTED"});
    for (place, value) in [
        (
            "NETWORK_FILTER",
            json!({"typed_config": {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"}}),
        ),
        (
            "FILTER_CHAIN",
            json!({"transport_socket": {"typed_config": {"validation_context": context}}}),
        ),
    ] {
        let merge = json!({"operation": "MERGE", "value": value});
        for mut cluster in both() {
            let spec = filter(place, &merge);
            add(
                &mut cluster,
                &object(Kind::EnvoyFilter, INGRESS_NAMESPACE, &spec),
            );
            only(&mut cluster, "proxy/envoy-filter", Severity::Error);
        }
    }
}

#[test]
fn filters_for_others_or_without_a_part_in_the_checks_are_no_fault() {
    let proxy = json!({"name": "proxy_protocol", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}});
    let first = json!({"operation": "INSERT_FIRST", "value": proxy});
    let remove = json!({"operation": "REMOVE"});
    let mut other = filter("FILTER_CHAIN", &remove);
    other["workloadSelector"] = json!({"labels": {"app": "web"}});
    for spec in [filter("LISTENER_FILTER", &first), other] {
        for mut cluster in both() {
            add(
                &mut cluster,
                &object(Kind::EnvoyFilter, INGRESS_NAMESPACE, &spec),
            );
            assert_eq!(findings(&mut cluster), [], "{spec}");
        }
    }
}

#[test]
fn tokens_that_the_gateway_checks_are_worth_a_note() {
    let rules = json!([{"issuer": "https://example.com"}]);
    for (spec, is_told) in [
        (json!({"jwtRules": rules}), true),
        (json!({"selector": proxies(), "jwtRules": rules}), true),
        (json!({"selector": proxies()}), false),
        (
            json!({"selector": {"matchLabels": {"app": "web"}}, "jwtRules": rules}),
            false,
        ),
    ] {
        for mut cluster in both() {
            add(
                &mut cluster,
                &object(Kind::RequestAuthentication, INGRESS_NAMESPACE, &spec),
            );
            if is_told {
                only(&mut cluster, "ingress-policy/tokens", Severity::Note);
            } else {
                assert_eq!(findings(&mut cluster), [], "{spec}");
            }
        }
    }
}

fn rule(mode: &str) -> Object {
    let host = "httpbin.shop.svc.cluster.local";
    let spec = json!({"host": host, "trafficPolicy": {"tls": {"mode": mode}}});
    object(Kind::DestinationRule, "shop", &spec)
}

fn peers(namespace: &str, mode: &str) -> Object {
    object(
        Kind::PeerAuthentication,
        namespace,
        &json!({"mtls": {"mode": mode}}),
    )
}

#[test]
fn plain_connections_to_pods_that_take_those_of_the_mesh_only() {
    for namespace in ["shop", INGRESS_NAMESPACE] {
        for mode in ["DISABLE", "SIMPLE"] {
            for mut cluster in both() {
                add(&mut cluster, &rule(mode));
                add(&mut cluster, &peers(namespace, "STRICT"));
                let finding =
                    only_until_repaired(&mut cluster, "service/tls-mismatch", Severity::Error);
                assert!(
                    finding.seen.contains("only mutual TLS of the mesh"),
                    "{}",
                    finding.seen
                );
            }
        }
    }
}

#[test]
fn tls_of_the_mesh_to_pods_that_do_not_end_it() {
    for mut cluster in both() {
        add(&mut cluster, &rule("ISTIO_MUTUAL"));
        assert_eq!(findings(&mut cluster), []);
        add(&mut cluster, &peers("shop", "DISABLE"));
        let finding = only(&mut cluster, "service/tls-mismatch", Severity::Error);
        assert!(finding.seen.contains("disables TLS"), "{}", finding.seen);
    }
    let mut cluster = plain();
    let name = ObjectRef::new(Kind::Pod, "shop", "httpbin-1");
    edit(&mut cluster, &name, |spec| {
        spec["containers"] = json!([{"name": "app"}]);
    });
    only(&mut cluster, "workload/no-sidecar", Severity::Warning);
    add(&mut cluster, &rule("ISTIO_MUTUAL"));
    let ids: Vec<&str> = findings(&mut cluster).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["service/tls-mismatch", "workload/no-sidecar"]);
}

#[test]
fn sidecars_that_are_told_nothing_of_who_calls() {
    for mut cluster in both() {
        add(&mut cluster, &peers("shop", "DISABLE"));
        let finding = only_until_repaired(&mut cluster, "service/anonymous", Severity::Error);
        assert!(
            finding.seen.contains("`mtls.mode: DISABLE`"),
            "{}",
            finding.seen
        );
    }
}

#[test]
fn what_the_gateway_and_the_pods_agree_on_is_no_fault() {
    for objects in [
        vec![peers("shop", "STRICT")],
        vec![peers("shop", "PERMISSIVE")],
        vec![peers(INGRESS_NAMESPACE, "STRICT"), rule("ISTIO_MUTUAL")],
    ] {
        for mut cluster in both() {
            for object in &objects {
                add(&mut cluster, object);
            }
            assert_eq!(findings(&mut cluster), []);
        }
    }
}

/// Adds proxies with the labels of the default ingress gateway in another namespace.
fn add_proxies(cluster: &mut Cluster) {
    another_gateway(cluster, "edge", "edge");
    let name = ObjectRef::new(Kind::Pod, "edge", "edge-1");
    let pod = cluster.objects[&name].clone();
    let pod = pod.with_label("app", "istio-ingressgateway");
    cluster.proxies.further.push("edge".to_owned());
    add(cluster, &pod.with_label("istio", "ingressgateway"));
}

#[test]
fn proxies_of_another_namespace_that_the_gateway_configures() {
    for cluster in both() {
        let mut cluster = cluster.with_proxies_in("edge");
        let id = "gateway/several-namespaces";
        let finding = only_until_repaired(&mut cluster, id, Severity::Error);
        let lacks = "also run in `edge`: the Gateway shop/kyma-mtls-gateway configures them too, and there is no AuthorizationPolicy edge/";
        assert!(finding.seen.contains(lacks), "{}", finding.seen);
    }
}

#[test]
fn where_istiod_keeps_gateways_to_their_namespace_others_are_no_fault() {
    let mut cluster = kyma();
    add_proxies(&mut cluster);
    let istiod = ObjectRef::new(Kind::Deployment, INGRESS_NAMESPACE, "istiod");
    edit(&mut cluster, &istiod, |spec| {
        let env = json!([{"name": "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "value": "true"}]);
        spec["template"]["spec"]["containers"][0]["env"] = env;
    });
    assert_eq!(findings(&mut cluster), []);
}
