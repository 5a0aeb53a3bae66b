//! Policies of others on the ingress gateway.

use super::*;

fn policy(spec: &Value) -> Object {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, "istio-system", "theirs");
    Object::new(name).with("spec", spec.clone())
}

fn proxies() -> Value {
    json!({"matchLabels": {"istio": "ingressgateway"}})
}

#[test]
fn a_policy_that_keeps_every_client_out() {
    let other_host = json!([{"to": [{"operation": {"hosts": ["other.example.com"]}}]}]);
    let with_token = json!([{"from": [{"source": {"requestPrincipals": ["*"]}}]}]);
    let without_token = json!([{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]);
    for spec in [
        json!({"selector": proxies(), "action": "ALLOW", "rules": other_host}),
        json!({"selector": proxies(), "rules": other_host}),
        json!({"rules": other_host}),
        json!({"selector": proxies()}),
        json!({"selector": proxies(), "action": "ALLOW", "rules": with_token}),
        json!({"selector": proxies(), "action": "DENY", "rules": without_token}),
        json!({"selector": proxies(), "action": "DENY", "rules": [{}]}),
        json!({"selector": proxies(), "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/*"]}}]}]}),
    ] {
        for mut cluster in both() {
            // Without a selector it acts on all workloads too, and lets others in where a policy of ours does not.
            if spec.get("selector").is_none() && !cluster.unserved.is_empty() {
                continue;
            }
            add(&mut cluster, &policy(&spec));
            let finding = only(&mut cluster, "ingress-policy/shuts-host", Severity::Error);
            assert!(finding.seen.contains("istio-system/theirs"));
            assert_eq!(
                finding.remedy,
                "kubectl edit authorizationpolicies.security.istio.io -n istio-system theirs"
            );
        }
    }
}

#[test]
fn an_external_authorizer_is_worth_a_note() {
    for mut cluster in both() {
        let spec = json!({
            "selector": proxies(), "action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{}],
        });
        add(&mut cluster, &policy(&spec));
        let finding = only(&mut cluster, "ingress-policy/other-check", Severity::Note);
        assert!(finding.seen.contains("`opa`"), "{}", finding.seen);
    }
}

#[test]
fn policies_for_other_hosts_other_proxies_or_on_trial_keep_nobody_out() {
    let rules = json!([{"to": [{"operation": {"hosts": ["other.example.com"]}}]}]);
    let others = json!({"matchLabels": {"istio": "egressgateway"}});
    for spec in [
        json!({"selector": proxies(), "action": "DENY", "rules": rules}),
        json!({"selector": others, "action": "ALLOW", "rules": rules}),
        json!({"selector": proxies(), "action": "AUDIT", "rules": rules}),
        json!({"selector": proxies(), "action": "ALLOW", "rules": [{}]}),
        json!({"selector": proxies(), "action": "CUSTOM", "provider": {"name": "opa"}, "rules": rules}),
    ] {
        for mut cluster in both() {
            add(&mut cluster, &policy(&spec));
            assert_eq!(findings(&mut cluster), [], "{spec}");
        }
    }
    let trial = policy(&json!({"selector": proxies(), "action": "ALLOW", "rules": rules}));
    let mut cluster = kyma();
    add(
        &mut cluster,
        &trial.with_annotation("istio.io/dry-run", "true"),
    );
    assert_eq!(findings(&mut cluster), []);
}
