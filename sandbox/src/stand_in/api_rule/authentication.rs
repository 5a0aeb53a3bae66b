//! The `RequestAuthentication` that checks tokens, as kyma-project/api-gateway
//! `internal/processing/processors/v2alpha1/requestauthentication` makes it.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::objects::{object, select};
use super::spec::ApiRule;
use super::surroundings::Backend;
use crate::stand_in::resources::Kind;

/// The checks of tokens, each kind of check once, in the Services' namespaces.
pub(super) fn request_authentications(rule: &ApiRule, backends: &[Backend]) -> Vec<DynamicObject> {
    let mut checks: Vec<DynamicObject> = Vec::new();
    for (each, backend) in rule.spec.rules.iter().zip(backends) {
        let Some(jwt) = &each.jwt else { continue };
        let mut spec = json!({ "jwtRules": jwt.rules() });
        select(&mut spec, backend);
        let namespace = rule.service_namespace(each);
        let check = object(Kind::RequestAuthentication, rule, namespace, &spec);
        if !checks
            .iter()
            .any(|earlier| identity(earlier) == identity(&check))
        {
            checks.push(check);
        }
    }
    checks
}

/// By what a check that exists is matched with one that should.
pub(super) fn identity(check: &DynamicObject) -> Option<String> {
    let namespace = check.metadata.namespace.as_deref().unwrap_or_default();
    let rules = check.data.pointer("/spec/jwtRules")?.as_array()?;
    let keys: Vec<&str> = rules
        .iter()
        .flat_map(|rule| [rule["issuer"].as_str(), rule["jwksUri"].as_str()])
        .flatten()
        .collect();
    let selector = check
        .data
        .pointer("/spec/selector")
        .map(Value::to_string)
        .unwrap_or_default();
    Some(format!("{selector}:{}:{namespace}", keys.join(":")))
}

#[cfg(test)]
mod tests {
    use super::super::jwt::tests::{backends, rule};
    use super::*;

    #[test]
    fn two_rules_with_the_same_issuer_share_a_check() {
        let mut rule = rule(&json!({
            "authentications": [{ "issuer": "one", "jwksUri": "https://one.example/keys" }],
        }));
        let again = rule.spec.rules[0].clone();
        rule.spec.rules.push(again);
        let [backend] = backends();
        let checks = request_authentications(&rule, &[backend.clone(), backend]);
        assert_eq!(checks.len(), 1);
        assert_eq!(
            checks[0].data["spec"],
            json!({
                "selector": { "matchLabels": { "app": "orders" } },
                "jwtRules": [{ "issuer": "one", "jwksUri": "https://one.example/keys", "forwardOriginalToken": true }],
            })
        );
    }
}
