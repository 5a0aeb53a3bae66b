//! What each command asks of the API server, as `plugin.yaml` says, and the Roles that allow exactly that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::guard;
use super::names::{
    AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames, FIELD_MANAGER, FIRST_AUTHORITY,
    GATEWAY, GatewayName, route,
};

const DESCRIPTOR: &str = include_str!("../../plugin.yaml");
const ALL_NAMESPACES: &str = "*";
const OWN_NAMESPACE: &str = "{namespace}";

/// One thing that a command does with the API server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`.
    pub verbs: Vec<String>,
    /// The API group, empty for core.
    pub group: String,
    /// The plural name, with a subresource as `pods/portforward`.
    pub resource: String,
    /// The objects; any with none. They may hold placeholders.
    #[serde(default)]
    pub names: Vec<String>,
    /// A namespace, `{namespace}` or `*`.
    namespace: String,
    /// Whether the command fails without it.
    pub required: bool,
    /// What it is for.
    pub why: String,
}

impl Permission {
    /// The resource with its group: `gateways.networking.istio.io`.
    pub fn qualified_resource(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    /// Where it holds, for people.
    pub fn place(&self) -> &str {
        match self.namespace.as_str() {
            ALL_NAMESPACES => "cluster-wide",
            OWN_NAMESPACE => "namespace of -n",
            fixed => fixed,
        }
    }
}

/// The permissions of every command, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Permissions {
    permissions: BTreeMap<String, Vec<Permission>>,
}

impl Permissions {
    /// Reads those that this build carries; their author's mistake is told as text.
    pub fn load() -> Result<Self, String> {
        serde_saphyr::from_str(DESCRIPTOR).map_err(|error| error.to_string())
    }

    /// What a command asks for; `None` for a name that no command has.
    pub fn of(&self, command: &str) -> Option<&[Permission]> {
        self.permissions.get(command).map(Vec::as_slice)
    }

    /// The commands that ask for anything.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let asking = self.permissions.iter().filter(|(_, all)| !all.is_empty());
        asking.map(|(command, _)| command.as_str())
    }
}

/// What the placeholders stand for.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The namespace that the commands work in; that of whoever applies the Roles where none is given.
    pub namespace: Option<&'a str>,
    /// The Service that they work for; any where none is given.
    pub service: Option<&'a str>,
    /// The authority's names.
    pub names: &'a CredentialNames,
}

impl Place<'_> {
    fn scope(&self, permission: &Permission) -> Scope {
        match permission.namespace.as_str() {
            ALL_NAMESPACES => Scope::Cluster,
            OWN_NAMESPACE => self.namespace.map_or(Scope::Unnamed, Scope::within),
            fixed => Scope::within(fixed),
        }
    }

    /// The names with their placeholders filled in; none, which means any, where one of them is not known.
    fn names(&self, permission: &Permission) -> Vec<String> {
        let filled: Option<Vec<String>> =
            permission.names.iter().map(|one| self.fill(one)).collect();
        filled.unwrap_or_default()
    }

    fn fill(&self, name: &str) -> Option<String> {
        Some(match name {
            "{service}" => self.service?.to_owned(),
            "{route}" => route(self.service?),
            "{host-guard}" => guard::host_reference(self.namespace?, self.service?).name,
            "{header-guard}" => {
                let gateway = GatewayName::new(self.namespace?, GATEWAY);
                guard::headers_reference(&gateway).name
            }
            other => other
                .replace("{authority}", &self.names.authority)
                .replace("{certificate}", &self.names.certificate),
        })
    }
}

/// Where a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everywhere, and for what lies in no namespace.
    Cluster,
    /// In the namespace of whoever applies it.
    Unnamed,
    /// In one namespace.
    Namespace(String),
}

impl Scope {
    fn within(namespace: &str) -> Self {
        Self::Namespace(namespace.to_owned())
    }
}

/// A rule of a Role, as the API has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// One group, empty for core.
    pub api_groups: [String; 1],
    /// One plural name.
    pub resources: [String; 1],
    /// The objects; any with none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
    /// What that is for, each reason once.
    #[serde(skip)]
    pub reasons: Vec<String>,
}

impl Rule {
    fn new(permission: &Permission, place: &Place<'_>) -> Self {
        Self {
            api_groups: [permission.group.clone()],
            resources: [permission.resource.clone()],
            resource_names: place.names(permission),
            verbs: permission.verbs.clone(),
            reasons: vec![permission.why.clone()],
        }
    }

    fn is_about_the_same(&self, other: &Self) -> bool {
        self.api_groups == other.api_groups
            && self.resources == other.resources
            && self.resource_names == other.resource_names
    }

    fn take_in(&mut self, other: Self) {
        add_new(&mut self.verbs, other.verbs);
        add_new(&mut self.reasons, other.reasons);
    }
}

fn add_new(known: &mut Vec<String>, others: Vec<String>) {
    for other in others {
        if !known.contains(&other) {
            known.push(other);
        }
    }
}

/// A Role, or a `ClusterRole` where it holds everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Where it holds.
    pub scope: Scope,
    /// What it allows.
    pub rules: Vec<Rule>,
}

impl Role {
    /// `Role` or `ClusterRole`.
    pub fn kind(&self) -> &'static str {
        match self.scope {
            Scope::Cluster => "ClusterRole",
            Scope::Unnamed | Scope::Namespace(_) => "Role",
        }
    }
}

/// The Roles that allow all of this, one per scope.
pub fn roles<'a>(
    name: &str,
    permissions: impl IntoIterator<Item = &'a Permission>,
    place: &Place<'_>,
) -> Vec<Role> {
    let mut scopes: BTreeMap<Scope, Vec<Rule>> = BTreeMap::new();
    for permission in permissions {
        let rules = scopes.entry(place.scope(permission)).or_default();
        let rule = Rule::new(permission, place);
        match rules
            .iter_mut()
            .find(|known| known.is_about_the_same(&rule))
        {
            Some(known) => known.take_in(rule),
            None => rules.push(rule),
        }
    }
    let role = |(scope, rules)| Role {
        name: name.to_owned(),
        scope,
        rules,
    };
    scopes.into_iter().map(role).collect()
}

/// The name of the Roles of these commands: `kubectl-mtls-expose-status`, with a further authority's name at the end.
pub fn role_name(commands: &[&str], authority: &str) -> String {
    let mut name = FIELD_MANAGER.to_owned();
    for part in commands {
        name.push('-');
        name.push_str(part);
    }
    if authority != FIRST_AUTHORITY {
        name.push('-');
        name.push_str(authority);
    }
    name
}

/// The namespaces of the plugin's own in which the Roles lie: they must be there before the Roles can be.
pub fn own_namespaces(roles: &[Role]) -> impl Iterator<Item = &'static str> {
    let holds = |namespace: &str| {
        roles
            .iter()
            .any(|role| role.scope == Scope::within(namespace))
    };
    [AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE]
        .into_iter()
        .filter(move |namespace| holds(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Permission> {
        let permissions = Permissions::load().unwrap().permissions;
        permissions.into_values().flatten().collect()
    }

    fn roles_of(command: &str, place: &Place<'_>) -> Vec<Role> {
        let permissions = Permissions::load().unwrap();
        roles("test", permissions.of(command).unwrap(), place)
    }

    #[test]
    fn no_wildcard_is_asked_for_and_no_verb_that_no_command_sends() {
        for permission in all() {
            assert!(permission.group != "*" && permission.resource != "*");
            assert!(!permission.names.contains(&"*".to_owned()));
            let known = ["get", "list", "create", "update", "patch", "delete"];
            assert!(
                permission
                    .verbs
                    .iter()
                    .all(|verb| known.contains(&verb.as_str()))
            );
        }
    }

    #[test]
    fn only_rules_that_the_api_server_can_hold_to_names_have_names() {
        for permission in all().iter().filter(|one| !one.names.is_empty()) {
            let has = |verb: &str| permission.verbs.iter().any(|known| known == verb);
            assert!(!has("list"), "{permission:?}");
            // An apply's create bears the name, a POST does not.
            assert!(!has("create") || has("patch"), "{permission:?}");
        }
    }

    #[test]
    fn the_names_are_those_that_the_authority_has() {
        let names = CredentialNames::first();
        let place = Place {
            namespace: Some("shop"),
            service: Some("httpbin"),
            names: &names,
        };
        let roles = roles_of("expose", &place);
        let istio = roles
            .iter()
            .find(|role| role.scope == Scope::within("istio-system"))
            .unwrap();
        let secrets = &istio.rules[0].resource_names;
        let known = [
            names.fail_closed_client_ca(),
            names.derived_client_ca(),
            names.forbidden_secret(),
            names.credential().to_owned(),
        ];
        assert_eq!(*secrets, known);
        for name in roles
            .iter()
            .flat_map(|role| &role.rules)
            .flat_map(|rule| &rule.resource_names)
        {
            assert!(!name.contains(['{', '}']), "{name}");
        }
    }

    #[test]
    fn without_a_service_its_objects_may_have_any_name() {
        let names = CredentialNames::first();
        let of = |service| {
            let place = Place {
                namespace: Some("shop"),
                service,
                names: &names,
            };
            let roles = roles_of("unexpose", &place);
            let mut all = roles.into_iter().flat_map(|role| role.rules);
            let routes =
                all.find(|rule| rule.verbs == ["get", "delete"] && rule.resources[0] == "apirules");
            routes.unwrap().resource_names
        };
        assert!(of(None).is_empty());
        assert_eq!(of(Some("httpbin")), ["httpbin-mtls"]);
    }

    #[test]
    fn status_may_read_no_secret_with_a_private_key() {
        let names = CredentialNames::first();
        let place = Place {
            namespace: None,
            service: None,
            names: &names,
        };
        let roles = roles_of("status", &place);
        let secrets: Vec<&Rule> = roles
            .iter()
            .flat_map(|role| &role.rules)
            .filter(|rule| rule.resources[0] == "secrets")
            .collect();
        assert!(!secrets.is_empty());
        for rule in secrets {
            assert!(!rule.resource_names.is_empty());
            assert!(!rule.resource_names.contains(&names.authority));
        }
    }

    #[test]
    fn a_role_that_two_commands_need_says_each_rule_once() {
        let names = CredentialNames::first();
        let place = Place {
            namespace: None,
            service: None,
            names: &names,
        };
        let all = Permissions::load().unwrap();
        let both = ["expose", "status"];
        let both = both.iter().filter_map(|command| all.of(command)).flatten();
        for role in roles("test", both, &place) {
            for (number, rule) in role.rules.iter().enumerate() {
                assert!(
                    !role.rules[..number]
                        .iter()
                        .any(|known| known.is_about_the_same(rule))
                );
            }
        }
    }

    #[test]
    fn roles_of_further_authorities_bear_other_names() {
        assert_eq!(
            role_name(&["expose", "status"], FIRST_AUTHORITY),
            "kubectl-mtls-expose-status"
        );
        assert_eq!(
            role_name(&["expose"], "shop-gw-0a1b2c"),
            "kubectl-mtls-expose-shop-gw-0a1b2c"
        );
    }
}
