//! Who may call the host: everybody whom the gateway admits, or a list.

use super::target::Target;
use super::trust::Trust;
use super::view::View;
use super::{Allow, Answer, Request, get};
use crate::error::Failure;
use crate::pki::names::{ClientName, check_uri_san, default_uri};
use crate::plan::{Seen, World};
use crate::resources::allow_list::AllowList;
use crate::resources::inventory;

/// The allow-list as it must be in the end.
pub(super) struct Allowed {
    pub list: Option<AllowList>,
    /// Listed names that have no certificate, as far as that may be seen.
    pub unknown: Vec<String>,
}

pub(super) fn decide(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    trust: &Trust,
    world: &World,
) -> Answer<Allowed> {
    let existing = view.allow_list.as_ref().map(|(_, list)| list);
    let identities = match &request.allow {
        Allow::Any => None,
        Allow::Keep => existing.map(|list| list.identities.clone()),
        Allow::Only(names) => Some(identities(names, trust)?),
    };
    let list = identities.map(|identities| AllowList {
        host: target.host.clone(),
        identities,
    });
    let unknown = match &request.allow {
        Allow::Only(names) => unknown(names, trust, world)?,
        _ => Vec::new(),
    };
    Ok(Allowed { list, unknown })
}

/// A URI stands for itself, a name for the identity that `issue-client` gives it.
fn identities(names: &[String], trust: &Trust) -> Result<Vec<String>, Failure> {
    let authority = trust.state.as_ref().map(|state| state.authority.as_str());
    names.iter().map(|name| identity(name, authority)).collect()
}

fn identity(name: &str, authority: Option<&str>) -> Result<String, Failure> {
    let refused = || Failure::usage(format!("`--allow {name}` names no client"));
    if name.contains("://") {
        if !name.starts_with("spiffe://") {
            return Err(refused().hint("only identities that start with `spiffe://` can be listed"));
        }
        // Any name will do: who a URI stands for is not the question here, only whether it is one.
        let anybody: ClientName = "x"
            .parse()
            .map_err(|error| refused().caused_by(error_of(error)))?;
        check_uri_san(name, "", &anybody, &[]).map_err(|error| refused().caused_by(error))?;
        return Ok(name.to_owned());
    }
    let client: ClientName = name
        .parse()
        .map_err(|error| refused().caused_by(error_of(error)))?;
    let authority = authority.ok_or_else(|| {
        refused()
            .hint("the trusted CAs are not of this plugin; give the clients' URIs instead of names")
    })?;
    Ok(default_uri(authority, &client))
}

fn error_of(error: crate::pki::names::Error) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(error)
}

/// Listed names without a first certificate in the inventory; none where it may not be read.
fn unknown(names: &[String], trust: &Trust, world: &World) -> Answer<Vec<String>> {
    let Some(state) = &trust.state else {
        return Ok(Vec::new());
    };
    let clients: Vec<ClientName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let first = |client: &ClientName| inventory::reference(&state.authority, client, 1);
    world.need(clients.iter().map(|client| get(first(client))))?;
    let is_missing = |client: &&ClientName| matches!(world.seen(&first(client)), Seen::Missing);
    Ok(clients
        .iter()
        .filter(is_missing)
        .map(ToString::to_string)
        .collect())
}
