//! The observations of handshakes without a certificate.

use super::Request;
use super::hosts::Host;
use super::proxies;
use crate::plan::probe::{self, Client, HTTPS, Observation, Via, Ways};
use crate::plan::{Observed, Reconciled};
use crate::resources::address::with_port;

/// Handshakes without a certificate, one list per way.
pub(super) struct Handshakes<'a> {
    pub ways: Ways,
    pub observations: Vec<(Via, &'a [Observation])>,
}

impl Handshakes<'_> {
    /// Every handshake with its way.
    pub fn each(&self) -> impl Iterator<Item = (&Via, &Observation)> {
        self.observations.iter().flat_map(|(via, observations)| {
            observations
                .iter()
                .map(move |observation| (via, observation))
        })
    }

    /// The symptoms of handshakes, each once with all its ways, in the order of their first
    /// occurrence.
    pub fn group<T: PartialEq>(
        &self,
        observe: impl Fn(&Observation) -> Option<T>,
    ) -> Vec<(T, String)> {
        let groups = self.group_ways(observe).into_iter();
        groups
            .map(|(symptom, vias)| (symptom, vias.join(", ")))
            .collect()
    }

    /// As [`Self::group`], with each way by itself.
    pub fn group_ways<T: PartialEq>(
        &self,
        observe: impl Fn(&Observation) -> Option<T>,
    ) -> Vec<(T, Vec<String>)> {
        let mut groups: Vec<(T, Vec<String>)> = Vec::new();
        for (via, observation) in self.each() {
            let Some(symptom) = observe(observation) else {
                continue;
            };
            let via = via.to_string();
            match groups.iter_mut().find(|(known, _)| *known == symptom) {
                Some((_, vias)) if vias.contains(&via) => {}
                Some((_, vias)) => vias.push(via),
                None => groups.push((symptom, vec![via])),
            }
        }
        groups
    }
}

/// The ways to the gateway of a host.
pub(super) fn ways(host: &Host, request: &Request, observed: &Observed) -> Reconciled<Ways> {
    let mut connect_to = request.connect_to.clone();
    if host.is_from_outside && connect_to.is_none() {
        let addresses = observed.addresses_of(&host.probe)?;
        let first = addresses.found().and_then(|addresses| addresses.first());
        connect_to = first.map(|address| with_port(address, HTTPS));
    }
    probe::ways(observed, &host.gateway.ingress, connect_to.as_deref())
}

/// The observations of the probes of a host.
pub(super) fn handshakes<'a>(
    host: &Host,
    request: &Request,
    observed: &'a Observed,
) -> Reconciled<Handshakes<'a>> {
    let ways = ways(host, request, observed)?;
    let mut observations = Vec::new();
    for probe in probe::probes(&ways, &host.probe, &Client::Nobody) {
        if !proxies::is_idle(host, &probe.via, observed)? {
            observations.push((probe.via.clone(), observed.observations(&probe)));
        }
    }
    Ok(Handshakes { ways, observations })
}
