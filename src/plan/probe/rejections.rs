//! Listeners that a proxy rejects: until it accepts them, it keeps the old configuration of their ports.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Ways;
use crate::plan::{Observed, Query};
use crate::resources::ObjectRef;
use crate::resources::ingress::pod_name;
use crate::resources::proxy_config::Part;

/// A proxy loads a change within this time, unless it rejects it or istiod is busy.
pub const SOON: Duration = Duration::from_secs(3);

/// The reads of the listeners that each proxy rejects.
pub fn rejections(ways: &Ways) -> impl Iterator<Item = Query> {
    let query = |pod: &ObjectRef| Query::Proxy(pod.clone(), Part::RejectedListeners);
    ways.pods().map(query)
}

/// [`rejections`] for a wait that takes longer than usual; else none.
pub fn late_rejections(ways: &Ways, observed: &Observed) -> Vec<Query> {
    let is_late = observed.waited() >= SOON;
    rejections(ways).filter(|_| is_late).collect()
}

/// The proxies that reject listeners, with these and Envoy's reasons, as far as this run has asked the proxies.
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

/// The rejected listeners as lines of a message: the reason why a wait does not end.
pub fn rejected(all: &[Ways], observed: &Observed) -> BTreeSet<String> {
    let rejecting = all.iter().flat_map(|ways| rejecting(ways, observed));
    let lines = rejecting.flat_map(|(pod, listeners)| {
        let line = |listener| format!("{}: it rejects the listener {listener}", pod_name(pod));
        listeners.iter().map(line)
    });
    lines.collect()
}

/// What to do about rejected listeners, where there are some: Envoy does not try again what it has rejected.
pub fn advice(all: &[Ways], observed: &Observed) -> Option<&'static str> {
    let mut rejecting = all.iter().flat_map(|ways| rejecting(ways, observed));
    rejecting.next().map(|_| {
        "a rejected listener stays as it was until its cause is repaired and istiod sends it again: after the next change of a guard or a \
         Gateway, or after a restart of istiod"
    })
}
