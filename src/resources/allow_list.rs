//! The allow-list of a host: which client identities may call it, enforced by the gateway's own proxy.
//!
//! An `AuthorizationPolicy` of action DENY for everybody but the listed principals. A principal is the URI SAN without
//! `spiffe://` (Istio: `security/v1beta1/authorization_policy.proto`, `source.principals`). Clients without a URI SAN have
//! none, and are denied.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::names::{FIELD_MANAGER, INGRESS_NAMESPACE, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::names::hash6;

const SPIFFE: &str = "spiffe://";
/// The longest name of an object of this kind (RFC 1123 subdomain), less the hash.
const LONGEST_STEM: usize = 246;

/// Names the allow-list of a Service: `<namespace>-<service>-mtls-<6 hex>`.
pub fn reference(namespace: &str, service: &str) -> ObjectRef {
    let mut stem = format!("{namespace}-{service}-mtls");
    stem.truncate(LONGEST_STEM);
    let hash = hash6(&format!("{namespace}/{service}"));
    ObjectRef::new(
        Kind::AuthorizationPolicy,
        INGRESS_NAMESPACE,
        format!("{stem}-{hash}"),
    )
}

/// Who may call a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList {
    /// The host.
    pub host: String,
    /// URI SANs that start with `spiffe://`.
    pub identities: Vec<String>,
}

impl AllowList {
    /// The manifest, for the proxies that `selector` names.
    pub fn object(&self, reference: ObjectRef, selector: &BTreeMap<String, String>) -> Object {
        let principals: Vec<&str> = self
            .identities
            .iter()
            .map(|uri| uri.strip_prefix(SPIFFE).unwrap_or(uri))
            .collect();
        let spec = json!({
            "selector": {"matchLabels": selector},
            "action": "DENY",
            "rules": [{
                "from": [{"source": {"notPrincipals": principals}}],
                "to": [{"operation": {"hosts": [self.host, format!("{}:*", self.host)]}}],
            }],
        });
        Object::new(reference)
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with("spec", spec)
    }

    /// Reads an allow-list of ours.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let rule = spec.rules.into_iter().next();
        let rule =
            rule.ok_or_else(|| object.unreadable("it has no rule: it was edited by hand"))?;
        let principals = rule
            .from
            .into_iter()
            .flat_map(|from| from.source.not_principals);
        let hosts = rule.to.into_iter().flat_map(|to| to.operation.hosts);
        Ok(Self {
            host: hosts.into_iter().next().unwrap_or_default(),
            identities: principals
                .map(|principal| format!("{SPIFFE}{principal}"))
                .collect(),
        })
    }
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    from: Vec<From>,
    #[serde(default)]
    to: Vec<To>,
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    source: Source,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(default)]
    not_principals: Vec<String>,
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    operation: Operation,
}

#[derive(Deserialize, Default)]
struct Operation {
    #[serde(default)]
    hosts: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_reads_back_as_it_was_written() {
        let list = AllowList {
            host: "httpbin.mtls.example.com".to_owned(),
            identities: vec!["spiffe://kyma-mtls-clients/alice".to_owned()],
        };
        let object = list.object(reference("shop", "httpbin"), &BTreeMap::new());
        assert_eq!(AllowList::read(&object).unwrap(), list);
        let text = object.body().to_string();
        assert!(
            text.contains(r#""notPrincipals":["kyma-mtls-clients/alice"]"#),
            "{text}"
        );
    }

    #[test]
    fn services_whose_names_meet_have_lists_of_their_own() {
        assert_ne!(reference("a-b", "c"), reference("a", "b-c"));
    }
}
