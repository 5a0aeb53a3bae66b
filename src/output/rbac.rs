//! Roles in formats for `kubectl apply`, and the section on permissions in a command's help.

use serde_json::{Value, json};

use super::table::columns;
use crate::error::Failure;
use crate::plan::rights::{Lacking, Report};
use crate::resources::names::{FIELD_MANAGER, MANAGED_BY};
use crate::resources::permissions::{
    Binding, PRUNE, Permission, Role, Rule, Scope, own_namespaces,
};

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The comment on a rule without names (`k8s.io` documentation, "Referring to resources").
const ANY_NAME: &str =
    "RBAC cannot limit `create` to names: it makes new objects, and changes none that exist";

/// The permissions that are left out of the Roles without a flag, by the commands that need them, and the command with the flag.
pub fn left_out(flag: &str, without: &[(&str, &Permission)], completed: &str) -> String {
    let reason = if flag == PRUNE {
        "they allow deleting entries of the inventory"
    } else {
        "they would extend to the objects of others"
    };
    format!(
        "these permissions are left out without `{flag}`, since {reason}:\n{}  the command that includes them:\n    {completed}",
        by_command(without)
    )
}

/// The permissions that `--check` skipped without a flag, by the commands that need them, and the command with the flag.
pub fn not_checked(flag: &str, without: &[(&str, &Permission)], completed: &str) -> String {
    format!(
        "these permissions are not checked without `{flag}`:\n{}  the command that checks them:\n    {completed}",
        by_command(without)
    )
}

/// A line for each kind of object, and whether a command fails without the permission.
fn by_command(permissions: &[(&str, &Permission)]) -> String {
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for (command, permission) in permissions {
        let row = format!(
            "{} for `{command}`, {} ({}): ",
            permission.need(),
            permission.qualified_resource(),
            permission.place()
        );
        let verbs = permission.verbs.iter().map(String::as_str);
        match rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, known)) => known.extend(verbs),
            None => rows.push((row, verbs.collect())),
        }
    }
    rows.iter()
        .map(|(row, verbs)| format!("  {row}{}\n", verbs.join(", ")))
        .collect()
}

/// One YAML document per Role and binding; above each rule a comment with its purpose.
pub fn yaml(roles: &[Role], bindings: &[Binding<'_>]) -> Result<String, Failure> {
    let mut documents = Vec::new();
    for name in own_namespaces(roles) {
        documents.push(super::yaml(&namespace(name))?);
    }
    for role in roles {
        let mut text = super::yaml(&head(role.kind(), &role.name, &role.scope))?;
        text.push_str("rules:\n");
        for rule in &role.rules {
            text.push_str(&rule_with_reasons(rule)?);
        }
        documents.push(text);
    }
    for one in bindings {
        documents.push(super::yaml(&binding(one))?);
    }
    Ok(documents.join("---\n"))
}

/// All Roles and bindings as one `List`.
pub fn json(roles: &[Role], bindings: &[Binding<'_>]) -> Result<String, Failure> {
    let whole = |role: &Role| {
        let mut object = head(role.kind(), &role.name, &role.scope);
        object["rules"] = json!(role.rules);
        object
    };
    let namespaces = own_namespaces(roles).map(namespace);
    let objects = namespaces.chain(roles.iter().map(whole));
    let items: Vec<Value> = objects.chain(bindings.iter().map(binding)).collect();
    super::json(&json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

/// One object per line, as arguments of kubectl: `role.rbac.authorization.k8s.io/NAME -n NAMESPACE`.
///
/// kubectl's own `-o name` leaves the namespace out, because its argument `TYPE/NAME` has none; but Roles of one name exist in several
/// namespaces.
pub fn names(roles: &[Role], bindings: &[Binding<'_>]) -> String {
    let line = |kind: &str, name: &str, scope: &Scope| {
        let place = match scope {
            Scope::Namespace(namespace) => format!(" -n {namespace}"),
            Scope::Cluster | Scope::Unnamed => String::new(),
        };
        format!("{}.{API_GROUP}/{name}{place}\n", kind.to_lowercase())
    };
    let namespaces = own_namespaces(roles).map(|name| format!("namespace/{name}\n"));
    let roles = roles
        .iter()
        .map(|role| line(role.kind(), &role.name, &role.scope));
    let bindings = bindings
        .iter()
        .map(|one| line(one.kind(), &one.name, &one.role.scope));
    namespaces.chain(roles).chain(bindings).collect()
}

/// The missing permissions, a line per group of objects; a command that lacks none has a line, too.
pub fn rights(report: &Report) -> String {
    let header = [
        "COMMAND",
        "LACKS",
        "VERBS",
        "RESOURCE",
        "NAMESPACE",
        "NAMES",
        "WITHOUT IT",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for command in &report.commands {
        if command.lacking.is_empty() {
            rows.push(vec![command.command.clone(), "nothing".to_owned()]);
        }
        for lacking in &command.lacking {
            rows.push(row(&command.command, lacking));
        }
    }
    columns(&rows)
}

fn row(command: &str, lacking: &Lacking) -> Vec<String> {
    let (need, cost) = match (lacking.required, &lacking.flag) {
        (true, _) => ("required", "fails"),
        (false, Some(_)) => ("optional", "not possible"),
        (false, None) => ("optional", "not done"),
    };
    let resource = match lacking.group.as_str() {
        "" => lacking.resource.clone(),
        group => format!("{}.{group}", lacking.resource),
    };
    let names = match lacking.names.as_slice() {
        [] => "any".to_owned(),
        names => names.join(","),
    };
    vec![
        command.to_owned(),
        need.to_owned(),
        lacking.verbs.join(","),
        resource,
        lacking
            .namespace
            .clone()
            .unwrap_or_else(|| "all".to_owned()),
        names,
        format!("{cost}: {}", lacking.why),
    ]
}

/// The commands that the user may not run, and how to grant the permissions.
pub fn what_to_do(report: &Report, roles: &str) -> String {
    let user = report.user.as_ref().map(|user| format!(" `{user}`"));
    format!(
        "user{} lacks required rights for {}\n  an administrator gives them: {roles} | kubectl apply -f -",
        user.unwrap_or_default(),
        report.not_allowed().join(", "),
    )
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {MANAGED_BY: FIELD_MANAGER}},
    })
}

fn head(kind: &str, name: &str, scope: &Scope) -> Value {
    let mut metadata = json!({"name": name});
    if let Scope::Namespace(namespace) = scope {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": format!("{API_GROUP}/v1"), "kind": kind, "metadata": metadata})
}

fn binding(binding: &Binding<'_>) -> Value {
    let role = binding.role;
    let mut object = head(binding.kind(), &binding.name, &role.scope);
    object["roleRef"] = json!({"apiGroup": API_GROUP, "kind": role.kind(), "name": role.name});
    // A ServiceAccount is of the core group, which is left out (`rbac.authorization.k8s.io/v1`, Subject).
    let mut subject = json!({"kind": binding.subject.kind(), "name": binding.subject.name()});
    match binding.subject.namespace() {
        Some(namespace) => subject["namespace"] = json!(namespace),
        None => subject["apiGroup"] = json!(API_GROUP),
    }
    object["subjects"] = json!([subject]);
    object
}

fn rule_with_reasons(rule: &Rule) -> Result<String, Failure> {
    let any = rule.makes_any().then(|| ANY_NAME.to_owned());
    let reasons = rule.reasons.iter().chain(&any);
    let reasons = reasons.map(|reason| format!("# {reason}\n"));
    let rule = super::yaml(&[rule])?;
    Ok(reasons.chain([rule]).collect())
}

/// The permissions of a command, for its help.
pub fn section(command: &str, permissions: &[Permission]) -> String {
    let row = |permission: &Permission| {
        vec![
            format!("  {}", permission.need()),
            permission.place().to_owned(),
            permission.verbs.join(","),
            permission.qualified_resource(),
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
    use crate::plan::rights::CommandRights;
    use crate::resources::names::{CredentialNames, INGRESS_NAMESPACE};
    use crate::resources::permissions::{Permissions, Place, Subject, bindings, roles};

    fn of_expose() -> Vec<Role> {
        let permissions = Permissions::load().unwrap();
        let place = Place {
            prunes: false,
            ingress: INGRESS_NAMESPACE,
            istiod: "istio-system",
            revisions: &[],
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
        let roles = of_expose();
        let subjects = ["user:alice", "serviceaccount:ci/deployer"];
        let subjects = subjects.map(|text| text.parse::<Subject>().unwrap());
        let bindings = bindings(&roles, &subjects);
        let yaml = yaml(&roles, &bindings).unwrap();
        let documents: Vec<Value> = yaml
            .split("---\n")
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect();
        let json: Value = serde_json::from_str(&json(&roles, &bindings).unwrap()).unwrap();
        assert_eq!(json["items"], Value::from(documents));
        let all = json["items"].as_array().unwrap();
        assert_eq!(all.len(), 2 + 3 * roles.len());
        let last = &all[all.len() - 1]["subjects"];
        let account = json!([{"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"}]);
        assert_eq!(*last, account);
    }

    #[test]
    fn names_are_arguments_of_kubectl_and_namespaces_come_before_what_lies_in_them() {
        let roles = of_expose();
        let alice = ["user:alice".parse().unwrap()];
        let names = names(&roles, &bindings(&roles, &alice));
        assert!(names.starts_with("namespace/kubectl-mtls\nnamespace/kubectl-mtls-clients\n"));
        assert!(names.contains("\nclusterrole.rbac.authorization.k8s.io/test\n"));
        assert!(names.contains("\nrole.rbac.authorization.k8s.io/test -n shop\n"));
        let bound = "\nrolebinding.rbac.authorization.k8s.io/test-user-alice-";
        assert!(names.contains(bound), "{names}");
    }

    #[test]
    fn every_rule_says_what_it_is_for() {
        let yaml = yaml(&of_expose(), &[]).unwrap();
        assert!(
            yaml.contains("# the route from the host to the Service\n"),
            "{yaml}"
        );
    }

    #[test]
    fn what_is_lacking_is_told_with_its_place_and_its_price() {
        let lacking = |required, flag: Option<&str>, names: &[&str]| Lacking {
            required,
            flag: flag.map(str::to_owned),
            verbs: vec!["get".to_owned(), "patch".to_owned()],
            group: "networking.istio.io".to_owned(),
            resource: "gateways".to_owned(),
            namespace: None,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            why: "the Gateway".to_owned(),
        };
        let command = |name: &str, lacking: Vec<Lacking>| CommandRights {
            command: name.to_owned(),
            allowed: lacking.iter().all(|one| !one.required),
            lacking,
        };
        let report = Report {
            user: Some("alice".to_owned()),
            namespace: "shop".to_owned(),
            commands: vec![
                command("status", vec![]),
                command(
                    "expose",
                    vec![
                        lacking(true, None, &["a", "b"]),
                        lacking(false, Some("--sample"), &[]),
                    ],
                ),
            ],
        };
        let shown = rights(&report);
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["status", "nothing"]);
        assert_eq!(
            lines[2].join(" "),
            "expose required get,patch gateways.networking.istio.io all a,b fails: the Gateway"
        );
        assert_eq!(lines[3][5..].join(" "), "any not possible: the Gateway");
        let told = what_to_do(&report, "kubectl mtls rbac expose --to user:alice");
        assert!(told.starts_with("user `alice` lacks required rights for expose\n"));
    }
}
