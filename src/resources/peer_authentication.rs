//! The connections that a workload with a sidecar accepts, by `PeerAuthentications` (<https://github.com/istio/istio>,
//! `pilot/pkg/security/authn/policy_applier.go`, `ComposePeerAuthentication`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::Object;
use super::workload_access::Labels;

/// The connections that a sidecar accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mutual TLS of the mesh, and all other connections.
    Permissive,
    /// Mutual TLS of the mesh only.
    Strict,
    /// The sidecar terminates no TLS.
    Disable,
}

/// The mode for a port of a workload, and the policy that sets it; `None` if it is not known.
///
/// A policy with a selector overrides one of the namespace, and that overrides one of the mesh's root namespace; of several the oldest
/// counts. `port` is the workload's own, not the Service's; `roots` are the mesh's root namespaces.
pub fn mode<'a>(
    policies: impl IntoIterator<Item = &'a Object>,
    labels: Labels<'_>,
    port: Option<u16>,
    roots: &BTreeSet<String>,
) -> Option<(Mode, Option<&'a Object>)> {
    let mut scopes: [Option<&Object>; 3] = [None; 3];
    for policy in policies {
        let selector = policy.at(&["spec", "selector", "matchLabels"]);
        let has_selector = selector
            .and_then(Value::as_object)
            .is_some_and(|labels| !labels.is_empty());
        let is_root = roots.contains(policy.namespace());
        let scope = match (has_selector, is_root) {
            (true, true) => continue,
            (true, false) => match labels.are_selected_by(policy.at(&["spec", "selector"])) {
                Some(true) => 2,
                Some(false) => continue,
                None => return None,
            },
            (false, false) => 1,
            (false, true) => 0,
        };
        let created = |policy: &Object| policy.text(&["metadata", "creationTimestamp"]).to_owned();
        if scopes[scope].is_none_or(|known| created(policy) < created(known)) {
            scopes[scope] = Some(policy);
        }
    }
    let mut found = (Mode::Permissive, None);
    for policy in scopes.into_iter().flatten() {
        if let Some(mode) = named(policy.at(&["spec", "mtls", "mode"])) {
            found = (mode, Some(policy));
        }
    }
    let of_ports = scopes[2].and_then(|policy| policy.at(&["spec", "portLevelMtls"])?.as_object());
    let Some(of_ports) = of_ports.filter(|ports| !ports.is_empty()) else {
        return Some(found);
    };
    let own = of_ports.get(&port?.to_string());
    match own.and_then(|own| named(own.get("mode"))) {
        Some(mode) => Some((mode, scopes[2])),
        None => Some(found),
    }
}

fn named(mode: Option<&Value>) -> Option<Mode> {
    match mode?.as_str()? {
        "STRICT" => Some(Mode::Strict),
        "PERMISSIVE" => Some(Mode::Permissive),
        "DISABLE" => Some(Mode::Disable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Kind, ObjectRef};
    use serde_json::json;

    fn policy(namespace: &str, age: u8, spec: Value) -> Object {
        let reference = ObjectRef::new(Kind::PeerAuthentication, namespace, format!("p{age}"));
        let mut body = Object::new(reference).body().clone();
        body["metadata"]["creationTimestamp"] = format!("2026-01-{age:02}T00:00:00Z").into();
        body["spec"] = spec;
        Object::from_server(Kind::PeerAuthentication, body).unwrap()
    }

    #[test]
    fn the_narrowest_policy_counts_and_of_several_the_oldest() {
        let known = [("app".to_owned(), "web".to_owned())];
        let found = |policies: &[Object], are_complete: bool, port: Option<u16>| {
            let labels = Labels {
                known: &known,
                are_complete,
            };
            mode(policies, labels, port, &["istio-system".to_owned()].into()).map(|(mode, _)| mode)
        };
        let of = |mode: &str| json!({"mtls": {"mode": mode}});
        let with = |selector: Value, mode: &str| json!({"selector": {"matchLabels": selector}, "mtls": {"mode": mode}});
        let (web, tier) = (json!({"app": "web"}), json!({"tier": "x"}));
        let all = [
            policy("istio-system", 1, of("STRICT")),
            policy("shop", 3, of("DISABLE")),
            policy("shop", 2, of("PERMISSIVE")),
        ];
        assert_eq!(found(&[], true, None), Some(Mode::Permissive));
        assert_eq!(found(&all[..1], true, None), Some(Mode::Strict));
        assert_eq!(found(&all, true, None), Some(Mode::Permissive));
        let own = [policy("shop", 4, with(web.clone(), "STRICT"))];
        assert_eq!(found(&own, true, None), Some(Mode::Strict));
        let unset = [
            policy("istio-system", 1, of("STRICT")),
            policy("shop", 2, of("UNSET")),
        ];
        assert_eq!(found(&unset, true, None), Some(Mode::Strict));
        let other = [policy("shop", 4, with(tier, "STRICT"))];
        assert_eq!(found(&other, true, None), Some(Mode::Permissive));
        assert_eq!(found(&other, false, None), None);
        let mut spec = with(web.clone(), "STRICT");
        spec["portLevelMtls"] = json!({"8080": {"mode": "DISABLE"}});
        let of_port = [policy("shop", 4, spec)];
        assert_eq!(found(&of_port, true, Some(8080)), Some(Mode::Disable));
        assert_eq!(found(&of_port, true, Some(80)), Some(Mode::Strict));
        assert_eq!(found(&of_port, true, None), None);
        let root = [policy("istio-system", 1, with(web, "STRICT"))];
        assert_eq!(found(&root, true, None), Some(Mode::Permissive));
    }
}
