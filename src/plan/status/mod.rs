//! `status`: every link from DNS to the clients, with one finding per fault and its remedy. It writes nothing.

mod client_ca;
mod clients;
mod gateway;
mod hosts;
mod report;
mod route;
mod server;
mod way;

use time::OffsetDateTime;

pub use report::{Finding, HostReport, Link, Mark, Report};

use super::{Query, Step, World, gateway_look};
use crate::error::Failure;
use crate::plan::look::Client;
use crate::resources::Kind;
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, INGRESS_NAMESPACE,
};
use hosts::Host;

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Only this host, or the hosts of this Service.
    pub only: Option<String>,
    /// `HOST:PORT` in the place of the load balancer.
    pub connect_to: Option<String>,
}

/// The next step.
pub fn next(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Report>, Failure> {
    if let Some(step) = world.read_first(everything()) {
        return Ok(step);
    }
    let hosts = hosts::find(request, world)?;
    if let Some(step) = world.read_first(hosts.iter().flat_map(of_host)) {
        return Ok(step);
    }
    if let Some(step) = world.read_first(
        hosts
            .iter()
            .flat_map(|host| way::balancer_names(host, world)),
    ) {
        return Ok(step);
    }
    let unmade = |look: &super::Look| world.sightings(look).is_empty();
    let looks: Vec<_> = hosts
        .iter()
        .flat_map(|host| {
            let ways =
                gateway_look::ways(world, &host.gateway.selector, request.connect_to.as_deref());
            gateway_look::looks(&ways, &host.probe, Client::Nobody).collect::<Vec<_>>()
        })
        .filter(unmade)
        .collect();
    if !looks.is_empty() {
        return Ok(Step::Look(looks));
    }
    let reports = hosts
        .iter()
        .map(|host| examine(host, request, world, now))
        .collect();
    Ok(Step::Done(Report::new(reports)))
}

/// What tells which hosts there are, and what all of them share.
fn everything() -> Vec<Query> {
    vec![
        Query::everywhere(Kind::Gateway),
        Query::everywhere(Kind::VirtualService),
        Query::everywhere(Kind::ApiRule),
        Query::within(Kind::Certificate, INGRESS_NAMESPACE),
        Query::Get(gateway_look::ingress_service()),
        states(),
        inventory(),
    ]
}

fn states() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: false,
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

fn of_host(host: &Host) -> Vec<Query> {
    let mut queries = vec![
        Query::Resolve(host.probe.clone()),
        gateway_look::pods(&host.gateway.selector),
    ];
    queries.extend(client_ca::queries(&host.server));
    queries.extend(host.backend().map(Query::Get));
    queries
}

/// Every link of one host, in the order in which a request passes them.
fn examine(host: &Host, request: &Request, world: &World, now: OffsetDateTime) -> HostReport {
    let seen = way::look(host, request, world);
    let client_ca = client_ca::examine(host, &seen, world, now);
    HostReport {
        host: host.name.clone(),
        gateway: host.gateway.name.to_string(),
        links: vec![
            way::dns(host, world),
            server::examine(host, &seen, world, now),
            client_ca,
            gateway::examine(host, &seen, world),
            route::examine(host),
            route::service(host, world),
            clients::examine(host, world, now),
        ],
    }
}
