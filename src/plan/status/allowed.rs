//! The allow-list of a host, beside its clients: who of them may call it.

use time::OffsetDateTime;

use super::clients::NAMES_SHOWN;
use super::facts::{Facts, Owner, blind, damaged, readable, remedy};
use super::hosts::Host;
use super::{Check, Link, Mark, Severity, client_ca};
use crate::plan::Query;
use crate::resources::Kind;
use crate::resources::allow_list::AllowList;
use crate::resources::listing::shortened;
use crate::resources::names::INGRESS_NAMESPACE;

/// All policies beside the proxies, of which those of this plugin are read: the others count for whoever calls a workload.
pub(super) fn query() -> Query {
    Query::within(Kind::AuthorizationPolicy, INGRESS_NAMESPACE)
}

/// Tells in the clients' link who may call the host.
pub(super) fn tell(host: &Host, facts: &Facts<'_>, now: OffsetDateTime, link: &mut Link) {
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
    let allowed = shortened(&list.identities, NAMES_SHOWN);
    link.says = format!("{}; only these may call it: {allowed}", link.says);
    link.details.extend(list.identities.iter().cloned());
    if can_nobody_call(list, host, facts, now) {
        link.add(nobody(list, host));
    }
}

/// Whether it is known that no client has a certificate with a listed identity: not where an external CA is trusted, or where
/// the inventory was not read completely.
fn can_nobody_call(list: &AllowList, host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> bool {
    if list.identities.is_empty() {
        return true;
    }
    let secret = client_ca::secret(&host.server);
    let seen = client_ca::seen(&host.server, facts.world);
    let (Some(trusted), Owner::Ours(state)) =
        (seen.found(), facts.owner(&secret.name, seen.found()))
    else {
        return false;
    };
    let has_external = trusted.foreign(Some(state)).next().is_some();
    let is_partial = blind(&facts.inventory).is_some() || !damaged(&facts.inventory).is_empty();
    if has_external || is_partial {
        return false;
    }
    let can_call = |identity: &String| {
        readable(&facts.inventory).iter().any(|(_, entry)| {
            entry.authority == state.authority && entry.is_live(now) && entry.uri == *identity
        })
    };
    !list.identities.iter().any(can_call)
}

fn nobody(list: &AllowList, host: &Host) -> Check {
    let allowed = if list.identities.is_empty() {
        "nobody".to_owned()
    } else {
        format!(
            "only {}, and none of them has a valid certificate",
            shortened(&list.identities, NAMES_SHOWN)
        )
    };
    Check {
        id: "allow-list/nobody",
        severity: Severity::Error,
        seen: format!("the allow-list of `{}` admits {allowed}", host.name),
        why: format!(
            "no client can call `{}`: every request is answered with 403",
            host.name
        ),
        remedy: format!("{} --allow CLIENT", host.expose_command()),
    }
}
