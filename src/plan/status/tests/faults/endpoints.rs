//! Services behind which nothing takes requests.

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
fn one_ready_endpoint_is_enough() {
    for ready in [vec![true], vec![false, true]] {
        for mut cluster in both() {
            add(&mut cluster, &slice(&ready));
            assert_eq!(findings(&mut cluster), []);
        }
    }
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
    for mut cluster in both() {
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
