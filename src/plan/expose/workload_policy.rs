//! The policy that lets only the gateway call the Service's Pods, in a cluster without Kyma.

use std::collections::BTreeSet;

use super::ownership;
use super::target::Target;
use super::view::View;
use super::wanted::{Wanted, applied};
use super::{Request, get, service};
use crate::error::Failure;
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Query, Reconciled, command_line, external_routes, ingress, probe};
use crate::resources::control_plane::ControlPlane;
use crate::resources::route::Routing;
use crate::resources::{Object, ObjectRef, access_policy, environment};

/// The policy, and notes for the user.
#[derive(Debug, Default)]
pub(super) struct WorkloadPolicy {
    pub policy: Option<Wanted>,
    /// The warning to print before the policy is written.
    pub warning: Option<String>,
    /// The note for the end: why there is no policy although there might have to be one.
    pub note: Option<String>,
}

/// The reads of the policy, the mesh and the Pods behind the Service, in a cluster without Kyma.
pub(super) fn queries(request: &Request, observed: &Observed) -> Reconciled<Vec<Query>> {
    let policy = access_policy::reference(&request.namespace, &request.service);
    let mut queries = vec![get(policy), get(environment::mesh_config())];
    queries.extend(pods(request, observed)?);
    Ok(queries)
}

/// The query for the Pods behind the Service; `None` if it selects none.
fn pods(request: &Request, observed: &Observed) -> Reconciled<Option<Query>> {
    let service = tolerate(service::of(request, observed))?.ok();
    Ok(service
        .and_then(|found| external_routes::pods(&service::reference(request), &found.selector)))
}

/// The existing policy with the expected name, if this plugin writes it.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<&'a Object>> {
    match target.environment.routing {
        Routing::ApiRule => Ok(None),
        Routing::VirtualService => observed.get(&target.policy()),
    }
}

/// Refuses to write the policy if somebody else made one with its name.
pub(super) fn conflicts(view: &View<'_>) -> Result<(), Failure> {
    ownership::refuse_foreign(view.policy)
}

/// The policy to write, unless the Pods have neither a sidecar nor ztunnel to enforce it.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<WorkloadPolicy> {
    if target.environment.routing == Routing::ApiRule {
        return Ok(WorkloadPolicy::default());
    }
    let open = |reason: String| WorkloadPolicy {
        note: Some(format!(
            "{reason}: no AuthorizationPolicy was written, so workloads of the mesh may bypass the gateway and call `{}` with identity headers of their own choice",
            target.service
        )),
        ..WorkloadPolicy::default()
    };
    let kept = view.policy.map(|live| WorkloadPolicy {
        policy: Some(Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        }),
        ..WorkloadPolicy::default()
    });
    let Some(pods) = pods(request, observed)? else {
        return Ok(kept.unwrap_or_default());
    };
    let pods = observed.try_list(&pods)?;
    if let Some(reason) = pods.unknown() {
        let reason =
            format!("whether the Service's Pods have a sidecar could not be read ({reason})");
        return Ok(kept.unwrap_or_else(|| open(reason)));
    }
    let pods = pods.found().copied().unwrap_or_default();
    if !pods.is_empty() && !pods.iter().any(access_policy::is_enforced_at) {
        return Ok(kept.unwrap_or_default());
    }
    let gateway_pods = target.ingress.parts().map(|part| probe::pods(&part));
    let gateway_pods: Vec<Query> = gateway_pods.collect();
    observed.prefetch(gateway_pods.iter().cloned())?;
    let mut unlisted = None;
    for listed in &gateway_pods {
        unlisted = unlisted.or(observed.try_list(listed)?.unknown());
    }
    let proxies = ingress::all_pods(&target.ingress, observed)?;
    // The policy would shut out proxies that were not seen.
    if proxies.is_empty() || unlisted.is_some() {
        let labels = target.ingress.labels();
        let reason = unlisted.unwrap_or_else(|| format!("no Pod has the labels `{labels}`"));
        return Ok(kept.unwrap_or_else(|| {
            open(format!(
                "the gateway's ServiceAccount could not be read ({reason})"
            ))
        }));
    }
    if is_ambient(request, pods, observed)?
        && let Some(unknown) = unknown_to_ztunnel(request, &proxies, observed)?
    {
        return Ok(match (kept, unknown) {
            (None, Unknown::Certainly(reason) | Unknown::Perhaps(reason)) => open(reason),
            (Some(kept), Unknown::Perhaps(_)) => kept,
            (Some(kept), Unknown::Certainly(reason)) => WorkloadPolicy {
                note: Some(format!(
                    "{reason}, so {policy} rejects them: {}",
                    command_line::kubectl("delete", &target.policy()),
                    policy = target.policy()
                )),
                ..kept
            },
        });
    }
    let mut principals = BTreeSet::new();
    for pod in proxies {
        let mesh = ControlPlane::of(pod).mesh_config();
        let trust_domain = environment::trust_domain(observed.try_get(&mesh)?.found().copied());
        principals.insert(access_policy::principal(pod, &trust_domain));
    }
    let service = service::of(request, observed)?;
    let object = access_policy::object(target.policy(), &service.selector, &principals);
    let policy = applied(object, view.policy, None);
    let warning = policy.write.as_ref().map(|_| {
        format!(
            "the AuthorizationPolicy `{}/{}` lets only the gateway call `{}`: other workloads of the mesh that call it now are rejected",
            target.namespace,
            target.policy().name,
            target.service
        )
    });
    Ok(WorkloadPolicy {
        policy: Some(policy),
        warning,
        note: None,
    })
}

/// Whether ztunnel enforces the policy: at the Pods, or at those that the namespace will have.
fn is_ambient(request: &Request, pods: &[Object], observed: &Observed) -> Reconciled<bool> {
    if !pods.is_empty() {
        return Ok(pods.iter().any(access_policy::is_ambient));
    }
    let namespace = observed.try_get(&ObjectRef::namespace(&request.namespace))?;
    let joins = |namespace: &&Object| access_policy::joins_ambient(namespace);
    Ok(namespace.found().is_some_and(joins))
}

/// Why ztunnel would attribute the gateway's requests to another workload, so that the policy would reject them.
enum Unknown {
    Certainly(String),
    /// It could not be seen whether that is so.
    Perhaps(String),
}

fn unknown_to_ztunnel(
    request: &Request,
    proxies: &[&Object],
    observed: &Observed,
) -> Reconciled<Option<Unknown>> {
    if !proxies.iter().all(|pod| access_policy::opens_tunnels(pod)) {
        return Ok(Some(Unknown::Certainly(
            "the gateway's proxies open no tunnels to ztunnel, so ztunnel cannot know the identity of their requests"
                .to_owned(),
        )));
    }
    let mut unread = None;
    for reference in [
        service::reference(request),
        ObjectRef::namespace(&request.namespace),
    ] {
        let seen = observed.try_get(&reference)?;
        if seen
            .found()
            .is_some_and(|object| access_policy::is_behind_waypoint(object))
        {
            return Ok(Some(Unknown::Certainly(format!(
                "requests of ingress gateways come through a waypoint, which has a different identity (label of the {reference})"
            ))));
        }
        unread = unread.or(seen.unknown());
    }
    Ok(unread.map(|reason| {
        Unknown::Perhaps(format!("whether requests of ingress gateways come through a waypoint could not be read ({reason})"))
    }))
}
