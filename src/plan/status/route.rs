//! The route from the Gateway to the Service, and the Service.

use super::hosts::{Host, Route};
use super::{Link, Mark};
use crate::plan::{Seen, World};
use crate::resources::service::Service;

pub(super) fn examine(host: &Host) -> Link {
    let (reference, rule) = match &host.route {
        None => {
            return Link::new("route", "none").with(
                Mark::Warning,
                format!(
                    "nothing is routed behind `{}`: every request is answered with 404",
                    host.name
                ),
                "`kubectl mtls expose SERVICE` makes a route",
            );
        }
        Some(Route::VirtualService(reference)) => return Link::new("route", reference.to_string()),
        Some(Route::ApiRule(reference, rule)) => (reference, rule),
    };
    let mut link = Link::new("route", format!("{reference} {}", rule.state));
    if rule.state != "Ready" {
        let state = if rule.state.is_empty() {
            "not seen by its controller yet"
        } else {
            &rule.state
        };
        link.find(
            Mark::Error,
            format!("{reference} is {state}: {}", rule.description),
            "mend what it says, then run `kubectl mtls expose` again, which has it looked at at once",
        );
    }
    if !rule.passes_identity {
        link.find(
            Mark::Warning,
            format!("{reference} does not set all identity headers: a client could forge the missing ones"),
            "`kubectl mtls expose` makes a route that sets them",
        );
    }
    link
}

pub(super) fn service(host: &Host, world: &World) -> Link {
    let Some(reference) = host.backend() else {
        return Link::new("Service", "not told by the route");
    };
    let port = match &host.route {
        Some(Route::ApiRule(_, rule)) => rule.service.as_ref().map(|(_, _, port)| *port),
        _ => None,
    };
    let link = Link::new(
        "Service",
        format!("{}/{}", reference.namespace, reference.name),
    );
    match world
        .seen(&reference)
        .read_as(|object| Service::read(object))
    {
        Seen::Found(service)
            if port.is_some_and(|port| !service.ports.iter().any(|known| known.port == port)) =>
        {
            link.with(
                Mark::Error,
                format!("{reference} has no port {}", port.unwrap_or_default()),
                "`kubectl mtls expose --port` names one that it has",
            )
        }
        Seen::Found(_) => link,
        Seen::Missing => link.with(
            Mark::Error,
            format!("{reference} does not exist"),
            "create it, or remove the route",
        ),
        other => link.with(
            Mark::Unknown,
            format!(
                "{reference} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            "`kubectl mtls rbac status` prints the Role that allows it",
        ),
    }
}
