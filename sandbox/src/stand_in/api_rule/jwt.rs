//! Rules that ask for a token: what they demand of a request, as kyma-project/api-gateway
//! `internal/processing/processors/v2alpha1/authorizationpolicy` makes it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::Fault;

/// Scopes stand in one of these claims.
const SCOPES: [&str; 3] = [
    "request.auth.claims[scp]",
    "request.auth.claims[scope]",
    "request.auth.claims[scopes]",
];
const AUDIENCES: &str = "request.auth.claims[aud]";

/// The field `jwt` of a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jwt {
    pub authentications: Vec<Authentication>,
    pub authorizations: Option<Vec<Authorization>>,
}

/// Who signs tokens, and where they stand in a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Authentication {
    pub issuer: String,
    pub jwks_uri: String,
    pub from_headers: Vec<Value>,
    pub from_params: Vec<String>,
}

/// What a token must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Authorization {
    pub required_scopes: Vec<String>,
    pub audiences: Vec<String>,
}

impl Jwt {
    /// Everybody with a token of one of the issuers.
    pub(super) fn principals(&self) -> Vec<String> {
        let issuers = self.authentications.iter();
        issuers.map(|one| format!("{}/*", one.issuer)).collect()
    }

    /// The conditions of each policy's rules: a policy for each authorization, in it a rule for each claim that may hold the
    /// scopes.
    pub(super) fn conditions(&self) -> Vec<Vec<Vec<Value>>> {
        match self.authorizations.as_deref() {
            None | Some([]) => vec![vec![Vec::new()]],
            Some(all) => all.iter().map(Authorization::conditions).collect(),
        }
    }

    /// What is wrong with it; `attribute` is the rule's place.
    pub(super) fn faults(&self, attribute: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.authorizations.as_ref().is_some_and(Vec::is_empty) {
            let message = "authorizations defined, but no configuration exists";
            faults.push(Fault::new(
                format!("{attribute}.jwt.authorizations"),
                message,
            ));
        }
        if self.authentications.is_empty() {
            let message = "A JWT config must have at least one authentication";
            faults.push(Fault::new(
                format!("{attribute}.jwt.authentications"),
                message,
            ));
        }
        faults
    }

    /// Who signs tokens and where they stand, as a `RequestAuthentication` has it.
    pub(super) fn rules(&self) -> Vec<Value> {
        let rules = self.authentications.iter().map(|one| {
            let mut rule = json!({
                "issuer": one.issuer, "jwksUri": one.jwks_uri, "forwardOriginalToken": true,
            });
            if !one.from_headers.is_empty() {
                rule["fromHeaders"] = json!(one.from_headers);
            }
            if !one.from_params.is_empty() {
                rule["fromParams"] = json!(one.from_params);
            }
            rule
        });
        rules.collect()
    }
}

impl Authorization {
    fn conditions(&self) -> Vec<Vec<Value>> {
        let demand = |key: &str, values: &[String]| -> Vec<Value> {
            let values = values.iter();
            values
                .map(|value| json!({ "key": key, "values": [value] }))
                .collect()
        };
        let audiences = demand(AUDIENCES, &self.audiences);
        if self.required_scopes.is_empty() {
            return vec![audiences];
        }
        let claims = SCOPES.iter();
        claims
            .map(|claim| [demand(claim, &self.required_scopes), audiences.clone()].concat())
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::super::objects::authorization_policies;
    use super::super::objects::tests::{api_rule, gateway};
    use super::super::spec::ApiRule;
    use super::super::surroundings::Backend;
    use super::*;

    pub(crate) fn rule(jwt: &Value) -> ApiRule {
        let mut rule = api_rule();
        rule.spec.rules[0].jwt = Some(serde_json::from_value(jwt.clone()).unwrap());
        rule
    }

    pub(crate) fn backends() -> [Backend; 1] {
        [Backend::Selecting {
            labels: BTreeMap::from([("app".to_owned(), "orders".to_owned())]),
            without_sidecar: Vec::new(),
        }]
    }

    #[test]
    fn each_authorization_has_a_policy_with_a_rule_for_each_claim_of_the_scopes() {
        let rule = rule(&json!({
            "authentications": [{ "issuer": "https://one.example", "jwksUri": "https://one.example/keys" }],
            "authorizations": [{ "requiredScopes": ["read"], "audiences": ["shop"] }, { "audiences": ["office"] }],
        }));
        let gate = gateway(&json!([{ "hosts": ["*.mtls.example.com"] }]));
        let policies = authorization_policies(&rule, &gate, &backends());
        let rules: Vec<&Vec<Value>> = policies
            .iter()
            .map(|policy| policy.data["spec"]["rules"].as_array().unwrap())
            .collect();
        assert_eq!(
            rules.iter().map(|rules| rules.len()).collect::<Vec<_>>(),
            [3, 1]
        );
        assert_eq!(
            rules[0][1]["when"],
            json!([
                { "key": "request.auth.claims[scope]", "values": ["read"] },
                { "key": "request.auth.claims[aud]", "values": ["shop"] },
            ])
        );
        for rule in rules.into_iter().flatten() {
            let source = &rule["from"][0]["source"];
            assert_eq!(
                source["requestPrincipals"],
                json!(["https://one.example/*"])
            );
            assert!(source["principals"].is_array());
        }
    }

    #[test]
    fn a_token_needs_an_issuer() {
        let faults = rule(&json!({})).spec.rules[0]
            .jwt
            .as_ref()
            .unwrap()
            .faults(".spec.rules[0]");
        assert_eq!(faults[0].attribute, ".spec.rules[0].jwt.authentications");
    }
}
