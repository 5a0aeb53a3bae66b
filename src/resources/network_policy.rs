//! Whether `NetworkPolicies` admit connections (<https://kubernetes.io/docs/concepts/services-networking/network-policies>).
//!
//! Policies add up: as soon as one selects a Pod, another one that admits a connection is needed, and enough. A policy that cannot be
//! evaluated counts as admitting; a network without an implementation of policies admits everything.

use serde_json::Value;

use super::workload_access::Labels;
use super::{Object, ingress};

/// The label with a namespace's name, which every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The direction of connections, as seen from the Pods on which a policy acts.
#[derive(Debug, Clone, Copy)]
struct Direction {
    /// The value in `policyTypes`.
    name: &'static str,
    /// The field with the rules.
    rules: &'static str,
    /// The field of a rule with the other side.
    peers: &'static str,
}

const INGRESS: Direction = Direction {
    name: "Ingress",
    rules: "ingress",
    peers: "from",
};
const EGRESS: Direction = Direction {
    name: "Egress",
    rules: "egress",
    peers: "to",
};

/// The other side of connections than the Pods on which policies act.
#[derive(Debug, Clone, Copy)]
pub enum Peer<'a> {
    /// Outside the cluster.
    Outside,
    /// A Pod in the cluster, with its labels.
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
    peer: &Peer<'_>,
) -> Vec<&'a Object> {
    isolating(policies, &destination.labels, INGRESS, destination, peer)
}

/// The policies that select the Pods from which the connections come, if none of them lets the connections out to Pods in a namespace.
pub fn blocking_out<'a>(
    policies: &'a [Object],
    origin: &Labels<'_>,
    namespace: &str,
    destination: &Destination<'_>,
) -> Vec<&'a Object> {
    let other = Peer::Pod {
        namespace,
        labels: destination.labels,
    };
    isolating(policies, origin, EGRESS, destination, &other)
}

/// Whether one of the policies acts on connections from Pods with these labels.
pub fn isolate_out(policies: &[Object], labels: &Labels<'_>) -> bool {
    let selects =
        |policy: &Object| is_about(policy, EGRESS) && is_selected(labels, policy) == Some(true);
    policies.iter().any(selects)
}

fn is_selected(labels: &Labels<'_>, policy: &Object) -> Option<bool> {
    labels.are_selected_by(policy.at(&["spec", "podSelector"]))
}

/// The policies that act on Pods with these labels, if none of them admits the connections to or from the `other` side.
fn isolating<'a>(
    policies: &'a [Object],
    labels: &Labels<'_>,
    direction: Direction,
    destination: &Destination<'_>,
    other: &Peer<'_>,
) -> Vec<&'a Object> {
    let policies = policies.iter().filter(|policy| is_about(policy, direction));
    let (mut selecting, mut is_admitted) = (Vec::new(), false);
    for policy in policies {
        let selected = is_selected(labels, policy);
        if selected == Some(true) {
            selecting.push(policy);
        }
        let mut rules = items(policy.at(&["spec"]), direction.rules).iter();
        let admits = |rule: &Value| {
            let (peers, ports) = (
                items(Some(rule), direction.peers),
                items(Some(rule), "ports"),
            );
            // A part that is absent, or empty, matches everything.
            let is_other = peers.iter().any(|peer| is_peer(peer, policy, other));
            let is_port = ports.iter().any(|port| is_port(port, destination));
            (peers.is_empty() || is_other) && (ports.is_empty() || is_port)
        };
        is_admitted |= selected != Some(false) && rules.any(admits);
    }
    if is_admitted { Vec::new() } else { selecting }
}

/// Whether a policy acts in a direction. Without `policyTypes` it acts on what comes in, and on what goes out if it has rules for that.
fn is_about(policy: &Object, direction: Direction) -> bool {
    let types = items(policy.at(&["spec"]), "policyTypes");
    if types.is_empty() {
        return direction.name == INGRESS.name || policy.at(&["spec", direction.rules]).is_some();
    }
    types.iter().any(|kind| kind == direction.name)
}

fn items<'a>(value: Option<&'a Value>, field: &str) -> &'a [Value] {
    let items = value.and_then(|value| value.get(field)?.as_array());
    items.map_or(&[], Vec::as_slice)
}

fn is_peer(peer: &Value, policy: &Object, other: &Peer<'_>) -> bool {
    if peer.get("ipBlock").is_some() {
        return true;
    }
    let Peer::Pod { namespace, labels } = other else {
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
        let origin = Peer::Pod {
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
    fn policies_act_on_what_goes_out_too() {
        let (own, gateway) = (pairs(WEB), pairs([("istio", "ingressgateway")]));
        let labels = |known| Labels {
            known,
            are_complete: true,
        };
        let destination = Destination {
            labels: labels(&own),
            pod: None,
            port: Some(8080),
        };
        let keep_in = |specs: &[Value]| {
            let policies: Vec<Object> = specs.iter().map(policy).collect();
            let found = blocking_out(&policies, &labels(&gateway), "web", &destination);
            !found.is_empty()
        };
        let to =
            |rule: Value| json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]});
        let web = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}});
        let db = json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}});
        let closed = json!({"podSelector": {}, "policyTypes": ["Egress"]});
        let of_others =
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"]});
        for (specs, is_blocked) in [
            (vec![closed.clone()], true),
            (vec![json!({"podSelector": {}})], false),
            (vec![json!({"podSelector": {}, "egress": []})], true),
            (vec![of_others], false),
            (vec![to(json!({"to": [db]}))], true),
            (vec![to(json!({"to": [{"podSelector": {}}]}))], true),
            (vec![to(json!({"ports": [{"port": 53}]}))], true),
            (
                vec![to(json!({"to": [web], "ports": [{"port": 8080}]}))],
                false,
            ),
            (
                vec![to(json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}))],
                false,
            ),
            (vec![closed, to(json!({}))], false),
        ] {
            assert_eq!(keep_in(&specs), is_blocked, "{specs:?}");
        }
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
