//! Proxies of other namespaces that the Gateway of a host also configures.

use super::facts::{Facts, blind, remedy};
use super::guards;
use super::hosts::Host;
use super::{Finding, Severity, check};
use crate::plan::control_plane::{self, Serving};
use crate::plan::{Query, Reconciled, ingress};
use crate::resources::listing::shortened;

/// How many namespaces a message names.
const NAMESPACES_SHOWN: usize = 3;

/// The query for the Pods of all namespaces that the Gateway selects; `None` if it selects all gateways, whatever their labels.
pub(super) fn query(host: &Host) -> Option<Query> {
    let selector = &host.gateway.ingress.selector;
    (!selector.is_empty()).then(|| ingress::everywhere(selector))
}

/// The finding on proxies of other namespaces: each reads the Secrets of its own namespace, and only guards in the mesh's root namespace
/// act on it.
pub(super) fn check(host: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let Some(query) = query(host) else {
        return Ok(None);
    };
    let own = &host.gateway.ingress;
    let listed = facts.observed.try_list(&query)?;
    let labels = own.labels();
    if let Some(reason) = blind(&listed) {
        let seen = format!(
            "the Pods of all namespaces with the labels `{labels}` could not be listed: {reason}"
        );
        let unseen = Finding::new(&check::PROXY_NOT_CHECKED, seen, remedy(&listed));
        let why = "whether proxies of another namespace serve the host too is not known";
        return Ok(Some(unseen.because(why)));
    }
    let mut namespaces = ingress::namespaces(&own.selector, facts.observed)?;
    namespaces.remove(&own.namespace);
    if namespaces.is_empty() || Serving::of(own, facts.observed)?.is_scoped() {
        return Ok(None);
    }
    let others: Vec<String> = namespaces.iter().map(|name| format!("`{name}`")).collect();
    let finding = Finding::new(
        &check::GATEWAY_SEVERAL_NAMESPACES,
        format!(
            "proxies with the labels `{labels}` also run in {}: the Gateway {} configures them too",
            shortened(&others, NAMESPACES_SHOWN),
            host.gateway.name
        ),
        format!("kubectl get pods -A -l {labels} --show-labels"),
    );
    let roots = control_plane::root_namespaces(own, facts.observed)?;
    let is_bypassed = !roots.contains(&own.namespace) && guards::of_host(host, facts)?.is_some();
    Ok(Some(if is_bypassed {
        let why = "no guard acts on the other proxies: anyone who reaches them with a certificate of the client CA may call the host";
        finding.graded(Severity::Error).because(why)
    } else {
        finding
    }))
}
