//! What stands already in each namespace of the gateway's proxies.

use time::OffsetDateTime;

use super::target::Target;
use super::view::{Site, View};
use super::{authority, gateway, guard, route, server_certificate, workload_policy};
use crate::error::Failure;
use crate::plan::{Observed, Reconciled};

/// One site for each namespace of the proxies, the first one first.
pub(super) fn all<'a>(
    target: &Target,
    observed: &'a Observed,
    now: OffsetDateTime,
) -> Reconciled<Vec<Site<'a>>> {
    let site = |target: Target| {
        let view = view(&target, observed, now)?;
        Ok(Site { target, view })
    };
    target.parts().map(site).collect()
}

fn view<'a>(target: &Target, observed: &'a Observed, now: OffsetDateTime) -> Reconciled<View<'a>> {
    let client_cas = authority::client_cas(target, observed)?;
    let server_secret = server_certificate::observe(target, observed)?;
    let certificates = server_certificate::observe_certificates(target, server_secret, observed)?;
    let state = authority::observe(target, observed)?;
    let route = route::observe(target, observed)?;
    let is_route_undone = match &route {
        Some((live, route)) => route::is_undone(live, route, observed, now)?,
        None => false,
    };
    let policy = workload_policy::observe(target, observed)?;
    let [host_guard, header_guard] = guard::observe(target, observed)?;
    Ok(View {
        client_cas,
        server_secret,
        certificates,
        state,
        route,
        policy,
        host_guard,
        header_guard,
        virtual_services: route::others(observed)?,
        is_route_undone,
    })
}

/// Refuses conflicts before the first write, and names the other object.
pub(super) fn refuse_conflicts(Site { target, view }: &Site<'_>) -> Result<(), Failure> {
    gateway::conflicts(target)?;
    route::conflicts(target, view)?;
    server_certificate::conflicts(target, view)?;
    authority::conflicts(target, view)?;
    guard::conflicts(view)?;
    workload_policy::conflicts(view)
}
