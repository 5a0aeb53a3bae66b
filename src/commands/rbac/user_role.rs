//! `--role`: the roles of people, as sets of commands.

use clap::ValueEnum;

use crate::resources::permissions::{PRUNE, Permission};

/// The resource that port-forward to a proxy needs. It also opens the proxy's admin port, where anybody can read its configuration and stop
/// it (Envoy, "Administration interface"), so roles that only read do not get it.
const PORT_FORWARD: &str = "pods/portforward";
/// Flags of commands that delete unrecoverable objects, or create objects that all users share.
const OF_ADMINS: [&str; 3] = ["--purge", PRUNE, "--create-namespace"];

/// Roles for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum UserRole {
    /// `status` at the load balancer, `list-clients`
    Viewer,
    /// Also `issue-client`, `renew-client`; can read the client CA's key
    Issuer,
    /// Also `expose`, `unexpose`, `revoke-client`, `ca-rotate`, `status` of each proxy
    Operator,
    /// Every command with every flag
    Admin,
}

impl UserRole {
    /// The role's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Issuer => "issuer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether people in this role may run the command.
    pub fn may_run(self, command: &str) -> bool {
        let lowest = match command {
            "status" | "list-clients" | "rbac" => Self::Viewer,
            "issue-client" | "renew-client" => Self::Issuer,
            "expose" | "unexpose" | "revoke-client" | "ca-rotate" => Self::Operator,
            _ => Self::Admin,
        };
        self >= lowest
    }

    /// Whether the role includes a permission of a command that it may run.
    pub fn has(self, permission: &Permission) -> bool {
        let is_of_admins = |flag: &str| OF_ADMINS.contains(&flag);
        let lowest = match permission.flag.as_deref() {
            Some(flag) if is_of_admins(flag) => Self::Admin,
            _ if permission.resource == PORT_FORWARD => Self::Operator,
            _ => Self::Viewer,
        };
        self >= lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::permissions::Permissions;

    #[test]
    fn each_role_may_do_what_the_one_below_it_may_and_more() {
        let all = Permissions::load().unwrap();
        let of = |role: UserRole| {
            let commands = all.commands().filter(|command| role.may_run(command));
            let permissions = commands.flat_map(|command| all.of(command).unwrap());
            permissions.filter(|one| role.has(one)).count()
        };
        let roles = UserRole::value_variants();
        assert!(roles.windows(2).all(|two| of(two[0]) < of(two[1])));
        for role in roles {
            assert_eq!(role.to_possible_value().unwrap().get_name(), role.name());
        }
    }

    #[test]
    fn an_admin_may_do_everything_and_nobody_else_what_cannot_be_undone() {
        let all = Permissions::load().unwrap();
        for command in all.commands() {
            assert!(UserRole::Admin.may_run(command), "{command}");
            let permissions = all.of(command).unwrap().iter();
            assert!(permissions.clone().all(|one| UserRole::Admin.has(one)));
            let flag = |one: &&Permission| {
                one.flag
                    .as_deref()
                    .is_some_and(|flag| OF_ADMINS.contains(&flag))
            };
            for permission in permissions.filter(flag) {
                assert!(!UserRole::Operator.has(permission), "{permission:?}");
            }
        }
    }

    #[test]
    fn who_only_looks_changes_nothing_and_reads_no_key() {
        let all = Permissions::load().unwrap();
        let commands = all
            .commands()
            .filter(|command| UserRole::Viewer.may_run(command));
        let permissions = commands.flat_map(|command| all.of(command).unwrap());
        for permission in permissions.filter(|one| UserRole::Viewer.has(one)) {
            let reviews = permission.resource.starts_with("selfsubject");
            let reads = |verb: &String| verb == "get" || verb == "list";
            assert!(
                reviews || permission.verbs.iter().all(reads),
                "{permission:?}"
            );
        }
    }
}
