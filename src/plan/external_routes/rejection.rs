//! Whether the Pods of an exposed Service reject requests that come through its mutual-TLS host.

use super::{Exposed, Workload, entrances};
use crate::plan::check::{self, Finding};
use crate::plan::command_line;
use crate::plan::{Observed, Reconciled, control_plane};
use crate::resources::listing::shortened;
use crate::resources::virtual_service::RULE_NAME;
use crate::resources::workload_access::{
    Access, Arrival, Principal, authorizer, denying, of_connections,
};
use crate::resources::{Object, ObjectRef};

/// How many policies a message names.
const POLICIES_SHOWN: usize = 3;

/// The findings on policies that reject requests for a host from the gateway, all or those without a token, on external authorizers, and
/// on policies that could not be listed. A policy that cannot be evaluated counts as rejecting nobody.
pub fn rejection(
    exposed: &Exposed<'_>,
    host: &str,
    observed: &Observed,
) -> Reconciled<Vec<Finding>> {
    let workload = Workload::of(exposed, observed)?;
    let arrival = arrival(exposed, host, observed)?;
    let policies = match &workload.policies {
        Ok(policies) => policies,
        Err(unread) => {
            let unseen = workload.policies_unread(unread, exposed);
            return Ok(unseen.into_iter().collect());
        }
    };
    let has_action = |policy: &Object, action: &str| policy.text(&["spec", "action"]) == action;
    let (authorizing, deciding): (Vec<&Object>, Vec<&Object>) = policies
        .iter()
        .partition(|policy| has_action(policy, "CUSTOM"));
    // The demands of an `APIRule` are reported on that `APIRule`.
    let demands = |policy: &&Object| {
        policy.label(RULE_NAME).is_none()
            && workload.access_by(&[*policy], &arrival) == Access::Checked
    };
    let mut findings = Vec::new();
    for policy in authorizing.into_iter().filter(demands) {
        let access = workload.access_by(&[&denying(policy)], &arrival);
        let config = control_plane::without_authorizer(policy, exposed.proxies, observed)?;
        findings.push(match config {
            Some(config) if matches!(access, Access::Shut | Access::Checked) => {
                undefined(policy, &config, exposed)
            }
            _ => authorized(policy, exposed),
        });
    }
    let access = workload.access_by(&deciding, &arrival);
    let rejects = |policy: &&Object| match access {
        Access::Shut => workload.access_by(&[*policy], &arrival) == Access::Shut,
        Access::Checked => demands(policy),
        _ => false,
    };
    let mut rejecting: Vec<&Object> = deciding.into_iter().filter(rejects).collect();
    let denying = rejecting.iter().find(|policy| has_action(policy, "DENY"));
    if let Some(first) = denying.copied() {
        rejecting = vec![first];
    }
    findings.extend(rejected(&rejecting, access, exposed));
    Ok(findings)
}

/// The finding on policies that reject requests; `None` without any.
fn rejected(policies: &[&Object], access: Access, exposed: &Exposed<'_>) -> Option<Finding> {
    let first = policies.first()?;
    let remedy = if first.is_ours() {
        // Whatever keeps the policy from being what it was, somebody else wrote.
        format!(
            "{} --force-conflicts",
            command_line::expose(exposed.service)
        )
    } else {
        command_line::edit(first.reference())
    };
    let names: Vec<String> = policies
        .iter()
        .map(|policy| policy.reference().to_string())
        .collect();
    let rejects = if names.len() == 1 {
        "rejects"
    } else {
        "reject"
    };
    let named = shortened(&names, POLICIES_SHOWN);
    let service = exposed.service;
    let found = |which: &str| {
        Finding::new(
            &check::WORKLOAD_SHUTS_GATEWAY,
            format!(
                "{named} {rejects} the requests of the ingress gateway to the {service}{which}"
            ),
            remedy.clone(),
        )
    };
    Some(match access {
        Access::Checked => found(", unless they have a token")
            .because("requests are answered with 403, unless the client sends a token too"),
        _ => found(""),
    })
}

/// The finding on a policy whose external authorizer this mesh configuration does not define.
fn undefined(policy: &Object, config: &ObjectRef, exposed: &Exposed<'_>) -> Finding {
    Finding::new(
        &check::WORKLOAD_SHUTS_GATEWAY,
        format!(
            "{} rejects the requests of the ingress gateway to the {}, because no entry of `extensionProviders` in {config} defines its external authorizer `{}`",
            policy.reference(),
            exposed.service,
            authorizer(policy)
        ),
        command_line::edit(policy.reference()),
    )
}

fn authorized(policy: &Object, exposed: &Exposed<'_>) -> Finding {
    Finding::new(
        &check::WORKLOAD_OTHER_CHECK,
        format!(
            "{} sends the requests of the ingress gateway to the {} to the external authorizer `{}` first",
            policy.reference(),
            exposed.service,
            authorizer(policy)
        ),
        command_line::edit(policy.reference()),
    )
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
        server_name: None,
    })
}
