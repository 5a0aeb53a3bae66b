//! Single rights of a command, taken from its permissions and away from them.

use kubectl_mtls::resources::names::CredentialNames;
use kubectl_mtls::resources::permissions::{Access, Permission, Place, Role, Scope, roles};
use sandbox::{AuditEvent, Rule};
use serde_json::json;

use crate::situations::used;
use crate::stage::{NAMESPACE, SERVICE};

/// One verb of one permission.
#[derive(Debug, Clone)]
pub(super) struct Right {
    pub(super) permission: Permission,
    pub(super) verb: String,
}

impl Right {
    /// As a rule of its own.
    pub(super) fn rule(&self) -> Rule {
        let mut rules = rules(std::slice::from_ref(&self.alone()));
        assert_eq!(rules.len(), 1, "{self:?}");
        rules.remove(0)
    }

    fn alone(&self) -> Permission {
        let mut alone = self.permission.clone();
        alone.verbs = vec![self.verb.clone()];
        alone
    }

    pub(super) fn describe(&self) -> String {
        let rule = self.rule();
        let place = rule.namespace.unwrap_or_else(|| "all".to_owned());
        let resource = self.permission.qualified_resource();
        format!("{} {resource} in {place}", self.verb)
    }
}

fn with_place<T>(work: impl FnOnce(&Place<'_>) -> T) -> T {
    let names = CredentialNames::first();
    work(&Place {
        namespace: Some(NAMESPACE),
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        prunes: true,
        gateway: None,
        services: &[SERVICE.to_owned(), "nothing".to_owned()],
        provider: Some("a-example-com"),
        names: &names,
    })
}

pub(super) fn rules(permissions: &[Permission]) -> Vec<Rule> {
    let roles = with_place(|place| roles("test", permissions, place));
    let of_role = |role: &Role| {
        let value = json!(role.rules);
        let namespace = match &role.scope {
            Scope::Namespace(name) => Some(name.clone()),
            _ => None,
        };
        let texts = |value: &serde_json::Value| -> Vec<String> {
            let texts = value.as_array().into_iter().flatten();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect()
        };
        let rules = value.as_array().unwrap().iter();
        rules
            .map(|rule| Rule {
                namespace: namespace.clone(),
                group: rule["apiGroups"][0].as_str().unwrap().to_owned(),
                resources: texts(&rule["resources"]),
                names: texts(&rule["resourceNames"]),
                verbs: texts(&rule["verbs"]),
            })
            .collect::<Vec<_>>()
    };
    roles.iter().flat_map(of_role).collect()
}

/// All permissions but those that allow any of what a right allows.
pub(super) fn without(permissions: &[Permission], right: &Right) -> Vec<Permission> {
    let denied = with_place(|place| place.accesses(&right.alone()));
    let covers = |wide: &Access, narrow: &Access| {
        (wide.namespace.is_empty() || wide.namespace == narrow.namespace)
            && (wide.name.is_empty() || narrow.name.is_empty() || wide.name == narrow.name)
            && (&wide.group, &wide.resource) == (&narrow.group, &narrow.resource)
    };
    let left = |permission: &Permission| {
        let mut left = permission.clone();
        left.verbs.retain(|verb| {
            let one = Right {
                permission: permission.clone(),
                verb: verb.clone(),
            };
            let given = with_place(|place| place.accesses(&one.alone()));
            *verb != right.verb
                || !given
                    .iter()
                    .any(|wide| denied.iter().any(|narrow| covers(wide, narrow)))
        });
        left
    };
    let left = permissions.iter().map(left);
    left.filter(|one| !one.verbs.is_empty()).collect()
}

/// Whether a request was made by a right, and not by one of these that is for its namespace only.
pub(super) fn needed(
    (right, rule): (&Right, &Rule),
    rights: &[Right],
    rules: &[Rule],
    event: &AuditEvent,
) -> bool {
    let is_narrower = |(other, own): &(&Right, &Rule)| {
        other.verb == right.verb && own.namespace.is_some() && used(own, &other.verb, event)
    };
    used(rule, &right.verb, event)
        && (rule.namespace.is_some() || !rights.iter().zip(rules).any(|other| is_narrower(&other)))
}

/// The ways to the proxies: without one of them, `--connect-to` is the other way.
pub(super) fn is_a_way(right: &Right) -> bool {
    let resource = right.permission.resource.as_str();
    let names = &right.permission.names;
    resource.starts_with("pods") || names.iter().any(|name| name == "istio-ingressgateway")
}
