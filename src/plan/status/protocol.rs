//! Whether the Pods take the gateway's requests for HTTP, where their policies go by fields of HTTP requests, as Kyma's do.

use serde_json::json;

use super::hosts::Host;
use super::workload::{self, Workload};
use super::{Finding, check};
use crate::plan::external_routes::{Exposed, needs_http};
use crate::plan::{Observed, Query, Reconciled, command_line};
use crate::resources::access_policy::is_ambient;
use crate::resources::service::{Port, Service};
use crate::resources::{Kind, ObjectRef};

/// The finding on a port of the Service that Istio does not take for HTTP.
pub(super) fn check(
    exposed: &Exposed<'_>,
    host: &Host,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let Some((reference, service)) = workload::service(host, observed)? else {
        return Ok(None);
    };
    let (Some(workload), Some(port)) = (
        Workload::of(host, observed)?,
        workload::port(host, &service).filter(|port| port.is_opaque()),
    ) else {
        return Ok(None);
    };
    // Where Services differ about a port of their Pods, the oldest one counts.
    let is_alone = !shares_port(&reference, &workload, port, observed)?;
    let has_sidecar = !workload.pod.is_some_and(is_ambient);
    if !(is_alone && has_sidecar && needs_http(exposed, &host.name, observed)?) {
        return Ok(None);
    }
    let place = service.ports.iter().position(|known| known == port);
    let path = format!("/spec/ports/{}/appProtocol", place.unwrap_or_default());
    let patch = json!([{"op": "add", "path": path, "value": "http"}]);
    let said = match &port.app_protocol {
        Some(said) => format!("its `appProtocol: {said}`"),
        None => format!("its name `{}`", port.name),
    };
    Ok(Some(Finding::new(
        &check::SERVICE_NOT_HTTP,
        format!(
            "Istio does not take port {} of {reference} for HTTP because of {said}, and the policies of its Pods admit requests by their host or method only",
            port.port
        ),
        command_line::patch(&reference, "json", &patch),
    )))
}

/// Whether another Service leads to the same port of the same Pods, which Istio may take for HTTP.
fn shares_port(
    own: &ObjectRef,
    workload: &Workload<'_>,
    port: &Port,
    observed: &Observed,
) -> Reconciled<bool> {
    let listed = observed.try_list(&Query::within(Kind::Service, &own.namespace))?;
    let services = listed.found().copied().unwrap_or_default().iter();
    let mut others = services
        .filter(|object| object.reference() != own)
        .filter_map(|object| Service::read(object).ok());
    Ok(others.any(|other| {
        let mut ports = other.tcp_ports();
        let is_same = |known: &Port| known.target_port == port.target_port && !known.is_opaque();
        workload.is_selected_by(&other.selector) && ports.any(is_same)
    }))
}
