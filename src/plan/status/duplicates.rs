//! Other `VirtualServices` with the same host on the same Gateway.

use serde_json::Value;

use super::facts::{Facts, readable};
use super::hosts::Host;
use super::routes::{self, Route};
use super::{Finding, Severity, check};
use crate::plan::command_line;
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Object, api_rule};

/// The findings on `VirtualServices` beside a route of this plugin. istiod chains the routes of one host, the oldest object first
/// (`pilot/pkg/networking/core/gateway.go`, `buildGatewayHTTPRouteConfig`).
pub(super) fn checks(host: &Host, route: &Route, facts: &Facts<'_>) -> Vec<Finding> {
    if !routes::object(route, facts).is_some_and(Object::is_ours) {
        return Vec::new();
    }
    let services = readable(&facts.virtual_services);
    let is_own = |object: &Object, service: &VirtualService| {
        let reference = route.reference();
        let owner = (reference.namespace.clone(), reference.name.clone());
        object.reference() == reference || service.made_for.as_ref() == Some(&owner)
    };
    let own = services
        .iter()
        .find(|(object, service)| is_own(object, service));
    let Some((own, _)) = own else {
        return Vec::new();
    };
    let gateway = host.gateway.name.to_string();
    let has_host = |service: &VirtualService| {
        service.hosts.contains(&host.name) && service.gateways.contains(&gateway)
    };
    let others = services
        .iter()
        .filter(|(object, service)| has_host(service) && !is_own(object, service));
    others
        .map(|(object, service)| finding(host, object, service, age(object) < age(own)))
        .collect()
}

fn age(object: &Object) -> (&str, &str, &str) {
    let created = object.text(&["metadata", "creationTimestamp"]);
    (created, object.name(), object.namespace())
}

fn finding(host: &Host, object: &Object, service: &VirtualService, is_older: bool) -> Finding {
    let reference = object.reference();
    let owner = match &service.made_for {
        Some((namespace, name)) => api_rule::reference(namespace, name),
        None => reference.clone(),
    };
    let remedy = command_line::kubectl("delete", &owner);
    let (age, why, severity) = match (is_older, takes_all(object)) {
        (true, true) => (
            "older",
            "the other routes come first, and take every request",
            Severity::Error,
        ),
        (true, false) => (
            "older",
            "the other routes come first, and take some of the requests",
            Severity::Warning,
        ),
        (false, _) => (
            "younger",
            "the other routes take what this route leaves, and come first once this route is created again",
            Severity::Warning,
        ),
    };
    let seen = format!(
        "the {age} {reference} has the host `{}` too, on the Gateway {}",
        host.name, host.gateway.name
    );
    let finding = Finding::new(&check::ROUTE_DUPLICATE_HOST, seen, remedy);
    finding.because(why).graded(severity)
}

/// Whether one of the object's routes matches requests with any path, method and headers.
fn takes_all(object: &Object) -> bool {
    let http = object.at(&["spec", "http"]).and_then(Value::as_array);
    let is_free = |one: &Value| {
        let mut fields = one.as_object().into_iter().flatten();
        fields.all(|(field, value)| {
            field == "name" || (field == "uri" && value.get("prefix") == Some(&"/".into()))
        })
    };
    http.into_iter().flatten().any(|entry| {
        let matches = entry.get("match").and_then(Value::as_array);
        matches.is_none_or(|matches| matches.is_empty() || matches.iter().any(is_free))
    })
}
