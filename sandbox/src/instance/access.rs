//! Users with exactly the rights that a test gives them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::create;
use crate::error::{Error, Result, Trying};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A user of the instance's API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, as the audit log has it.
    pub name: String,
    /// A kubeconfig file with the user's token.
    pub kubeconfig: PathBuf,
}

/// Something that a user may do, as a rule of a Role or `ClusterRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The namespace; `None` for all of them and for resources outside of namespaces.
    pub namespace: Option<String>,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural names, subresources as `pods/portforward`.
    pub resources: Vec<String>,
    /// Names of the objects; empty for any.
    pub names: Vec<String>,
    /// `get`, `list` and so on.
    pub verbs: Vec<String>,
}

impl Rule {
    /// Allows verbs on resources of a group in one namespace, which must exist.
    pub fn in_namespace(namespace: &str, group: &str, resources: &[&str], verbs: &[&str]) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..Self::in_cluster(group, resources, verbs)
        }
    }

    /// Allows verbs on resources of a group everywhere.
    pub fn in_cluster(group: &str, resources: &[&str], verbs: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            namespace: None,
            group: group.to_owned(),
            resources: owned(resources),
            names: Vec::new(),
            verbs: owned(verbs),
        }
    }

    /// Restricts the rule to objects of these names.
    #[must_use]
    pub fn named(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    fn to_policy(&self) -> Value {
        let mut policy =
            json!({"apiGroups": [self.group], "resources": self.resources, "verbs": self.verbs});
        if !self.names.is_empty() {
            policy["resourceNames"] = json!(self.names);
        }
        policy
    }
}

/// Binds the rules to a user and waits until the API server acts on them.
pub(crate) async fn grant(client: &Client, user: &str, rules: &[Rule]) -> Result<()> {
    let mut allowed = Vec::new();
    let mut bindings = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let prefix = if rule.namespace.is_some() {
            ""
        } else {
            "Cluster"
        };
        let mut metadata = json!({"name": format!("{user}-{number}")});
        if let Some(namespace) = &rule.namespace {
            metadata["namespace"] = json!(namespace);
        }
        allowed.push(json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": format!("{prefix}Role"),
            "metadata": metadata, "rules": [rule.to_policy()],
        }));
        bindings.push(json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": format!("{prefix}RoleBinding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": format!("{prefix}Role"), "name": format!("{user}-{number}")},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
        }));
    }
    create::all(client, allowed).await?;
    create::all(client, bindings).await?;
    for rule in rules {
        await_effect(client, user, rule).await?;
    }
    Ok(())
}

/// The authorizer learns of new roles through a watch of its own.
async fn await_effect(client: &Client, user: &str, rule: &Rule) -> Result<()> {
    let (Some(resource), Some(verb)) = (rule.resources.first(), rule.verbs.first()) else {
        return Ok(());
    };
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource.as_str(), None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: rule.namespace.clone(),
                group: Some(rule.group.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                name: rule.names.first().cloned(),
                verb: Some(verb.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .trying(|| format!("review {user}"))?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(Error::Malformed(format!(
        "{user} does not get `{verb}` on `{resource}`"
    )))
}
