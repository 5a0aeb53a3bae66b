//! A change that proxies have missed is sent to them again.
//!
//! A proxy that rejects one object of an update drops others of the same update too: the first one that fails ends the loop over them (Envoy,
//! `grpc_mux_impl.cc`, `watch_map.cc`). istiod collects the changes of 0.1 to 10 s into one update, and does not repeat what was rejected. So
//! the broken Secret of another Gateway can keep a revocation from every proxy until the next change.
//!
//! Nothing is written where a proxy was sent the change and goes on with what it had: sent the same content again, it would only call it
//! accepted.

use std::time::Duration;

use super::Via;
use super::loaded::{Load, load_as};
use super::served::Served;
use crate::plan::{Effect, Observed, Query, Reconciled, Write, Written};
use crate::resources::ObjectRef;
use crate::resources::field_managers::keeper;
use crate::resources::names::SENT_AGAIN_ANNOTATION;
use crate::resources::proxy_config::Part;

/// Proxies have loaded a change by then, unless they dropped it or are very busy.
const MISSED: Duration = Duration::from_secs(15);

/// Where a proxy has not shown the expected answer.
pub(super) struct Behind<'a> {
    pub at: &'a Served,
    pub via: &'a Via,
}

impl Behind<'_> {
    fn pod(&self) -> Option<&ObjectRef> {
        match self.via {
            Via::Proxy(proxy) => Some(&proxy.pod),
            Via::Address(_) => None,
        }
    }
}

/// Writes a client CA that proxies have missed once more in this run, with the same content: istiod sends it again.
pub(super) fn send(behind: &[Behind<'_>], observed: &Observed) -> Reconciled<()> {
    for one in behind {
        let client_ca = &one.at.client_ca;
        let changed = observed.change_of(client_ca);
        let missed = MISSED + changed.map_or(Duration::ZERO, |change| change.waited);
        if observed.waited() < missed || observed.was_attempted(client_ca) {
            continue;
        }
        let same = behind.iter().filter(|same| same.at.client_ca == *client_ca);
        let same = same.filter_map(|same| Some((&same.at.resource, same.pod()?)));
        let part = Part::ClientCas;
        let is_old = |pod: &&ObjectRef| !observed.was_asked_after(missed, pod, &part);
        let unasked = same.clone().map(|(_, pod)| pod).filter(is_old);
        let unasked: Vec<Query> = unasked
            .map(|pod| Query::Proxy(pod.clone(), part.clone()))
            .collect();
        if !unasked.is_empty() {
            return Err(Effect::Read(unasked).into());
        }
        let mut loads = Vec::new();
        for (resource, pod) in same {
            loads.extend(load_as(resource, client_ca, pod, observed)?);
        }
        if loads.is_empty() || loads.contains(&Load::Current) {
            continue;
        }
        let Some(live) = observed.try_get(client_ca)?.found().copied() else {
            continue;
        };
        let is_newer =
            |change: &Written| change.answer.resource_version() != live.resource_version();
        // What somebody else has changed since was sent then. A tool that manages it would take the annotation away.
        if changed.is_some_and(is_newer) || keeper(live).is_some() {
            continue;
        }
        let version = live.resource_version().to_owned();
        let renewed = live
            .clone()
            .with_annotation(SENT_AGAIN_ANNOTATION, &version);
        return Err(Effect::Attempt(Write::Replace(renewed)).into());
    }
    Ok(())
}
