//! Services behind which nothing takes requests.

use super::visibility::{OPA, with_mesh};
use super::*;

/// An `EndpointSlice` of the Service whose endpoints are Ready, or not.
pub fn slice(ready: &[bool]) -> Object {
    let endpoint =
        |ready: &bool| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}});
    let endpoints: Vec<Value> = ready.iter().map(endpoint).collect();
    let name = ObjectRef::new(Kind::EndpointSlice, "shop", "httpbin-abc");
    Object::new(name)
        .with_label("kubernetes.io/service-name", "httpbin")
        .with("endpoints", endpoints.into())
        .with("ports", json!([{"name": "http", "port": 80}]))
}

fn httpbin() -> ObjectRef {
    ObjectRef::new(Kind::Service, "shop", "httpbin")
}

#[test]
fn a_service_without_a_ready_endpoint() {
    for (ready, words) in [
        (vec![], "no Pod has the labels"),
        (vec![false], "the only Pod behind"),
        (vec![false, false], "none of the 2 Pods"),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &slice(&ready));
            let finding = only(&mut cluster, "service/no-endpoints", Severity::Error);
            assert!(finding.seen.starts_with(words), "{}", finding.seen);
            assert_eq!(finding.remedy, "kubectl get pods -n shop -l app=httpbin");
        }
    }
}

#[test]
fn a_service_that_lost_its_selector_has_no_endpoint() {
    for mut cluster in both() {
        edit(&mut cluster, &httpbin(), |spec| {
            spec.as_object_mut().unwrap().remove("selector");
        });
        let words = "has no selector, and none of its endpoints is Ready";
        for ready in [None, Some(vec![]), Some(vec![false])] {
            if let Some(ready) = ready {
                add(&mut cluster, &slice(&ready));
            }
            let finding = only(&mut cluster, "service/no-endpoints", Severity::Error);
            assert!(finding.seen.ends_with(words), "{}", finding.seen);
            assert_eq!(finding.remedy, "kubectl edit services -n shop httpbin");
        }
        // Somebody writes its endpoints.
        add(&mut cluster, &slice(&[true]));
        assert_eq!(findings(&mut cluster), []);
        edit(&mut cluster, &httpbin(), |spec| {
            spec["type"] = "ExternalName".into();
            spec["externalName"] = "httpbin.example.org".into();
        });
        add(&mut cluster, &slice(&[]));
        let found = findings(&mut cluster);
        assert!(
            !found.iter().any(|(id, _)| *id == "service/no-endpoints"),
            "{found:?}"
        );
    }
}

#[test]
fn one_ready_endpoint_is_enough() {
    for ready in [vec![true], vec![false, true]] {
        for mut cluster in both() {
            add(&mut cluster, &slice(&ready));
            assert_eq!(findings(&mut cluster), []);
        }
    }
}

#[test]
fn a_target_port_that_no_pod_names() {
    for ports in [
        json!([]),
        Value::Null,
        json!([{"name": "other", "port": 80}]),
    ] {
        for mut cluster in both() {
            edit(&mut cluster, &httpbin(), |spec| {
                spec["ports"][0]["targetPort"] = "htpp".into();
            });
            add(&mut cluster, &slice(&[true]).with("ports", ports.clone()));
            let finding = only(&mut cluster, "service/target-port", Severity::Error);
            assert!(finding.seen.contains("`htpp`"), "{}", finding.seen);
            assert_eq!(finding.remedy, "kubectl edit services -n shop httpbin");
            let pod = ObjectRef::new(Kind::Pod, "shop", "httpbin-1");
            edit(&mut cluster, &pod, |spec| {
                let port = json!({"name": "http", "containerPort": 8080});
                spec["containers"][0]["ports"] = json!([port]);
            });
            let id = "service/target-port";
            let finding = only_until_repaired(&mut cluster, id, Severity::Error);
            assert!(
                finding.remedy.contains(r#""value":8080"#),
                "{}",
                finding.remedy
            );
        }
    }
}

#[test]
fn one_pod_that_names_the_target_port_is_enough() {
    for mut cluster in both() {
        let name = ObjectRef::new(Kind::EndpointSlice, "shop", "httpbin-def");
        let other = Object::new(name)
            .with_label("kubernetes.io/service-name", "httpbin")
            .with("endpoints", json!([{"addresses": ["10.0.0.2"]}]));
        add(&mut cluster, &other);
        add(&mut cluster, &slice(&[true]));
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn a_route_without_a_port_to_a_service_with_several() {
    let mut cluster = plain();
    let route = own_route(&cluster);
    edit(&mut cluster, &route, |spec| {
        let destination = &mut spec["http"][0]["route"][0]["destination"];
        destination.as_object_mut().unwrap().remove("port");
    });
    assert_eq!(findings(&mut cluster), []);
    let add_port = |cluster: &mut Cluster, number: u16| {
        edit(cluster, &httpbin(), |spec| {
            let ports = spec["ports"].as_array_mut().unwrap();
            ports.push(json!({"name": format!("p-{number}"), "port": number}));
        });
    };
    add_port(&mut cluster, 9000);
    let finding = only_until_repaired(&mut cluster.clone(), "service/no-port", Severity::Error);
    assert!(
        finding.seen.ends_with("8000 (http), 9000 (p-9000)"),
        "{}",
        finding.seen
    );
    let ours = cluster.objects[&route].clone();
    let theirs = ours.without_label("app.kubernetes.io/managed-by");
    add(&mut cluster, &theirs);
    let finding = only(&mut cluster, "service/no-port", Severity::Error);
    assert_eq!(
        finding.remedy,
        "kubectl edit virtualservices.networking.istio.io -n shop httpbin-mtls"
    );
    // The port of the Gateway's server.
    add_port(&mut cluster, 443);
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_workload_outside_the_cluster_takes_requests_too() {
    for mut cluster in both() {
        add(&mut cluster, &slice(&[]));
        let entry = ObjectRef::new(Kind::WorkloadEntry, "shop", "vm");
        let spec = json!({"address": "192.0.2.7", "labels": {"app": "httpbin"}});
        add(&mut cluster, &Object::new(entry).with("spec", spec));
        assert_eq!(findings(&mut cluster), []);
    }
}

#[test]
fn without_endpoint_slices_the_pods_tell() {
    for mut cluster in both() {
        let name = ObjectRef::new(Kind::Pod, "shop", "httpbin-1");
        let pod = cluster.objects[&name].clone();
        let unready =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        add(&mut cluster, &pod.with("status", unready));
        only(&mut cluster, "service/no-endpoints", Severity::Error);
        remove(&mut cluster, &name);
        assert_eq!(findings(&mut cluster), []);
    }
}

/// A policy in the namespace of the Service.
fn policy(spec: &Value) -> Object {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "theirs");
    Object::new(name).with("spec", spec.clone())
}

#[test]
fn policies_of_the_pods_that_reject_the_gateway() {
    let from = |source: Value| json!([{"from": [{"source": source}]}]);
    let without_token = from(json!({"notRequestPrincipals": ["*"]}));
    for (spec, is_fault) in [
        (json!({"action": "DENY", "rules": without_token}), true),
        (json!({"action": "DENY", "rules": [{}]}), true),
        (
            json!({"action": "DENY", "rules": from(json!({"namespaces": ["istio-system"]}))}),
            true,
        ),
        (
            json!({"rules": from(json!({"namespaces": ["monitoring"]}))}),
            false,
        ),
        (
            json!({"selector": {"matchLabels": {"app": "db"}}, "action": "DENY", "rules": [{}]}),
            false,
        ),
        (
            json!({"action": "DENY", "rules": from(json!({"notNamespaces": ["istio-system"]}))}),
            false,
        ),
        (json!({"action": "AUDIT", "rules": [{}]}), false),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &policy(&spec));
            if is_fault {
                let finding = only(&mut cluster, "workload/shuts-gateway", Severity::Error);
                assert!(finding.seen.contains("shop/theirs"), "{}", finding.seen);
            } else {
                assert_eq!(findings(&mut cluster), [], "{spec}");
            }
        }
    }
}

#[test]
fn an_external_authorizer_of_the_pods_is_worth_a_note() {
    for cluster in both() {
        let mut cluster = with_mesh(cluster, OPA);
        let spec = json!({"action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{}]});
        add(&mut cluster, &policy(&spec));
        let finding = only(&mut cluster, "workload/other-check", Severity::Note);
        assert!(finding.seen.contains("`opa`"), "{}", finding.seen);
        assert_eq!(
            finding.remedy,
            "kubectl edit authorizationpolicies.security.istio.io -n shop theirs"
        );
    }
}

#[test]
fn a_policy_for_another_identity_than_the_gateways() {
    for mut cluster in both() {
        let names = cluster.objects.keys();
        let is_own =
            |name: &&ObjectRef| name.kind == Kind::AuthorizationPolicy && name.namespace == "shop";
        let own = names.clone().find(is_own).unwrap().clone();
        edit(&mut cluster, &own, |spec| {
            let other = json!({"principals": ["cluster.local/ns/team/sa/other"]});
            spec["rules"][0]["from"][0]["source"] = other;
        });
        only(&mut cluster, "workload/shuts-gateway", Severity::Error);
    }
}

#[test]
fn a_port_that_istio_does_not_take_for_http() {
    let changes: [(&str, &str); 4] = [
        ("name", "tcp-api"),
        ("name", "https"),
        ("appProtocol", "tcp"),
        ("appProtocol", "kubernetes.io/wss"),
    ];
    for (field, value) in changes {
        for mut cluster in both() {
            edit(&mut cluster, &httpbin(), |spec| {
                spec["ports"][0][field] = value.into();
            });
            // By principals alone, as this plugin does, the policies go on working.
            if !cluster.unserved.is_empty() {
                assert_eq!(findings(&mut cluster), []);
                continue;
            }
            let finding = only_until_repaired(&mut cluster, "service/not-http", Severity::Error);
            assert!(finding.seen.contains(value), "{}", finding.seen);
        }
    }
}

#[test]
fn a_port_that_istio_takes_for_http_or_looks_at() {
    for (field, value) in [
        ("name", "web"),
        ("name", "grpc-api"),
        ("appProtocol", "http"),
        ("appProtocol", "example.com/own"),
    ] {
        for mut cluster in both() {
            edit(&mut cluster, &httpbin(), |spec| {
                spec["ports"][0][field] = value.into();
            });
            assert_eq!(findings(&mut cluster), [], "{field}: {value}");
        }
    }
    // The older one of two Services counts, which is not told apart here.
    let mut cluster = kyma();
    let mut spec = cluster.objects[&httpbin()].at(&["spec"]).unwrap().clone();
    let second = ObjectRef::new(Kind::Service, "shop", "second");
    add(
        &mut cluster,
        &Object::new(second).with("spec", spec.clone()),
    );
    spec["ports"][0]["name"] = "tcp".into();
    edit(&mut cluster, &httpbin(), |own| *own = spec);
    assert_eq!(findings(&mut cluster), []);
}
