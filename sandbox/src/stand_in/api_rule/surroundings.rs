//! What the cluster holds around an APIRule, as far as it decides about it.

use std::collections::BTreeMap;

use super::spec::Gateway;

/// What the controller sees of the Service behind one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// It could not be read; the API's words.
    Unread(String),
    /// It selects no Pods.
    WithoutSelector,
    /// It selects Pods; those without a sidecar are named `namespace/name`.
    Selecting {
        labels: BTreeMap<String, String>,
        without_sidecar: Vec<String>,
    },
}

/// A VirtualService as far as it matters here.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub labels: BTreeMap<String, String>,
    pub hosts: Vec<String>,
}

/// What the cluster holds; `backends` has one entry per rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    pub gateways: Vec<Gateway>,
    pub routes: Vec<Route>,
    pub backends: Vec<Backend>,
}
