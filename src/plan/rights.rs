//! The permissions of commands that a user lacks.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::resources::permissions::{Access, Permission, Place};

/// The result of `rbac --check`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The user name that the API server sees, if it tells it.
    pub user: Option<String>,
    /// The namespace in which the commands would work.
    pub namespace: String,
    /// The result for each command.
    pub commands: Vec<CommandRights>,
}

/// The permissions for one command that the user lacks.
#[derive(Debug, Serialize)]
pub struct CommandRights {
    /// The command's name.
    pub command: String,
    /// Whether no required permission is missing.
    pub allowed: bool,
    /// The missing permissions, required ones first.
    pub lacking: Vec<Lacking>,
}

/// Missing permissions: these verbs on these objects.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// Whether the command fails without these permissions.
    pub required: bool,
    /// The flag of the command that alone needs these permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// `get`, `list` and so on.
    pub verbs: Vec<String>,
    /// The API group, empty for core.
    pub group: String,
    /// The plural name, with a subresource as `pods/portforward`.
    pub resource: String,
    /// The namespace; `None` if the permission is needed in all of them, or for cluster-scoped
    /// objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The names of the objects; empty for any object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The purpose of these permissions.
    pub why: String,
}

impl Report {
    /// The commands that the user may not run.
    pub fn not_allowed(&self) -> Vec<&str> {
        let commands = self.commands.iter().filter(|command| !command.allowed);
        commands.map(|command| command.command.as_str()).collect()
    }
}

/// The permissions of a command that were denied, or not asked for.
pub fn of_command<'a>(
    command: &str,
    permissions: impl IntoIterator<Item = &'a Permission>,
    place: &Place<'_>,
    answers: &BTreeMap<Access, bool>,
) -> CommandRights {
    let mut lacking = Vec::new();
    for permission in permissions {
        let mut denied = place.accesses(permission);
        denied.retain(|access| answers.get(access) != Some(&true));
        lacking.extend(grouped(permission, &denied));
    }
    lacking.sort_by_key(|one| !one.required);
    CommandRights {
        command: command.to_owned(),
        allowed: lacking.iter().all(|one| !one.required),
        lacking,
    }
}

/// Groups the objects of a permission that have the same denied verbs.
fn grouped(permission: &Permission, denied: &[Access]) -> Vec<Lacking> {
    let mut verbs_of: Vec<(&str, Vec<String>)> = Vec::new();
    for access in denied {
        match verbs_of.iter_mut().find(|(name, _)| *name == access.name) {
            Some((_, verbs)) => verbs.push(access.verb.clone()),
            None => verbs_of.push((&access.name, vec![access.verb.clone()])),
        }
    }
    let namespace = denied.first().map(|access| access.namespace.clone());
    let mut groups: Vec<Lacking> = Vec::new();
    for (name, verbs) in verbs_of {
        let names = (!name.is_empty()).then(|| name.to_owned());
        match groups.iter_mut().find(|group| group.verbs == verbs) {
            Some(group) => group.names.extend(names),
            None => groups.push(Lacking {
                required: permission.required,
                flag: permission.flag.clone(),
                verbs,
                group: permission.group.clone(),
                resource: permission.resource.clone(),
                namespace: namespace.clone().filter(|namespace| !namespace.is_empty()),
                names: names.into_iter().collect(),
                why: permission.why.clone(),
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::names::{CredentialNames, INGRESS_NAMESPACE};
    use crate::resources::permissions::Permissions;

    fn shop(names: &CredentialNames) -> Place<'_> {
        Place {
            namespace: Some("shop"),
            ingress: INGRESS_NAMESPACE,
            istiod: "istio-system",
            revisions: &[],
            prunes: false,
            gateway: None,
            services: &[],
            provider: None,
            names,
        }
    }

    /// What `issue-client` lacks where the denied are these: verb, resource and name.
    fn lacking(denied: &[(&str, &str, &str)]) -> CommandRights {
        let names = CredentialNames::first();
        let place = shop(&names);
        let all = Permissions::load().unwrap();
        let permissions = all.of("issue-client").unwrap();
        let is_denied =
            |access: &Access| denied.contains(&(&access.verb, &access.resource, &access.name));
        let accesses = permissions.iter().flat_map(|one| place.accesses(one));
        let answers = accesses.map(|access| {
            let is_allowed = !is_denied(&access);
            (access, is_allowed)
        });
        of_command("issue-client", permissions, &place, &answers.collect())
    }

    #[test]
    fn who_may_do_everything_lacks_nothing() {
        let rights = lacking(&[]);
        assert!(rights.allowed && rights.lacking.is_empty(), "{rights:?}");
    }

    #[test]
    fn a_required_right_is_told_first_and_an_optional_one_forbids_nothing() {
        let optional = lacking(&[("create", "events", "")]);
        assert!(optional.allowed);
        assert_eq!(optional.lacking.len(), 1);
        assert_eq!(
            optional.lacking[0].namespace.as_deref(),
            Some("kubectl-mtls-clients")
        );
        let both = lacking(&[("create", "events", ""), ("get", "secrets", "kyma-mtls")]);
        assert!(!both.allowed);
        let required: Vec<bool> = both.lacking.iter().map(|one| one.required).collect();
        assert_eq!(required, [true, false]);
        assert_eq!(both.lacking[0].names, ["kyma-mtls"]);
    }

    #[test]
    fn objects_with_the_same_denied_verbs_are_told_together() {
        let secrets = ["kyma-mtls-clients-cacert", "kyma-mtls-cacert"];
        let all = lacking(&[
            ("update", "secrets", secrets[0]),
            ("update", "secrets", secrets[1]),
        ]);
        assert_eq!(all.lacking.len(), 1);
        assert_eq!(all.lacking[0].names, secrets);
        assert_eq!(all.lacking[0].verbs, ["update"]);
        let one = lacking(&[("update", "secrets", secrets[0])]);
        assert_eq!(one.lacking[0].names, secrets[..1]);
    }

    #[test]
    fn what_was_not_answered_is_lacking() {
        let names = CredentialNames::first();
        let place = shop(&names);
        let all = Permissions::load().unwrap();
        let permissions = all.of("list-clients").unwrap();
        assert!(!of_command("list-clients", permissions, &place, &BTreeMap::new()).allowed);
    }
}
