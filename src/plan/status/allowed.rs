//! The allow-list of a host, and which of the authority's clients may call it.

use time::OffsetDateTime;

use super::entries::Entries;
use super::facts::{Facts, Owner, blind, remedy};
use super::hosts::Host;
use super::{Finding, Link, NAMES_SHOWN, check, client_ca, guards};
use crate::plan::Reconciled;
use crate::resources::guard::Clients;
use crate::resources::inventory::Entry;
use crate::resources::listing::shortened;

/// Adds to the clients' link who may call the host.
pub(super) fn tell(
    host: &Host,
    facts: &Facts<'_>,
    now: OffsetDateTime,
    link: &mut Link,
) -> Reconciled<()> {
    let namespace = host.gateway.ingress.namespace.as_str();
    let policies = facts.policies(namespace)?;
    if let Some(reason) = blind(&policies) {
        link.find(
            &check::GUARD_NOT_CHECKED,
            format!("the AuthorizationPolicies in the namespace `{namespace}`, the guards among them, could not be listed: {reason}"),
            remedy(&policies),
        );
        return Ok(());
    }
    let Some(identities) = identities(host, facts)? else {
        return Ok(());
    };
    let allowed = shortened(&identities, NAMES_SHOWN);
    link.says = format!(
        "{}; only the listed clients may call the host: {allowed}",
        link.says
    );
    let is_listed = |entry: &Entry| entry.has_uri_of(&identities);
    if let Some(authority) = without(is_listed, host, facts, now)? {
        link.add(nobody(&identities, host, authority, facts.entries()?));
    }
    link.details.extend(identities);
    Ok(())
}

/// The identities on the allow-list of a host; `None` if every client may call it, or no guard was read.
pub(super) fn identities(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Vec<String>>> {
    let clients = guards::of_host(host, facts)?.and_then(Clients::of_policy);
    Ok(match clients {
        Some(Clients::Listed(listed)) => Some(listed.into_iter().collect()),
        _ => None,
    })
}

/// The authority none of whose live certificates is accepted; `None` if one is, or if that is not known.
pub(super) fn without<'a>(
    is_accepted: impl Fn(&Entry) -> bool,
    host: &Host,
    facts: &'a Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Option<&'a str>> {
    Ok(live(host, facts, now)?.and_then(|(authority, entries)| {
        let has_one = entries.into_iter().any(is_accepted);
        (!has_one).then_some(authority)
    }))
}

/// The authority of a host, with the entries of its live certificates; `None` if other clients may be accepted too: an external CA is
/// trusted, or the inventory was not read completely.
pub(super) fn live<'a>(
    host: &Host,
    facts: &'a Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Option<(&'a str, Vec<&'a Entry>)>> {
    let source = host.server.client_ca_source();
    let seen = client_ca::seen(&host.server, facts.observed)?;
    let (Some(trusted), Owner::Ours(state)) = (seen.found(), facts.owner(&source, seen.found()))
    else {
        return Ok(None);
    };
    // The inventory does not have all clients of a CA that was given, either.
    let has_external = trusted.foreign(Some(state)).next().is_some() || !state.given.is_empty();
    let inventory = facts.entries()?;
    let is_partial =
        inventory.unread().is_some() || !inventory.damaged(&state.authority).is_empty();
    if has_external || is_partial {
        return Ok(None);
    }
    let entries = inventory.of(&state.authority).iter();
    let live = entries.filter(|entry| entry.is_live(now)).collect();
    Ok(Some((state.authority.as_str(), live)))
}

fn nobody(identities: &[String], host: &Host, authority: &str, inventory: Entries<'_>) -> Finding {
    let mut entries = inventory.of(authority).iter();
    let known = entries.find(|entry| entry.has_uri_of(identities));
    // The name of a client that never had a certificate stands in its default identity.
    let domain = format!("spiffe://{authority}-clients/");
    let mut named = identities
        .iter()
        .filter_map(|uri| uri.strip_prefix(&domain));
    let (name, further) = match known {
        Some(entry) => (Some(entry.name.as_str()), " --another"),
        None => (named.next(), ""),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    Finding::new(
        &check::ALLOW_LIST_NOBODY,
        format!(
            "the allow-list of `{}` names only {}, and none of them has a valid certificate",
            host.name,
            shortened(identities, NAMES_SHOWN)
        ),
        match name.filter(|name| name.chars().all(is_plain)) {
            Some(name) => {
                format!("kubectl mtls issue-client {name}{further} --authority {authority}")
            }
            None => format!("kubectl mtls list-clients --authority {authority}"),
        },
    )
    .because(format!(
        "no client can call `{}`: every request is answered with 403",
        host.name
    ))
}
