//! What the API server does not answer: whether it answers at all, and the command for the Roles that the user lacks.

use std::collections::BTreeSet;

use super::facts::ROLES;
use super::hosts::Host;
use super::{Finding, Report, looked_at};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane};
use crate::resources::control_plane::ControlPlane;
use crate::resources::names::INGRESS_NAMESPACE;

/// Fails if no read of the first round succeeded: the API server is not reached, or does not accept the user.
pub(super) fn check(observed: &Observed) -> Reconciled<()> {
    let mut reason = String::new();
    for query in super::everything() {
        let failed = match &query {
            Query::Get(reference) => failed(&observed.try_get(reference)?),
            query => failed(&observed.try_list(query)?),
        };
        let Some(failed) = failed else {
            return Ok(());
        };
        reason = failed;
    }
    Err(Failure::failed(reason)
        .hint("check whether the server answers: kubectl cluster-info (`--context` selects another cluster)")
        .into())
}

fn failed<T>(seen: &Seen<T>) -> Option<String> {
    match seen {
        Seen::Failed(reason) => Some(reason.clone()),
        _ => None,
    }
}

/// Completes the command for the Roles by where the ingress gateways and their istiods are.
pub(super) fn complete_roles(
    report: &mut Report,
    hosts: &[Host],
    observed: &Observed,
) -> Reconciled<()> {
    let (mut namespaces, mut planes) = (BTreeSet::new(), BTreeSet::new());
    for host in looked_at(hosts) {
        let ingress = &host.gateway.ingress;
        namespaces.extend(ingress.namespaces().map(str::to_owned));
        planes.extend(control_plane::named(ingress, observed)?);
    }
    let mut roles = ROLES.to_owned();
    if !namespaces.is_empty() && !namespaces.iter().eq([INGRESS_NAMESPACE]) {
        let namespaces: Vec<String> = namespaces.into_iter().collect();
        roles = format!("{roles} --ingress-namespace {}", namespaces.join(","));
    }
    // Roles for istiods of several namespaces take several runs.
    let default = ControlPlane::default();
    if let Some(plane) = planes
        .iter()
        .find(|plane| plane.namespace != default.namespace)
    {
        roles = format!("{roles} --istio-namespace {}", plane.namespace);
    }
    let revisions: BTreeSet<&str> = planes.iter().map(|plane| plane.revision.as_str()).collect();
    if !revisions.is_empty() && !revisions.iter().eq([&default.revision.as_str()]) {
        let revisions: Vec<&str> = revisions.into_iter().collect();
        roles = format!("{roles} --revision {}", revisions.join(","));
    }
    if roles != ROLES {
        complete(&mut report.findings, &roles);
    }
    Ok(())
}

fn complete(findings: &mut [Finding], roles: &str) {
    for finding in findings {
        if finding.remedy == ROLES {
            roles.clone_into(&mut finding.remedy);
        }
        complete(&mut finding.consequences, roles);
    }
}
