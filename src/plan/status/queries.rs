//! The reads that several parts of a report need.

use crate::plan::Query;
use crate::resources::names::{AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE};
use crate::resources::{Kind, witness};

/// All policies of a namespace: the guards in that of the proxies, and the policies of the whole mesh in its root namespace.
pub(super) fn policies(namespace: &str) -> Query {
    Query::within(Kind::AuthorizationPolicy, namespace)
}

pub(super) fn states() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: false,
    }
}

pub(super) fn witnesses() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(witness::LABEL.to_owned()),
        metadata_only: true,
    }
}
