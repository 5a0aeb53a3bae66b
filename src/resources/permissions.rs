//! The permissions of each command at the API server, from `plugin.yaml`, and Roles with exactly these permissions.

mod access;
mod binding;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::control_plane::ControlPlane;
use super::names::{
    AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames, FIELD_MANAGER, FIRST_AUTHORITY,
    GATEWAY, GatewayName, route,
};
use super::{dns_credentials, guard};
pub use access::Access;
pub use binding::{Binding, Subject, bindings};

const DESCRIPTOR: &str = include_str!("../../plugin.yaml");
const ALL_NAMESPACES: &str = "*";
const OWN_NAMESPACE: &str = "{namespace}";
const INGRESS: &str = "{ingress}";
const ISTIOD: &str = "{istiod}";
/// The flag of `rbac` without which no Role may remove entries of the inventory.
pub const PRUNE: &str = "--prune";

/// A permission that a command needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Permission {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`.
    pub verbs: Vec<String>,
    /// The API group, empty for core.
    pub group: String,
    /// The plural name, with a subresource as `pods/portforward`.
    pub resource: String,
    /// The names of the objects, which may be placeholders; empty for any object.
    #[serde(default)]
    pub names: Vec<String>,
    /// The flag of `rbac` that gives the names, if the permission is left out without them: it would cover objects of everybody else.
    #[serde(default)]
    pub only_with: Option<String>,
    /// A namespace, `{namespace}`, `{ingress}`, `{istiod}` or `*`.
    namespace: String,
    /// Whether the command fails without the permission.
    pub required: bool,
    /// The flag of the command that alone needs the permission.
    #[serde(default)]
    pub flag: Option<String>,
    /// The purpose of the permission.
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

    /// Whether the command needs the permission, as a word.
    pub fn need(&self) -> &'static str {
        if self.required {
            "required"
        } else {
            "optional"
        }
    }

    /// The place of the permission, as text.
    pub fn place(&self) -> &str {
        match self.namespace.as_str() {
            ALL_NAMESPACES => "cluster-wide",
            OWN_NAMESPACE => "namespace of -n",
            INGRESS => "ingress gateway's namespace",
            ISTIOD => "istiod's namespace",
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
    /// Reads the permissions in this build; an error in them is returned as text.
    pub fn load() -> Result<Self, String> {
        serde_saphyr::from_str(DESCRIPTOR).map_err(|error| error.to_string())
    }

    /// The permissions of a command; `None` for an unknown command.
    pub fn of(&self, command: &str) -> Option<&[Permission]> {
        self.permissions.get(command).map(Vec::as_slice)
    }

    /// The commands that need permissions.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let asking = self.permissions.iter().filter(|(_, all)| !all.is_empty());
        asking.map(|(command, _)| command.as_str())
    }
}

/// The values of the placeholders.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The namespace in which the commands work; `None` for that of whoever applies the Roles.
    pub namespace: Option<&'a str>,
    /// The namespaces of the ingress gateway's proxies, separated by commas.
    pub ingress: &'a str,
    /// The namespace of istiod, from which policies act on the whole mesh.
    pub istiod: &'a str,
    /// The revisions of istiod; that of an installation without one where none is given.
    pub revisions: &'a [String],
    /// Whether `list-clients` may remove entries of the inventory.
    pub prunes: bool,
    /// The Gateway for exposed Services; `None` for the namespace's own one.
    pub gateway: Option<&'a GatewayName>,
    /// The Services that the commands may use; empty for any.
    pub services: &'a [String],
    /// The name of the DNSProvider that the commands may use, if it is known.
    pub provider: Option<&'a str>,
    /// The authority's names.
    pub names: &'a CredentialNames,
}

impl Place<'_> {
    fn scopes(&self, permission: &Permission) -> Vec<Scope> {
        vec![match permission.namespace.as_str() {
            ALL_NAMESPACES => Scope::Cluster,
            OWN_NAMESPACE => self.namespace.map_or(Scope::Unnamed, Scope::within),
            INGRESS => return self.ingress.split(',').map(Scope::within).collect(),
            ISTIOD => Scope::within(self.istiod),
            fixed => Scope::within(fixed),
        }]
    }

    /// The names with the values of their placeholders; `None` if one of them is not known.
    fn names(&self, permission: &Permission) -> Option<Vec<String>> {
        let filled: Option<Vec<Vec<String>>> =
            permission.names.iter().map(|one| self.fill(one)).collect();
        filled.map(|names| names.concat())
    }

    fn fill(&self, name: &str) -> Option<Vec<String>> {
        let of_services = |name: &dyn Fn(&str) -> String| {
            let names: Vec<String> = self.services.iter().map(|service| name(service)).collect();
            Some(names).filter(|names| !names.is_empty())
        };
        match name {
            "{service}" => of_services(&str::to_owned),
            "{route}" => of_services(&route),
            "{host-guard}" => {
                let namespace = self.namespace?;
                of_services(&|service| guard::host_reference("", namespace, service).name)
            }
            "{header-guard}" => {
                let own = || Some(GatewayName::new(self.namespace?, GATEWAY));
                let gateway = self.gateway.cloned().or_else(own)?;
                Some(vec![guard::headers_reference("", &gateway).name])
            }
            "{mesh-config}" => {
                let of = |revision: &String| ControlPlane {
                    revision: revision.clone(),
                    ..ControlPlane::default()
                };
                let planes: Vec<ControlPlane> = match self.revisions {
                    [] => vec![ControlPlane::default()],
                    revisions => revisions.iter().map(of).collect(),
                };
                Some(
                    planes
                        .iter()
                        .map(|plane| plane.mesh_config().name)
                        .collect(),
                )
            }
            "{dns-provider}" => Some(vec![self.provider?.to_owned()]),
            "{dns-credentials}" => Some(vec![dns_credentials::reference("", self.provider?).name]),
            other => Some(vec![
                other
                    .replace("{authority}", &self.names.authority)
                    .replace("{credential}", self.names.credential())
                    .replace("{certificate}", &self.names.certificate),
            ]),
        }
    }

    /// Whether a permission is included: some need names, those for `--prune` its flag.
    fn gives(&self, permission: &Permission) -> bool {
        match permission.only_with.as_deref() {
            _ if permission.flag.as_deref() == Some(PRUNE) => self.prunes,
            None => true,
            Some(_) => self.names(permission).is_some(),
        }
    }
}

/// The permissions that are left out of the Roles, because a flag of `rbac` is missing.
pub fn left_out<'a>(
    permissions: impl IntoIterator<Item = &'a Permission>,
    place: &Place<'_>,
) -> Vec<&'a Permission> {
    let permissions = permissions.into_iter();
    permissions
        .filter(|permission| permission.only_with.is_some() && !place.gives(permission))
        .collect()
}

/// The scope of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All namespaces, and cluster-scoped objects.
    Cluster,
    /// The namespace of whoever applies the rule.
    Unnamed,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    fn within(namespace: &str) -> Self {
        Self::Namespace(namespace.to_owned())
    }
}

/// A rule of a Role, in the API's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The API group, empty for core; always one.
    pub api_groups: [String; 1],
    /// The plural resource name; always one.
    pub resources: [String; 1],
    /// The names of the objects; empty for any object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// The allowed verbs.
    pub verbs: Vec<String>,
    /// The purposes of the rule, each once.
    #[serde(skip)]
    pub reasons: Vec<String>,
}

impl Rule {
    fn new(permission: &Permission, place: &Place<'_>) -> Self {
        Self {
            api_groups: [permission.group.clone()],
            resources: [permission.resource.clone()],
            resource_names: place.names(permission).unwrap_or_default(),
            verbs: permission.verbs.clone(),
            reasons: vec![permission.why.clone()],
        }
    }

    /// Whether the rule allows to create objects of any name: Kubernetes cannot limit that to names that are not in the path.
    pub fn makes_any(&self) -> bool {
        self.resource_names.is_empty() && self.verbs.iter().any(|verb| verb == "create")
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

/// A Role, or a `ClusterRole` if its scope is the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The Role's name.
    pub name: String,
    /// The Role's scope.
    pub scope: Scope,
    /// The Role's rules.
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

/// The Roles with all of these permissions, one per scope.
pub fn roles<'a>(
    name: &str,
    permissions: impl IntoIterator<Item = &'a Permission>,
    place: &Place<'_>,
) -> Vec<Role> {
    let mut scopes: BTreeMap<Scope, Vec<Rule>> = BTreeMap::new();
    let given = permissions.into_iter().filter(|one| place.gives(one));
    let placed = given.flat_map(|one| place.scopes(one).into_iter().map(move |scope| (scope, one)));
    for (scope, permission) in placed {
        let rules = scopes.entry(scope).or_default();
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

/// The plugin's own namespaces with Roles: they must exist before the Roles can be applied.
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
