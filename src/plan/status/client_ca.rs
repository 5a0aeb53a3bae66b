//! The client CA: who is trusted, and whether that can fail open.

use time::OffsetDateTime;

use super::facts::{Facts, Owner, damaged_state, remedy};
use super::hosts::Host;
use super::way::Looked;
use super::{Finding, Link, Mark, crl, refusal, soon};
use crate::pki::inspect::Certificate;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::{Query, Seen, World, weakness};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::Server;
use crate::resources::names::AUTHORITY_NAMESPACE;
use crate::resources::{Object, ObjectRef};

const NAME: &str = "client CA";
/// istiod takes the field for a CA only with this ending (`pilot/pkg/model/credentials`).
const ENDING: &str = "-cacert";

pub(super) fn queries(server: &Server) -> Vec<Query> {
    let mut queries = vec![Query::Get(secret(server))];
    queries.extend(fallback(server).map(Query::GetMetadata));
    queries
}

/// The Secret that client certificates are checked against.
pub(super) fn secret(server: &Server) -> ObjectRef {
    client_ca::reference(&server.client_ca_secret())
}

/// The Secret whose `ca.crt` istiod would take where `caCertCredentialName` names a missing one.
fn fallback(server: &Server) -> Option<ObjectRef> {
    let stem = server.client_ca.strip_suffix(ENDING)?;
    Some(client_ca::reference(stem))
}

/// The client-CA Secret as it was read.
pub(super) fn seen(server: &Server, world: &World) -> Seen<ClientCa> {
    world
        .seen(&secret(server))
        .read_as(|object| ClientCa::read(object))
}

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Link {
    let server = &host.server;
    let reference = secret(server);
    let seen = seen(server, facts.world);
    let mut link = match &seen {
        Seen::Found(found) => there(&reference, found, facts, now),
        Seen::Missing => missing(server, &reference, facts.world),
        Seen::Unreadable(reason) => Link::new(NAME, "unreadable").with(
            Mark::Error,
            reason,
            "mend it; a proxy that cannot use it refuses every client after its next start",
        ),
        other => Link::new(NAME, "not read").with(
            Mark::Unknown,
            format!(
                "{reference} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        ),
    };
    name_faults(
        server,
        matches!(seen, Seen::Missing),
        facts.world,
        &mut link,
    );
    refusal::faults(host, looked, seen.found(), &mut link);
    link
}

fn there(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Link {
    let owner = facts.owner(&reference.name, Some(client_ca));
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
        link.add(Finding::of_weakness(weakness));
    }
    match owner {
        Owner::Ours(state) => authority_faults(reference, client_ca, state, now, &mut link),
        Owner::Damaged(error) => link.add(damaged_state(error)),
        Owner::Lost(authority) => link.find(
            Mark::Error,
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
        Owner::Damaged(_) | Owner::Lost(_) | Owner::Unknown(_) => Vec::new(),
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

/// What istiod does where the Secret is missing (`pilot/pkg/credentials/kube/secrets.go`, `GetCaCert`): it takes `ca.crt`
/// of the Secret of that name without `-cacert`.
fn missing(server: &Server, reference: &ObjectRef, world: &World) -> Link {
    let link = Link::new(NAME, "missing");
    let taken = if server.may_fail_open() {
        Some(client_ca::reference(&server.credential))
    } else {
        fallback(server).filter(|name| matches!(world.seen_metadata(name), Seen::Found(_)))
    };
    if let Some(taken) = taken {
        return link.with(
            Mark::Error,
            format!(
                "{reference} is missing, and istiod takes the `ca.crt` of {taken} in its place: the gateway admits whomever that CA certifies"
            ),
            "restore it at once, or delete the Gateway; `kubectl mtls expose SERVICE` writes it again where there is an authority",
        );
    }
    let may_exist = fallback(server).and_then(|name| world.seen_metadata(&name).unknown());
    let says = match may_exist {
        // Which of the two it is, is not known.
        Some(_) => format!(
            "{reference} is missing: a restarted proxy refuses every client, or trusts what stands in its place"
        ),
        None => format!(
            "{reference} is missing: proxies keep the CA they have, and a restarted one refuses every client"
        ),
    };
    link.with(
        Mark::Error,
        says,
        "`kubectl mtls expose SERVICE` writes it again where there is an authority",
    )
}

fn name_faults(server: &Server, is_missing: bool, world: &World, link: &mut Link) {
    if let Some(weakness) = weakness::of_server(server) {
        if !is_missing {
            link.add(Finding::of_weakness(weakness));
        }
        return;
    }
    let Some(fallback) = fallback(server) else {
        link.find(
            Mark::Error,
            format!(
                "`caCertCredentialName: {}` does not end in `{ENDING}`: istiod never delivers it",
                server.client_ca
            ),
            format!("rename the Secret to `{}{ENDING}`", server.client_ca),
        );
        return;
    };
    let seen: Seen<&Object> = world.seen_metadata(&fallback);
    match &seen {
        Seen::Found(_) if !is_missing => link.find(
            Mark::Error,
            format!(
                "{fallback} exists: where `{}` is missing, its `ca.crt` would be trusted",
                server.client_ca
            ),
            "rename or remove it",
        ),
        Seen::Found(_) | Seen::Missing => {}
        other => link.find(
            Mark::Unknown,
            format!(
                "whether {fallback} exists, whose `ca.crt` would be trusted where `{}` is missing, could not be seen: {}",
                server.client_ca,
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        ),
    }
}

fn expiry_faults(ca: &Certificate, is_ours: bool, now: OffsetDateTime, link: &mut Link) {
    let remedy = if is_ours {
        "`kubectl mtls ca-rotate` puts a new CA beside it, and takes the old one out when no client needs it any more"
    } else {
        "put a new CA into the bundle beside it, give the clients certificates of the new one, then take the old one out"
    };
    if ca.is_expired(now) {
        link.find(
            Mark::Error,
            format!(
                "the client CA `{}` has expired: its clients are refused",
                ca.subject()
            ),
            remedy,
        );
    } else if ca.not_after() - now < soon(ca.not_before(), ca.not_after(), CLIENT_TTL) {
        link.find(
            Mark::Warning,
            format!(
                "the client CA `{}` ends on {}, and with it every certificate of it",
                ca.subject(),
                ca.not_after().date()
            ),
            remedy,
        );
    }
}

/// The Secret must show what the authority's state says.
fn authority_faults(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    state: &AuthorityState,
    now: OffsetDateTime,
    link: &mut Link,
) {
    let authority = &state.authority;
    match client_ca.revision {
        Some(shown) if shown < state.revision => {
            link.find(
                Mark::Error,
                format!(
                    "{reference} shows revision {shown} of the authority `{authority}`, which is at {}: a run was interrupted",
                    state.revision
                ),
                "run the interrupted command again, or `kubectl mtls issue-client`, which completes it",
            );
            return;
        }
        Some(shown) if shown > state.revision => link.find(
            Mark::Warning,
            format!(
                "{reference} shows revision {shown} of the authority `{authority}`, which is at {}: an old state was put back",
                state.revision
            ),
            "restore the newest state; it may lack CAs and revocations that were made since",
        ),
        _ => crl::authority_faults(reference, client_ca, state, link),
    }
    let absent = state
        .trusted
        .iter()
        .filter(|ca| !ca.is_expired(now) && !client_ca.bundle.contains(ca));
    for ca in absent {
        let is_issuing = state.issuing_ca() == Some(ca);
        let consequence = if is_issuing {
            "certificates issued now are refused"
        } else {
            "its clients are refused"
        };
        link.find(
            Mark::Error,
            format!(
                "{reference} does not hold the CA `{}` of the authority `{authority}`: {consequence}",
                ca.subject()
            ),
            "put it back; the authority's state has it under `trusted`",
        );
    }
}
