//! Names and URIs of other clients. Applications know a client by its common name, allow-lists and policies by its URI, so nobody gets one
//! that is another client's.

use std::collections::HashMap;

use super::numbers::Numbers;
use super::{Request, Standing};
use crate::error::Failure;
use crate::pki::names::{ClientName, Subject, default_uri, hash12};
use crate::plan::list_clients::inventory;
use crate::plan::{Observed, Reconciled, Seen, identity};
use crate::resources::inventory::records_all_uris;
use crate::resources::printable::printable_line;

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

/// The common names that were chosen for a client, other than its own name. A renewal may repeat an earlier one.
fn common_names(request: &Request) -> Vec<String> {
    if request.may_share_name || request.renews.is_some() {
        return Vec::new();
    }
    let subject = request.names.subject.as_ref();
    let mut names = subject.map(Subject::common_names).unwrap_or_default();
    names.retain(|name| name != request.name.as_str());
    names
}

/// Refuses a common name with blanks around it, which many programs drop: it would pass for the name without them.
pub(super) fn check_blanks(request: &Request) -> Result<(), Failure> {
    match common_names(request)
        .iter()
        .find(|name| name.trim() != *name)
    {
        Some(name) => Err(Failure::usage(format!(
            "the common name `{}` begins or ends with a blank",
            printable_line(name)
        ))
        .hint("give another common name")),
        None => Ok(()),
    }
}

/// Refuses the exact name of another client as a common name: for that, no list is needed.
pub(super) fn check_common_names(request: &Request, observed: &Observed) -> Reconciled<()> {
    for other in common_names(request) {
        let Ok(name) = other.parse::<ClientName>() else {
            continue;
        };
        let numbers = Numbers {
            authority: &request.issuer.authority,
            name: &name,
        };
        if numbers.is_taken(1, observed)? {
            return Err(same_common_name(&other, name.as_str(), &request.name).into());
        }
    }
    Ok(())
}

/// Refuses a URI that another client has, and a common name that is to a verifier the name of another client, as far as the inventory may be
/// listed.
pub(super) fn check(request: &Request, standing: &Standing, observed: &Observed) -> Reconciled<()> {
    check_blanks(request)?;
    let (uris, common_names) = (chosen(request), common_names(request));
    if uris.is_empty() && common_names.is_empty() {
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
        if let Some(other) = owners.with_uri(uri, &request.name) {
            return Err(refused(uri, &format!("the client `{other}`"), &request.name).into());
        }
    }
    for common_name in &common_names {
        if let Some(other) = owners.named(common_name, &request.name) {
            return Err(same_common_name(common_name, other, &request.name).into());
        }
    }
    Ok(())
}

/// The refusal of a common name that is the name of another client.
fn same_common_name(common_name: &str, other: &str, name: &ClientName) -> Failure {
    let of = if common_name == other {
        String::new()
    } else {
        format!(", `{other}`")
    };
    Failure::refused(format!(
        "the common name `{common_name}` is the name of another client{of}, for which `{name}` could be mistaken"
    ))
    .hint("give another common name with `--subject`, or `--force` if both are the same client")
}

fn refused(uri: &str, other: &str, name: &ClientName) -> Failure {
    Failure::refused(format!(
        "the URI `{uri}` is that of {other}, for which `{name}` could be mistaken"
    ))
    .hint("give another URI, or `--force` if both are the same client")
}

/// The note on the check that was not made.
pub(super) fn unchecked(request: &Request, observed: &Observed) -> Option<String> {
    if chosen(request).is_empty() && common_names(request).is_empty() {
        return None;
    }
    let seen = observed.already_listed(&inventory(&request.issuer.authority))?;
    if let Some(reason) = seen.unknown() {
        return Some(format!(
            "whether another client has the same name or URI was not checked: {reason}"
        ));
    }
    let entries = seen.found().copied().unwrap_or_default();
    let earlier = entries.iter().filter(|entry| !records_all_uris(entry));
    let earlier = earlier.count();
    (earlier > 0 && !chosen(request).is_empty()).then(|| {
        format!("whether the URI is that of another client was checked against the first URI only of {earlier} certificates of an earlier version")
    })
}
