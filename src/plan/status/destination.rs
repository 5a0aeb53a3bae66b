//! The protocol between the gateway and the Service's Pods: what `DestinationRules` make the gateway send, and what `PeerAuthentications`
//! make the Pods accept.
//!
//! Without a `DestinationRule` the gateway uses mesh TLS for Pods whose sidecar accepts it, and plain HTTP for all others (istiod,
//! `pilot/pkg/xds/endpoints/mtls_checker.go`), unless `enableAutoMtls` of the mesh is off: then plain HTTP for all. A `Sidecar` does not change this: istiod gives gateways its default one
//! (`pilot/pkg/model/push_context.go`, `doGetSidecarScope`), and a sidecar forwards traffic to a port that none of its listeners names.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::unlisted;
use super::hosts::Host;
use super::workload::Workload;
use super::{Link, check, subsets};
use crate::plan::command_line;
use crate::plan::external_routes::{Exposed, needs_identity};
use crate::plan::{Observed, Query, Reconciled, control_plane};
use crate::resources::destination_rule::tls_mode;
use crate::resources::environment::has_auto_mtls;
use crate::resources::ingress::IngressGateway;
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
    let ingress = &host.gateway.ingress;
    let reader = subsets::Reader::of(ingress, &ingress.namespace, observed)?;
    let rule = match reader.rules(&workload.service, observed)? {
        Ok(rules) => tls_mode(&rules, workload.port).map(|(rule, said)| TlsMode {
            mode: said,
            words: format!("tls.mode: {said}"),
            by: rule,
            remedy: without_tls(rule),
        }),
        Err(unseen) => {
            link.add(unseen.because("whether the gateway reaches the Service is not known"));
            return Ok(());
        }
    };
    let rule = match rule {
        Some(rule) => Some(rule),
        None => of_mesh(ingress, observed)?,
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
    if let Some(rule) = &rule
        && let Some(but) = opposed(rule.mode, taken, policy, workload.has_sidecar)
    {
        let (reference, words) = (rule.by.reference(), &rule.words);
        let remedy = match policy {
            // Without the mesh's TLS the Pods would not know who calls.
            Some(policy) if rule.mode == MESH && taken == Mode::Disable => permissive(policy),
            _ => rule.remedy.clone(),
        };
        link.find(
            &check::SERVICE_TLS_MISMATCH,
            format!("{reference} sets `{words}` for {service}, {but}"),
            remedy,
        );
        return Ok(());
    }
    let nameless = match (rule, policy) {
        (Some(rule), _) if rule.mode != MESH => Some((rule.by, rule.words, rule.remedy)),
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

/// The TLS mode of the gateway's connections to the Pods, where an object sets it.
struct TlsMode<'a> {
    mode: &'a str,
    /// The field with its value.
    words: String,
    by: &'a Object,
    /// The command that leaves the mode to istiod.
    remedy: String,
}

/// The mode of a mesh in which proxies use its TLS only where a `DestinationRule` says so.
fn of_mesh<'a>(
    ingress: &IngressGateway,
    observed: &'a Observed,
) -> Reconciled<Option<TlsMode<'a>>> {
    let configs = control_plane::read_configs(ingress, observed)?;
    let config = configs.into_iter().find(|config| !has_auto_mtls(config));
    Ok(config.map(|config| TlsMode {
        mode: "DISABLE",
        words: "enableAutoMtls: false".to_owned(),
        by: config,
        remedy: command_line::edit(config.reference()),
    }))
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
