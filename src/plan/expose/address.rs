//! The address at which a Service will be reachable: its port, host and Gateway.

mod gateway_name;
mod host;

use super::environment::Environment;
use super::existing;
use super::target::{Target, wildcard_over};
use super::{Request, ServerChoice, get};
use super::{
    authority, fail_closed_secret, gateway, guard, ingress, joining, route, server_certificate,
    service, workload_policy,
};
use crate::error::Failure;
use crate::plan::authority::namespaces;
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Query, Reconciled, external_routes, placement, probe};
use crate::resources::domain::Domain;
use crate::resources::gateway::Gateway;
use crate::resources::ingress::noted_namespaces;
use crate::resources::names::{
    self, CredentialNames, GATEWAY, GatewayName, INGRESS_ANNOTATION, ISTIO_NAMESPACE,
};
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::{Kind, Object, api_rule, client_ca, environment};
use gateway_name::{chosen_gateway, gateway_name, kymas_gateway, refuse_idle_controller};
use host::{default_host, is_default_form};

/// The reads of the first round, for the cluster's first mutual-TLS Gateway.
pub(super) fn queries(request: &Request) -> Vec<Query> {
    let names = CredentialNames::first();
    let proxies = ingress::guess(request).namespace;
    let [all_services, rule] = route::queries(request);
    let mut queries = vec![
        get(service::reference(request)),
        gateway::query(),
        probe::kubernetes_gateways(),
        all_services,
        get(environment::shoot_info()),
        rule,
    ];
    let gateway = gateway_name(request, None);
    let gateway = gateway.unwrap_or_else(|| GatewayName::new(&request.namespace, GATEWAY));
    queries.extend(guard::queries(&proxies, request, &gateway));
    queries.extend(super::dns_record::queries(request));
    queries.extend(external_routes::queries(
        &service::reference(request),
        [ISTIO_NAMESPACE],
    ));
    queries.extend(of_names(&proxies, &names));
    queries.extend(
        request
            .authority
            .iter()
            .map(|name| get(CredentialNames::of_authority(name).state())),
    );
    queries.extend(namespaces().map(get));
    queries
}

/// The reads of the objects with a Gateway's names.
fn of_names(proxy_namespace: &str, names: &CredentialNames) -> Vec<Query> {
    let mut queries = authority::queries(proxy_namespace, names).to_vec();
    queries.push(fail_closed_secret::query(proxy_namespace, names));
    queries.extend(server_certificate::queries(proxy_namespace, names));
    queries
}

/// The reads once the Gateway is known; nothing new for the cluster's first one.
pub(super) fn of_target(target: &Target) -> Vec<Query> {
    let of_part = |part: Target| {
        let client_cas = part.client_ca_sources().into_iter().map(get);
        of_names(&part.ingress.namespace, &part.names)
            .into_iter()
            .chain(client_cas)
            .chain([part.host_guard(), part.header_guard()].map(get))
            .collect::<Vec<Query>>()
    };
    target.parts().flat_map(of_part).collect()
}

/// The reads that only a cluster without Kyma needs.
pub(super) fn without_kyma(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    if environment.routing == Routing::ApiRule {
        return Ok(Vec::new());
    }
    let route = environment
        .routing
        .reference(&request.namespace, &request.service);
    let mut queries = vec![get(route)];
    queries.extend(workload_policy::queries(request, observed)?);
    Ok(queries)
}

/// Decides port, host and Gateway, or fails with the reason. Values that the user does not give stay as an earlier run made them.
pub(super) fn decide(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<Target> {
    check_route_name(request)?;
    let (live_options, kept) = route::known(request, environment, observed)?;
    let is_meant = |(namespace, name, _): &&(String, String, u16)| {
        *namespace == request.namespace && *name == request.service
    };
    let kept_port = kept
        .as_ref()
        .and_then(LiveRoute::service)
        .filter(is_meant)
        .map(|service| service.2);
    let port = service::port(request, kept_port, observed)?;
    let gateway = chosen_gateway(request, kept.as_ref(), environment.routing, observed)?;
    let gateways = gateway::observe(&gateway, observed)?;
    let options = route::options(&request.route, live_options.unwrap_or_default());
    let kept_host = kept.and_then(|route| route.hosts().first().cloned());
    if environment.routing == Routing::ApiRule {
        refuse_idle_controller(&gateways.readable)?;
    }
    let said = request
        .host
        .clone()
        .or_else(|| super::dns_record::host(request));
    let is_kept = said.is_none() && kept_host.is_some();
    let host = match said.or(kept_host) {
        Some(host) => host,
        None => default_host(request, &gateways.readable, observed)?,
    };
    let is_exact = request.host.is_some() || (is_kept && !is_default_form(request, &host));
    let new_gateway_host = if is_exact {
        host.clone()
    } else {
        wildcard_over(&host)
    };
    let existing = existing::find(
        &gateway,
        &host,
        &new_gateway_host,
        &gateways.readable,
        gateways.ours.as_ref(),
        observed,
    )?;
    if let Some(existing) = &existing {
        existing::check_names(existing)?;
    }
    let gateway_host = match &existing {
        Some(existing) => existing
            .server
            .pattern_for(&host)
            .unwrap_or(&host)
            .to_owned(),
        None => new_gateway_host,
    };
    check_wildcard(&gateway_host, &host)?;
    let route = former_route(request, environment, observed)?;
    let known = joining::Known::of(&gateway, route, observed)?;
    let ingress = ingress::choose(
        request,
        &gateway,
        existing.as_ref(),
        route.and_then(|route| route.annotation(INGRESS_ANNOTATION)),
        environment.routing,
        observed,
    )?;
    let ingress = placement::widened(ingress, observed)?;
    let (ingress, unnamed) = known.admitted((request, &gateway), ingress, observed)?;
    ingress::require_further(&ingress, observed)?;
    let names = super::names::of(
        request,
        &gateway,
        &ingress.namespace,
        &host,
        existing.as_ref(),
        &gateways.readable,
        observed,
    )?;
    let environment = environment.with_issuers(&ingress.namespace, observed)?;
    let certificates = match &request.server {
        ServerChoice::Auto => environment.certificates(),
        ServerChoice::Gardener => vec![Kind::Certificate],
        ServerChoice::CertManager => vec![Kind::CertManagerCertificate],
        _ => Vec::new(),
    };
    Ok(Target {
        namespace: request.namespace.clone(),
        service: request.service.clone(),
        port,
        host,
        gateway_host,
        ingress,
        unnamed,
        existing,
        gateway,
        names,
        options,
        environment,
        certificates,
        gateways: gateways.readable,
        gateways_unseen: gateways.unseen,
    })
}

/// Refuses a host that the certificate of the Gateway's server does not cover.
fn check_wildcard(gateway_host: &str, host: &str) -> Result<(), Failure> {
    if !gateway_host.starts_with('*') || wildcard_over(host) == gateway_host {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "a certificate for `{gateway_host}` does not cover `{host}`"
    ))
    .hint("a certificate's wildcard stands for one label only; choose a host with one label in its place"))
}

/// Refuses a Service whose name is too long for a route.
fn check_route_name(request: &Request) -> Result<(), Failure> {
    let route_name = names::route(&request.service);
    if route_name.len() <= api_rule::LONGEST_NAME {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the Service's name `{}` is too long",
        request.service
    ))
    .hint(format!(
        "the Service's route `{route_name}` may have at most {} characters",
        api_rule::LONGEST_NAME
    )))
}

/// The Service's route as it was when the run began, if it is ours.
fn former_route<'a>(
    request: &Request,
    environment: Environment,
    observed: &'a Observed,
) -> Reconciled<Option<&'a Object>> {
    let route = environment
        .routing
        .reference(&request.namespace, &request.service);
    observed.try_get(&route)?;
    let before = observed.first_read(&route);
    Ok(before.filter(|route| route.is_ours()))
}

/// The names of a deleted Gateway, from its route.
pub(super) fn former_names(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    let (_, kept) = route::known(request, environment, observed)?;
    let Some(name) = gateway_name(request, kept.as_ref()) else {
        return Ok(Vec::new());
    };
    let route = environment
        .routing
        .reference(&request.namespace, &request.service);
    // What this run itself wrote tells nothing.
    let is_gone = kept.is_some()
        && observed.change_of(&route).is_none()
        && tolerate(gateway::listed(&name, observed))?.is_ok_and(|found| found.is_none());
    let names = CredentialNames::further(&name);
    let route = former_route(request, environment, observed)?;
    let noted = route.and_then(|route| route.annotation(INGRESS_ANNOTATION));
    let namespaces = noted_namespaces(noted).into_iter();
    let fallbacks =
        namespaces.map(|proxies| client_ca::secret(&proxies, &names.derived_client_ca()));
    let told = [names.state()].into_iter().chain(fallbacks);
    Ok(told.filter(|_| is_gone).map(get).collect())
}
