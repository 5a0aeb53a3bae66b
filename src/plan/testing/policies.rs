//! What an `AuthorizationPolicy` of action DENY says to a request through the ingress gateway, as Istio evaluates it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resources::Object;
use crate::resources::gateway::covers;

/// The port on which the proxies take connections to port 443.
const PORT: &str = "8443";

/// A request that brings no header of its own.
pub struct Call<'a> {
    /// The host.
    pub host: &'a str,
    /// The server name of the handshake.
    pub server_name: &'a str,
    /// The URI SAN of the client's certificate.
    pub principal: Option<&'a String>,
}

/// Whether a policy denies a request at proxies with these labels.
pub fn denies(policy: &Object, labels: &BTreeMap<String, String>, call: &Call<'_>) -> bool {
    let selected = policy.at(&["spec", "selector", "matchLabels"]);
    let is_for_them = selected.and_then(Value::as_object).is_none_or(|wanted| {
        let mut wanted = wanted.iter();
        wanted.all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
    });
    let rules = policy.at(&["spec", "rules"]);
    policy.text(&["spec", "action"]) == "DENY"
        && is_for_them
        && items(rules).any(|rule| call.matches(rule))
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Whether a field is left out, or holds for any of its values.
fn holds(of: &Value, field: &str, is: impl Fn(&str) -> bool) -> bool {
    let mut values = items(of.get(field)).filter_map(Value::as_str);
    of.get(field).is_none() || values.any(is)
}

/// Whether a negated field is left out, or holds for none of its values.
fn spares(of: &Value, field: &str, is: impl Fn(&str) -> bool) -> bool {
    !items(of.get(field)).filter_map(Value::as_str).any(is)
}

impl Call<'_> {
    fn matches(&self, rule: &Value) -> bool {
        let from = |from: &Value| {
            let source = &from["source"];
            holds(source, "principals", |one| self.is(one))
                && spares(source, "notPrincipals", |one| self.is(one))
        };
        let to = |to: &Value| {
            let operation = &to["operation"];
            holds(operation, "hosts", |host| self.is_to(host))
                && spares(operation, "notHosts", |host| self.is_to(host))
                && holds(operation, "ports", |port| port == PORT)
                && spares(operation, "notPorts", |port| port == PORT)
        };
        let when = |when: &Value| match when["key"].as_str() {
            Some("connection.sni") => {
                holds(when, "values", |name| covers(name, self.server_name))
                    && spares(when, "notValues", |name| covers(name, self.server_name))
            }
            Some(key) if key.starts_with("request.headers[") => false,
            other => panic!("the condition {other:?} is not known here"),
        };
        let any = |field: &str, is: &dyn Fn(&Value) -> bool| {
            rule.get(field).is_none() || items(rule.get(field)).any(is)
        };
        any("from", &from) && any("to", &to) && items(rule.get("when")).all(when)
    }

    fn is(&self, principal: &str) -> bool {
        let own = self
            .principal
            .map(|uri| uri.trim_start_matches("spiffe://"));
        match (principal, own) {
            (_, None) => false,
            ("*", Some(_)) => true,
            (one, Some(own)) => one == own,
        }
    }

    fn is_to(&self, host: &str) -> bool {
        host == "*" || host == self.host
    }
}
