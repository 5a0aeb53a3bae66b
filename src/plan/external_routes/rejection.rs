//! Whether the Pods of an exposed Service reject requests that come through its mutual-TLS host.

use super::{Exposed, Workload, entrances};
use crate::plan::check::{self, Finding};
use crate::plan::command_line;
use crate::plan::{Observed, Reconciled};
use crate::resources::Object;
use crate::resources::listing::shortened;
use crate::resources::workload_access::{Access, Arrival, Principal, of_connections};

/// How many policies a message names.
const POLICIES_SHOWN: usize = 3;

/// The finding on policies that reject every request for a host from the gateway, or that could not be listed. A policy that cannot be
/// evaluated counts as rejecting nobody.
pub fn rejection(
    exposed: &Exposed<'_>,
    host: &str,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let workload = Workload::of(exposed, observed)?;
    let arrival = arrival(exposed, host, observed)?;
    let policies = match &workload.policies {
        Ok(policies) => policies,
        Err(reason) => return Ok(workload.policies_unseen(reason, exposed)),
    };
    if workload.access(&arrival) != Access::Shut {
        return Ok(None);
    }
    let shuts = |policy: &&&Object| workload.access_by(&[**policy], &arrival) == Access::Shut;
    let is_denying = |policy: &&&Object| policy.text(&["spec", "action"]) == "DENY";
    let mut shutting: Vec<&Object> = policies.iter().filter(shuts).copied().collect();
    if let Some(first) = shutting.iter().find(is_denying).copied() {
        shutting = vec![first];
    }
    let names: Vec<String> = shutting
        .iter()
        .map(|policy| policy.reference().to_string())
        .collect();
    let Some(first) = shutting.first() else {
        return Ok(None);
    };
    let remedy = if first.is_ours() {
        // Whatever keeps the policy from being what it was, somebody else wrote.
        format!(
            "{} --force-conflicts",
            command_line::expose(exposed.service)
        )
    } else {
        command_line::edit(first.reference())
    };
    let rejects = if names.len() == 1 {
        "rejects"
    } else {
        "reject"
    };
    let named = shortened(&names, POLICIES_SHOWN);
    Ok(Some(Finding::new(
        &check::WORKLOAD_SHUTS_GATEWAY,
        format!(
            "{named} {rejects} the requests of the ingress gateway to the {}",
            exposed.service
        ),
        remedy,
    )))
}

/// Whether the Pods admit the gateway's requests only because of its identity.
pub fn needs_identity(exposed: &Exposed<'_>, host: &str, observed: &Observed) -> Reconciled<bool> {
    let workload = Workload::of(exposed, observed)?;
    let named = arrival(exposed, host, observed)?;
    let anonymous = Arrival {
        principal: Principal::Nobody,
        ..named.clone()
    };
    let access = |arrival: &Arrival| workload.access(arrival);
    Ok(access(&named) == Access::Open && access(&anonymous) == Access::Shut)
}

/// Whether the Pods admit the gateway's requests for a host only by fields of HTTP requests, such as host and method.
pub fn needs_http(exposed: &Exposed<'_>, host: &str, observed: &Observed) -> Reconciled<bool> {
    let workload = Workload::of(exposed, observed)?;
    let arrival = arrival(exposed, host, observed)?;
    let Ok(policies) = &workload.policies else {
        return Ok(false);
    };
    let left: Vec<Object> = policies
        .iter()
        .map(|policy| of_connections(policy))
        .collect();
    let left: Vec<&Object> = left.iter().collect();
    let is_open = workload.access(&arrival) == Access::Open;
    Ok(is_open && workload.access_by(&left, &arrival) == Access::Shut)
}

/// How the gateway's requests for a host arrive at the Pods.
fn arrival(exposed: &Exposed<'_>, host: &str, observed: &Observed) -> Reconciled<Arrival> {
    Ok(Arrival {
        principal: entrances::principal(exposed, observed)?,
        hosts: Some(vec![host.to_owned()]),
        ports: None,
    })
}
