//! Listeners that a proxy rejects: until it takes them, nothing that is new for their port takes effect there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Ways;
use crate::plan::{Observed, Query};
use crate::resources::ObjectRef;
use crate::resources::proxy_config::Part;

/// A proxy takes a change within this time, unless it rejects it or istiod is busy.
const SOON: Duration = Duration::from_secs(3);

/// What tells which listeners the proxies reject.
pub fn rejections(ways: &Ways) -> impl Iterator<Item = Query> {
    ways.pods().map(query)
}

/// The same for a wait, once it takes longer than usual.
pub fn late_rejections(ways: &Ways, observed: &Observed) -> Vec<Query> {
    let is_late = observed.waited() >= SOON;
    rejections(ways).filter(|_| is_late).collect()
}

fn query(pod: &ObjectRef) -> Query {
    Query::Proxy(pod.clone(), Part::RejectedListeners)
}

/// The proxies that reject a listener, with the reason that Envoy gives; of those only that were asked in this run.
pub fn rejecting<'a>(
    ways: &'a Ways,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a ObjectRef, &'a BTreeSet<String>)> {
    ways.pods().filter_map(|pod| {
        let said = observed.already_said(pod, &Part::RejectedListeners)?;
        let listeners = said.found()?;
        (!listeners.is_empty()).then_some((pod, *listeners))
    })
}

/// The same for messages, a line for each listener: why a wait does not end.
pub fn rejected(all: &[Ways], observed: &Observed) -> BTreeSet<String> {
    let rejecting = all.iter().flat_map(|ways| rejecting(ways, observed));
    let lines = rejecting.flat_map(|(pod, listeners)| {
        let line = |listener| format!("{}: it rejects the listener {listener}", pod.name);
        listeners.iter().map(line)
    });
    lines.collect()
}
