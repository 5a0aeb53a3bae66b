//! The client CA: the CAs whose clients the gateway accepts, and until when.

use time::OffsetDateTime;

pub(super) use super::bundle::made_elsewhere;
use super::bundle::{self, Trusted, foreign};
use super::damage::damage;
use super::facts::{Facts, Owner, remedy};
use super::hosts::Host;
use super::probes::Handshakes;
use super::report::ClientCaReport;
use super::{
    CLIENT_CA, Finding, Link, authority, check, crl, cut_off, fail_open, listeners, proxies,
    refusal, visibility,
};
use crate::pki::crl::Crl;
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen, weakness};
use crate::resources::client_ca::ClientCa;
use crate::resources::gateway::Server;
use crate::resources::names::{AUTHORITY_LABEL, AUTHORITY_NAMESPACE};
use crate::resources::{Kind, ObjectRef};

/// The reads of a server's client CA, and of the object that istiod would use instead.
pub(super) fn queries(server: &Server) -> Vec<Query> {
    let mut queries = vec![Query::Get(server.client_ca_source())];
    queries.extend(fail_open::queries(server));
    queries
}

/// The object with the client CA, as it was read.
pub(super) fn seen(server: &Server, observed: &Observed) -> Reconciled<Seen<ClientCa>> {
    let seen = observed.try_get(&server.client_ca_source())?;
    Ok(seen.read_as(|object| ClientCa::read(object)))
}

/// The authority whose clients a host accepts, if this plugin manages it.
pub(super) fn authority(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<String>> {
    let seen = seen(&host.server, facts.observed)?;
    let source = host.server.client_ca_source();
    Ok(match facts.owner(&source, seen.found()) {
        Owner::Ours(state) => Some(state.authority.clone()),
        _ => None,
    })
}

/// The CAs whose clients a host accepts, as far as they can be read.
pub(super) fn report(host: &Host, observed: &Observed) -> Reconciled<Vec<ClientCaReport>> {
    let seen = seen(&host.server, observed)?;
    let Some(client_ca) = seen.found() else {
        return Ok(Vec::new());
    };
    let lists = client_ca.crl.as_deref();
    let lists = lists.map_or_else(Vec::new, |pem| Crl::many_from_pem(pem).unwrap_or_default());
    let cas = client_ca.bundle.certificates().iter();
    Ok(cas.map(|ca| ClientCaReport::new(ca, &lists)).collect())
}

pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Link> {
    let server = &host.server;
    let reference = server.client_ca_source();
    let seen = seen(server, facts.observed)?;
    let mut link = match &seen {
        Seen::Found(found) => there(host, handshakes, found, facts, now)?,
        Seen::Missing => missing(host, &reference, facts)?,
        Seen::Unreadable(reason) => {
            let mut link = Link::new(CLIENT_CA, "unreadable");
            let object = facts.observed.try_get(&reference)?;
            let fault = object
                .found()
                .and_then(|object| damage(object, &host.expose_command()));
            link.add(fault.unwrap_or_else(|| {
                let remedy = format!("restore {reference} from a backup");
                Finding::new(&check::CLIENT_CA_UNREADABLE, reason, remedy)
            }));
            link
        }
        other => Link::new(CLIENT_CA, "not read").with(
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
        fail_open::name_faults(host, is_missing, facts.observed, &mut link)?;
    } else if let Some(check) = fail_open::check(host, facts)? {
        link.add(check);
    }
    link.extend(fail_open::taken(host, handshakes, facts.observed)?);
    let outdated = proxies::faults(host, &handshakes.ways, facts.observed, now, &mut link)?;
    link.extend(visibility::of_client_ca(host, facts)?);
    link.extend(listeners::rejected(host, &handshakes.ways, facts.observed)?);
    link.extend(cut_off::check(host, &handshakes.ways, facts.observed)?);
    refusal::faults(host, handshakes, (seen.found(), &outdated), &mut link);
    Ok(link)
}

fn missing(host: &Host, reference: &ObjectRef, facts: &Facts<'_>) -> Reconciled<Link> {
    if reference.kind == Kind::ConfigMap
        && let Some(fault) = facts.lost(&reference.name, None)
    {
        let mut link = Link::new(CLIENT_CA, "missing");
        link.add(authority::lost(&fault, &reference.name));
        return Ok(link);
    }
    fail_open::missing(host, reference, facts.observed)
}

fn there(
    host: &Host,
    handshakes: &Handshakes<'_>,
    client_ca: &ClientCa,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Link> {
    let reference = &host.server.client_ca_source();
    let owner = facts.owner(reference, Some(client_ca));
    let mut link = Link::new(CLIENT_CA, says(client_ca, &owner));
    let cas = client_ca.bundle.certificates();
    link.details = cas.iter().map(super::validity::identify).collect();
    link.details.extend(crl::details(client_ca));
    let trusted = Trusted {
        host,
        reference,
        client_ca,
        owner: &owner,
        within: facts.within,
    };
    bundle::faults(&trusted, handshakes, now, &mut link);
    crl::faults(&trusted, now, &mut link);
    match &owner {
        Owner::Ours(state) => {
            authority::faults(&trusted, state, now, &mut link);
            link.extend(authority::checks(state, facts, now)?);
        }
        Owner::Lost(authority) if reference.kind == Kind::ConfigMap => link.find(
            &check::AUTHORITY_DAMAGED,
            format!("{reference} lacks the label `{AUTHORITY_LABEL}`"),
            format!(
                "kubectl label configmaps -n {AUTHORITY_NAMESPACE} {authority} {AUTHORITY_LABEL}={authority}"
            ),
        ),
        Owner::Lost(authority) => link.find(
            &check::AUTHORITY_LOST,
            format!(
                "{reference} follows the authority `{authority}`: the ConfigMap {AUTHORITY_NAMESPACE}/{authority} does not exist"
            ),
            command_line::restore(authority),
        ),
        Owner::Damaged(finding) | Owner::Unknown(finding) => link.add(finding.clone()),
        Owner::Nobody => {}
    }
    Ok(link)
}

fn says(client_ca: &ClientCa, owner: &Owner<'_>) -> String {
    let cas = client_ca.bundle.certificates();
    let described: Vec<String> = cas
        .iter()
        .map(|ca| format!("{} until {}", weakness::name(ca), ca.not_after().date()))
        .collect();
    let suffix = match foreign(client_ca, owner).len() {
        0 => String::new(),
        1 => " (1 CA not managed by kubectl-mtls)".to_owned(),
        more => format!(" ({more} CAs not managed by kubectl-mtls)"),
    };
    described.join("; ") + &suffix
}
