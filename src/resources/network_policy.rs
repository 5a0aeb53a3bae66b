//! Whether `NetworkPolicies` admit connections (<https://kubernetes.io/docs/concepts/services-networking/network-policies>).
//!
//! Policies add up: as soon as one selects a Pod, another one that admits a connection is needed, and enough. A policy that cannot be
//! evaluated counts as admitting; a network without an implementation of policies admits everything.

use serde_json::Value;

use super::workload_access::Labels;
use super::{Object, ingress};

/// The label with a namespace's name, which every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The origin of connections.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// From outside the cluster.
    Outside,
    /// From a Pod in the cluster, with its labels.
    Pod {
        /// The Pod's namespace.
        namespace: &'a str,
        /// The Pod's labels.
        labels: Labels<'a>,
    },
}

/// The destination of connections.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The labels of the Pods.
    pub labels: Labels<'a>,
    /// One of the Pods, for resolving port names, if it is known.
    pub pod: Option<&'a Object>,
    /// The TCP port of the Pods, if it is known.
    pub port: Option<u16>,
}

/// The policies that select the Pods, if none of them admits the connections.
pub fn blocking<'a>(
    policies: &'a [Object],
    destination: &Destination<'_>,
    origin: &Origin<'_>,
) -> Vec<&'a Object> {
    let selects = |policy: &Object| {
        let selector = policy.at(&["spec", "podSelector"]);
        destination.labels.are_selected_by(selector)
    };
    let policies = policies.iter().filter(|policy| is_about_ingress(policy));
    let (mut selecting, mut is_let_in) = (Vec::new(), false);
    for policy in policies {
        let selected = selects(policy);
        if selected == Some(true) {
            selecting.push(policy);
        }
        let mut rules = items(policy.at(&["spec"]), "ingress").iter();
        is_let_in |=
            selected != Some(false) && rules.any(|rule| lets_in(rule, policy, destination, origin));
    }
    if is_let_in { Vec::new() } else { selecting }
}

fn is_about_ingress(policy: &Object) -> bool {
    let types = items(policy.at(&["spec"]), "policyTypes");
    types.is_empty() || types.iter().any(|kind| kind == "Ingress")
}

fn items<'a>(value: Option<&'a Value>, field: &str) -> &'a [Value] {
    let items = value.and_then(|value| value.get(field)?.as_array());
    items.map_or(&[], Vec::as_slice)
}

/// Whether a rule admits connections; a part that is absent, or empty, matches everything.
fn lets_in(
    rule: &Value,
    policy: &Object,
    destination: &Destination<'_>,
    origin: &Origin<'_>,
) -> bool {
    let (peers, ports) = (items(Some(rule), "from"), items(Some(rule), "ports"));
    let is_from = peers.iter().any(|peer| is_peer(peer, policy, origin));
    let is_to = ports.iter().any(|port| is_port(port, destination));
    (peers.is_empty() || is_from) && (ports.is_empty() || is_to)
}

fn is_peer(peer: &Value, policy: &Object, origin: &Origin<'_>) -> bool {
    if peer.get("ipBlock").is_some() {
        return true;
    }
    let Origin::Pod { namespace, labels } = origin else {
        return false;
    };
    let is_near = match peer.get("namespaceSelector") {
        None => policy.namespace() == *namespace,
        Some(selector) => {
            let known = [(NAMESPACE_NAME.to_owned(), (*namespace).to_owned())];
            let labels = Labels {
                known: &known,
                are_complete: false,
            };
            labels.are_selected_by(Some(selector)) != Some(false)
        }
    };
    is_near && labels.are_selected_by(peer.get("podSelector")) != Some(false)
}

fn is_port(port: &Value, destination: &Destination<'_>) -> bool {
    let protocol = port.get("protocol").and_then(Value::as_str);
    if protocol.is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    let number = |field: &str| port.get(field).and_then(Value::as_u64);
    let Some(own) = destination.port else {
        return true;
    };
    match port.get("port") {
        None => true,
        Some(Value::String(name)) => {
            let known = destination.pod;
            known.is_none_or(|pod| ingress::named_port(pod, name) == Some(own))
        }
        Some(_) => {
            let begin = number("port").unwrap_or_default();
            (begin..=number("endPort").unwrap_or(begin)).contains(&own.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Kind, ObjectRef};
    use serde_json::json;

    const WEB: [(&str, &str); 1] = [("app", "web")];

    fn pairs(labels: [(&str, &str); 1]) -> Vec<(String, String)> {
        let pairs = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pairs.into()
    }

    fn policy(spec: &Value) -> Object {
        let reference = ObjectRef::new(Kind::NetworkPolicy, "shop", "theirs");
        Object::new(reference).with("spec", spec.clone())
    }

    /// Whether policies with these specs keep out what the gateway sends to port 8080 of Pods `app: web`.
    fn keep_out(specs: &[Value]) -> bool {
        let policies: Vec<Object> = specs.iter().map(policy).collect();
        let (own, gateway) = (pairs(WEB), pairs([("istio", "ingressgateway")]));
        let labels = |known| Labels {
            known,
            are_complete: true,
        };
        let ports = json!([{"name": "http", "containerPort": 8080}]);
        let pod = Object::new(ObjectRef::new(Kind::Pod, "shop", "web-1"))
            .with("spec", json!({"containers": [{"ports": ports}]}));
        let destination = Destination {
            labels: labels(&own),
            pod: Some(&pod),
            port: Some(8080),
        };
        let origin = Origin::Pod {
            namespace: "istio-system",
            labels: labels(&gateway),
        };
        !blocking(&policies, &destination, &origin).is_empty()
    }

    fn rule(rule: &Value) -> Value {
        json!({"podSelector": {}, "ingress": [rule]})
    }

    #[test]
    fn policies_add_up() {
        let closed = json!({"podSelector": {}});
        let open = rule(&json!({}));
        assert!(!keep_out(&[]));
        assert!(keep_out(std::slice::from_ref(&closed)));
        assert!(!keep_out(&[closed.clone(), open.clone()]));
        let of_others = json!({"podSelector": {"matchLabels": {"app": "db"}}});
        assert!(!keep_out(&[of_others]));
        let open_for_others =
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{}]});
        assert!(keep_out(&[closed, open_for_others]));
        let egress = json!({"podSelector": {}, "policyTypes": ["Egress"]});
        assert!(!keep_out(std::slice::from_ref(&egress)));
        let closed = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
        assert!(keep_out(&[egress, closed]));
    }

    #[test]
    fn a_rule_lets_in_by_its_peers_and_ports() {
        let (near, gateway) = (
            json!({}),
            json!({"matchLabels": {"istio": "ingressgateway"}}),
        );
        let named = |name: &str| json!({"matchLabels": {NAMESPACE_NAME: name}});
        let labelled = json!({"matchLabels": {"team": "mesh"}});
        for (peer, is_in) in [
            (json!({"podSelector": near}), false),
            (json!({"podSelector": gateway}), false),
            (json!({"namespaceSelector": {}}), true),
            (json!({"namespaceSelector": named("istio-system")}), true),
            (json!({"namespaceSelector": named("monitoring")}), false),
            // Its labels are not known.
            (json!({"namespaceSelector": labelled}), true),
            (
                json!({"namespaceSelector": {}, "podSelector": gateway}),
                true,
            ),
            (
                json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}),
                false,
            ),
            (json!({"ipBlock": {"cidr": "10.0.0.0/8"}}), true),
        ] {
            assert_eq!(
                keep_out(&[rule(&json!({"from": [peer]}))]),
                !is_in,
                "{peer}"
            );
        }
        for (port, is_in) in [
            (json!({"port": 8080}), true),
            (json!({"port": 8080, "protocol": "UDP"}), false),
            (json!({"port": 80}), false),
            (
                json!({"port": 8000, "endPort": 8100, "protocol": "TCP"}),
                true,
            ),
            (json!({"port": 8000, "endPort": 8010}), false),
            (json!({"port": "http"}), true),
            (json!({"port": "metrics"}), false),
            (json!({"protocol": "TCP"}), true),
        ] {
            assert_eq!(
                keep_out(&[rule(&json!({"ports": [port]}))]),
                !is_in,
                "{port}"
            );
        }
    }
}
