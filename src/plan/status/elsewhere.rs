//! Proxies of other namespaces that the Gateway of a host also configures.

use super::facts::{Facts, blind, remedy};
use super::hosts::Host;
use super::{Finding, Severity, check, fail_open, guards, server_source};
use crate::plan::{Query, Reconciled, Seen, ingress, probe};
use crate::resources::ObjectRef;
use crate::resources::names::CLIENTS_ANNOTATION;

/// The query for the Pods of all namespaces that the Gateway selects; `None` if it selects all gateways, whatever their labels.
pub(super) fn query(host: &Host) -> Option<Query> {
    let selector = &host.proxies.selector;
    (!selector.is_empty()).then(|| ingress::everywhere(selector))
}

/// Whether the report examines a further namespace like the first one: the Gateway or its route notes the namespace, and proxies run there.
pub(super) fn is_examined(part: &Host, facts: &Facts<'_>) -> Reconciled<bool> {
    let ingress = &part.gateway.ingress;
    let pods = facts.observed.try_list(&probe::pods(ingress))?;
    let noted = part.noted(facts);
    let is_noted = noted.namespaces().any(|known| known == ingress.namespace);
    Ok(is_noted && !matches!(pods, Seen::Found([])))
}

/// The findings on proxies in namespaces that neither the Gateway nor its route notes, and on Pods that could not be listed.
pub(super) fn check(host: &Host, facts: &Facts<'_>) -> Reconciled<Vec<Finding>> {
    let Some(query) = query(host) else {
        return Ok(Vec::new());
    };
    let listed = facts.observed.try_list(&query)?;
    if let Some(reason) = blind(&listed) {
        let seen = format!(
            "the Pods of all namespaces with the labels `{}` could not be listed: {reason}",
            host.proxies.labels()
        );
        let unseen = Finding::new(&check::PROXY_NOT_CHECKED, seen, remedy(&listed));
        let why = "whether proxies of another namespace serve the host too is not known";
        return Ok(vec![unseen.because(why)]);
    }
    let mut findings = Vec::new();
    for part in host.parts().skip(1) {
        if !is_examined(&part, facts)? {
            findings.extend(joined(&part, facts)?);
        }
    }
    Ok(findings)
}

/// The finding on the Secrets and guards that are missing in a further namespace.
fn joined(part: &Host, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    let ingress = &part.gateway.ingress;
    let (namespace, labels) = (&ingress.namespace, ingress.labels());
    let pods = facts.observed.try_list(&probe::pods(ingress))?;
    if let Seen::Found([]) = pods {
        return Ok(None);
    }
    let seen = format!(
        "proxies with the labels `{labels}` also run in `{namespace}`: the Gateway {} configures them too",
        part.gateway.name
    );
    let Some(route) = part.ours(facts).next() else {
        let remedy = format!("kubectl get pods -A -l {labels} --show-labels");
        return Ok(Some(Finding::new(
            &check::GATEWAY_SEVERAL_NAMESPACES,
            seen,
            remedy,
        )));
    };
    let policies = facts.policies(namespace)?;
    let mut lacking: Vec<ObjectRef> = Vec::new();
    if blind(&policies).is_none() {
        let name = &part.gateway.name;
        if guards::of_headers(namespace, name, facts)?.is_none() {
            lacking.push(guards::header_guard(part));
        }
        let is_guarded = route.annotation(CLIENTS_ANNOTATION).is_some();
        if is_guarded && guards::of_host(part, facts)?.is_none() {
            lacking.extend(guards::host_guard(part));
        }
    }
    lacking.extend(fail_open::lacking(part, facts.observed)?);
    let is_open = !lacking.is_empty();
    lacking.extend(server_source::lacking(&part.server, facts.observed)?);
    if lacking.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    let first = part.noted(facts).parts().next();
    let leading = first.map(|first| probe::service_of(facts.observed, &first));
    let (service, front) = probe::service_of(facts.observed, ingress)?;
    let remedy = match (front, leading.transpose()?) {
        // The Service that clients are sent to stays the first one.
        (Seen::Found(_), Some((leading, Seen::Found(_)))) => format!(
            "{} --ingress {}/{},{}/{}",
            part.expose_command(),
            leading.namespace,
            leading.name,
            service.namespace,
            service.name
        ),
        _ => format!("kubectl get pods -n {namespace} -l {labels} --show-labels"),
    };
    let finding = Finding::new(
        &check::GATEWAY_SEVERAL_NAMESPACES,
        format!("{seen}, and there is no {}", names.join(", no ")),
        remedy,
    );
    let why = "the command lets these proxies serve the host, and gives them the key of its server certificate: remove the Pods instead if they are not yours";
    let finding = finding.because(why);
    Ok(Some(if is_open {
        let why = format!(
            "without them the proxies there are a way in, as soon as they have a server Secret; {why}"
        );
        finding.graded(Severity::Error).because(why)
    } else {
        finding
    }))
}
