//! The subjects of Roles: users, groups and `ServiceAccounts`, and the bindings for them.

use std::str::FromStr;

use super::{Role, Scope};
use crate::pki::names::hash6;
use crate::resources::object_name::{label, subdomain};

/// Longest part of a subject's name in the name of its bindings.
const LONGEST_SLUG: usize = 40;
/// Users and groups that the API server gives to requests without credentials (`k8s.io/apiserver/pkg/authentication/user`).
const ANONYMOUS: [&str; 2] = ["system:anonymous", "system:unauthenticated"];

/// The subject of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user, by the API server's name.
    User(String),
    /// A group of users.
    Group(String),
    /// A `ServiceAccount`.
    ServiceAccount {
        /// The ServiceAccount's namespace.
        namespace: String,
        /// The ServiceAccount's name.
        name: String,
    },
}

impl Subject {
    /// The subject's kind in manifests.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "User",
            Self::Group(_) => "Group",
            Self::ServiceAccount { .. } => "ServiceAccount",
        }
    }

    /// The subject's name.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Group(name) | Self::ServiceAccount { name, .. } => name,
        }
    }

    /// The namespace of a `ServiceAccount`.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::User(_) | Self::Group(_) => None,
            Self::ServiceAccount { namespace, .. } => Some(namespace),
        }
    }

    /// The subject of a user name at the API server: `ServiceAccounts` are users of the form `system:serviceaccount:NS:NAME`.
    pub fn of_user(user: &str) -> Self {
        let account = user.strip_prefix("system:serviceaccount:");
        match account.and_then(|account| account.split_once(':')) {
            Some((namespace, name)) => Self::ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            None => Self::User(user.to_owned()),
        }
    }

    /// The form that [`FromStr`] reads.
    pub fn argument(&self) -> String {
        let kind = self.kind().to_lowercase();
        match self.namespace() {
            Some(namespace) => format!("{kind}:{namespace}/{}", self.name()),
            None => format!("{kind}:{}", self.name()),
        }
    }

    /// The ending of the names of its bindings: `user-alice-1a2b3c`. The hash is over the whole [`Self::argument`].
    fn suffix(&self) -> String {
        let argument = self.argument();
        let mut slug = String::new();
        for character in argument.chars().flat_map(char::to_lowercase) {
            if slug.len() == LONGEST_SLUG {
                break;
            }
            if character.is_ascii_alphanumeric() {
                slug.push(character);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        format!("{}-{}", slug.trim_end_matches('-'), hash6(&argument))
    }
}

impl FromStr for Subject {
    type Err = String;

    /// Reads `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE/NAME`; names of users and groups may hold colons.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            "give `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE/NAME`; a name cannot hold a comma here"
                .to_owned()
        };
        let (kind, name) = text.split_once(':').ok_or_else(form)?;
        if kind == "serviceaccount" {
            let (namespace, name) = name.split_once('/').ok_or_else(form)?;
            return Ok(Self::ServiceAccount {
                namespace: label(namespace)?,
                name: subdomain(name)?,
            });
        }
        if name.is_empty() || name.trim() != name || name.contains(char::is_control) {
            return Err(
                "a name has at least one character, no blanks around it, and no control characters"
                    .to_owned(),
            );
        }
        if ANONYMOUS.contains(&name) {
            return Err(format!("`{name}` is everybody without credentials"));
        }
        match kind {
            "user" => Ok(Self::User(name.to_owned())),
            "group" => Ok(Self::Group(name.to_owned())),
            _ => Err(form()),
        }
    }
}

/// A `RoleBinding`, or a `ClusterRoleBinding` for a `ClusterRole`. It has one subject, so that a later run for another subject does not
/// change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The binding's name.
    pub name: String,
    /// The Role to bind.
    pub role: &'a Role,
    /// The subject that gets the Role.
    pub subject: &'a Subject,
}

impl Binding<'_> {
    /// `RoleBinding` or `ClusterRoleBinding`.
    pub fn kind(&self) -> &'static str {
        match self.role.scope {
            Scope::Cluster => "ClusterRoleBinding",
            Scope::Unnamed | Scope::Namespace(_) => "RoleBinding",
        }
    }
}

/// One binding of every Role to every subject.
pub fn bindings<'a>(roles: &'a [Role], subjects: &'a [Subject]) -> Vec<Binding<'a>> {
    let of_subject = |subject: &'a Subject| {
        let suffix = subject.suffix();
        roles.iter().map(move |role| Binding {
            name: format!("{}-{suffix}", role.name),
            role,
            subject,
        })
    };
    let mut bindings: Vec<Binding<'a>> = Vec::new();
    for binding in subjects.iter().flat_map(of_subject) {
        if !bindings.contains(&binding) {
            bindings.push(binding);
        }
    }
    bindings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::object_name::is_subdomain;

    fn read(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn users_groups_and_service_accounts_are_read() {
        assert_eq!(read("user:alice"), Subject::User("alice".to_owned()));
        let of_provider = "user:https://idp.example.com#alice@example.com";
        assert_eq!(read(of_provider).name(), &of_provider[5..]);
        assert_eq!(read("group:oidc:ops").name(), "oidc:ops");
        let account = read("serviceaccount:ci/deployer.v2");
        assert_eq!(account.namespace(), Some("ci"));
        assert_eq!(account.name(), "deployer.v2");
        assert_eq!(
            Subject::of_user("system:serviceaccount:ci:deployer.v2"),
            account
        );
        for text in [
            "user:alice",
            "group:oidc:ops",
            "serviceaccount:ci/deployer.v2",
        ] {
            assert_eq!(read(text).argument(), text);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        const FORM: &str = "give `user:NAME`, `group:NAME` or";
        for (text, reason) in [
            ("", FORM),
            ("alice", FORM),
            ("User:alice", FORM),
            ("role:alice", FORM),
            ("serviceaccount:ci", FORM),
            ("serviceaccount:ci:deployer", FORM),
            ("user:", "at least one character"),
            ("user: alice", "no blanks around it"),
            ("group:a\nb", "no control characters"),
            ("serviceaccount:/deployer", "a name has 1 to 63"),
            ("serviceaccount:CI/deployer", "a name has 1 to 63"),
            ("serviceaccount:ci/", "a name has 1 to 253"),
            ("serviceaccount:ci/a/b", "a name has 1 to 253"),
            (
                "user:system:anonymous",
                "`system:anonymous` is everybody without credentials",
            ),
            (
                "group:system:unauthenticated",
                "`system:unauthenticated` is everybody without credentials",
            ),
        ] {
            let said = text.parse::<Subject>().unwrap_err();
            assert!(said.contains(reason), "{text:?}: {said}");
        }
    }

    #[test]
    fn bindings_have_valid_names_that_depend_on_role_and_subject_only() {
        let role = |name: &str, scope| Role {
            name: name.to_owned(),
            scope,
            rules: Vec::new(),
        };
        let roles = [
            role("kubectl-mtls-viewer", Scope::Cluster),
            role("kubectl-mtls-viewer", Scope::within("shop")),
        ];
        let long = format!("group:{}", "ü,Ops ".repeat(60).trim());
        let alice = [read("user:alice"), read("user:Alice"), read(&long)];
        let all = bindings(&roles, &alice);
        assert_eq!(all.len(), 6);
        for binding in &all {
            assert!(is_subdomain(&binding.name), "{}", binding.name);
        }
        assert_ne!(all[0].name, all[2].name, "alice is not Alice");
        assert_eq!(all[0].kind(), "ClusterRoleBinding");
        assert_eq!(all[1].kind(), "RoleBinding");
        let others = [read("group:ops"), read("user:alice"), read("user:alice")];
        let again = bindings(&roles, &others);
        assert_eq!(again.len(), 4);
        assert_eq!(again[2], all[0]);
    }
}
