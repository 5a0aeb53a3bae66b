//! `--close-connections`: an open connection continues after its client was revoked. A change of a policy on the gateway drains the
//! connections of every host there, and a new order of a guard's rules is a change without a meaning.

use super::Case;
use crate::plan::probe::Served;
use crate::plan::{Effect, Observed, Reconciled, Seen, Write};
use crate::resources::field_managers::keeper;
use crate::resources::guard::{headers_reference, turned};

/// The result for the open connections of each Gateway, as text.
pub(super) fn close(
    case: &Case<'_>,
    served: &[Served],
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    if !case.request.close_connections {
        return Ok(Vec::new());
    }
    let mut told = Vec::new();
    // Several servers of a Gateway share its guard.
    let gateways = served.chunk_by(|one, next| one.gateway == next.gateway);
    let guards = gateways.filter_map(<[Served]>::first).flat_map(|at| {
        let namespaces = at.ingress.namespaces();
        namespaces.map(move |namespace| (at, headers_reference(namespace, &at.gateway)))
    });
    for (at, guard) in guards {
        let gateway = &at.gateway;
        told.push(match observed.try_get(&guard)? {
            Seen::Found(_) if observed.change_of(&guard).is_some() => format!(
                "open connections of every host on the proxies of the Gateway `{gateway}` are closed within Envoy's drain time, 45 s unless it was changed"
            ),
            Seen::Found(live) if live.is_ours() => {
                if let Some(keeper) = keeper(live).filter(|_| !case.request.force_conflicts) {
                    told.push(format!(
                        "open connections to the Gateway `{gateway}` continue: {keeper} manages {guard}; add `--force-conflicts` to change it anyway"
                    ));
                    continue;
                }
                return Err(Effect::Write(Write::Replace(turned(live))).into());
            }
            Seen::Found(_) | Seen::Missing => format!(
                "open connections to the Gateway `{gateway}` continue: it has no header guard; `kubectl mtls expose SERVICE` writes one, which closes them"
            ),
            other => format!(
                "open connections to the Gateway `{gateway}` continue: {guard} could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
        });
    }
    told.dedup();
    Ok(told)
}
