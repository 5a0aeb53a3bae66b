//! `status`: checks everything from DNS to the clients, with one finding per fault and its remedy. Writes nothing.
//!
//! [`facts`] sorts what was read, one module per link checks it, and `output` prints it.

mod allowed;
mod answers;
mod asked;
mod authorities;
mod authority;
mod bundle;
mod client_ca;
mod clients;
mod clock;
mod crl;
mod cut_off;
mod damage;
mod destination;
mod dns;
mod duplicates;
mod elsewhere;
mod endpoints;
mod enforcement;
mod entries;
mod envoy_filters;
mod extensions;
mod external;
mod facts;
mod fail_open;
mod forwarding;
mod gateway;
mod guards;
mod hosts;
mod ingress;
mod ingress_policies;
mod issuer;
mod kyma;
mod left_over;
mod listed;
mod listeners;
mod network;
mod next_step;
mod outside;
mod probes;
mod protocol;
mod proxies;
mod queries;
mod records;
mod refusal;
mod rejected;
mod report;
mod revoked;
mod rivals;
mod route;
mod routes;
mod server;
mod server_chain;
mod server_source;
mod subsets;
mod tcp_servers;
#[cfg(test)]
mod tests;
mod timeline;
mod unprotected;
mod validity;
mod visibility;
mod workload;

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

pub use report::{
    AuthorityReport, CaReport, ClientCaReport, ClientEnd, ClientsReport, CrlReport, End,
    HistoryReport, HostReport, Keys, Link, Mark, Report, Role, ServerCertificate, Timeline, Week,
};

use super::check;
pub use super::check::{Finding, Severity};
use super::{Observed, Probe, Query, Seen, control_plane, external_routes, probe};
use crate::pki::inspect::Certificate;
use crate::plan::probe::Client;
use crate::plan::{Effect, Reconciled};
use crate::resources::Kind;
use crate::resources::names::{INGRESS_NAMESPACE, ISTIO_NAMESPACE};
use facts::Facts;
use hosts::Host;
use probes::Handshakes;
use queries::{policies, states, witnesses};
use routes::Backend;

/// How many names a line of the report lists.
const NAMES_SHOWN: usize = 5;
/// The link of the client CA.
const CLIENT_CA: &str = "client CA";

/// The request of the user.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Only this host, or the hosts of this Service.
    pub only: Option<String>,
    /// Only hosts whose Gateway or route is in this namespace.
    pub namespace: Option<String>,
    /// The user's own namespace, which is read if the others may not be.
    pub own_namespace: String,
    /// Address of the gateway to use instead of the load balancer, `HOST:PORT`.
    pub connect_to: Option<String>,
    /// Report every expiry within this time.
    pub expiring_within: Option<Duration>,
    /// Whether to include a timeline of expiry dates.
    pub timeline: bool,
}

/// Checks every host.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    observed.prefetch(everything())?;
    answers::check(observed)?;
    let facts = Facts::of(observed, request)?;
    let unprotected = unprotected::find(request, &facts)?;
    let mut hosts = hosts::find(request, &facts);
    if hosts.is_empty() && facts.are_gateways_unseen() {
        hosts = outside::hosts(request, &facts);
    }
    if hosts.is_empty() && unprotected.is_empty() {
        asked::check(request, &facts)?;
    }
    let mut hosts = rivals::relevant(hosts, &unprotected, &facts);
    hosts::find_candidates(&mut hosts, observed)?;
    let pods = |host: &Host| {
        host.gateway
            .ingress
            .parts()
            .map(|part| probe::pods(&part))
            .collect::<Vec<_>>()
    };
    observed.prefetch(looked_at(&hosts).flat_map(pods))?;
    observed.prefetch(control_planes(&hosts, observed)?)?;
    let mut first = authority::queries(&hosts, &facts);
    for part in hosts.iter().flat_map(Host::parts) {
        first.extend(of_host(&part, &facts)?);
    }
    for host in &unprotected {
        first.extend(host.queries(&facts)?);
    }
    observed.prefetch(first)?;
    let mut second = vec![Query::Inventory];
    for host in &hosts {
        second.extend(external::pods(host, observed)?);
        second.extend(network::pods(host, &facts)?);
        second.extend(endpoints::queries(host, observed)?);
    }
    second.extend(dns::queries(&hosts, observed)?);
    second.extend(proxies::queries(&hosts, request, observed)?);
    observed.prefetch(second)?;
    revoked::settle(&hosts, request, &facts, now)?;
    proxies::settle(&hosts, request, observed)?;
    enforcement::settle(&hosts, request, &facts)?;
    for host in &hosts {
        let ingress = &host.gateway.ingress;
        probe::know_pods(observed, ingress, request.connect_to.as_deref())?;
    }
    let mut probes: Vec<Probe> = Vec::new();
    for host in &hosts {
        let ways = probes::ways(host, request, observed)?;
        probes.extend(probe::probes(&ways, &host.probe, &Client::Nobody));
    }
    probes.retain(|probe| observed.observations(probe).is_empty());
    if !probes.is_empty() {
        return Err(Effect::Probe(probes.into()).into());
    }
    let at = |now| -> Reconciled<Report> {
        let unprotected = unprotected.iter().map(|host| host.report(&facts));
        let protected = hosts.iter().map(|host| examine(host, request, &facts, now));
        let reports: Vec<HostReport> = unprotected.chain(protected).collect::<Reconciled<_>>()?;
        let mut others = facts.damages(request.namespace.as_deref());
        others.extend(kyma::check(&facts)?);
        if !reports.is_empty() {
            others.extend(forwarding::check(&hosts, observed)?);
        }
        others.extend(facts.unlisted());
        others.extend(facts.unseen_witnesses()?);
        Ok(Report::new(reports, others))
    };
    let mut report = at(now)?;
    if let Some(ahead) = clock::skew(observed) {
        // Which of the clocks is wrong is not known, so a certificate is expired only by both.
        report.agree_with(&at(now + ahead)?, clock::differ(ahead));
    }
    report.namespace.clone_from(&request.namespace);
    report.authorities = authorities::report(&report.authority_names(), &facts, now)?;
    answers::complete_roles(&mut report, &hosts, observed)?;
    if request.timeline {
        report.timeline = Some(timeline::of(&report, facts.entries()?, now));
    }
    Ok(report)
}

/// The reads that find the hosts, and those that all hosts share.
fn everything() -> Vec<Query> {
    let shared = vec![
        Query::everywhere(Kind::Gateway),
        Query::everywhere(Kind::VirtualService),
        Query::everywhere(Kind::ApiRule),
        Query::within(Kind::Certificate, INGRESS_NAMESPACE),
        Query::within(Kind::CertManagerCertificate, INGRESS_NAMESPACE),
        Query::Get(probe::ingress_service()),
        states(),
        witnesses(),
        policies(ISTIO_NAMESPACE),
    ];
    shared.into_iter().chain(forwarding::queries()).collect()
}

/// The hosts of which more than a client's view can be looked at.
fn looked_at(hosts: &[Host]) -> impl Iterator<Item = &Host> {
    hosts.iter().filter(|host| !host.is_from_outside)
}

/// The mesh configurations of their gateways.
fn control_planes(hosts: &[Host], observed: &Observed) -> Reconciled<Vec<Query>> {
    let mut configs = BTreeSet::new();
    for host in looked_at(hosts) {
        configs.extend(control_plane::mesh_configs(
            &host.gateway.ingress,
            observed,
        )?);
    }
    Ok(configs.into_iter().map(Query::Get).collect())
}

fn of_host(host: &Host, facts: &Facts<'_>) -> Reconciled<Vec<Query>> {
    let mut queries = vec![
        Query::Resolve(host.probe.clone()),
        probe::kubernetes_gateways(),
    ];
    queries.extend(probe::queries(&host.gateway.ingress));
    queries.push(policies(&host.gateway.ingress.namespace));
    let mut roots = BTreeSet::new();
    if !host.is_from_outside {
        roots = control_plane::root_namespaces(&host.gateway.ingress, facts.observed)?;
        queries.extend(network::queries(host));
        queries.extend(visibility::namespaces(host, facts)?);
        queries.extend(envoy_filters::lists(host, facts.observed)?);
        queries.extend(extensions::lists(host, facts.observed)?);
        queries.extend(ingress_policies::lists(host, facts.observed)?);
        queries.extend(elsewhere::query(host));
        queries.extend(client_ca::queries(&host.server));
        queries.extend(server_source::query(&host.server));
        queries.extend(issuer::query(host, facts));
    }
    let route = host.route.iter();
    let ingress = &host.gateway.ingress;
    let reader = subsets::Reader::of(ingress, &ingress.namespace, facts.observed)?;
    queries.extend(route.flat_map(|found| reader.queries(found, facts)));
    if let Some(Backend { service, .. }) = host.backend() {
        queries.extend(external_routes::queries(
            &service,
            roots.iter().map(String::as_str),
        ));
        queries.push(endpoints::slices(&service));
        queries.extend(destination::queries(&service, &roots));
    }
    Ok(queries)
}

/// The report of one host: its links in the order in which a request passes them.
fn examine(
    host: &Host,
    request: &Request,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<HostReport> {
    let observed = facts.observed;
    let handshakes = probes::handshakes(host, request, observed)?;
    let shown: Vec<(Certificate, Vec<String>)> =
        handshakes.group_ways(|shown| shown.server.clone());
    let seen = HostReport {
        host: host.name.clone(),
        addresses: match observed.addresses_of(&host.probe)? {
            Seen::Found(addresses) => addresses.to_vec(),
            _ => Vec::new(),
        },
        server_certificates: shown
            .into_iter()
            .map(|(shown, by)| ServerCertificate::new(&shown, by))
            .collect(),
        ..HostReport::default()
    };
    if host.is_from_outside {
        let links = outside::links(host, &handshakes, facts, now)?;
        return Ok(HostReport { links, ..seen });
    }
    let route = host.route.as_ref();
    let service = host.backend().map(|behind| behind.service);
    Ok(HostReport {
        gateway: host.gateway.name.to_string(),
        route: route.map(|route| route.reference().to_string()),
        service: service.map(|service| format!("{}/{}", service.namespace, service.name)),
        authority: client_ca::authority(host, facts)?,
        client_cas: client_ca::report(host, observed)?,
        allowed: allowed::identities(host, facts)?,
        links: links(host, &handshakes, request, facts, now)?,
        ..seen
    })
}

/// What is seen at the proxies of one namespace: server certificate, client CA and Gateway.
fn at_proxies(
    host: &Host,
    request: &Request,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<[Link; 3]> {
    let handshakes = probes::handshakes(host, request, facts.observed)?;
    let mut gateway = gateway::examine(host, &handshakes, facts, now)?;
    guards::examine(host, facts, &mut gateway)?;
    gateway.extend(left_over::checks(host, facts, now)?);
    ingress_policies::examine(host, facts, now, &mut gateway)?;
    extensions::examine(host, facts, &mut gateway)?;
    let explains_guards = envoy_filters::examine(host, &handshakes, facts, &mut gateway)?;
    if !explains_guards {
        enforcement::examine(host, &handshakes, facts, &mut gateway)?;
    }
    Ok([
        server::examine(host, &handshakes, facts, now)?,
        client_ca::examine(host, &handshakes, facts, now)?,
        gateway,
    ])
}

fn links(
    host: &Host,
    handshakes: &Handshakes<'_>,
    request: &Request,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Vec<Link>> {
    let mut parts = host.parts();
    let first = parts.next().unwrap_or_else(|| host.clone());
    let [mut server, mut client_ca, mut gateway] = at_proxies(&first, request, facts, now)?;
    gateway.says = gateway::says(host, handshakes);
    server.says = server::says(handshakes);
    gateway.extend(elsewhere::check(host, facts)?);
    for part in parts {
        if elsewhere::is_examined(&part, facts)? {
            let [of_server, of_client_ca, of_gateway] = at_proxies(&part, request, facts, now)?;
            server.join(of_server);
            client_ca.join(of_client_ca);
            gateway.join(of_gateway);
        }
    }
    let mut ingress = ingress::examine(host, handshakes, facts)?;
    ingress.extend(network::in_front(host, facts)?);
    let service = at_service(host, facts)?;
    let mut clients = clients::examine(host, facts, now)?;
    allowed::tell(host, facts, now, &mut clients)?;
    Ok(vec![
        dns::examine(host, facts)?,
        ingress,
        server,
        client_ca,
        gateway,
        route::examine(host, facts)?,
        service,
        clients,
    ])
}

/// The link of the Service, and of the Pods behind it.
fn at_service(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let front = (&host.gateway.name, host.server.port);
    let mut service = route::service(host.route.as_ref(), front, facts)?;
    service.extend(visibility::of_service(host, facts)?);
    external::tell(host, facts, &mut service)?;
    endpoints::tell(host, facts, &mut service)?;
    service.extend(network::behind(host, facts)?);
    Ok(service)
}
