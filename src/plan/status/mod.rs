//! `status`: every link from DNS to the clients, with one finding per fault and its remedy. It writes nothing.
//!
//! Facts, then judgment: [`facts`] sorts what was read, one file per link judges it, and `output` shows it.

mod allowed;
mod authority;
mod client_ca;
mod clients;
mod crl;
mod endpoints;
mod external;
mod facts;
mod fail_open;
mod forwarding;
mod gateway;
mod guards;
mod hosts;
mod ingress_policies;
mod kubectl;
mod kyma;
mod refusal;
mod report;
mod rivals;
mod route;
mod routes;
mod server;
mod tcp_servers;
#[cfg(test)]
mod tests;
mod unprotected;
mod way;

use time::{Duration, OffsetDateTime};

pub use report::{HostReport, Link, Mark, Report};

use super::check;
pub use super::check::{Finding, Severity};
use super::{Observed, Probe, Query, external_routes, probe};
use crate::pki::inspect::Certificate;
use crate::plan::probe::Client;
use crate::plan::{Effect, Reconciled};
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, INGRESS_NAMESPACE,
};
use crate::resources::{Kind, witness};
use facts::Facts;
use hosts::Host;
use routes::Backend;

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Only this host, or the hosts of this Service.
    pub only: Option<String>,
    /// Only hosts whose Gateway or route lives in this namespace.
    pub namespace: Option<String>,
    /// `HOST:PORT` in the place of the load balancer.
    pub connect_to: Option<String>,
}

/// Looks at every host.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    observed.prefetch(everything())?;
    let facts = Facts::of(observed)?;
    let unprotected = unprotected::find(request, &facts)?;
    let hosts = match hosts::find(request, &facts) {
        Err(_) if !unprotected.is_empty() => Vec::new(),
        found => found?,
    };
    let hosts = rivals::relevant(hosts, &unprotected, &facts);
    let of_unprotected = unprotected.iter().flat_map(|host| host.queries(&facts));
    let of_hosts = hosts.iter().flat_map(|host| of_host(host, &facts));
    observed.prefetch(of_hosts.chain(of_unprotected))?;
    let mut second = Vec::new();
    for host in &hosts {
        second.extend(external::pods(host, observed)?);
        second.extend(endpoints::queries(host, observed)?);
    }
    second.extend(way::queries(&hosts, observed)?);
    observed.prefetch(second)?;
    for host in &hosts {
        let selector = &host.gateway.selector;
        probe::know_pods(observed, selector, request.connect_to.as_deref())?;
    }
    let mut probes: Vec<Probe> = Vec::new();
    for host in &hosts {
        let ways = way::ways(host, request, observed)?;
        probes.extend(probe::probes(&ways, &host.probe, &Client::Nobody));
    }
    probes.retain(|probe| observed.observations(probe).is_empty());
    if !probes.is_empty() {
        return Err(Effect::Probe(probes.into()).into());
    }
    let unprotected = unprotected.iter().map(|host| host.report(&facts));
    let protected = hosts.iter().map(|host| examine(host, request, &facts, now));
    let reports: Vec<HostReport> = unprotected.chain(protected).collect::<Reconciled<_>>()?;
    let mut others = facts.damages(request.namespace.as_deref());
    others.extend(kyma::check(&facts));
    if reports.is_empty() {
        others.extend(facts.unseen_routes());
    } else {
        others.extend(forwarding::check(observed)?);
    }
    Ok(Report {
        namespace: request.namespace.clone(),
        ..Report::new(reports, others)
    })
}

/// What tells which hosts there are, and what all of them share.
fn everything() -> Vec<Query> {
    let shared = vec![
        Query::everywhere(Kind::Gateway),
        Query::everywhere(Kind::VirtualService),
        Query::everywhere(Kind::ApiRule),
        Query::within(Kind::Certificate, INGRESS_NAMESPACE),
        Query::Get(probe::ingress_service()),
        states(),
        inventory(),
        witnesses(),
        guards::query(),
    ];
    shared.into_iter().chain(forwarding::queries()).collect()
}

fn states() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: false,
    }
}

fn witnesses() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(witness::LABEL.to_owned()),
        metadata_only: true,
    }
}

fn inventory() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: true,
    }
}

fn of_host(host: &Host, facts: &Facts<'_>) -> Vec<Query> {
    let mut queries = vec![Query::Resolve(host.probe.clone())];
    queries.extend(probe::queries(&host.gateway.selector));
    queries.extend(client_ca::queries(&host.server));
    queries.extend(
        host.route
            .iter()
            .flat_map(|found| route::queries(found, facts)),
    );
    if let Some(Backend { service, .. }) = host.backend() {
        queries.extend(external_routes::queries(&service));
        queries.push(endpoints::slices(&service));
        queries.push(Query::Get(service));
    }
    queries
}

/// Every link of one host, in the order in which a request passes them.
fn examine(
    host: &Host,
    request: &Request,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<HostReport> {
    let looked = way::looked(host, request, facts.observed)?;
    let mut clients = clients::examine(host, facts, now)?;
    allowed::tell(host, facts, now, &mut clients)?;
    let mut gateway = gateway::examine(host, &looked, facts)?;
    guards::examine(host, facts, &mut gateway)?;
    ingress_policies::examine(host, facts, &mut gateway)?;
    let mut service = route::service(host.route.as_ref(), facts)?;
    external::tell(host, facts, &mut service)?;
    endpoints::tell(host, facts.observed, &mut service)?;
    Ok(HostReport {
        host: host.name.clone(),
        gateway: host.gateway.name.to_string(),
        links: vec![
            way::dns(host, facts)?,
            server::examine(host, &looked, facts, now),
            client_ca::examine(host, &looked, facts, now)?,
            gateway,
            route::examine(host, facts)?,
            service,
            clients,
        ],
    })
}

/// How long before its end a certificate is reported: `at_most`, and a third of its life where that is shorter.
fn soon(begin: OffsetDateTime, end: OffsetDateTime, at_most: Duration) -> Duration {
    at_most.min((end - begin) / 3)
}

/// A certificate for somebody who compares it with another one.
fn identify(certificate: &Certificate) -> String {
    format!(
        "SHA-256 {}, serial {}, {}",
        certificate.fingerprint(),
        certificate.serial_hex(),
        certificate.subject()
    )
}
