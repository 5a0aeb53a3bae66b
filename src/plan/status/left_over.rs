//! Host guards of Services that are not behind the host any more.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::facts::{Facts, damaged};
use super::hosts::Host;
use super::{Finding, Severity, allowed, check, routes};
use crate::plan::Reconciled;
use crate::plan::command_line;
use crate::resources::backends;
use crate::resources::guard::{Clients, host_of, host_reference};
use crate::resources::inventory::Entry;
use crate::resources::names;
use crate::resources::workload_access::is_trial;
use crate::resources::{Kind, Object, ObjectRef};

/// The findings on host guards beside the proxies that are about the host and belong to the Service of no route. Where routes could not
/// be read, whose guards they are is not known.
pub(super) fn checks(
    host: &Host,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Vec<Finding>> {
    let is_partial = facts.is_partly_unseen(Kind::ApiRule)
        || facts.is_partly_unseen(Kind::VirtualService)
        || !damaged(&facts.rules).is_empty()
        || !damaged(&facts.virtual_services).is_empty();
    if host.route.is_none() || is_partial {
        return Ok(Vec::new());
    }
    let proxies = &host.gateway.ingress.namespace;
    let policies = facts.policies(proxies)?;
    let policies = policies.found().copied().unwrap_or_default();
    let known = of_routes(proxies, facts);
    let is_left = |policy: &&Object| {
        policy.is_ours()
            && policy.text(&["spec", "action"]) == "DENY"
            && !is_trial(policy)
            && host_of(policy).as_ref() == Some(&host.name)
            && !known.contains(policy.reference())
    };
    let left = policies.iter().filter(is_left);
    left.map(|policy| left_over(policy, host, facts, now))
        .collect()
}

/// The host guards of the Services of all routes: by their destinations, and by the names of routes of this plugin.
fn of_routes(proxies: &str, facts: &Facts<'_>) -> BTreeSet<ObjectRef> {
    let suffix = names::route("");
    let mut guards = BTreeSet::new();
    for routed in routes::all(facts) {
        let route = routed.route.reference();
        let named = route.name.strip_suffix(suffix.as_str());
        let named = named.map(|service| host_reference(proxies, &route.namespace, service));
        let backend = routed.route.backend().map(|behind| behind.service);
        // All destinations of a route of somebody else, whose first one may be another Service.
        let object = routes::object(&routed.route, facts);
        let object = object.filter(|object| object.reference().kind == Kind::VirtualService);
        let all = object.map(|object| backends::of_virtual_service(object, &[]).services);
        let behind = backend.into_iter().chain(all.into_iter().flatten());
        let behind =
            behind.map(|service| host_reference(proxies, &service.namespace, &service.name));
        guards.extend(named.into_iter().chain(behind));
    }
    guards
}

fn left_over(
    policy: &Object,
    host: &Host,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Finding> {
    let own = allowed::identities(host, facts)?;
    let may_call = |entry: &Entry| own.as_ref().is_none_or(|uris| entry.has_uri_of(uris));
    let listed = Clients::of_policy(policy);
    let listed = listed.as_ref().and_then(Clients::listed);
    let passes =
        |entry: &Entry| may_call(entry) && listed.is_none_or(|uris| entry.has_uri_of(uris));
    let is_shut = allowed::without(may_call, host, facts, now)?.is_none()
        && allowed::without(passes, host, facts, now)?.is_some();
    let reference = policy.reference();
    let finding = Finding::new(
        &check::GUARD_LEFT_OVER,
        format!(
            "{reference}, the host guard of a former Service, still acts on requests for `{}`",
            host.name
        ),
        command_line::kubectl("delete", reference),
    );
    Ok(match listed {
        _ if is_shut => finding
            .graded(Severity::Error)
            .because("the guard lists no client that may call: every request is answered with 403"),
        Some(_) => finding.because(
            "only the clients that the guard lists may call the host; without it, every client that the gateway trusts may",
        ),
        None => finding.because(
            "the guard denies requests that did not come in as those of the former Service did",
        ),
    })
}
