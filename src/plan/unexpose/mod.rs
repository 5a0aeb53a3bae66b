//! `unexpose`: removes what `expose` made for a Service, and nothing else.
//!
//! The order is that of `expose` backwards, each deletion completed before the next: as long as a Gateway exists, so does its client-CA
//! Secret, because istiod would trust another CA without it. Other users of a Gateway or a Secret are looked for directly before its
//! deletion. Between the route and all else it waits until no proxy that can be asked routes the host any more.

mod elsewhere;
mod extent;
mod recorded;
mod release;
mod report;
mod routed;
mod secrets;
mod users;

use std::collections::BTreeSet;
use std::time::Duration;

pub use report::{Report, Stays};

use super::{Observed, Query, Seen, Write, Written};
use crate::error::Failure;
use crate::plan::{Effect, Reconciled, Wait};
use crate::resources::ingress::noted_namespaces;
use crate::resources::names::{
    GATEWAY_ANNOTATION, GatewayName, INGRESS_ANNOTATION, INGRESS_NAMESPACE, SERVICE_ANNOTATION,
};
use crate::resources::route::Routing;
use crate::resources::{Kind, Object, ObjectRef, access_policy, guard};
use extent::Extent;

/// The request of the user.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each field is a flag of its own"
)]
pub struct Request {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Whether the Gateway and its Certificate are deleted too.
    pub gateway_too: bool,
    /// Whether the server Secret and the client-CA Secret are deleted too.
    pub purge: bool,
    /// Whether a Service that is not exposed is no failure.
    pub ignore_not_found: bool,
    /// Whether the run is a dry run.
    pub dry_run: bool,
    /// Time limit for all waiting.
    pub timeout: Duration,
}

/// Deletes what `expose` made for a Service.
pub fn reconcile(request: &Request, observed: &Observed) -> Reconciled<Report> {
    let own = Own::of(request, observed)?;
    let extent = extent::of(request, own.route(), observed)?;
    let doomed: Vec<ObjectRef> = own.all().chain(&extent.doomed).cloned().collect();
    observed.prefetch(doomed.iter().map(observe))?;
    // A route that cannot be read is not one that is missing.
    live(observed, own.route())?;
    let (mut is_any_there, mut is_all_read) = (false, own.unseen.is_none());
    for object in &doomed {
        let seen = try_live(observed, object)?;
        is_any_there |= observed.change_of(object).is_some() || seen.found().is_some();
        is_all_read &= seen.unknown().is_none();
    }
    if !extent.is_recorded && !is_any_there {
        let failure = elsewhere::not_exposed(request, own.route(), observed)?;
        // What could not be read may still be there.
        if request.ignore_not_found && is_all_read {
            return Ok(Report::of_nothing(request).with_notes([failure.to_string()]));
        }
        return Err(failure.into());
    }
    let notes = delete_all(request, &own, &extent, observed)?;
    let report = report::done(request, observed, &doomed, &extent)?;
    Ok(report.with_notes(notes.into_iter().chain(own.unseen)))
}

/// The objects of the Service alone; their names contain the Service's name.
struct Own {
    /// The route; two where a cluster began to serve `APIRules` between two runs of `expose`.
    routes: Vec<ObjectRef>,
    /// The policy of the Service's Pods; Kyma makes one of its own for an `APIRule`.
    policy: Option<ObjectRef>,
    /// The host guards, one in each namespace with proxies.
    guards: Vec<ObjectRef>,
    /// Why it is not known whether there is a second route.
    unseen: Option<String>,
}

impl Own {
    fn of(request: &Request, observed: &Observed) -> Reconciled<Self> {
        let (namespace, service) = (&request.namespace, &request.service);
        let guard_in = |proxies: &str| guard::host_reference(proxies, namespace, service);
        let rule = Routing::ApiRule.reference(namespace, service);
        let plain = Routing::VirtualService.reference(namespace, service);
        let policy = access_policy::reference(namespace, service);
        let guard = guard_in(INGRESS_NAMESPACE);
        let reads = [rule.clone(), plain.clone(), policy.clone(), guard];
        observed.prefetch(reads.map(Query::Get))?;
        let of_rule = observed.try_get(&rule)?;
        let serves_rules = !matches!(of_rule, Seen::NotServed);
        let has_rule = of_rule.found().is_some() || observed.change_of(&rule).is_some();
        // What was written before the cluster served `APIRules`. A VirtualService of somebody else has another purpose.
        let has_plain = is_made_here(&plain, observed)?;
        let unseen = observed.try_get(&plain)?.unknown().map(|reason| {
            format!("whether {plain} routes to the Service too could not be checked: {reason}")
        });
        let routes = match (serves_rules, has_rule, has_plain) {
            (false, ..) | (true, false, true) => vec![plain],
            (true, true, true) => vec![rule, plain],
            (true, _, false) => vec![rule],
        };
        let mut guarded = BTreeSet::new();
        for route in &routes {
            guarded.extend(proxies(route, observed)?);
        }
        let has_policy = !serves_rules || is_made_here(&policy, observed)?;
        Ok(Self {
            routes,
            policy: has_policy.then_some(policy),
            guards: guarded.iter().map(|proxies| guard_in(proxies)).collect(),
            unseen: unseen.filter(|_| serves_rules),
        })
    }

    /// The route by which the Service is exposed.
    fn route(&self) -> &ObjectRef {
        &self.routes[0]
    }

    /// All of them, the routes first.
    fn all(&self) -> impl Iterator<Item = &ObjectRef> {
        let rest = self.policy.iter().chain(&self.guards);
        self.routes.iter().chain(rest)
    }
}

/// Whether this plugin made an object that exists, or existed until this run deleted it.
fn is_made_here(reference: &ObjectRef, observed: &Observed) -> Reconciled<bool> {
    let seen = observed.try_get(reference)?;
    let is_ours = seen.found().is_some_and(|object| object.is_ours());
    Ok(is_ours || observed.change_of(reference).is_some())
}

/// The namespaces of proxies in which the Service's guard may lie: those that the route notes. Where the route is gone, a run that
/// was interrupted may have left the guard beside the proxies of a Gateway that was made for the Service's namespace.
fn proxies(route: &ObjectRef, observed: &Observed) -> Reconciled<BTreeSet<String>> {
    let noted = |object: &Object| noted_namespaces(object.annotation(INGRESS_ANNOTATION));
    let deleted = observed.change_of(route).and_then(Written::before);
    if let Some(route) = try_live(observed, route)?.found().copied().or(deleted) {
        return Ok(noted(route).into_iter().collect());
    }
    let gateways = extent::gateways();
    observed.prefetch([gateways.clone()])?;
    let listed = observed.try_list(&gateways)?;
    let listed: &[Object] = listed.found().copied().unwrap_or_default();
    let own = format!("{}/", route.namespace);
    let is_own = |gateway: &&Object| {
        let made_for = gateway.annotation(SERVICE_ANNOTATION).unwrap_or_default();
        let is_meant = gateway.namespace() == route.namespace || made_for.starts_with(&own);
        gateway.is_ours() && is_meant
    };
    let noted = listed.iter().filter(is_own).flat_map(noted);
    Ok(noted.chain([INGRESS_NAMESPACE.to_owned()]).collect())
}

/// The read of an object; for a Secret only of its metadata, without the key.
fn observe(reference: &ObjectRef) -> Query {
    if reference.kind == Kind::Secret {
        Query::GetMetadata(reference.clone())
    } else {
        Query::Get(reference.clone())
    }
}

/// The result of reading an object.
fn try_live<'a>(observed: &'a Observed, reference: &ObjectRef) -> Reconciled<Seen<&'a Object>> {
    if reference.kind == Kind::Secret {
        observed.try_get_metadata(reference)
    } else {
        observed.try_get(reference)
    }
}

/// An existing object; `None` also if the cluster does not serve its kind.
fn live<'a>(observed: &'a Observed, reference: &ObjectRef) -> Reconciled<Option<&'a Object>> {
    if reference.kind == Kind::Secret {
        observed.get_metadata(reference)
    } else {
        observed.get_if_served(reference)
    }
}

/// Whether an object of this plugin names the Gateway in its annotation.
fn belongs_to(gateway: &GatewayName, object: &Object) -> bool {
    object.is_ours() && object.annotation(GATEWAY_ANNOTATION) == Some(&gateway.to_string())
}

/// The uid of an object, which its successor of the same name does not have.
fn uid(object: &Object) -> String {
    object.text(&["metadata", "uid"]).to_owned()
}

/// Checks all objects before the first deletion, then deletes one after the other, those of the Service alone first, and waits until each is
/// gone. Returns notes on what could not be seen, and on what is kept.
fn delete_all(
    request: &Request,
    own: &Own,
    extent: &Extent,
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    for reference in own.all().chain(&extent.doomed) {
        if let Some(object) = live(observed, reference)?
            && !object.is_ours()
            && !object.is_issued()
        {
            return Err(
                Failure::refused(format!("{reference} was not created by kubectl-mtls"))
                    .hint("remove the object by hand if it is yours")
                    .into(),
            );
        }
    }
    if request.dry_run {
        return Ok(Vec::new());
    }
    extent::write_down(request, extent, observed)?;
    for route in &own.routes {
        delete(request, extent, route, observed)?;
    }
    let unrouted = routed::until_unrouted(request, own, extent, observed)?;
    // The other route of the host must not get the clients that the guard rejects.
    let guards = own.guards.iter().filter(|_| !unrouted.is_still_routed);
    for reference in own.policy.iter().chain(guards).chain(&extent.doomed) {
        delete(request, extent, reference, observed)?;
    }
    release::release(request, extent, observed)?;
    extent::strike_out(request, observed)?;
    Ok(unrouted.notes)
}

/// Deletes an object that nobody else needs, and waits until it is gone.
fn delete(
    request: &Request,
    extent: &Extent,
    reference: &ObjectRef,
    observed: &Observed,
) -> Reconciled<()> {
    let Some(object) = live(observed, reference)? else {
        return Ok(());
    };
    if observed.change_of(reference).is_some() {
        return until_gone(request, reference, observed);
    }
    match users::still_needed(request, extent, reference, observed)? {
        None => Err(Effect::Write(Write::Delete(object.clone())).into()),
        Some(_) => Ok(()),
    }
}

/// Waits for the finalizers of a deleted object.
fn until_gone(request: &Request, reference: &ObjectRef, observed: &Observed) -> Reconciled<()> {
    if observed.waited() >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for the finalizers of {reference}",
            request.timeout.as_secs()
        ))
        .hint("the object's controller has not removed its finalizer; run the same command again to continue")
        .into());
    }
    Err(Effect::Wait(Wait {
        reread: vec![observe(reference)],
        progress: vec![format!("{reference}: not deleted yet")],
    })
    .into())
}

#[cfg(test)]
mod tests;
