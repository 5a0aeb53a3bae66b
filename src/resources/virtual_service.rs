//! Istio's `VirtualService`: here only to see who has a host already.

use serde::Deserialize;

use super::{Object, Unreadable};

/// The labels that Kyma's controller puts on what it makes for an `APIRule`.
const RULE_NAME: &str = "apirule.gateway.kyma-project.io/name";
const RULE_NAMESPACE: &str = "apirule.gateway.kyma-project.io/namespace";

/// A `VirtualService` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualService {
    /// Its hosts, as strings that Kyma compares exactly.
    pub hosts: Vec<String>,
    /// The Gateways as `namespace/name`; a bare name is of its own namespace.
    pub gateways: Vec<String>,
    /// The `APIRule` `(namespace, name)` for which Kyma made it.
    pub made_for: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    gateways: Vec<String>,
}

impl VirtualService {
    /// Reads a `VirtualService`.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let qualified = |gateway: &String| {
            if gateway.contains('/') {
                gateway.clone()
            } else {
                format!("{}/{gateway}", object.namespace())
            }
        };
        let made_for = object.label(RULE_NAME).map(|name| {
            let namespace = object
                .label(RULE_NAMESPACE)
                .unwrap_or_else(|| object.namespace());
            (namespace.to_owned(), name.to_owned())
        });
        Ok(Self {
            hosts: spec.hosts,
            gateways: spec.gateways.iter().map(qualified).collect(),
            made_for,
        })
    }
}
