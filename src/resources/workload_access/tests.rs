//! What policies decide on ways past the mutual-TLS host.

use super::*;
use crate::resources::{Kind, ObjectRef};
use serde_json::json;

const GATEWAY: &str = "ns/istio-system/sa/istio-ingressgateway-service-account";

fn policy(spec: Value) -> Object {
    Object::new(ObjectRef::new(Kind::AuthorizationPolicy, "shop", "x")).with("spec", spec)
}

/// By the ingress gateway, for the host of another route.
fn by_gateway() -> Arrival {
    Arrival {
        principal: Principal::OneOf(vec![GATEWAY.to_owned()]),
        hosts: Some(vec!["open.example.com".to_owned()]),
        ports: Some(vec![8080]),
        server_name: None,
    }
}

/// By a node's port.
fn from_outside() -> Arrival {
    Arrival {
        principal: Principal::Nobody,
        hosts: None,
        ports: Some(vec![8080]),
        server_name: None,
    }
}

fn judge(policies: &[&Value], arrival: &Arrival) -> Access {
    let policies: Vec<Object> = policies
        .iter()
        .map(|spec| policy((*spec).clone()))
        .collect();
    let known = [("app".to_owned(), "httpbin".to_owned())];
    let labels = Labels {
        known: &known,
        are_complete: true,
    };
    access(&policies, labels, arrival)
}

fn allowing(rule: &Value) -> Value {
    json!({"selector": {"matchLabels": {"app": "httpbin"}}, "action": "ALLOW", "rules": [rule]})
}

fn of_gateway(to: &Value) -> Value {
    let principals = [format!("cluster.local/{GATEWAY}")];
    json!({"from": [{"source": {"principals": principals}}], "to": to})
}

#[test]
fn a_workload_without_policies_is_open() {
    assert_eq!(judge(&[], &by_gateway()), Access::Open);
    assert_eq!(judge(&[], &from_outside()), Access::Open);
}

#[test]
fn the_policy_of_an_api_rule_shuts_out_other_hosts_and_all_who_are_not_the_gateway() {
    let operation = |host: &str| json!([{"operation": {"hosts": [host], "methods": ["GET"], "paths": ["/{**}"]}}]);
    let own = allowing(&of_gateway(&operation("httpbin.mtls.example.com")));
    assert_eq!(judge(&[&own], &by_gateway()), Access::Shut);
    assert_eq!(judge(&[&own], &from_outside()), Access::Shut);
    let second = allowing(&of_gateway(&operation("open.example.com")));
    assert_eq!(judge(&[&own, &second], &by_gateway()), Access::Open);
}

#[test]
fn our_policy_for_plain_istio_admits_whatever_comes_by_the_gateway() {
    let ours = allowing(&of_gateway(&json!([])));
    assert_eq!(judge(&[&ours], &by_gateway()), Access::Open);
    assert_eq!(judge(&[&ours], &from_outside()), Access::Shut);
    let other = Arrival {
        principal: Principal::OneOf(vec!["ns/web/sa/web-istio".to_owned()]),
        ..by_gateway()
    };
    assert_eq!(judge(&[&ours], &other), Access::Shut);
    let unknown = Arrival {
        principal: Principal::Unknown,
        ..by_gateway()
    };
    assert_eq!(judge(&[&ours], &unknown), Access::Unknown);
}

#[test]
fn a_policy_for_other_workloads_or_on_trial_decides_nothing() {
    let nobody = json!({"selector": {"matchLabels": {"app": "other"}}, "rules": []});
    assert_eq!(judge(&[&nobody], &by_gateway()), Access::Open);
    let waypoint = json!({"targetRefs": [{"kind": "Service", "name": "httpbin"}], "rules": []});
    assert_eq!(judge(&[&waypoint], &by_gateway()), Access::Open);
    let trial = policy(json!({"rules": []})).with_annotation(DRY_RUN, "true");
    let labels = Labels {
        known: &[],
        are_complete: true,
    };
    assert_eq!(access([&trial], labels, &by_gateway()), Access::Open);
}

#[test]
fn a_policy_that_perhaps_does_not_act_leaves_it_unknown() {
    let narrow = policy(
        json!({"selector": {"matchLabels": {"app": "httpbin", "version": "v1"}}, "rules": []}),
    );
    let known = [("app".to_owned(), "httpbin".to_owned())];
    let judged = |policy: &Object, are_complete: bool| {
        let labels = Labels {
            known: &known,
            are_complete,
        };
        access([policy], labels, &by_gateway())
    };
    assert_eq!(judged(&narrow, false), Access::Unknown);
    assert_eq!(judged(&narrow, true), Access::Open);
    let revision = policy(json!({"rules": []})).with_label(REVISION, "canary");
    assert_eq!(judged(&revision, true), Access::Unknown);
}

#[test]
fn a_denial_shuts_only_where_it_takes_every_request() {
    let deny = |rule: Value| json!({"action": "DENY", "rules": [rule]});
    let judged = |rule: Value| judge(&[&deny(rule)], &by_gateway());
    assert_eq!(judged(json!({})), Access::Shut);
    assert_eq!(
        judged(json!({"to": [{"operation": {"hosts": ["open.example.com"]}}]})),
        Access::Shut
    );
    assert_eq!(
        judged(json!({"to": [{"operation": {"hosts": ["else.example.com"]}}]})),
        Access::Open
    );
    assert_eq!(
        judged(json!({"to": [{"operation": {"paths": ["/admin*"]}}]})),
        Access::Open
    );
    for (pattern, access) in [
        ("*", Access::Shut),
        ("*.example.com", Access::Shut),
        ("open.*", Access::Shut),
        ("*.example.net", Access::Open),
        ("else.*", Access::Open),
        // Only requests that name the port.
        ("open.example.com:*", Access::Open),
    ] {
        let hosts = json!({"to": [{"operation": {"hosts": [pattern]}}]});
        assert_eq!(judged(hosts), access, "{pattern}");
    }
    assert_eq!(
        judged(json!({"to": [{"operation": {"notPorts": ["8080"]}}]})),
        Access::Open
    );
    assert_eq!(
        judged(json!({"from": [{"source": {"notRequestPrincipals": ["*"]}}]})),
        Access::Checked
    );
    assert_eq!(
        judged(json!({"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]})),
        Access::Unknown
    );
    assert_eq!(
        judged(json!({"when": [{"key": "source.namespace", "notValues": ["web"]}]})),
        Access::Shut
    );
    let plain = deny(json!({"from": [{"source": {"notPrincipals": ["*"]}}]}));
    assert_eq!(judge(&[&plain], &from_outside()), Access::Shut);
    assert_eq!(judge(&[&plain], &by_gateway()), Access::Open);
}

#[test]
fn a_pattern_of_hosts_admits_what_it_covers() {
    for (pattern, access) in [
        ("open.*", Access::Open),
        ("*.example.com", Access::Open),
        ("open.example.com:*", Access::Open),
        ("else.*", Access::Shut),
    ] {
        let rule = of_gateway(&json!([{"operation": {"hosts": [pattern]}}]));
        assert_eq!(
            judge(&[&allowing(&rule)], &by_gateway()),
            access,
            "{pattern}"
        );
    }
}

#[test]
fn tokens_and_external_authorizers_are_another_check() {
    let token = allowing(&json!({"from": [{"source": {"requestPrincipals": ["https://idp/*"]}}]}));
    assert_eq!(judge(&[&token], &by_gateway()), Access::Checked);
    let claim = allowing(&json!({"when": [{"key": "request.auth.claims[role]", "values": ["a"]}]}));
    assert_eq!(judge(&[&claim], &by_gateway()), Access::Checked);
    let custom = json!({"action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{}]});
    assert_eq!(judge(&[&custom], &by_gateway()), Access::Checked);
}

#[test]
fn an_allow_policy_without_rules_shuts_everybody_out_and_an_audit_nobody() {
    assert_eq!(judge(&[&json!({})], &by_gateway()), Access::Shut);
    let audit = json!({"action": "AUDIT", "rules": [{}]});
    assert_eq!(judge(&[&audit], &by_gateway()), Access::Open);
}

/// By clients with certificates of their own.
fn by_clients(names: &[&str]) -> Arrival {
    let identity = |name: &&str| format!("kyma-mtls-clients/{name}");
    Arrival {
        principal: Principal::Clients(names.iter().map(identity).collect()),
        ..by_gateway()
    }
}

#[test]
fn clients_have_the_identity_of_their_certificate_and_no_namespace() {
    let from = |source: Value| allowing(&json!({"from": [{"source": source}]}));
    let clients = by_clients(&["alice", "bob"]);
    for (source, access) in [
        (
            json!({"principals": ["kyma-mtls-clients/alice"]}),
            Access::Open,
        ),
        (json!({"principals": ["*/alice"]}), Access::Open),
        (json!({"principals": ["kyma-mtls-clients/*"]}), Access::Open),
        (
            json!({"principals": ["kyma-mtls-clients/carol"]}),
            Access::Shut,
        ),
        (
            json!({"principals": [format!("cluster.local/{GATEWAY}")]}),
            Access::Shut,
        ),
        (json!({"namespaces": ["*"]}), Access::Shut),
        (json!({"notNamespaces": ["shop"]}), Access::Open),
    ] {
        assert_eq!(
            judge(&[&from(source.clone())], &clients),
            access,
            "{source}"
        );
    }
    let inside = Arrival {
        principal: Principal::Clients(vec!["corp/ns/shop/sa/a".to_owned()]),
        ..by_gateway()
    };
    assert_eq!(
        judge(&[&from(json!({"namespaces": ["shop"]}))], &inside),
        Access::Open
    );
}

#[test]
fn policies_are_selective_where_they_decide_on_some_requests_only() {
    let to = |operation: Value| json!({"to": [{"operation": operation}]});
    let get = to(json!({"methods": ["GET"]}));
    let admin = to(json!({"paths": ["/admin*"]}));
    let other = to(json!({"hosts": ["else.example.com"]}));
    let near = json!({"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]});
    let alice = json!({"from": [{"source": {"principals": ["kyma-mtls-clients/alice"]}}]});
    let carol = json!({"from": [{"source": {"principals": ["kyma-mtls-clients/carol"]}}]});
    let deny = |rule: &Value| json!({"action": "DENY", "rules": [rule]});
    let allow = |rules: &[&Value]| json!({"rules": rules});
    let every = json!({});
    let labels = Labels {
        known: &[],
        are_complete: true,
    };
    for (specs, count) in [
        (vec![deny(&get)], 1),
        (vec![deny(&admin)], 1),
        (vec![deny(&near)], 1),
        (vec![deny(&alice)], 1),
        (vec![deny(&other)], 0),
        (vec![deny(&carol)], 0),
        (vec![deny(&every)], 0),
        (vec![allow(&[&get])], 1),
        (vec![allow(&[&near])], 1),
        (vec![allow(&[&alice])], 1),
        (vec![allow(&[&carol])], 0),
        (vec![allow(&[&get]), allow(&[&other])], 1),
        (vec![allow(&[&get]), allow(&[&near])], 2),
        (vec![allow(&[&get]), allow(&[&every])], 0),
        (vec![allow(&[])], 0),
        (vec![json!({"action": "CUSTOM", "rules": [every]})], 0),
    ] {
        let policies: Vec<Object> = specs.iter().cloned().map(policy).collect();
        let found = selective(&policies, labels, &by_clients(&["alice", "bob"]));
        assert_eq!(found.len(), count, "{specs:?}");
    }
}
