//! External authorizers, to which policies of action CUSTOM send requests.

use serde_json::Value;

use crate::resources::Object;

/// The name of the external authorizer of a policy.
pub fn authorizer(policy: &Object) -> &str {
    policy.text(&["spec", "provider", "name"])
}

/// What istiod makes of a policy whose external authorizer the mesh does not define: one that denies the same requests
/// (<https://github.com/istio/istio>, `pilot/pkg/security/authz/builder/builder.go`, `getBadCustomDenyRules`).
pub fn denying(policy: &Object) -> Object {
    let mut spec = policy.at(&["spec"]).cloned().unwrap_or(Value::Null);
    spec["action"] = "DENY".into();
    policy.clone().with("spec", spec)
}
