//! Roles in the forms that `kubectl apply` takes, and the section on permissions of a command's help.

use serde_json::{Value, json};

use super::table::columns;
use crate::error::Failure;
use crate::resources::names::{FIELD_MANAGER, MANAGED_BY};
use crate::resources::permissions::{PRUNE, Permission, Role, Rule, Scope, own_namespaces};

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// Why a rule has no names (`k8s.io` documentation, "Referring to resources").
const ANY_NAME: &str =
    "RBAC cannot limit `create` to names: it makes new objects, and changes none that exist";

/// What stands in no Role, and which flag puts it there.
pub fn left_out(permission: &Permission) -> String {
    let flag = permission.only_with.as_deref().unwrap_or_default();
    if flag == PRUNE {
        return format!(
            "left out, because it would be a right to delete entries of the inventory: {} of {} ({})\n  the right to prune: add `{flag}`",
            permission.verbs.join(", "),
            permission.qualified_resource(),
            permission.place(),
        );
    }
    format!(
        "left out, because without names it would be a right over the objects of everybody else: {} of {} ({})\n  the right for one object: add `{flag}`",
        permission.verbs.join(", "),
        permission.qualified_resource(),
        permission.place(),
    )
}

/// One document each; above each rule stands what it is for.
pub fn yaml(roles: &[Role]) -> Result<String, Failure> {
    let mut documents = Vec::new();
    for name in own_namespaces(roles) {
        documents.push(super::yaml(&namespace(name))?);
    }
    for role in roles {
        let mut text = super::yaml(&head(role))?;
        text.push_str("rules:\n");
        for rule in &role.rules {
            text.push_str(&rule_with_reasons(rule)?);
        }
        documents.push(text);
    }
    Ok(documents.join("---\n"))
}

/// One `List`.
pub fn json(roles: &[Role]) -> Result<String, Failure> {
    let whole = |role: &Role| {
        let mut object = head(role);
        object["rules"] = json!(role.rules);
        object
    };
    let namespaces = own_namespaces(roles).map(namespace);
    let items: Vec<Value> = namespaces.chain(roles.iter().map(whole)).collect();
    super::json(&json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

/// One name per line, as `kubectl -o name`.
pub fn names(roles: &[Role]) -> String {
    let namespaces = own_namespaces(roles).map(|name| format!("namespace/{name}\n"));
    let role = |role: &Role| {
        let kind = role.kind().to_lowercase();
        format!("{kind}.{API_GROUP}/{}\n", role.name)
    };
    namespaces.chain(roles.iter().map(role)).collect()
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {MANAGED_BY: FIELD_MANAGER}},
    })
}

fn head(role: &Role) -> Value {
    let mut metadata = json!({"name": role.name});
    if let Scope::Namespace(namespace) = &role.scope {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": format!("{API_GROUP}/v1"), "kind": role.kind(), "metadata": metadata})
}

fn rule_with_reasons(rule: &Rule) -> Result<String, Failure> {
    let any = rule.makes_any().then(|| ANY_NAME.to_owned());
    let reasons = rule.reasons.iter().chain(&any);
    let reasons = reasons.map(|reason| format!("# {reason}\n"));
    let rule = super::yaml(&[rule])?;
    Ok(reasons.chain([rule]).collect())
}

/// What a command needs, for its help.
pub fn section(command: &str, permissions: &[Permission]) -> String {
    let row = |permission: &Permission| {
        vec![
            format!("  {}", permission.place()),
            permission.verbs.join(","),
            permission.qualified_resource(),
            if permission.required { "" } else { "optional" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = permissions.iter().map(row).collect();
    format!(
        "PERMISSIONS (as Roles, with names and reasons: `kubectl mtls rbac {command}`):\n{}",
        columns(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::names::{CredentialNames, INGRESS_NAMESPACE};
    use crate::resources::permissions::{Permissions, Place, roles};

    fn of_expose() -> Vec<Role> {
        let permissions = Permissions::load().unwrap();
        let place = Place {
            prunes: false,
            ingress: INGRESS_NAMESPACE,
            namespace: Some("shop"),
            gateway: None,
            services: &[],
            provider: None,
            names: &CredentialNames::first(),
        };
        roles("test", permissions.of("expose").unwrap(), &place)
    }

    #[test]
    fn both_forms_say_the_same() {
        let yaml = yaml(&of_expose()).unwrap();
        let documents: Vec<Value> = yaml
            .split("---\n")
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect();
        let json: Value = serde_json::from_str(&json(&of_expose()).unwrap()).unwrap();
        assert_eq!(json["items"], Value::from(documents));
    }

    #[test]
    fn the_plugins_namespaces_come_before_the_roles_in_them() {
        let names = names(&of_expose());
        assert!(names.starts_with("namespace/kubectl-mtls\nnamespace/kubectl-mtls-clients\n"));
        assert!(names.contains("clusterrole.rbac.authorization.k8s.io/test\n"));
    }

    #[test]
    fn every_rule_says_what_it_is_for() {
        let yaml = yaml(&of_expose()).unwrap();
        assert!(
            yaml.contains("# the route from the host to the Service\n"),
            "{yaml}"
        );
    }
}
