//! Permissions as access reviews for the API server's authorizers.

use serde_json::{Value, json};

use super::{Permission, Place, Scope};

/// One verb on one object, or on all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The verb: `get`, `list` and so on.
    pub verb: String,
    /// The API group, empty for core.
    pub group: String,
    /// The plural name, with a subresource as `pods/portforward`.
    pub resource: String,
    /// The namespace; empty for all of them, and for cluster-scoped objects.
    pub namespace: String,
    /// The object; empty for any.
    pub name: String,
}

impl Access {
    /// The `SelfSubjectAccessReview` for this access (`authorization.k8s.io/v1`).
    pub fn review(&self) -> Value {
        let (resource, subresource) = self
            .resource
            .split_once('/')
            .unwrap_or((&self.resource, ""));
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": self.verb,
                "group": self.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": self.namespace,
                "name": self.name,
            }},
        })
    }
}

impl Place<'_> {
    /// The accesses of a permission, each verb on each object; none if the Roles leave the
    /// permission out.
    pub fn accesses(&self, permission: &Permission) -> Vec<Access> {
        if !self.gives(permission) {
            return Vec::new();
        }
        let mut names = self.names(permission).unwrap_or_default();
        if names.is_empty() {
            names.push(String::new());
        }
        let scopes = self.scopes(permission).into_iter();
        let namespaces = scopes.map(|scope| match scope {
            Scope::Namespace(namespace) => namespace,
            Scope::Cluster | Scope::Unnamed => String::new(),
        });
        let of_name = |namespace: &String, name: &String| {
            let access = |verb: &String| Access {
                verb: verb.clone(),
                group: permission.group.clone(),
                resource: permission.resource.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
            };
            permission.verbs.iter().map(access).collect::<Vec<_>>()
        };
        let of_namespace = |namespace: String| {
            let accesses = names.iter().map(|name| of_name(&namespace, name));
            accesses.flatten().collect::<Vec<_>>()
        };
        namespaces.flat_map(of_namespace).collect()
    }
}
