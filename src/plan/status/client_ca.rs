//! The client CA: who is trusted, and whether that can fail open.

use time::OffsetDateTime;

use super::facts::{Facts, Owner, damaged_state, remedy};
use super::hosts::Host;
use super::way::Looked;
use super::{Check, Finding, Link, Mark, Severity, authority, crl, refusal, soon};
use crate::pki::inspect::Certificate;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::{Observed, Query, Seen, weakness};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::fail_closed::{self, Standing};
use crate::resources::gateway::Server;
use crate::resources::names::{AUTHORITY_NAMESPACE, derived_client_ca};
use crate::resources::{Kind, Object, ObjectRef};

const NAME: &str = "client CA";
/// istiod takes the field for a CA only with this ending (`pilot/pkg/model/credentials`).
const ENDING: &str = "-cacert";

pub(super) fn queries(server: &Server) -> Vec<Query> {
    let source = server.client_ca_source();
    let mut queries = vec![Query::Get(source.clone())];
    queries.extend(fallback(server).map(Query::GetMetadata));
    queries.extend(closing(server).map(Query::Get));
    queries
}

/// The Secret whose `ca.crt` istiod would take where `caCertCredentialName` names a missing one.
fn fallback(server: &Server) -> Option<ObjectRef> {
    let stem = server.client_ca.strip_suffix(ENDING)?;
    let is_secret = server.client_ca_source().kind == Kind::Secret;
    is_secret.then(|| client_ca::secret(stem))
}

/// The Secret that lets nobody in where a server that names a `ConfigMap` should lose that name.
fn closing(server: &Server) -> Option<ObjectRef> {
    let is_config_map = server.client_ca_source().kind == Kind::ConfigMap;
    let derived = derived_client_ca(&server.credential);
    is_config_map.then(|| client_ca::secret(&derived))
}

/// What client certificates are checked against, as it was read.
pub(super) fn seen(server: &Server, observed: &Observed) -> Seen<ClientCa> {
    observed
        .seen(&server.client_ca_source())
        .read_as(|object| ClientCa::read(object))
}

pub(super) fn examine(
    host: &Host,
    looked: &Looked<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Link {
    let server = &host.server;
    let reference = server.client_ca_source();
    let seen = seen(server, facts.observed);
    let mut link = match &seen {
        Seen::Found(found) => there(&reference, found, facts, now),
        Seen::Missing => {
            let mut link = missing(server, &reference, facts.observed);
            if reference.kind == Kind::ConfigMap
                && let Some(fault) = facts.lost(&reference.name, None)
            {
                link.findings.clear();
                link.add(authority::lost(&fault, &reference.name));
            }
            link
        }
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
    if reference.kind == Kind::Secret {
        let is_missing = matches!(seen, Seen::Missing);
        name_faults(server, is_missing, facts.observed, &mut link);
    } else if let Some(check) = fallback_check(host, facts.observed) {
        link.add(check);
    }
    refusal::faults(host, looked, seen.found(), &mut link);
    link
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
        link.add(Finding::of_weakness(weakness));
    }
    match owner {
        Owner::Ours(state) => {
            authority_faults(reference, client_ca, state, now, &mut link);
            for check in authority::checks(state, facts) {
                link.add(check);
            }
        }
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
fn missing(server: &Server, reference: &ObjectRef, observed: &Observed) -> Link {
    let link = Link::new(NAME, "missing");
    if reference.kind == Kind::ConfigMap {
        return link.with(
            Mark::Error,
            format!(
                "{reference} is missing: proxies keep the CA they have, and a restarted one refuses everybody on its port, other hosts included"
            ),
            "restore it from a backup at once",
        );
    }
    let taken = if server.may_fail_open() {
        Some(client_ca::secret(&server.credential))
    } else {
        fallback(server).filter(|name| matches!(observed.seen_metadata(name), Seen::Found(_)))
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
    let may_exist = fallback(server).and_then(|name| observed.seen_metadata(&name).unknown());
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

fn name_faults(server: &Server, is_missing: bool, observed: &Observed, link: &mut Link) {
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
    let seen: Seen<&Object> = observed.seen_metadata(&fallback);
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

/// What istiod takes for the client CA should the Gateway lose `caCertCredentialName`, and where it is too old to know it.
fn fallback_check(host: &Host, observed: &Observed) -> Option<Check> {
    let secret = closing(&host.server).filter(|_| host.gateway.is_ours)?;
    let (id, seen, why) = match observed.seen(&secret) {
        Seen::Found(object) => match fail_closed::standing(object) {
            Standing::Closed => return None,
            Standing::Changed => (
                "client-ca/fallback-changed",
                format!("{secret}, which lets nobody in, was changed by hand"),
                "should the Gateway lose `caCertCredentialName`, whom it trusts now would be let in",
            ),
            Standing::Another => (
                "client-ca/fallback-taken",
                format!("{secret} is not of this plugin"),
                "should the Gateway lose `caCertCredentialName`, whom it trusts would be let in",
            ),
        },
        Seen::Missing => (
            "client-ca/fallback-missing",
            format!("{secret}, which lets nobody in, is missing"),
            "should the Gateway lose `caCertCredentialName`, whoever has a certificate of the server certificate's issuer may be let in",
        ),
        _ => return None,
    };
    Some(Check {
        id,
        severity: Severity::Warning,
        seen,
        why: why.to_owned(),
        remedy: host.expose_command(),
    })
}

/// CAs in an authority's bundle that it did not put there itself.
fn intruder_checks(state: &AuthorityState, link: &mut Link) {
    let command = |flags: &str| {
        format!(
            "kubectl mtls ca-rotate --finish{flags} --authority {}",
            state.authority
        )
    };
    for ca in &state.external {
        let fingerprint = ca.fingerprint();
        if state.intruders.contains(&fingerprint) {
            link.add(Check {
                id: "client-ca/external-added",
                severity: Severity::Error,
                seen: format!(
                    "the CA `{}` was put into the bundle of the authority `{}` by hand",
                    ca.subject(),
                    state.authority
                ),
                why: "whoever has a certificate of it is let in, and nobody can be revoked while it is there"
                    .to_owned(),
                remedy: command(&format!(" --drop-external {fingerprint}")),
            });
        }
    }
    for ca in &state.readmitted {
        link.add(Check {
            id: "client-ca/dropped-is-back",
            severity: Severity::Error,
            seen: format!(
                "the CA `{}`, which was dropped, is in the bundle of the authority `{}` again",
                ca.subject(),
                state.authority
            ),
            why: "its clients are let in again: the bundle was edited, or an old one put back"
                .to_owned(),
            remedy: command(&format!(" --drop-external {}", ca.fingerprint())),
        });
    }
}

/// A Secret that a Gateway reads in the place of an authority must say what that does.
fn authority_faults(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    state: &AuthorityState,
    now: OffsetDateTime,
    link: &mut Link,
) {
    intruder_checks(state, link);
    if reference.kind == Kind::ConfigMap {
        return;
    }
    let authority = &state.authority;
    crl::authority_faults(reference, client_ca, state, link);
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
            "`kubectl mtls expose SERVICE --fail-closed` lets the Gateway read the authority itself",
        );
    }
}
