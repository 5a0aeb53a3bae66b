//! Objects that istiod hides from the ingress gateway: by `exportTo`, by the label of another revision, or because it does not see their
//! namespace.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::facts::{Facts, remedy};
use super::hosts::Host;
use super::{Finding, check};
use crate::plan::check::Check;
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane};
use crate::resources::discovery::{self, Selector};
use crate::resources::environment::default_exports;
use crate::resources::http_routes::is_exported;
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::names::GatewayName;
use crate::resources::{Kind, Object, ObjectRef};

/// The annotation by which istiod hides a Service (<https://istio.io/latest/docs/reference/config/annotations>).
const EXPORT_TO: &str = "networking.istio.io/exportTo";

/// The finding on a Gateway that the istiod of the proxies which it selects does not read.
pub(super) fn of_gateway(gateway: &GatewayName, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let reference = gateway.reference();
    let mut gateways = facts.gateways.readable.iter().map(|(object, _)| *object);
    let Some(object) = gateways.find(|object| *object.reference() == reference) else {
        return Ok(None);
    };
    let foreign = foreign_revision(object, gateway, facts)?;
    Ok(foreign.map(|(label, revision)| {
        Finding::new(
            &check::GATEWAY_OTHER_REVISION,
            format!("the label `{REVISION}={label}` of the Gateway {gateway} hides it from the istiod of the ingress gateway, whose revision is `{revision}`"),
            format!("{} {REVISION}-", command_line::kubectl("label", &reference)),
        )
    }))
}

/// The finding on a `VirtualService` that the proxies of a Gateway in this namespace do not see.
pub(super) fn of_route(
    object: &Object,
    gateway: &GatewayName,
    proxies: &str,
    facts: &Facts<'_>,
) -> Reconciled<Option<Finding>> {
    let reference = object.reference();
    let found = |seen: String, remedy: String| {
        Ok(Some(Finding::new(&check::ROUTE_NOT_EXPORTED, seen, remedy)))
    };
    let patch = |said: Value| {
        let patch = json!({"spec": {"exportTo": said}});
        command_line::patch(reference, "merge", &patch)
    };
    if let Some((label, revision)) = foreign_revision(object, gateway, facts)? {
        return found(
            format!(
                "the label `{REVISION}={label}` of {reference} hides it from the istiod of the ingress gateway, whose revision is `{revision}`"
            ),
            format!("{} {REVISION}-", command_line::kubectl("label", reference)),
        );
    }
    let said = object.at(&["spec", "exportTo"]).and_then(Value::as_array);
    let said: Vec<&str> = said
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !said.is_empty() {
        let is_seen = is_exported(said, object.namespace(), proxies);
        let seen = format!(
            "`exportTo` of {reference} leaves out the namespace `{proxies}` of the ingress gateway"
        );
        return if is_seen {
            Ok(None)
        } else {
            found(seen, patch(Value::Null))
        };
    }
    match hidden_by_default(object, gateway, proxies, facts)? {
        Some(seen) => found(seen, patch(json!(["*"]))),
        None => Ok(None),
    }
}

/// The finding on a Service that the proxies of a Gateway in this namespace do not see.
pub(super) fn unexported(
    service: &Object,
    gateway: &GatewayName,
    proxies: &str,
    facts: &Facts<'_>,
) -> Reconciled<Option<Finding>> {
    let reference = service.reference();
    let found = |seen: String, change: &str| {
        let annotate = command_line::kubectl("annotate", reference);
        let remedy = format!("{annotate} {change}");
        Ok(Some(Finding::new(
            &check::SERVICE_NOT_EXPORTED,
            seen,
            remedy,
        )))
    };
    if let Some(said) = service.annotation(EXPORT_TO) {
        if is_exported(said.split(','), &reference.namespace, proxies) {
            return Ok(None);
        }
        return found(
            format!(
                "the annotation `{EXPORT_TO}: {said}` of {reference} leaves out the namespace `{proxies}` of the ingress gateway"
            ),
            &format!("{EXPORT_TO}-"),
        );
    }
    match hidden_by_default(service, gateway, proxies, facts)? {
        Some(seen) => found(seen, &format!("'{EXPORT_TO}=*'")),
        None => Ok(None),
    }
}

/// The label by which an istiod that configures the proxies does not read an object, and the revision of that istiod.
fn foreign_revision<'a>(
    object: &'a Object,
    gateway: &GatewayName,
    facts: &Facts<'_>,
) -> Reconciled<Option<(&'a str, String)>> {
    let ingress = facts.ingress(gateway);
    let label = object.label(REVISION);
    let (_, others) = control_plane::readers(label, &ingress, facts.observed)?;
    Ok(label.zip(others.into_iter().next()))
}

/// How the default of a mesh hides an object that does not say to whom it is exported (`pilot/pkg/model/push_context.go`,
/// `initDefaultExportMaps`).
fn hidden_by_default(
    object: &Object,
    gateway: &GatewayName,
    proxies: &str,
    facts: &Facts<'_>,
) -> Reconciled<Option<String>> {
    let reference = object.reference();
    let field = match reference.kind {
        Kind::Service => "defaultServiceExportTo",
        _ => "defaultVirtualServiceExportTo",
    };
    for config in control_plane::mesh_configs(&facts.ingress(gateway), facts.observed)? {
        let seen = facts.observed.try_get(&config)?;
        let Some(mesh) = seen.found() else { continue };
        let said = default_exports(mesh, reference.kind);
        let said = said.iter().map(String::as_str);
        if !is_exported(said, &reference.namespace, proxies) {
            return Ok(Some(format!(
                "`{field}` in {config} leaves out the namespace `{proxies}` of the ingress gateway, and {reference} does not say to whom it is exported"
            )));
        }
    }
    Ok(None)
}

/// The selectors of the mesh configurations of an ingress gateway that have any.
fn selectors(
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<Vec<(ObjectRef, Vec<Selector>)>> {
    let mut found = Vec::new();
    for config in control_plane::mesh_configs(ingress, observed)? {
        let seen = observed.try_get(&config)?;
        // istiod keeps what it had where it cannot read them.
        let selectors = seen.read_as(|object| discovery::selectors(object));
        match selectors {
            Seen::Found(selectors) if !selectors.is_empty() => found.push((config, selectors)),
            _ => {}
        }
    }
    Ok(found)
}

/// The namespaces that istiod must see for a host: that of the authority, and that of the Service.
fn needed(host: &Host) -> (Option<String>, Option<String>) {
    let source = host.server.client_ca_source();
    let authority = (source.kind == Kind::ConfigMap).then_some(source.namespace);
    (
        authority,
        host.backend().map(|behind| behind.service.namespace),
    )
}

/// The reads of the namespaces that istiod must see, where it does not see all.
pub(super) fn namespaces(host: &Host, facts: &Facts<'_>) -> Reconciled<Vec<Query>> {
    if selectors(&host.gateway.ingress, facts.observed)?.is_empty() {
        return Ok(Vec::new());
    }
    let (authority, service) = needed(host);
    let names: BTreeSet<String> = authority.into_iter().chain(service).collect();
    let namespaces = names.into_iter().map(ObjectRef::namespace);
    Ok(namespaces.map(Query::Get).collect())
}

/// The finding on a client CA in a namespace that istiod does not see.
pub(super) fn of_client_ca(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let (Some(namespace), _) = needed(host) else {
        return Ok(None);
    };
    let checks = (&check::CLIENT_CA_NOT_SEEN, &check::CLIENT_CA_NOT_CHECKED);
    unseen(&namespace, "the authority", checks, host, facts)
}

/// The finding on a Service in a namespace that istiod does not see.
pub(super) fn of_service(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let (_, Some(namespace)) = needed(host) else {
        return Ok(None);
    };
    let checks = (&check::SERVICE_NOT_SEEN, &check::SERVICE_NOT_CHECKED);
    unseen(&namespace, "the Service", checks, host, facts)
}

/// The finding on a namespace that istiod does not see, or of which that is not known.
fn unseen(
    namespace: &str,
    what: &str,
    (fault, not_checked): (&'static Check, &'static Check),
    host: &Host,
    facts: &Facts<'_>,
) -> Reconciled<Option<Finding>> {
    let name = ObjectRef::namespace(namespace);
    for (config, selectors) in selectors(&host.gateway.ingress, facts.observed)? {
        let live = match facts.observed.try_get(&name)? {
            Seen::Found(live) => live,
            Seen::Missing => return Ok(None),
            other => {
                let reason = other.unknown().unwrap_or_default();
                let seen = format!("the namespace `{namespace}` could not be read: {reason}");
                let finding = Finding::new(not_checked, seen, remedy(&other));
                let why = format!(
                    "whether istiod sees the namespace is not known: {config} has `discoverySelectors`"
                );
                return Ok(Some(finding.because(why)));
            }
        };
        let mut labels = live.labels();
        labels.insert(discovery::NAME.to_owned(), namespace.to_owned());
        if selectors.iter().any(|selector| selector.selects(&labels)) {
            continue;
        }
        let satisfied = || selectors.iter().find_map(|it| it.satisfied(&labels));
        let after = discovery::added(&selectors, &labels).or_else(satisfied);
        let remedy = match after {
            Some(after) => {
                let changes = discovery::changes(&labels, &after);
                format!("kubectl label namespace {namespace} {changes}")
            }
            None => format!(
                "add an entry to `discoverySelectors` in {config} that selects the namespace `{namespace}`"
            ),
        };
        let seen = format!(
            "istiod does not see the namespace `{namespace}`, where {what} is: no entry of `discoverySelectors` in {config} selects it"
        );
        return Ok(Some(Finding::new(fault, seen, remedy)));
    }
    Ok(None)
}
