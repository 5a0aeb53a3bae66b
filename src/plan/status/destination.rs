//! The protocol between the gateway and the Service's Pods: what `DestinationRules` make the gateway send, and what `PeerAuthentications`
//! make the Pods accept.
//!
//! Without a `DestinationRule` the gateway uses mesh TLS for Pods whose sidecar accepts it, and plain HTTP for all others (istiod,
//! `pilot/pkg/xds/endpoints/mtls_checker.go`). A `Sidecar` does not change this: istiod gives gateways its default one
//! (`pilot/pkg/model/push_context.go`, `doGetSidecarScope`), and a sidecar forwards traffic to a port that none of its listeners names.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::facts::{blind, remedy, unlisted};
use super::hosts::Host;
use super::route::destination_rules;
use super::workload::Workload;
use super::{Finding, Link, check};
use crate::plan::command_line;
use crate::plan::external_routes::{Exposed, needs_identity};
use crate::plan::{Observed, Query, Reconciled, control_plane};
use crate::resources::backends::of_host;
use crate::resources::peer_authentication::{Mode, mode};
use crate::resources::{Kind, Object, ObjectRef};

/// The TLS mode of the mesh, the only one in which a sidecar learns who calls
/// (`networking/v1/destination_rule.proto`, `ClientTLSSettings`).
const MESH: &str = "ISTIO_MUTUAL";

/// The reads that show which connections the Service's Pods accept.
pub(super) fn queries(service: &ObjectRef, roots: &BTreeSet<String>) -> Vec<Query> {
    let mut namespaces = roots.clone();
    namespaces.insert(service.namespace.clone());
    let all = namespaces.iter();
    all.map(|namespace| Query::within(Kind::PeerAuthentication, namespace))
        .collect()
}

/// Adds the finding on Pods that do not accept the gateway's protocol.
pub(super) fn tell(
    exposed: &Exposed<'_>,
    host: &Host,
    observed: &Observed,
    link: &mut Link,
) -> Reconciled<()> {
    let Some(workload) = Workload::of(host, observed)? else {
        return Ok(());
    };
    let roots = control_plane::root_namespaces(&host.gateway.ingress, observed)?;
    let rule = match rule(&workload, &roots, observed)? {
        Ok(rule) => rule,
        Err(unseen) => {
            link.add(unseen);
            return Ok(());
        }
    };
    let mut policies = Vec::new();
    for query in queries(&workload.service, &roots) {
        let listed = observed.try_list(&query)?;
        let unseen = unlisted(
            &check::WORKLOAD_NOT_CHECKED,
            Kind::PeerAuthentication,
            &listed,
        );
        if let Some(finding) = unseen {
            link.add(finding.because("which connections the Service's Pods accept is not known"));
            return Ok(());
        }
        policies.extend(listed.found().copied().unwrap_or_default());
    }
    let taken = mode(policies, workload.labels(), workload.target, &roots);
    let (taken, policy) = taken.unwrap_or((Mode::Permissive, None));
    let service = &workload.service;
    if let Some((rule, said)) = rule
        && let Some(but) = opposed(said, taken, policy, workload.has_sidecar)
    {
        let reference = rule.reference();
        link.find(
            &check::SERVICE_TLS_MISMATCH,
            format!("{reference} sets `tls.mode: {said}` for {service}, {but}"),
            without_tls(rule),
        );
        return Ok(());
    }
    let nameless = match (rule, policy) {
        (Some((rule, said)), _) if said != MESH => {
            Some((rule, format!("tls.mode: {said}"), without_tls(rule)))
        }
        (None, Some(policy)) if taken == Mode::Disable => {
            Some((policy, "mtls.mode: DISABLE".to_owned(), permissive(policy)))
        }
        _ => None,
    };
    if let Some((cause, said, remedy)) = nameless
        && needs_identity(exposed, &host.name, observed)?
    {
        let cause = cause.reference();
        link.find(
            &check::SERVICE_ANONYMOUS,
            format!("{cause} sets `{said}` for {service}, and the policies of its Pods admit only the identity of the ingress gateway"),
            remedy,
        );
    }
    Ok(())
}

/// Why Pods do not accept the gateway's connections in a mode, as the end of a sentence.
fn opposed(
    said: &str,
    taken: Mode,
    policy: Option<&Object>,
    has_sidecar: Option<bool>,
) -> Option<String> {
    let policy = policy.map(|policy| policy.reference().to_string());
    let policy = policy.unwrap_or_default();
    match (said == MESH, taken, has_sidecar) {
        (true, _, Some(false)) => Some("whose Pods have no sidecar".to_owned()),
        (true, Mode::Disable, _) => Some(format!("and {policy} disables TLS in its sidecars")),
        (false, Mode::Strict, Some(true)) => {
            Some(format!("and {policy} accepts only mutual TLS of the mesh"))
        }
        _ => None,
    }
}

/// The `DestinationRule` for the gateway's connections to the Service, with its mode; a finding if they could not be listed.
fn rule<'a>(
    workload: &Workload<'_>,
    roots: &BTreeSet<String>,
    observed: &'a Observed,
) -> Reconciled<Result<Option<(&'a Object, &'a str)>, Finding>> {
    let service = &workload.service;
    for query in destination_rules(service, roots) {
        let listed = observed.try_list(&query)?;
        if let Some(reason) = blind(&listed) {
            let seen = format!("the DestinationRules could not be listed: {reason}");
            let why = "whether the gateway reaches the Service is not known";
            let unseen = Finding::new(&check::ROUTE_NOT_CHECKED, seen, remedy(&listed));
            return Ok(Err(unseen.because(why)));
        }
        let rules = listed.found().copied().unwrap_or_default().iter();
        let mut own = rules.filter(|rule| {
            let is_for_all = rule.at(&["spec", "workloadSelector"]).is_none();
            is_for_all && of_host(rule.text(&["spec", "host"]), rule.namespace()) == *service
        });
        let found = own.find_map(|rule| Some((rule, tls_mode(rule, workload.port)?)));
        if found.is_some() {
            return Ok(Ok(found));
        }
    }
    Ok(Ok(None))
}

/// The TLS mode of a `DestinationRule` for a port of the Service; that of any port if none is known.
fn tls_mode(rule: &Object, port: Option<u16>) -> Option<&str> {
    let policy = rule.at(&["spec", "trafficPolicy"])?;
    let of_ports = policy.get("portLevelSettings").and_then(Value::as_array);
    let own = of_ports.into_iter().flatten().filter(|settings| {
        let number = settings.pointer("/port/number").and_then(Value::as_u64);
        port.is_none() || number == port.map(u64::from)
    });
    let tls = own
        .chain([policy])
        .find_map(|settings| settings.get("tls"))?;
    // What the API takes for no mode.
    Some(tls.get("mode").and_then(Value::as_str).unwrap_or("DISABLE"))
}

/// The command that leaves the gateway's protocol to istiod.
fn without_tls(rule: &Object) -> String {
    let reference = rule.reference();
    match rule.at(&["spec", "trafficPolicy", "portLevelSettings"]) {
        None => command_line::patch(
            reference,
            "merge",
            &json!({"spec": {"trafficPolicy": {"tls": null}}}),
        ),
        Some(_) => command_line::edit(reference),
    }
}

/// The command that makes sidecars accept mesh TLS, too.
fn permissive(policy: &Object) -> String {
    let reference = policy.reference();
    match policy.at(&["spec", "portLevelMtls"]) {
        None => command_line::patch(
            reference,
            "merge",
            &json!({"spec": {"mtls": {"mode": "PERMISSIVE"}}}),
        ),
        Some(_) => command_line::edit(reference),
    }
}
