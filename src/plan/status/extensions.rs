//! Extensions of the ingress gateway: WebAssembly modules and Lua scripts that may answer requests or change them.

use super::facts::{Facts, acting};
use super::hosts::Host;
use super::{Finding, Link, check};
use crate::plan::command_line;
use crate::plan::external_routes::labels_of;
use crate::plan::probe;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::Object;
use crate::resources::proxy_extension::{KINDS, acts_on, describe, is_fail_closed};
use crate::resources::workload_access::Labels;

/// The extensions in the namespace of the gateway and in the mesh's root namespace.
pub(super) fn lists(host: &Host, observed: &Observed) -> Reconciled<Vec<Query>> {
    let namespaces = acting(&host.gateway.ingress, observed)?.into_iter();
    Ok(namespaces
        .flat_map(|namespace| KINDS.map(|kind| Query::within(kind, namespace.clone())))
        .collect())
}

/// Adds the findings on extensions of the gateway's proxies.
pub(super) fn examine(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    let ingress = &host.gateway.ingress;
    let pods = facts.observed.try_list(&probe::pods(ingress))?;
    let pods = pods.found().copied().unwrap_or_default();
    for kind in KINDS {
        let (extensions, unseen) = facts.acting_on(kind, ingress)?;
        link.extend(unseen);
        let selected = |extension: &&Object| {
            pods.iter().any(|pod| {
                let labels = Labels {
                    known: &labels_of(pod),
                    are_complete: true,
                };
                acts_on(extension, labels)
            })
        };
        link.extend(extensions.into_iter().filter(selected).map(added));
    }
    Ok(())
}

fn added(extension: &Object) -> Finding {
    let reference = extension.reference();
    let what = describe(extension);
    let finding = Finding::new(
        &check::PROXY_ADDED_FILTER,
        format!("{reference} adds {what} to the ingress gateway"),
        command_line::edit(reference),
    );
    if is_fail_closed(extension) {
        finding.because("requests that the module rejects do not reach the Service, whatever certificate the client has; no request does while the proxies cannot load the module")
    } else {
        finding
    }
}
