//! What `issue-client` tells in the end.

use serde::Serialize;

use super::Request;
use crate::pki::inspect::Certificate;
use crate::plan::{Query, World};
use crate::resources::Kind;
use crate::resources::api_rule::ApiRule;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::Entry;
use crate::resources::names::GatewayName;

/// The outcome of `issue-client`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The inventory entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// Whether the authority was made in this run.
    pub made_authority: bool,
    /// Whether only an interrupted run was completed.
    pub completed: bool,
    /// A host that admits the certificate, where one could be seen.
    pub host: Option<String>,
}

/// What tells a host that admits the authority's clients: the routes beside its Gateway.
pub(super) fn routes(state: &AuthorityState) -> Option<(GatewayName, Query)> {
    let gateway: GatewayName = state.gateway.as_deref()?.parse().ok()?;
    let routes = Query::within(Kind::ApiRule, &gateway.namespace);
    Some((gateway, routes))
}

fn host(state: &AuthorityState, world: &World) -> Option<String> {
    let (gateway, routes) = routes(state)?;
    let rules = world
        .list(&routes)
        .found()
        .copied()?
        .iter()
        .filter_map(|object| ApiRule::read(object).ok());
    let mut hosts = rules
        .filter(|rule| rule.gateway == gateway.to_string())
        .flat_map(|rule| rule.hosts);
    hosts.next()
}

pub(super) fn issued(
    request: &Request,
    entry: Entry,
    certificate: &Certificate,
    state: &AuthorityState,
    world: &World,
) -> Report {
    debug_assert_eq!(request.name.to_string(), entry.name);
    Report {
        fingerprint: certificate.fingerprint(),
        made_authority: world.minted.is_some(),
        completed: false,
        host: host(state, world),
        entry,
    }
}

pub(super) fn completed(
    entry: Entry,
    certificate: Option<&Certificate>,
    state: &AuthorityState,
    world: &World,
) -> Report {
    Report {
        fingerprint: certificate
            .map(Certificate::fingerprint)
            .unwrap_or_default(),
        made_authority: world.minted.is_some(),
        completed: true,
        host: host(state, world),
        entry,
    }
}
