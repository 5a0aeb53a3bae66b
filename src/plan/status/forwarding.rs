//! Whether ingress gateways forward the certificate that a client itself sends in `X-Forwarded-Client-Cert`.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{blind, remedy};
use super::hosts::Host;
use super::{Finding, Severity, check};
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane};
use crate::resources::environment::{forwarding, kyma_istio, mesh_config};
use crate::resources::{Kind, Object};

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
/// hosts' gateways.
pub(super) fn check(hosts: &[Host], observed: &Observed) -> Reconciled<Option<Finding>> {
    let mut sources = BTreeSet::new();
    for host in hosts {
        sources.extend(control_plane::mesh_configs(
            &host.gateway.ingress,
            observed,
        )?);
    }
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

fn unsafe_in(object: &Object) -> Option<Finding> {
    let said = forwarding(object)?;
    let (_, is_beside) = UNSAFE.iter().find(|(way, _)| *way == said)?;
    let reference = object.reference();
    let remedy = match reference.kind {
        Kind::KymaIstio => {
            let config = json!({"spec": {"config": {"forwardClientCertDetails": "SANITIZE_SET"}}});
            command_line::patch(reference, "merge", &config)
        }
        _ => command_line::edit(reference),
    };
    let finding = Finding::new(
        &check::ROUTE_XFCC_FORWARDED,
        format!("{reference} sets `forwardClientCertDetails: {said}`"),
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
