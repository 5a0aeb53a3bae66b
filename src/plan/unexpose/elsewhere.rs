//! The Service that is not exposed: where one of its name is.

use std::collections::BTreeSet;

use super::Request;
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::names::route as route_of;
use crate::resources::{Kind, ObjectRef};

/// How many namespaces with an exposed Service of the same name a message shows.
const MOST_NAMESPACES: usize = 3;

/// The error about a Service that is not exposed: reads the routes of all namespaces, as far as the user may.
pub(super) fn not_exposed(
    request: &Request,
    route: &ObjectRef,
    observed: &Observed,
) -> Reconciled<Failure> {
    let failure = Failure::refused(format!(
        "the Service `{}/{}` is not exposed: {route} does not exist",
        request.namespace, request.service
    ));
    let others = others(request, observed)?;
    if !others.is_empty() {
        let flags = match (request.purge, request.gateway_too) {
            (true, _) => " --purge",
            (false, true) => " --gateway-too",
            (false, false) => "",
        };
        let hints = others.iter().take(MOST_NAMESPACES).flat_map(|namespace| {
            [
                format!("the Service is exposed in the namespace `{namespace}`:"),
                format!(
                    "  kubectl mtls unexpose {} -n {namespace}{flags}",
                    request.service
                ),
            ]
        });
        return Ok(failure.hints(hints));
    }
    let failure = if request.gateway_too {
        failure.hint("no Gateway was made for this Service either")
    } else {
        failure
    };
    Ok(failure
        .hint("every host behind mutual TLS:")
        .hint("  kubectl mtls status")
        .hint("to succeed when the Service is not exposed, add `--ignore-not-found`"))
}

/// The other namespaces in which a Service of this name is exposed; none where routes may not be listed.
fn others(request: &Request, observed: &Observed) -> Reconciled<BTreeSet<String>> {
    let queries = [Kind::ApiRule, Kind::VirtualService].map(Query::everywhere);
    observed.prefetch(queries.clone())?;
    let name = route_of(&request.service);
    let mut found = BTreeSet::new();
    for query in &queries {
        let listed = observed.try_list(query)?;
        let routes = listed.found().copied().unwrap_or_default().iter();
        let same = routes.filter(|route| {
            route.is_ours() && route.name() == name && route.namespace() != request.namespace
        });
        found.extend(same.map(|route| route.namespace().to_owned()));
    }
    Ok(found)
}
