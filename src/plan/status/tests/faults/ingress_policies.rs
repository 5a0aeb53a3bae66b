//! Policies of others on the ingress gateway.

use super::visibility::{OPA, with_mesh};
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
    let from = |source: Value| json!([{"from": [{"source": source}]}]);
    let of_mesh = json!(["cluster.local/ns/shop/sa/web"]);
    for spec in [
        json!({"selector": proxies(), "rules": from(json!({"namespaces": ["shop"]}))}),
        json!({"rules": from(json!({"namespaces": ["shop"]}))}),
        json!({"selector": proxies(), "action": "DENY", "rules": from(json!({"notNamespaces": ["shop"]}))}),
        json!({"selector": proxies(), "rules": from(json!({"principals": of_mesh}))}),
        json!({"selector": proxies(), "action": "DENY", "rules": from(json!({"notPrincipals": of_mesh}))}),
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
            add(&mut cluster, &policy(&spec));
            let finding = only(&mut cluster, "ingress-policy/shuts-host", Severity::Error);
            assert!(finding.seen.contains("istio-system/theirs"));
            // Only a list of hosts gets one more; what closes the gateway on purpose is not opened by a line to paste.
            let is_added = spec.get("selector").is_some()
                && spec.get("action").is_none_or(|action| action == "ALLOW")
                && spec.get("rules") == Some(&other_host);
            let verb = if is_added { "patch" } else { "edit" };
            let of_it = "authorizationpolicies.security.istio.io -n istio-system theirs";
            let command = format!("kubectl {verb} {of_it}");
            assert!(finding.remedy.starts_with(&command), "{}", finding.remedy);
            if is_added {
                repaired(&mut cluster, &finding);
            }
        }
    }
}

#[test]
fn an_external_authorizer_is_worth_a_note() {
    for cluster in both() {
        let mut cluster = with_mesh(cluster, OPA);
        let spec = json!({
            "selector": proxies(), "action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{}],
        });
        add(&mut cluster, &policy(&spec));
        let finding = only(&mut cluster, "ingress-policy/other-check", Severity::Note);
        assert!(finding.seen.contains("`opa`"), "{}", finding.seen);
    }
}

#[test]
fn policies_that_decide_on_some_requests_are_worth_a_note() {
    let from = |source: Value| json!([{"from": [{"source": source}]}]);
    let to = |operation: Value| json!([{"to": [{"operation": operation}]}]);
    let alice = json!({"principals": ["kyma-mtls-clients/alice"]});
    for (rules, is_told) in [
        (from(json!({"remoteIpBlocks": ["10.0.0.0/8"]})), true),
        (from(json!({"ipBlocks": ["10.0.0.0/8"]})), true),
        (to(json!({"methods": ["GET"]})), true),
        (to(json!({"paths": ["/healthz"]})), true),
        (
            json!([{"when": [{"key": "request.headers[x-tenant]", "values": ["a"]}]}]),
            true,
        ),
        (from(alice.clone()), false),
    ] {
        for action in ["ALLOW", "DENY"] {
            for mut cluster in both() {
                let spec = json!({"selector": proxies(), "action": action, "rules": rules});
                add(&mut cluster, &policy(&spec));
                let finding = match (is_told, action) {
                    (true, _) => only(&mut cluster, "ingress-policy/some-requests", Severity::Note),
                    (false, "DENY") => {
                        only(&mut cluster, "ingress-policy/shuts-host", Severity::Error)
                    }
                    (false, _) => {
                        assert_eq!(findings(&mut cluster), [], "{spec}");
                        continue;
                    }
                };
                assert!(
                    finding.seen.contains("istio-system/theirs"),
                    "{}",
                    finding.seen
                );
                assert_eq!(
                    finding.remedy,
                    "kubectl edit authorizationpolicies.security.istio.io -n istio-system theirs"
                );
            }
        }
    }
}

#[test]
fn without_a_client_a_policy_on_identities_is_worth_a_note() {
    let rules = json!([{"from": [{"source": {"principals": ["kyma-mtls-clients/alice"]}}]}]);
    for cluster in [Cluster::kyma(), Cluster::plain()] {
        let request = exposure(&cluster);
        let mut cluster = exposed_as(cluster, request);
        let before = findings(&mut cluster);
        add(
            &mut cluster,
            &policy(&json!({"selector": proxies(), "rules": rules})),
        );
        let mut expected = before.clone();
        expected.push(("ingress-policy/some-requests", Severity::Note));
        let mut found = findings(&mut cluster);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_policy_on_the_gateway_and_the_pods_is_one_finding() {
    let without_token = json!([{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]);
    for rules in [json!([{}]), without_token] {
        for mut cluster in both() {
            add(
                &mut cluster,
                &policy(&json!({"action": "DENY", "rules": rules})),
            );
            only(&mut cluster, "ingress-policy/shuts-host", Severity::Error);
        }
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

/// The server name of the handshake is that of the host.
#[test]
fn policies_on_the_server_name_are_evaluated() {
    let when =
        |field: &str, name: &str| json!([{"when": [{"key": "connection.sni", field: [name]}]}]);
    for mut cluster in both() {
        let route = own_route(&cluster);
        let host = cluster.objects[&route].body()["spec"]["hosts"][0].clone();
        let host = match host.as_str().unwrap() {
            label if label.contains('.') => label.to_owned(),
            label => format!("{label}.mtls.{}", crate::plan::testing::kyma::DOMAIN),
        };
        let before = cluster.clone();
        let both_lists =
            json!([{"when": [{"key": "connection.sni", "values": ["*"], "notValues": [host]}]}]);
        for (action, rules, is_shut) in [
            ("DENY", both_lists.clone(), false),
            ("ALLOW", both_lists, true),
            ("ALLOW", when("values", "other.example.com"), true),
            ("ALLOW", when("values", &host), false),
            ("ALLOW", when("notValues", &host), true),
            ("DENY", when("values", &host), true),
            ("DENY", when("values", "*"), true),
            ("DENY", when("values", "other.example.com"), false),
            ("DENY", when("notValues", &host), false),
        ] {
            cluster = before.clone();
            let spec = json!({"selector": proxies(), "action": action, "rules": rules});
            add(&mut cluster, &policy(&spec));
            if is_shut {
                only(&mut cluster, "ingress-policy/shuts-host", Severity::Error);
            } else {
                assert_eq!(findings(&mut cluster), [], "{spec}");
            }
        }
    }
}
