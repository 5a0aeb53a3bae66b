//! The client CA: whose clients the gateway accepts, and for how long.

use time::OffsetDateTime;

use super::facts::{Facts, Owner, damaged_state, remedy};
use super::hosts::Host;
use super::probes::Looked;
use super::{Link, authority, check, crl, fail_open, refusal, soon};
use crate::pki::inspect::Certificate;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::{Observed, Query, Reconciled, Seen, weakness};
use crate::resources::client_ca::ClientCa;
use crate::resources::gateway::Server;
use crate::resources::names::AUTHORITY_NAMESPACE;
use crate::resources::{Kind, ObjectRef};

pub(super) const NAME: &str = "client CA";

/// What tells whom a server trusts, and what istiod would take in the place of its client CA.
pub(super) fn queries(server: &Server) -> Vec<Query> {
    let mut queries = vec![Query::Get(server.client_ca_source())];
    queries.extend(fail_open::queries(server));
    queries
}

/// What client certificates are checked against, as it was read.
pub(super) fn seen(server: &Server, observed: &Observed) -> Reconciled<Seen<ClientCa>> {
    let seen = observed.try_get(&server.client_ca_source())?;
    Ok(seen.read_as(|object| ClientCa::read(object)))
}

/// The authority whose clients get in at a host, where it is one of this plugin.
pub(super) fn authority(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<String>> {
    if host.is_from_outside {
        return Ok(None);
    }
    let seen = seen(&host.server, facts.observed)?;
    let source = host.server.client_ca_source();
    Ok(match facts.owner(&source, seen.found()) {
        Owner::Ours(state) => Some(state.authority.clone()),
        _ => None,
    })
}

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Link> {
    if host.is_from_outside {
        let mut link = Link::new(NAME, "not read");
        refusal::faults(host, looked, None, &mut link);
        return Ok(link);
    }
    let server = &host.server;
    let reference = server.client_ca_source();
    let seen = seen(server, facts.observed)?;
    let mut link = match &seen {
        Seen::Found(found) => there(&reference, found, facts, now),
        Seen::Missing => {
            let mut link = fail_open::missing(server, &reference, facts.observed)?;
            if reference.kind == Kind::ConfigMap
                && let Some(fault) = facts.lost(&reference.name, None)
            {
                link.findings.clear();
                link.add(authority::lost(&fault, &reference.name));
            }
            link
        }
        Seen::Unreadable(reason) => Link::new(NAME, "unreadable").with(
            &check::CLIENT_CA_UNREADABLE,
            reason,
            "mend it; a proxy that cannot use it refuses every client after its next start",
        ),
        other => Link::new(NAME, "not read").with(
            &check::CLIENT_CA_NOT_CHECKED,
            format!(
                "{reference} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        ),
    };
    if reference.kind == Kind::Secret {
        let is_missing = matches!(seen, Seen::Missing);
        fail_open::name_faults(server, is_missing, facts.observed, &mut link)?;
    } else if let Some(check) = fail_open::check(host, facts.observed)? {
        link.add(check);
    }
    refusal::faults(host, looked, seen.found(), &mut link);
    Ok(link)
}

fn there(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Link {
    let owner = facts.owner(reference, Some(client_ca));
    let mut link = Link::new(NAME, says(client_ca, &owner));
    let cas = client_ca.bundle.certificates();
    link.details = cas.iter().map(super::identify).collect();
    for ca in cas {
        let is_ours = matches!(owner, Owner::Ours(state) if state.trusted.contains(ca));
        expiry_faults(ca, is_ours, now, &mut link);
    }
    crl::faults(client_ca, now, &mut link);
    link.details.extend(crl::details(client_ca));
    let weaknesses = [
        weakness::of_cas(made_elsewhere(client_ca, &owner)),
        weakness::of_leaving(leaving(client_ca, &owner)),
    ];
    for weakness in weaknesses.into_iter().flatten() {
        link.add(weakness.into());
    }
    match owner {
        Owner::Ours(state) => {
            authority::faults(reference, client_ca, state, now, &mut link);
            for check in authority::checks(state, facts) {
                link.add(check);
            }
        }
        Owner::Damaged(object, error) => link.add(damaged_state(object.name(), error)),
        Owner::Lost(authority) => link.find(
            &check::AUTHORITY_LOST,
            format!("{reference} shows the authority `{authority}`, whose state is gone: nothing can be issued"),
            format!("restore the ConfigMap `{AUTHORITY_NAMESPACE}/{authority}` with its labels from a backup"),
        ),
        Owner::Unknown(finding) => link.add(finding),
        Owner::Nobody => {}
    }
    link
}

/// The CAs that are known not to be of this plugin.
pub(super) fn foreign<'a>(client_ca: &'a ClientCa, owner: &Owner<'a>) -> Vec<&'a Certificate> {
    match owner {
        Owner::Ours(state) => client_ca.foreign(Some(state)).collect(),
        Owner::Nobody => client_ca.foreign(None).collect(),
        Owner::Damaged(..) | Owner::Lost(_) | Owner::Unknown(_) => Vec::new(),
    }
}

/// The CAs in the bundle that were not made by this plugin: external ones, and those of the authority whose key was given.
pub(super) fn made_elsewhere<'a>(
    client_ca: &'a ClientCa,
    owner: &Owner<'a>,
) -> Vec<&'a Certificate> {
    let mut all = foreign(client_ca, owner);
    all.extend(given(client_ca, owner));
    all
}

/// The CAs in the bundle whose key the authority was given.
fn given<'a>(client_ca: &'a ClientCa, owner: &Owner<'a>) -> Vec<&'a Certificate> {
    let Owner::Ours(state) = owner else {
        return Vec::new();
    };
    let cas = client_ca.bundle.certificates().iter();
    cas.filter(|ca| state.given.contains(&ca.fingerprint()))
        .collect()
}

/// Given CAs that neither issue nor are to.
fn leaving<'a>(client_ca: &'a ClientCa, owner: &Owner<'a>) -> Vec<&'a Certificate> {
    let Owner::Ours(state) = owner else {
        return Vec::new();
    };
    let mut cas = given(client_ca, owner);
    cas.retain(|ca| state.leaving().any(|leaving| leaving == *ca));
    cas
}

fn says(client_ca: &ClientCa, owner: &Owner<'_>) -> String {
    let foreign = foreign(client_ca, owner).len();
    let cas = client_ca.bundle.certificates();
    let names: Vec<String> = cas
        .iter()
        .map(|ca| format!("{} until {}", ca.subject(), ca.not_after().date()))
        .collect();
    let suffix = if foreign > 0 {
        format!(" ({foreign} not of this plugin)")
    } else {
        String::new()
    };
    names.join("; ") + &suffix
}

fn expiry_faults(ca: &Certificate, is_ours: bool, now: OffsetDateTime, link: &mut Link) {
    let remedy = if is_ours {
        "`kubectl mtls ca-rotate` puts a new CA beside it, and takes the old one out when no client needs it any more"
    } else {
        "put a new CA into the bundle beside it, give the clients certificates of the new one, then take the old one out"
    };
    if ca.is_expired(now) {
        link.find(
            &check::CLIENT_CA_EXPIRED,
            format!(
                "the client CA `{}` has expired: its clients are refused",
                ca.subject()
            ),
            remedy,
        );
    } else if ca.not_after() - now < soon(ca.not_before(), ca.not_after(), CLIENT_TTL) {
        link.find(
            &check::CLIENT_CA_ENDING,
            format!(
                "the client CA `{}` ends on {}, and with it every certificate of it",
                ca.subject(),
                ca.not_after().date()
            ),
            remedy,
        );
    }
}
