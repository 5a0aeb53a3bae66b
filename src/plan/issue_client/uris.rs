//! URIs of other clients. Allow-lists and policies know a client by its URI, so nobody gets one that is another client's.

use std::collections::HashMap;

use super::{Request, Standing};
use crate::error::Failure;
use crate::pki::names::{ClientName, default_uri, hash12};
use crate::plan::list_clients::inventory;
use crate::plan::{Observed, Reconciled, Seen, identity};
use crate::resources::Object;
use crate::resources::inventory::identities;

/// The clients of an inventory by their URIs.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<String, Vec<String>>);

impl Owners {
    pub fn of(entries: &[Object]) -> Self {
        let mut owners: HashMap<String, Vec<String>> = HashMap::new();
        for (name, uris) in entries.iter().filter_map(identities) {
            for uri in uris {
                let names = owners.entry(uri.to_owned()).or_default();
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        Self(owners)
    }

    /// Another client with this URI, unless this client has it as well.
    fn other(&self, uri: &str, name: &ClientName) -> Option<&str> {
        let names = self.0.get(uri)?;
        let is_own = names.iter().any(|known| known == name.as_str());
        names.first().filter(|_| !is_own).map(String::as_str)
    }
}

/// The URIs that earlier rows of a table have: some 40 bytes each.
#[derive(Debug, Default)]
pub struct TakenUris(HashMap<[u8; 12], [u8; 12]>);

impl TakenUris {
    /// Adds the URIs of a client that were chosen for it; fails for one that another client of an earlier row has.
    pub fn take(&mut self, request: &Request) -> Result<(), Failure> {
        let name = hash12(request.name.as_str());
        for uri in chosen(request) {
            if *self.0.entry(hash12(&uri)).or_insert(name) != name {
                return Err(refused(&uri, "another client of this run", &request.name));
            }
        }
        Ok(())
    }
}

/// The URIs that were chosen for a client. Its default URI is no other client's, and a renewal has those of the certificate that it renews.
fn chosen(request: &Request) -> Vec<String> {
    if request.may_share_name || request.renews.is_some() {
        return Vec::new();
    }
    let authority = &request.issuer.authority;
    let default = default_uri(authority, &request.name);
    let mut uris = identity::uris(authority, &request.name, &request.names);
    uris.retain(|uri| *uri != default);
    uris
}

/// Refuses a URI that another client has, as far as the inventory may be listed.
pub(super) fn check(request: &Request, standing: &Standing, observed: &Observed) -> Reconciled<()> {
    let uris = chosen(request);
    if uris.is_empty() {
        return Ok(());
    }
    let list = inventory(&request.issuer.authority);
    let entries = match observed.try_list(&list)? {
        Seen::Found(entries) => entries,
        Seen::Failed(_) => observed.list(&list)?,
        Seen::Missing | Seen::NotServed | Seen::Denied(_) | Seen::Unreadable(_) => return Ok(()),
    };
    let owners = standing.owners(entries);
    for uri in &uris {
        if let Some(other) = owners.other(uri, &request.name) {
            return Err(refused(uri, &format!("the client `{other}`"), &request.name).into());
        }
    }
    Ok(())
}

fn refused(uri: &str, other: &str, name: &ClientName) -> Failure {
    Failure::refused(format!(
        "the URI `{uri}` is that of {other}, for which `{name}` could be mistaken"
    ))
    .hint("give another URI, or `--force` if both are the same client")
}

/// The note on the check that was not made.
pub(super) fn unchecked(request: &Request, observed: &Observed) -> Option<String> {
    if chosen(request).is_empty() {
        return None;
    }
    let seen = observed.already_listed(&inventory(&request.issuer.authority))?;
    let reason = seen.unknown()?;
    Some(format!(
        "whether another client has the same URI was not checked: {reason}"
    ))
}
