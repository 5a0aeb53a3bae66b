//! The route from the Gateway to the Service, and the Service.

use super::facts::{Facts, damaged, remedy};
use super::hosts::Host;
use super::routes::{self, Backend, Route};
use super::{
    Finding, Link, Severity, check, client_ca, duplicates, guards, subsets, visibility, workload,
};
use crate::plan::command_line;
use crate::plan::{Reconciled, Seen, weakness};
use crate::resources::api_rule::{ApiRule, NO_SIDECAR};
use crate::resources::http_routes::{Identity, astray, detour, deviation, identity};
use crate::resources::names::{self, GatewayName};
use crate::resources::service::{Port, Service};
use crate::resources::{Kind, Object, ObjectRef};

pub(super) fn examine(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let link = match &host.route {
        None => none(host, facts),
        Some(route) => {
            let (mut link, is_forgeable) = of(route, &host.gateway.name, facts)?;
            if is_forgeable {
                forging_faults(host, facts, &mut link)?;
            }
            link.extend(duplicates::checks(host, route, facts));
            link
        }
    };
    Ok(link)
}

/// The link of a route, and whether a client whose certificate lacks the value of an identity header can choose that header.
pub(super) fn of(
    route: &Route,
    gateway: &GatewayName,
    facts: &Facts<'_>,
) -> Reconciled<(Link, bool)> {
    let reference = route.reference();
    let proxies = routes::proxies_of(gateway, route, facts);
    let mut link = Link::new("route", reference.to_string());
    let told = match route {
        Route::ApiRule(_, rule) => {
            of_api_rule(route, rule, gateway, facts, &mut link)?;
            Some(Identity {
                is_set: rule.passes_identity,
                is_guarded: rule.guards_identity,
            })
        }
        Route::VirtualService(..) => {
            let object = routes::object(route, facts);
            if let Some(object) = object {
                link.extend(edited(object, strayed));
                link.extend(visibility::of_route(object, gateway, proxies, facts)?);
                let reader = subsets::Reader::of(&facts.ingress(gateway), proxies, facts.observed)?;
                subsets::undefined(object, &reader, facts, &mut link)?;
            }
            object.and_then(identity)
        }
    };
    let Some(told) = told else {
        return Ok((link, false));
    };
    if !told.is_set {
        let missing = Finding::new(
            &check::ROUTE_HEADERS_MISSING,
            format!("{reference} does not set all identity headers"),
            set_headers(route, facts),
        );
        link.add(if guards::has_header_guard(proxies, gateway, facts)? {
            missing.because("the Service does not learn which client calls")
        } else {
            missing
        });
    }
    Ok((link, told.is_set && !told.is_guarded))
}

/// The command that makes a route set the identity headers: without a flag, `expose` keeps the options of others' routes.
fn set_headers(route: &Route, facts: &Facts<'_>) -> String {
    let is_ours = routes::object(route, facts).is_some_and(Object::is_ours);
    match route {
        _ if is_ours => restore(route),
        Route::ApiRule(..) => format!("{} --identity-headers plain", restore(route)),
        Route::VirtualService(reference, _) => command_line::edit(reference),
    }
}

/// The command that restores a route of this plugin.
pub(super) fn restore(route: &Route) -> String {
    match route.backend() {
        Some(Backend { service, .. }) => command_line::expose(&service),
        None => command_line::edit(route.reference()),
    }
}

fn of_api_rule(
    route: &Route,
    rule: &ApiRule,
    gateway: &GatewayName,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<()> {
    let reference = route.reference();
    let state = if rule.state.is_empty() {
        "not seen by the route's controller yet"
    } else {
        &rule.state
    };
    link.says = format!("{reference}, {state}");
    let object = routes::object(route, facts);
    if object.is_some_and(|object| object.at(&["metadata", "deletionTimestamp"]).is_some()) {
        link.find(
            &check::ROUTE_FAILED,
            format!("{reference} is being deleted"),
            command_line::kubectl("describe", reference),
        );
        return Ok(());
    }
    let is_ours = object.is_some_and(Object::is_ours);
    let astray = || {
        rule.astray(reference)
            .map(|service| format!("leads to {service}"))
    };
    link.extend(object.and_then(|object| edited(object, |_| astray())));
    if rule.state != "Ready" {
        // `expose` repairs the route; it restarts no Pods.
        let is_of_pods = rule.description.contains(NO_SIDECAR);
        let remedy = if is_ours && !is_of_pods {
            restore(route)
        } else {
            command_line::kubectl("describe", reference)
        };
        let seen = format!("{reference} is {state}{}", because(&rule.description));
        let failed = Finding::new(&check::ROUTE_FAILED, seen, remedy);
        link.add(match rule.state.as_str() {
            "Error" | "Deleting" => failed,
            _ => failed.graded(Severity::Warning),
        });
        return Ok(());
    }
    link.extend(demanding(route, rule).filter(|_| is_ours));
    let Seen::Found(services) = &facts.virtual_services else {
        return Ok(());
    };
    let own = (reference.namespace.clone(), reference.name.clone());
    let made: Vec<&Object> = services
        .readable
        .iter()
        .filter(|(_, service)| service.made_for.as_ref() == Some(&own))
        .map(|(object, _)| *object)
        .collect();
    if made.is_empty() && services.damaged.is_empty() {
        link.find(
            &check::ROUTE_VIRTUAL_SERVICE_MISSING,
            format!(
                "{reference} is Ready, and the VirtualService that Kyma made for it does not exist"
            ),
            restore(route),
        );
    }
    let proxies = routes::proxies_of(gateway, route, facts);
    for object in made {
        link.extend(visibility::of_route(object, gateway, proxies, facts)?);
        if let Some(deviation) = deviation(rule, object) {
            link.find(
                &check::ROUTE_VIRTUAL_SERVICE_EDITED,
                format!(
                    "{}, which Kyma made for {reference}, {deviation}",
                    object.reference()
                ),
                restore(route),
            );
        }
    }
    Ok(())
}

/// The finding on an `APIRule` that demands more of requests than a client certificate.
fn demanding(route: &Route, rule: &ApiRule) -> Option<Finding> {
    let demand = rule.demand?;
    let why = match demand {
        "jwt" => {
            "requests without a token are answered with 403, whatever certificate the client has"
        }
        _ => {
            "requests that the external authorizer rejects are answered with 403, whatever certificate the client has"
        }
    };
    let seen = format!(
        "{} has a rule with `{demand}` in the place of `noAuth`",
        route.reference()
    );
    Some(Finding::new(&check::ROUTE_EDITED, seen, restore(route)).because(why))
}

/// What a `VirtualService` of this plugin does beside forwarding requests to its Service, as the end of a sentence.
fn strayed(object: &Object) -> Option<String> {
    let nowhere = || {
        identity(object)
            .is_none()
            .then(|| "leads to no Service".to_owned())
    };
    astray(object).or_else(|| detour(object)).or_else(nowhere)
}

/// The finding on a route of this plugin that does not only forward requests to the Service in its name.
fn edited(object: &Object, deed: impl FnOnce(&Object) -> Option<String>) -> Option<Finding> {
    let reference = object.reference();
    let service = reference.name.strip_suffix(names::route("").as_str())?;
    let service = ObjectRef::new(Kind::Service, &reference.namespace, service);
    let deed = object.is_ours().then(|| deed(object))??;
    Some(Finding::new(
        &check::ROUTE_EDITED,
        format!("{reference} {deed}"),
        command_line::expose(&service),
    ))
}

fn none(host: &Host, facts: &Facts<'_>) -> Link {
    if !is_every_route_read(facts) {
        let mut link = Link::new("route", "not known: not every route could be read");
        link.was_not_seen();
        return link;
    }
    Link::new("route", "none").with(
        &check::ROUTE_NONE,
        format!(
            "nothing is routed behind `{}`: every request is answered with 404",
            host.name
        ),
        match &host.candidate {
            Some(_) => host.expose_command(),
            None => format!("kubectl get services -n {}", host.gateway.name.namespace),
        },
    )
}

fn is_every_route_read(facts: &Facts<'_>) -> bool {
    !facts.is_partly_unseen(Kind::ApiRule)
        && !facts.is_partly_unseen(Kind::VirtualService)
        && damaged(&facts.rules).is_empty()
        && damaged(&facts.virtual_services).is_empty()
}

/// Adds the findings on clients of external or imported CAs that can forge their identity.
fn forging_faults(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    if guards::has_header_guard(&host.gateway.ingress.namespace, &host.gateway.name, facts)? {
        return Ok(());
    }
    let seen = client_ca::seen(&host.server, facts.observed)?;
    let Some(trusted) = seen.found() else {
        return Ok(());
    };
    let source = host.server.client_ca_source();
    let owner = facts.owner(&source, Some(trusted));
    let made_elsewhere = client_ca::made_elsewhere(trusted, &owner);
    if let Some(finding) = weakness::of_headers(made_elsewhere, &host.expose_command()) {
        link.add(finding);
    }
    Ok(())
}

/// A controller's message after a colon, if there is one.
pub(super) fn because(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}

/// The link of the Service behind a route on a Gateway, which listens on this port.
pub(super) fn service(
    route: Option<&Route>,
    (gateway, listener): (&GatewayName, u16),
    facts: &Facts<'_>,
) -> Reconciled<Link> {
    let backend = route.and_then(|route| Some((route, route.backend()?)));
    let Some((of, Backend { service, port })) = backend else {
        let (says, is_seen) = match route {
            Some(route) => (
                format!("not known: {} names no Service", route.reference()),
                false,
            ),
            None if is_every_route_read(facts) => ("none without a route".to_owned(), true),
            None => ("not known without the route".to_owned(), false),
        };
        let mut link = Link::new("Service", says);
        if !is_seen {
            link.was_not_seen();
        }
        return Ok(link);
    };
    let mut link = Link::new("Service", format!("{}/{}", service.namespace, service.name));
    let seen = workload::read_service(&service, facts.observed)?;
    Ok(match seen.read_as(|object| Service::read(object)) {
        Seen::Found(found) => {
            let has = |port: u16| found.tcp_ports().any(|known| known.port == port);
            match port {
                Some(port) if !has(port) => link.add(without_port(&service, port, &found)),
                None if found.ports.len() > 1 && !has(listener) => {
                    link.extend(route.map(|route| portless(route, &service, &found, facts)));
                }
                _ => {}
            }
            if let Some(object) = seen.found() {
                let proxies = routes::proxies_of(gateway, of, facts);
                link.extend(visibility::unexported(object, gateway, proxies, facts)?);
            }
            link
        }
        Seen::Missing => link.with(
            &check::SERVICE_MISSING,
            format!("{service} does not exist"),
            format!(
                "create the Service, or stop exposing it: `kubectl mtls unexpose {} -n {}`",
                service.name, service.namespace
            ),
        ),
        Seen::Unreadable(reason) => link.with(
            &check::SERVICE_UNREADABLE,
            reason,
            command_line::edit(&service),
        ),
        other => link.with(
            &check::SERVICE_NOT_CHECKED,
            format!(
                "{service} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            remedy(&other),
        ),
    })
}

fn without_port(reference: &ObjectRef, port: u16, service: &Service) -> Finding {
    let ports: Vec<String> = service.tcp_ports().map(Port::describe).collect();
    let (seen, remedy) = match service.tcp_ports().next() {
        Some(first) => (
            format!("{reference} has no port {port}, but {}", ports.join(", ")),
            format!("{} --port {}", command_line::expose(reference), first.port),
        ),
        None => (
            format!("{reference} has no port {port}, and no other HTTP port"),
            command_line::edit(reference),
        ),
    };
    Finding::new(&check::SERVICE_NO_PORT, seen, remedy)
}

/// The finding on a route that leaves the port of its Service open, of which there are several: istiod then takes the port of the Gateway's
/// server (<https://github.com/istio/istio>, `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`).
fn portless(route: &Route, reference: &ObjectRef, service: &Service, facts: &Facts<'_>) -> Finding {
    let ports: Vec<String> = service.ports.iter().map(Port::describe).collect();
    let object = route.reference();
    let seen = format!(
        "{object} names no port of {reference}, which has several: {}",
        ports.join(", ")
    );
    let is_ours = routes::object(route, facts).is_some_and(Object::is_ours);
    let remedy = match service.tcp_ports().next().filter(|_| is_ours) {
        Some(first) => format!("{} --port {}", restore(route), first.port),
        None => command_line::edit(object),
    };
    Finding::new(&check::SERVICE_NO_PORT, seen, remedy)
}
