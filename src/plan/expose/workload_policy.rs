//! Whether only the gateway may call the Service's Pods, where no Kyma sees to it.

use std::collections::BTreeSet;

use super::ownership;
use super::target::Target;
use super::view::View;
use super::wanted::{Wanted, applied};
use super::{Request, get, service};
use crate::error::Failure;
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Query, Reconciled, external_routes, probe};
use crate::resources::names::INGRESS_SERVICE;
use crate::resources::route::Routing;
use crate::resources::{Object, access_policy, environment};

/// The policy, and what the user must know of it.
#[derive(Debug, Default)]
pub(super) struct WorkloadPolicy {
    pub policy: Option<Wanted>,
    /// Told before it is written.
    pub warning: Option<String>,
    /// Told in the end: why there is none although there might have to be.
    pub note: Option<String>,
}

/// What is read of it, of the mesh and of the Pods behind the Service, where no Kyma makes a policy of its own.
pub(super) fn queries(request: &Request, observed: &Observed) -> Reconciled<Vec<Query>> {
    let policy = access_policy::reference(&request.namespace, &request.service);
    let mut queries = vec![get(policy), get(environment::mesh_config())];
    queries.extend(pods(request, observed)?);
    Ok(queries)
}

/// The Pods behind the Service; none are asked for where it selects none.
fn pods(request: &Request, observed: &Observed) -> Reconciled<Option<Query>> {
    let service = tolerate(service::of(request, observed))?.ok();
    Ok(service
        .and_then(|found| external_routes::pods(&service::reference(request), &found.selector)))
}

/// The policy by our name, where it is ours to make.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<&'a Object>> {
    match target.environment.routing {
        Routing::ApiRule => Ok(None),
        Routing::VirtualService => observed.get(&target.policy()),
    }
}

/// Refuses a policy by our name that somebody else made.
pub(super) fn conflicts(view: &View<'_>) -> Result<(), Failure> {
    ownership::refuse_foreign(view.policy)
}

/// The policy as it must be, where the Service's Pods enforce one.
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
            "{reason}: no AuthorizationPolicy was written, so workloads of the mesh may call `{}` around the gateway, with identity headers of their own choice",
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
        let reason = format!("it could not be seen whether its Pods have a sidecar ({reason})");
        return Ok(kept.unwrap_or_else(|| open(reason)));
    }
    let pods = pods.found().copied().unwrap_or_default();
    if !pods.iter().any(access_policy::has_sidecar) {
        return Ok(kept.unwrap_or_default());
    }
    let gateway_pods = probe::pods(&target.ingress);
    observed.prefetch([gateway_pods.clone()])?;
    let proxies = observed.try_list(&gateway_pods)?;
    let mesh = observed.try_get(&environment::mesh_config())?;
    let trust_domain = environment::trust_domain(mesh.found().copied());
    let principals: BTreeSet<String> = proxies
        .found()
        .copied()
        .unwrap_or_default()
        .iter()
        .map(|pod| access_policy::principal(pod, &trust_domain))
        .collect();
    if principals.is_empty() {
        let reason = proxies.unknown();
        let reason = reason.unwrap_or_else(|| format!("no Pod of `{INGRESS_SERVICE}` was found"));
        return Ok(kept.unwrap_or_else(|| {
            open(format!(
                "the gateway's ServiceAccount could not be seen ({reason})"
            ))
        }));
    }
    let service = service::of(request, observed)?;
    let object = access_policy::object(target.policy(), &service.selector, &principals);
    let policy = applied(object, view.policy, None);
    let warning = policy.write.as_ref().map(|_| {
        format!(
            "the AuthorizationPolicy `{}/{}` lets only the gateway call `{}`: other workloads of the mesh that call it now are shut out",
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
