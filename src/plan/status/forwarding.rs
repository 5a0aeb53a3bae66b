//! Whether ingress gateways forward the certificate that a client itself sends in `X-Forwarded-Client-Cert`.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{blind, remedy};
use super::hosts::Host;
use super::{Finding, Severity, check};
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane, ingress};
use crate::resources::environment::{forwarding, kyma_istio, mesh_config, own_forwarding};
use crate::resources::ingress::IngressGateway;
use crate::resources::{Kind, Object, ObjectRef};

/// The modes of Envoy's `ForwardClientCertDetails` that forward a client's own header, and whether only together with the true one
/// (<https://github.com/envoyproxy/envoy>, `api/envoy/extensions/filters/network/http_connection_manager/v3`).
const UNSAFE: [(&str, bool); 3] = [
    ("ALWAYS_FORWARD_ONLY", false),
    ("FORWARD_ONLY", false),
    ("APPEND_FORWARD", true),
];

/// Kyma's Istio resource, and the mesh configuration generated from it; without Kyma only the latter exists.
pub(super) fn queries() -> impl Iterator<Item = Query> {
    [kyma_istio(), mesh_config()].into_iter().map(Query::Get)
}

/// The finding on the first source that has an unsafe mode, or could not be read: Kyma's resource, then the mesh configurations of the
/// hosts' gateways, then the proxies' Pods, whose own configuration counts before that of the mesh.
pub(super) fn check(hosts: &[Host], observed: &Observed) -> Reconciled<Option<Finding>> {
    let mut sources = BTreeSet::new();
    let mut pods = Vec::new();
    for host in hosts {
        let ingress = &host.gateway.ingress;
        sources.extend(control_plane::mesh_configs(ingress, observed)?);
        let own = ingress::all_pods(ingress, observed)?;
        pods.extend(own.into_iter().map(|pod| (ingress, pod)));
    }
    let has_none = |(_, pod): &(_, &Object)| own_forwarding(pod).is_none();
    if pods.is_empty() || pods.iter().any(has_none) {
        let shared = of_mesh(sources, observed)?;
        if shared.is_some() {
            return Ok(shared);
        }
    }
    let found = pods
        .iter()
        .filter_map(|(ingress, pod)| of_pod(pod, ingress));
    // `max_by_key` takes the last of several.
    let found: Vec<Finding> = found.collect();
    Ok(found
        .into_iter()
        .rev()
        .max_by_key(|finding| finding.severity))
}

/// The finding on the sources for all proxies.
fn of_mesh(mut sources: BTreeSet<ObjectRef>, observed: &Observed) -> Reconciled<Option<Finding>> {
    if sources.is_empty() {
        sources.insert(mesh_config());
    }
    for source in std::iter::once(kyma_istio()).chain(sources) {
        let seen = observed.try_get(&source)?;
        let found = match &seen {
            Seen::Found(object) => unsafe_in(object),
            seen => blind(seen).map(|reason| {
                Finding::new(
                    &check::ROUTE_NOT_CHECKED,
                    format!("{source} could not be read: {reason}"),
                    remedy(seen),
                )
                .because("whether clients can forge `X-Forwarded-Client-Cert` is not known")
            }),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The annotation of Pods whose proxy Istio's injector configured.
const INJECTED: &str = "sidecar.istio.io/status";

/// The finding on the configuration of one proxy.
fn of_pod(pod: &Object, ingress: &IngressGateway) -> Option<Finding> {
    let (source, mode) = own_forwarding(pod)?;
    let (namespace, labels) = (pod.namespace(), ingress.labels());
    // The injector wrote the variable from the mesh's configuration of that time.
    let is_injected = source.ends_with("`PROXY_CONFIG`") && pod.annotation(INJECTED).is_some();
    let verb = if is_injected {
        "rollout restart"
    } else {
        "edit"
    };
    let remedy = format!("kubectl {verb} deployments -n {namespace} -l {labels}");
    let seen = format!("{source} of {} sets", pod.reference());
    unsafe_mode(&mode, &seen, remedy)
}

fn unsafe_in(object: &Object) -> Option<Finding> {
    let said = forwarding(object)?;
    let reference = object.reference();
    let remedy = match reference.kind {
        Kind::KymaIstio => {
            let config = json!({"spec": {"config": {"forwardClientCertDetails": "SANITIZE_SET"}}});
            command_line::patch(reference, "merge", &config)
        }
        _ => command_line::edit(reference),
    };
    unsafe_mode(&said, &format!("{reference} sets"), remedy)
}

/// The finding on a mode, if that is unsafe; `sets` is the begin of its sentence.
fn unsafe_mode(mode: &str, sets: &str, remedy: String) -> Option<Finding> {
    let (_, is_beside) = UNSAFE.iter().find(|(way, _)| *way == mode)?;
    let finding = Finding::new(
        &check::ROUTE_XFCC_FORWARDED,
        format!("{sets} `forwardClientCertDetails: {mode}`"),
        remedy,
    );
    Some(match is_beside {
        true => finding
            .because(
                "the `X-Forwarded-Client-Cert` that a client sends precedes its true certificate",
            )
            .graded(Severity::Warning),
        false => finding,
    })
}
