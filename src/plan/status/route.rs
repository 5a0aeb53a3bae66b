//! The route from the Gateway to the Service, and the Service.

use super::facts::{Facts, damaged, remedy};
use super::hosts::Host;
use super::routes::{Backend, Route};
use super::{Link, check, client_ca, guards};
use crate::plan::{Reconciled, Seen, weakness};
use crate::resources::api_rule::ApiRule;
use crate::resources::service::Service;
use crate::resources::{Kind, ObjectRef};

pub(super) fn examine(host: &Host, facts: &Facts<'_>) -> Reconciled<Link> {
    let link = match &host.route {
        None => none(host, facts),
        Some(Route::VirtualService(reference, _)) => Link::new("route", reference.to_string()),
        Some(Route::ApiRule(reference, rule)) => {
            let mut link = api_rule(reference, rule);
            if rule.passes_identity && !rule.guards_identity {
                forging_faults(host, facts, &mut link)?;
            }
            link
        }
    };
    Ok(link)
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
        "`kubectl mtls expose SERVICE` makes a route",
    )
}

fn is_every_route_read(facts: &Facts<'_>) -> bool {
    !facts.is_partly_unseen(Kind::ApiRule)
        && !facts.is_partly_unseen(Kind::VirtualService)
        && damaged(&facts.rules).is_empty()
        && damaged(&facts.virtual_services).is_empty()
}

fn api_rule(reference: &ObjectRef, rule: &ApiRule) -> Link {
    let state = if rule.state.is_empty() {
        "not seen by its controller yet"
    } else {
        &rule.state
    };
    let mut link = Link::new("route", format!("{reference}, {state}"));
    if rule.state != "Ready" {
        link.find(
            &check::ROUTE_FAILED,
            format!("{reference} is {state}{}", because(&rule.description)),
            "mend what it says, then run `kubectl mtls expose` again, which has it looked at at once",
        );
    }
    if !rule.passes_identity {
        link.find(
            &check::ROUTE_HEADERS_MISSING,
            format!("{reference} does not set all identity headers: a client could forge the missing ones"),
            "`kubectl mtls expose` makes a route that sets them",
        );
    }
    link
}

/// Whether clients of CAs made elsewhere can forge who they are.
fn forging_faults(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    if guards::has_header_guard(&host.gateway.name, facts)? {
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

/// A controller's words after a colon, where it said any.
pub(super) fn because(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}

pub(super) fn service(route: Option<&Route>, facts: &Facts<'_>) -> Reconciled<Link> {
    let Some(Backend { service, port }) = route.and_then(Route::backend) else {
        let (says, is_seen) = match route {
            Some(route) => (
                format!("not known: {} names none", route.reference()),
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
    let link = Link::new("Service", format!("{}/{}", service.namespace, service.name));
    let seen = facts.observed.try_get(&service)?;
    Ok(match seen.read_as(|object| Service::read(object)) {
        Seen::Found(found) => match port {
            Some(port) if !found.ports.iter().any(|known| known.port == port) => link.with(
                &check::SERVICE_NO_PORT,
                format!("{service} has no port {port}"),
                "`kubectl mtls expose SERVICE --port PORT` names one that it has",
            ),
            _ => link,
        },
        Seen::Missing => link.with(
            &check::SERVICE_MISSING,
            format!("{service} does not exist"),
            "create it, or remove the route",
        ),
        Seen::Unreadable(reason) => link.with(&check::SERVICE_UNREADABLE, reason, "mend it"),
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
