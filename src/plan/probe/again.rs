//! A change that proxies have missed is sent to them once more.
//!
//! A proxy that rejects one object of an update drops others of the same update too: the first one that fails ends the loop over them (Envoy,
//! `grpc_mux_impl.cc`, `watch_map.cc`). istiod collects the changes of 0.1 to 10 s into one update, and does not repeat what was rejected. So
//! the broken Secret of another Gateway can keep a revocation from every proxy until the next change.

use std::time::Duration;

use crate::plan::{Effect, Observed, Reconciled, Write};
use crate::resources::ObjectRef;
use crate::resources::names::SENT_AGAIN_ANNOTATION;

/// Proxies have loaded a change by then, unless they dropped it or are very busy.
const MISSED: Duration = Duration::from_secs(15);

/// Makes istiod send an object again that proxies have not loaded for a while: it is written once more with the same content.
pub(super) fn send_again(source: &ObjectRef, observed: &Observed) -> Reconciled<()> {
    let written = observed.change_of(source).map(|change| change.waited);
    let since = written.max(observed.attempted_after(source));
    if observed.waited().saturating_sub(since.unwrap_or_default()) < MISSED {
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
