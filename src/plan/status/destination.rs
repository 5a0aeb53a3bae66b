//! How the gateway speaks to the Service, as `DestinationRules` say.

use serde_json::Value;

use super::facts::{blind, remedy};
use super::hosts::Host;
use super::route::destination_rules;
use super::{Finding, Link, check};
use crate::plan::command_line;
use crate::plan::external_routes::{Exposed, needs_identity};
use crate::plan::{Observed, Reconciled};
use crate::resources::Object;
use crate::resources::backends::of_host;

/// The modes in which a sidecar is not told who calls (`networking/v1/destination_rule.proto`, `ClientTLSSettings`).
const ANONYMOUS: [&str; 3] = ["DISABLE", "SIMPLE", "MUTUAL"];

/// Adds a `DestinationRule` by which the gateway speaks without its mesh identity to Pods that admit only that.
pub(super) fn tell(
    exposed: &Exposed<'_>,
    host: &Host,
    observed: &Observed,
    link: &mut Link,
) -> Reconciled<()> {
    let service = exposed.service;
    for query in destination_rules(service) {
        let listed = observed.try_list(&query)?;
        if let Some(reason) = blind(&listed) {
            let seen = format!("the DestinationRules could not be listed: {reason}");
            let why = "whether the gateway reaches the Service is not known";
            let unseen = Finding::new(&check::ROUTE_NOT_CHECKED, seen, remedy(&listed));
            link.add(unseen.because(why));
            return Ok(());
        }
        let rules = listed.found().copied().unwrap_or_default().iter();
        let own = rules.filter(|rule| {
            let is_for_all = rule.at(&["spec", "workloadSelector"]).is_none();
            is_for_all && of_host(rule.text(&["spec", "host"]), rule.namespace()) == *service
        });
        for rule in own {
            if let Some(mode) = anonymous(rule)
                && needs_identity(exposed, &host.name, observed)?
            {
                let reference = rule.reference();
                link.find(
                    &check::SERVICE_ANONYMOUS,
                    format!("{reference} sets `tls.mode: {mode}` for {service}, and the policies of its Pods admit only the identity of the ingress gateway"),
                    command_line::edit(reference),
                );
            }
        }
    }
    Ok(())
}

/// The TLS mode of a `DestinationRule` in which the gateway does not show its identity in the mesh.
fn anonymous(rule: &Object) -> Option<&str> {
    let policy = rule.at(&["spec", "trafficPolicy"])?;
    let of_ports = policy.get("portLevelSettings").and_then(Value::as_array);
    let all = std::iter::once(policy).chain(of_ports.into_iter().flatten());
    let mut modes = all.filter_map(|settings| settings.pointer("/tls/mode")?.as_str());
    modes.find(|mode| ANONYMOUS.contains(mode))
}
