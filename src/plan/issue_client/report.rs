//! What `issue-client` tells in the end.

use super::standing::Standing;
use super::trust::Admission;
use super::{Place, Request};
use crate::pki::inspect::Certificate;
use crate::plan::{Identity, Query, Seen, World};
use crate::resources::Kind;
use crate::resources::api_rule::ApiRule;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::Entry;
use crate::resources::names::{AUTHORITY_NAMESPACE, GatewayName};

/// The outcome of `issue-client`.
#[derive(Debug)]
pub struct Report {
    /// The inventory entry.
    pub entry: Entry,
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// Whether only an interrupted run was completed.
    pub completed: bool,
    /// A host that admits the certificate, where one was seen.
    pub host: Option<String>,
    /// What the user must know.
    pub notes: Vec<String>,
}

/// What tells a host that admits the authority's clients: the routes beside its Gateway.
pub(super) fn routes(state: &AuthorityState) -> Option<(GatewayName, Query)> {
    let gateway: GatewayName = state.gateway.as_deref()?.parse().ok()?;
    let routes = Query::within(Kind::ApiRule, &gateway.namespace);
    Some((gateway, routes))
}

pub(super) fn issued(
    entry: Entry,
    identity: &Identity,
    standing: &Standing,
    request: &Request,
    world: &World,
) -> Report {
    report(entry, &identity.certificate, standing, request, world)
}

pub(super) fn completed(
    entry: Entry,
    certificate: &Certificate,
    standing: &Standing,
    request: &Request,
    world: &World,
) -> Report {
    let mut report = report(entry, certificate, standing, request, world);
    report.completed = true;
    report.notes.insert(
        0,
        "completed an interrupted run: the certificate of these files is booked as issued"
            .to_owned(),
    );
    report
}

fn report(
    entry: Entry,
    certificate: &Certificate,
    standing: &Standing,
    request: &Request,
    world: &World,
) -> Report {
    let mut notes = Vec::new();
    if standing.was_made_here(world) {
        notes.push(match &request.issuer.place {
            Place::Cluster => format!(
                "made the authority `{}`: its keys and state are in the namespace `{AUTHORITY_NAMESPACE}`",
                standing.state.authority
            ),
            Place::Directory(path) => format!("made a CA in `{path}`"),
        });
    }
    if let Admission::Told(note) = &standing.admission {
        notes.push(note.clone());
    }
    let host = match &request.issuer.place {
        Place::Directory(_) => None,
        Place::Cluster => host(&standing.state, world)
            .map_err(|note| notes.push(note))
            .ok(),
    };
    Report {
        subject: certificate.subject().to_owned(),
        fingerprint: certificate.fingerprint(),
        completed: false,
        entry,
        host,
        notes,
    }
}

/// A host that leads through the authority's Gateway, or what was seen instead of one.
fn host(state: &AuthorityState, world: &World) -> Result<String, String> {
    let Some((gateway, routes)) = routes(state) else {
        return Err(
            "no Gateway takes this authority's clients yet: `kubectl mtls expose SERVICE` makes one"
                .to_owned(),
        );
    };
    let rules = match world.list(&routes) {
        Seen::Found(rules) => rules,
        other => {
            return Err(format!(
                "no host is named here, because the APIRules of `{}` were not read: {}",
                gateway.namespace,
                other.unknown().unwrap_or_default()
            ));
        }
    };
    let mut hosts = rules
        .iter()
        .filter_map(|object| ApiRule::read(object).ok())
        .filter(|rule| rule.gateway == gateway.to_string())
        .flat_map(|rule| rule.hosts);
    hosts.next().ok_or_else(|| {
        format!(
            "no APIRule in `{}` uses the Gateway `{gateway}`: `kubectl mtls status` looks for its hosts everywhere",
            gateway.namespace
        )
    })
}
