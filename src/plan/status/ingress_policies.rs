//! Policies of others on the ingress gateway that reject a host's clients.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::facts::{Facts, acting};
use super::hosts::Host;
use super::{Finding, Link, allowed, check};
use crate::plan::command_line;
use crate::plan::external_routes::labels_of;
use crate::plan::{Observed, Query, Reconciled, control_plane, probe};
use crate::resources::listing::shortened;
use crate::resources::names::ISTIO_NAMESPACE;
use crate::resources::workload_access::{
    Access, Arrival, Labels, Principal, access, authorizer, denying, selective,
};
use crate::resources::{Kind, Object, ObjectRef};

/// How many policies a message names.
const POLICIES_SHOWN: usize = 3;

/// The policies that check tokens, in the namespace of the gateway and in the mesh's root
/// namespace.
pub(super) fn lists(host: &Host, observed: &Observed) -> Reconciled<Vec<Query>> {
    let namespaces = acting(&host.gateway.ingress, observed)?.into_iter();
    Ok(namespaces
        .map(|namespace| Query::within(Kind::RequestAuthentication, namespace))
        .collect())
}

/// The finding where nothing tells in which namespace the policies of the whole mesh are.
fn outside(host: &Host, observed: &Observed) -> Reconciled<Option<Finding>> {
    let address = control_plane::unseen_outside(&host.gateway.ingress, observed)?;
    Ok(address.map(|address| {
        Finding::new(
            &check::INGRESS_POLICY_NOT_CHECKED,
            format!("the proxies are configured from `{address}`, outside of the cluster, and no mesh configuration of theirs was seen in `{ISTIO_NAMESPACE}`"),
            "kubectl get authorizationpolicies.security.istio.io -A",
        )
        .because("policies of the whole mesh were looked for in that namespace only")
    }))
}

/// Adds findings on policies that reject requests of clients with a valid certificate. A policy that cannot be evaluated counts as
/// rejecting nobody.
pub(super) fn examine(
    host: &Host,
    facts: &Facts<'_>,
    now: OffsetDateTime,
    link: &mut Link,
) -> Reconciled<()> {
    let pods = facts
        .observed
        .try_list(&probe::pods(&host.gateway.ingress))?;
    let pods = pods.found().copied().unwrap_or_default();
    let policies = facts.policies_on(&host.gateway.ingress)?;
    let (Some(pod), Some(_)) = (pods.first(), &host.route) else {
        return Ok(());
    };
    let labels = labels_of(pod);
    let complete = Labels {
        known: &labels,
        are_complete: true,
    };
    link.extend(outside(host, facts.observed)?);
    let (checks, unseen) = facts.acting_on(Kind::RequestAuthentication, &host.gateway.ingress)?;
    link.extend(unseen);
    let of_tokens = checks.into_iter().filter(|check| {
        let rules = check.at(&["spec", "jwtRules"]).and_then(Value::as_array);
        let has_rules = rules.is_some_and(|rules| !rules.is_empty());
        has_rules && complete.are_selected_by(check.at(&["spec", "selector"])) == Some(true)
    });
    link.extend(of_tokens.map(|check| checking_tokens(host, check)));
    let is_guard =
        |policy: &&Object| policy.is_ours() && policy.text(&["spec", "action"]) == "DENY";
    // Guards have checks of their own, and the identities of thousands of clients would be compared for nothing.
    if policies.iter().all(is_guard) {
        return Ok(());
    }
    let arrival = Arrival {
        principal: clients(host, facts, now)?,
        hosts: Some(vec![host.name.clone()]),
        ports: None,
        server_name: (!host.name.contains('*')).then(|| host.name.clone()),
    };
    let judge = |policies: &[&Object]| access(policies.iter().copied(), complete, &arrival);
    let of_action = |action: &str| {
        let is_it = |policy: &&Object| match policy.text(&["spec", "action"]) {
            "" => action == "ALLOW",
            said => said == action,
        };
        let others = policies.iter().copied().filter(|policy| !policy.is_ours());
        let of_action = others.filter(is_it);
        // Only those that decide something for the host.
        of_action
            .filter(|policy| judge(&[policy]) != Access::Open)
            .collect::<Vec<&Object>>()
    };
    let is_decided = |access: Access| matches!(access, Access::Shut | Access::Checked);
    for policy in of_action("DENY") {
        let access = judge(&[policy]);
        if is_decided(access) {
            link.add(shut(host, &[policy], access));
        }
    }
    let allowing: Vec<&Object> = policies
        .iter()
        .copied()
        .filter(|policy| matches!(policy.text(&["spec", "action"]), "" | "ALLOW"))
        .collect();
    let access = judge(&allowing);
    if is_decided(access) {
        link.add(shut(host, &of_action("ALLOW"), access));
    }
    for policy in of_action("CUSTOM") {
        let ingress = &host.gateway.ingress;
        let config = control_plane::without_authorizer(policy, ingress, facts.observed)?;
        link.add(match config {
            Some(config) => undefined(host, policy, judge(&[&denying(policy)]), &config),
            None => authorized(host, policy),
        });
    }
    let selective = selective(policies.iter().copied(), complete, &arrival);
    let of_others = selective.into_iter().filter(|policy| !policy.is_ours());
    link.extend(of_others.map(|policy| deciding(host, policy)));
    Ok(())
}

/// The identities of the host's clients, as far as they are known.
fn clients(host: &Host, facts: &Facts<'_>, now: OffsetDateTime) -> Reconciled<Principal> {
    let live = allowed::live(host, facts, now)?;
    let live = live.map_or_else(Vec::new, |(_, entries)| entries);
    let identity = |uri: &str| uri.strip_prefix("spiffe://").map(str::to_owned);
    let uris = live.iter().flat_map(|entry| entry.uris());
    let identities: Option<Vec<String>> = uris.map(identity).collect();
    let has_all = live.iter().all(|entry| entry.uris().next().is_some());
    let identities = identities.filter(|_| has_all);
    Ok(match identities {
        Some(identities) if !identities.is_empty() => Principal::Clients(identities),
        _ => Principal::Unknown,
    })
}

fn shut(host: &Host, policies: &[&Object], access: Access) -> Finding {
    let names: Vec<String> = policies
        .iter()
        .map(|policy| policy.reference().to_string())
        .collect();
    let named = shortened(&names, POLICIES_SHOWN);
    let keeps = if names.len() == 1 { "keeps" } else { "keep" };
    let (seen, why) = match access {
        Access::Checked => (
            format!(
                "{named} {keeps} out requests for `{}` without a token",
                host.name
            ),
            "requests are answered with 403, unless the client sends a token too",
        ),
        _ => (
            format!("{named} {keeps} all requests for `{}` out", host.name),
            check::INGRESS_POLICY_SHUTS_HOST.why,
        ),
    };
    let remedy = policies.first().map(|policy| {
        let admitted = admitted(host, policy).filter(|_| access == Access::Shut);
        admitted.unwrap_or_else(|| command_line::edit(policy.reference()))
    });
    Finding::new(
        &check::INGRESS_POLICY_SHUTS_HOST,
        seen,
        remedy.unwrap_or_default(),
    )
    .because(why)
}

/// The command that adds the host to a policy of action ALLOW that is a list of hosts and nothing else. A policy without rules closes the
/// gateway on purpose, and what others ask for beside the host, such as addresses or tokens, may be meant for this host too.
fn admitted(host: &Host, policy: &Object) -> Option<String> {
    let is_allowing = matches!(policy.text(&["spec", "action"]), "" | "ALLOW");
    let selected = policy.at(&["spec", "selector", "matchLabels"]);
    let is_selecting = selected
        .and_then(Value::as_object)
        .is_some_and(|labels| !labels.is_empty());
    if !is_allowing || !is_selecting || host.name.contains('*') {
        return None;
    }
    let hosts = [host.name.clone(), format!("{}:*", host.name)];
    let rule = json!({"to": [{"operation": {"hosts": hosts}}]});
    let rules = policy.at(&["spec", "rules"])?.as_array()?;
    if rules.is_empty() || !rules.iter().all(lists_hosts) {
        return None;
    }
    let patch = json!([{"op": "add", "path": "/spec/rules/-", "value": rule}]);
    Some(command_line::patch(policy.reference(), "json", &patch))
}

/// Whether a rule is about hosts alone.
fn lists_hosts(rule: &Value) -> bool {
    let has_only = |value: &Value, key: &str| {
        let object = value.as_object();
        object.is_some_and(|object| object.len() == 1 && object.contains_key(key))
    };
    let mut targets = rule["to"].as_array().into_iter().flatten();
    has_only(rule, "to")
        && targets.all(|to| has_only(to, "operation") && has_only(&to["operation"], "hosts"))
}

fn deciding(host: &Host, policy: &Object) -> Finding {
    let reference = policy.reference();
    let does = match policy.text(&["spec", "action"]) {
        "DENY" => "rejects requests",
        _ => "admits only requests",
    };
    Finding::new(
        &check::INGRESS_POLICY_SOME_REQUESTS,
        format!(
            "{reference} {does} for `{}` that meet its conditions",
            host.name
        ),
        command_line::edit(reference),
    )
}

fn checking_tokens(host: &Host, policy: &Object) -> Finding {
    let reference = policy.reference();
    Finding::new(
        &check::INGRESS_POLICY_TOKENS,
        format!(
            "{reference} checks the tokens of requests for `{}`",
            host.name
        ),
        command_line::edit(reference),
    )
}

/// The finding on a policy whose external authorizer this mesh configuration does not define.
fn undefined(host: &Host, policy: &Object, access: Access, config: &ObjectRef) -> Finding {
    let (check, which) = match access {
        Access::Shut => (&check::INGRESS_POLICY_SHUTS_HOST, "all requests"),
        Access::Checked => (
            &check::INGRESS_POLICY_SHUTS_HOST,
            "requests without a token",
        ),
        _ => (&check::INGRESS_POLICY_SOME_REQUESTS, "some requests"),
    };
    let seen = format!(
        "{} keeps {which} for `{}` out, because no entry of `extensionProviders` in {config} defines its external authorizer `{}`",
        policy.reference(),
        host.name,
        authorizer(policy)
    );
    Finding::new(check, seen, command_line::edit(policy.reference()))
}

fn authorized(host: &Host, policy: &Object) -> Finding {
    Finding::new(
        &check::INGRESS_POLICY_OTHER_CHECK,
        format!(
            "{} sends requests for `{}` to the external authorizer `{}`",
            policy.reference(),
            host.name,
            authorizer(policy)
        ),
        command_line::edit(policy.reference()),
    )
}
