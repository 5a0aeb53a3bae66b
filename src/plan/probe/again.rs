//! A change that proxies have missed is sent to them once more.
//!
//! A proxy that rejects one object of an update drops others of the same update too: the first one that fails ends the loop over them (Envoy,
//! `grpc_mux_impl.cc`, `watch_map.cc`). istiod collects the changes of 0.1 to 10 s into one update, and does not repeat what was rejected. So
//! the broken Secret of another Gateway can keep a revocation from every proxy until the next change.
//!
//! A proxy that was sent the change, and goes on with what it had, is another case: it would call the same content accepted the next time, and
//! still not use it.

use std::time::Duration;

use super::loaded::{Load, load};
use super::ways::Ways;
use crate::plan::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::ObjectRef;
use crate::resources::names::SENT_AGAIN_ANNOTATION;
use crate::resources::proxy_config::Part;

/// Proxies have loaded a change by then, unless they dropped it or are very busy.
const MISSED: Duration = Duration::from_secs(15);

/// From then on the proxies are asked what they were sent.
const LATE: Duration = Duration::from_secs(10);

/// The reads of what the proxies were sent, in a wait that takes longer than usual.
pub(super) fn late_loads(ways: &Ways, observed: &Observed) -> Vec<Query> {
    let is_late = observed.waited() >= LATE;
    let query = |pod: &ObjectRef| Query::Proxy(pod.clone(), Part::ClientCas);
    ways.pods().filter(|_| is_late).map(query).collect()
}

/// Makes istiod send an object again that proxies have not got for a while: it is written once more with the same content.
pub(super) fn send_again(source: &ObjectRef, all: &[Ways], observed: &Observed) -> Reconciled<()> {
    let written = observed.change_of(source).map(|change| change.waited);
    let since = written.max(observed.attempted_after(source));
    if observed.waited().saturating_sub(since.unwrap_or_default()) < MISSED {
        return Ok(());
    }
    let pods: Vec<&ObjectRef> = all.iter().flat_map(Ways::pods).collect();
    let mut is_missed = pods.is_empty();
    for pod in pods {
        is_missed |= load(source, pod, observed)? != Some(Load::Current);
    }
    if !is_missed {
        return Ok(());
    }
    match observed.try_get(source)?.found() {
        Some(live) => {
            let version = live.resource_version().to_owned();
            let renewed = (*live)
                .clone()
                .with_annotation(SENT_AGAIN_ANNOTATION, &version);
            Err(Effect::Attempt(Write::Replace(renewed)).into())
        }
        None => Ok(()),
    }
}
