//! `EnvoyFilters` on the ingress gateway that may change how clients are checked.

use std::collections::BTreeSet;

use super::enforcement::lagging;
use super::facts::{Facts, acting};
use super::hosts::Host;
use super::probes::Handshakes;
use super::{Finding, Link, Severity, check};
use crate::plan::command_line;
use crate::plan::external_routes::labels_of;
use crate::plan::probe::{self, Outcome};
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::envoy_filter::{
    Subject, aborts_all, acts_on, answering, has_value, subjects,
};
use crate::resources::workload_access::Labels;
use crate::resources::{Kind, Object};

/// Values in a patch with a known effect, the effect, and why it matters.
const STATED: [(&[&str], &str, &str); 2] = [
    (
        &["ALWAYS_FORWARD_ONLY", "FORWARD_ONLY"],
        "a client's own header is forwarded",
        "a client can put a forged certificate into X-Forwarded-Client-Cert",
    ),
    (
        &["ACCEPT_UNTRUSTED"],
        "certificates of any CA are accepted",
        "anyone with a certificate gets in, under the name in that certificate",
    ),
];

/// The `EnvoyFilters` in the namespace of the gateway and in the mesh's root namespace.
pub(super) fn lists(host: &Host, observed: &Observed) -> Reconciled<Vec<Query>> {
    let namespaces = acting(&host.gateway.ingress, observed)?.into_iter();
    Ok(namespaces
        .map(|namespace| Query::within(Kind::EnvoyFilter, namespace))
        .collect())
}

/// Adds findings on filters, with their effect at the proxies. Returns whether a filter is about policies: then it is reported as the cause
/// where the proxies enforce something else than the guards say.
pub(super) fn examine(
    host: &Host,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
    link: &mut Link,
) -> Reconciled<bool> {
    let ingress = &host.gateway.ingress;
    let (filters, unseen) = facts.acting_on(Kind::EnvoyFilter, ingress)?;
    link.extend(unseen);
    let pods = facts.observed.try_list(&probe::pods(ingress))?;
    let Some(pod) = pods.found().copied().unwrap_or_default().first() else {
        return Ok(false);
    };
    let mut is_about_policies = false;
    let known = labels_of(pod);
    let labels = Labels {
        known: &known,
        are_complete: true,
    };
    for filter in filters {
        let subjects = subjects(filter, &host.server.hosts);
        if !subjects.is_empty() && acts_on(filter, labels) {
            is_about_policies |= subjects.contains(&Subject::Policies);
            link.add(judge(host, filter, &subjects, handshakes, facts)?);
        } else if acts_on(filter, labels) {
            link.extend(answering_check(host, filter));
        }
    }
    Ok(is_about_policies)
}

/// The finding on a filter that inserts others which answer requests themselves: an error where one answers all of them.
fn answering_check(host: &Host, filter: &Object) -> Option<Finding> {
    let hosts = &host.server.hosts;
    let named: Vec<&str> = answering(filter, hosts).into_iter().collect();
    if named.is_empty() {
        return None;
    }
    let reference = filter.reference();
    let finding = |seen: String| {
        let remedy = command_line::edit(reference);
        Finding::new(&check::PROXY_ADDED_FILTER, seen, remedy)
    };
    Some(if aborts_all(filter, hosts) {
        finding(format!(
            "{reference} aborts every request at the ingress gateway"
        ))
        .graded(Severity::Error)
        .because("no request reaches the Service, whatever certificate the client has")
    } else {
        let named = named.join(" and ");
        finding(format!("{reference} adds {named} to the ingress gateway"))
    })
}

fn judge(
    host: &Host,
    filter: &Object,
    subjects: &BTreeSet<Subject>,
    handshakes: &Handshakes<'_>,
    facts: &Facts<'_>,
) -> Reconciled<Finding> {
    let named: Vec<String> = subjects.iter().map(ToString::to_string).collect();
    let reference = filter.reference();
    let seen = format!(
        "{reference} changes {} at the ingress gateway",
        named.join(" and ")
    );
    let finding = |said: &str| {
        let seen = format!("{seen}; {said}");
        Finding::new(
            &check::PROXY_ENVOY_FILTER,
            seen,
            command_line::edit(reference),
        )
    };
    let outcomes = || {
        handshakes
            .each()
            .map(|(_, observation)| &observation.outcome)
    };
    if subjects.contains(&Subject::Tls) {
        if outcomes().any(|outcome| matches!(outcome, Outcome::Answered(_))) {
            let why = "anyone reaches the host without a client certificate";
            let said = "a proxy answers clients without a certificate";
            return Ok(finding(said).graded(Severity::Error).because(why));
        }
        if !outcomes().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            return Ok(finding(
                "the effect of the EnvoyFilter was not seen at the proxies",
            ));
        }
    }
    if subjects.contains(&Subject::Policies)
        && let Some((_, lost)) = lagging(host, &handshakes.ways, facts)?.first()
    {
        let why =
            "clients that are not on the allow-list, or forged identity headers, reach the Service";
        let said = format!("the proxies do not enforce the guard `{}`", lost.name);
        return Ok(finding(&said).graded(Severity::Error).because(why));
    }
    for (values, said, why) in STATED {
        if has_value(filter, values) {
            return Ok(finding(said).graded(Severity::Error).because(why));
        }
    }
    let is_refused = outcomes().any(|outcome| matches!(outcome, Outcome::Refused(_)));
    Ok(finding(if is_refused {
        "the proxies reject clients without a certificate nevertheless"
    } else {
        "the effect of the EnvoyFilter was not seen at the proxies"
    }))
}
