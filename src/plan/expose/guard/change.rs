//! The effects of changed guards: which clients lose access, and which connections are closed.

use std::collections::BTreeSet;

use super::super::target::Target;
use super::super::view::View;
use super::super::wanted::Wanted;
use crate::plan::probe::IngressProxies;
use crate::plan::{Observed, Seen};
use crate::resources::guard::{self, Clients, Listener, OtherServer};
use crate::resources::names::CLIENTS_ANNOTATION;
use crate::resources::{Object, ObjectRef};

/// How long open connections continue under an old policy (Istio, `meshConfig.defaultConfig.drainDuration`).
const DRAINED_AFTER: &str = "45 s";

/// An object as it was before this run changed it.
pub(super) fn before<'a>(
    live: Option<&'a Object>,
    reference: &ObjectRef,
    observed: &'a Observed,
) -> Option<&'a Object> {
    match observed.change_of(reference) {
        Some(written) => written.before(),
        None => live,
    }
}

/// Identities that are on the second list only, and those on the first one only.
pub(super) fn changes(before: Option<&Clients>, after: Option<&Clients>) -> [Vec<String>; 2] {
    let listed = |clients: Option<&Clients>| {
        clients
            .and_then(Clients::listed)
            .cloned()
            .unwrap_or_default()
    };
    let (before, after) = (listed(before), listed(after));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other).cloned().collect::<Vec<_>>()
    };
    [only(&after, &before), only(&before, &after)]
}

/// The warning on a changed policy: it replaces the listeners' filter chains, and Envoy drains the connections of all hosts on them.
pub(super) fn warning(wanted: &[Wanted], lifted: &[Wanted], observed: &Observed) -> Option<String> {
    let changes = || {
        wanted
            .iter()
            .chain(lifted)
            .filter(|one| one.write.is_some())
    };
    let is_begun = |one: &Wanted| observed.change_of(one.object.reference()).is_some();
    let mut changed: Vec<String> = changes()
        .map(|one| format!("`{}`", one.object.name()))
        .collect();
    // Those of several namespaces have one name.
    changed.sort();
    changed.dedup();
    (!changed.is_empty() && !wanted.iter().any(is_begun)).then(|| {
        let policies = match changed.as_slice() {
            [one] => format!("AuthorizationPolicy {one} changes"),
            several => format!("AuthorizationPolicies {} change", several.join(" and ")),
        };
        format!(
            "the ingress gateway closes the open connections of all its hosts within {DRAINED_AFTER}, because its {policies}"
        )
    })
}

/// Why a guard cannot deny requests through another server.
pub(super) fn unstoppable(other: &OtherServer<'_>) -> String {
    match &other.hidden_by {
        Some(tcp) => format!(
            "`--guard` does not help: the TCP {tcp} takes the same server names, and a guard that denied them would close its connections"
        ),
        None => "a guard cannot tell requests of the other server from those of the mutual-TLS server, so `--guard` does not help".to_owned(),
    }
}

/// What the host guard, if there is one, cannot do because of TCP servers, and what the guards may do to those that could not be seen.
pub(super) fn limits(
    target: &Target,
    proxies: &IngressProxies<'_>,
    listener: &Listener,
    has_host_guard: bool,
) -> Vec<String> {
    let everywhere = listener.takes_every_name().filter(|_| has_host_guard);
    let later = everywhere.map(|tcp| {
        format!(
            "the TCP {tcp} takes every server name on the port of `{}`, so the host guard does not deny requests through servers that are added to its Gateway later; give that TCP server host names",
            target.host
        )
    });
    let unread = proxies.kubernetes_gateways_unread.iter();
    let unseen = unread.filter_map(Seen::unknown).map(|reason| {
        format!(
            "the Gateways of the Kubernetes Gateway API could not be listed, so the guards may close connections of their TCP and TLS listeners: {reason}"
        )
    });
    later.into_iter().chain(unseen).collect()
}

pub(super) fn notes(
    target: &Target,
    view: &View<'_>,
    clients: Option<&Clients>,
    guard_before: Option<&Object>,
    removed: &[String],
    observed: &Observed,
) -> Vec<String> {
    let mut notes = Vec::new();
    let route = view.route.as_ref().map(|(object, _)| *object);
    let route = before(route, &target.route(), observed);
    let service = target.service_reference();
    let header_guard = before(view.header_guard, &target.header_guard(), observed);
    let is_noted = route.is_some_and(|route| route.annotation(CLIENTS_ANNOTATION).is_some())
        || header_guard
            .is_some_and(|guard| guard::noted_on(guard, &service, &target.host).is_some());
    if let (Some(clients), None, true) = (clients, guard_before, is_noted) {
        let who = clients.listed().map_or_else(
            || "every client with a certificate may call the host".to_owned(),
            |listed| {
                let names: Vec<&str> = listed.iter().map(String::as_str).collect();
                format!("only these clients may call the host: {}", names.join(", "))
            },
        );
        notes.push(format!(
            "restored {}, which was missing: {who}",
            target.host_guard()
        ));
    }
    if !removed.is_empty() {
        notes.push(format!(
            "connections that removed clients hold open are closed within {DRAINED_AFTER}"
        ));
    }
    notes
}
