//! `--close-connections`: an open connection continues after its client was revoked. A change of a policy on the gateway drains the
//! connections of every host there, and a new order of a guard's rules is a change without a meaning.

use super::Case;
use crate::plan::probe::{self, Lagging, Served};
use crate::plan::{Blocked, Effect, Observed, Query, Reconciled, Seen, Write};
use crate::resources::field_managers::keeper;
use crate::resources::guard::{headers_reference, is_enforced, traces, turned};
use crate::resources::proxy_config::Part;
use crate::resources::{Kind, ObjectRef};

/// The result for the open connections of each Gateway, as text, once the proxies that can be asked have the changed guards.
pub(super) fn close(
    case: &Case<'_>,
    served: &[Served],
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    if !case.request.close_connections {
        return Ok(Vec::new());
    }
    let (mut told, mut changed) = (Vec::new(), Vec::new());
    // Several servers of a Gateway share its guard.
    let istios: Vec<&Served> = served
        .iter()
        .filter(|at| at.kind == Kind::Gateway)
        .collect();
    for at in served.iter().filter(|at| at.kind != Kind::Gateway) {
        let shares = |other: &&Served| at.ingress.may_share_proxies_with(&other.ingress);
        if !istios.iter().any(shares) {
            told.push(format!(
                "open connections to the Gateway `{}` of the Kubernetes Gateway API continue: it has no header guard",
                at.gateway
            ));
        }
    }
    let gateways = istios.chunk_by(|one, next| one.gateway == next.gateway);
    let guards = gateways
        .filter_map(|same| same.first().copied())
        .flat_map(|at| {
            let namespaces = at.ingress.namespaces();
            namespaces.map(move |namespace| (at, headers_reference(namespace, &at.gateway)))
        });
    for (at, guard) in guards {
        let gateway = &at.gateway;
        told.push(match observed.try_get(&guard)? {
            Seen::Found(_) if observed.change_of(&guard).is_some() => {
                changed.push((at, guard));
                format!(
                    "open connections of every host on the proxies of the Gateway `{gateway}` are closed within Envoy's drain time, 45 s unless it was changed"
                )
            }
            Seen::Found(live) if live.is_ours() && turned(live) != *live => {
                if let Some(keeper) = keeper(live).filter(|_| !case.request.force_conflicts) {
                    told.push(format!(
                        "open connections to the Gateway `{gateway}` continue: {keeper} manages {guard}; add `--force-conflicts` to change it anyway"
                    ));
                    continue;
                }
                return Err(Effect::Write(Write::Replace(turned(live))).into());
            }
            Seen::Found(_) | Seen::Missing => format!(
                "open connections to the Gateway `{gateway}` continue: it has no complete header guard; `kubectl mtls expose SERVICE` writes one, which closes them"
            ),
            other => format!(
                "open connections to the Gateway `{gateway}` continue: {guard} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
        });
    }
    told.dedup();
    told.extend(until_enforced(case, &changed, observed)?);
    Ok(told)
}

/// Waits until the proxies enforce the changed guards, each beside its proxies: until then they drain nothing. Returns a note where that
/// was not seen.
fn until_enforced(
    case: &Case<'_>,
    changed: &[(&Served, ObjectRef)],
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let connect_to = case.request.connect_to.as_deref();
    let (mut lagging, mut all) = (Lagging::default(), Vec::new());
    for (at, guard) in changed {
        let mut ingresses = at.ingress.parts();
        let Some(ingress) = ingresses.find(|part| part.namespace == guard.namespace) else {
            continue;
        };
        observed.prefetch(probe::queries(&ingress))?;
        probe::know_pods(observed, &ingress, connect_to)?;
        let ways = probe::ways(observed, &ingress, connect_to)?;
        let policies = |pod: &ObjectRef| Query::Proxy(pod.clone(), Part::Policies);
        observed.prefetch(ways.pods().map(policies))?;
        let live = observed.try_get(guard)?;
        let expected = live.found().map(|live| traces(live)).unwrap_or_default();
        for pod in ways.pods() {
            let lags = |lines: &_| !is_enforced(guard, &expected, lines);
            let words = format!("it has not loaded {guard} yet");
            lagging.ask(pod, &Part::Policies, observed, lags, &words)?;
        }
        lagging.reread([probe::pods(&ingress), Query::Get(guard.clone())]);
        all.push(ways);
    }
    let unseen = lagging.until_none(&all, case.request.timeout, observed);
    let unseen = unseen.map_err(|blocked: Blocked| {
        blocked.map_failure(|failure| {
            failure
                .hint("the certificates are revoked; connections that were open before continue at these proxies")
                .hint("run the same command again to close them")
        })
    })?;
    Ok(unseen
        .map(|reason| format!("whether every proxy closes its connections was not seen: {reason}")))
}
