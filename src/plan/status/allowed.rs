//! The allow-list of a host, beside its clients: who of them may call it.

use super::facts::{Facts, blind, damaged, readable, remedy};
use super::hosts::Host;
use super::{Link, Mark};
use crate::plan::Query;
use crate::resources::Kind;
use crate::resources::names::{FIELD_MANAGER, INGRESS_NAMESPACE, MANAGED_BY};

/// The lists that this plugin wrote.
pub(super) fn query() -> Query {
    Query::List {
        kind: Kind::AuthorizationPolicy,
        namespace: Some(INGRESS_NAMESPACE.to_owned()),
        selector: Some(format!("{MANAGED_BY}={FIELD_MANAGER}")),
        metadata_only: false,
    }
}

/// Tells in the clients' link who may call the host.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, link: &mut Link) {
    if let Some(reason) = blind(&facts.allow_lists) {
        link.find(
            Mark::Unknown,
            format!("the allow-lists in `{INGRESS_NAMESPACE}` could not be listed: {reason}"),
            remedy(&facts.allow_lists),
        );
        return;
    }
    for (_, error) in damaged(&facts.allow_lists) {
        link.find(
            Mark::Warning,
            error.to_string(),
            "`kubectl mtls expose SERVICE --allow CLIENT` writes it anew",
        );
    }
    let lists = readable(&facts.allow_lists);
    let Some((_, list)) = lists.iter().find(|(_, list)| list.host == host.name) else {
        return;
    };
    let allowed = list.identities.join(", ");
    link.says = format!("{}; only these may call it: {allowed}", link.says);
}
