//! External authorizers, to which policies of action CUSTOM send requests.

use std::collections::BTreeSet;

use super::{Labels, applies};
use crate::resources::Object;

/// The name of the external authorizer of a policy.
pub fn authorizer(policy: &Object) -> &str {
    policy.text(&["spec", "provider", "name"])
}

/// The policy of a workload by which istiod denies all requests of the workload, whatever the rules of the policy: one that names an
/// external authorizer which is not among those that the mesh defines, or another one than a second policy
/// (<https://github.com/istio/istio>, `pilot/pkg/security/authz/builder/builder.go`, `buildHTTP`, and `extauthz.go`, `getExtAuthz`).
pub fn unresolved<'a>(
    policies: impl IntoIterator<Item = &'a Object>,
    labels: Labels<'_>,
    defined: &BTreeSet<String>,
) -> Option<&'a Object> {
    let custom: Vec<&Object> = policies
        .into_iter()
        .filter(|policy| policy.text(&["spec", "action"]) == "CUSTOM")
        .filter(|policy| applies(policy, labels) == Some(true))
        .collect();
    let first = custom.first().map(|policy| authorizer(policy));
    let is_unresolved = |policy: &&&Object| {
        let name = authorizer(policy);
        !defined.contains(name) || Some(name) != first
    };
    custom.iter().find(is_unresolved).copied()
}
