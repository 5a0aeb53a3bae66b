//! The actions of this run: objects generated, written and probed, questions asked and notes
//! printed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Observed, Written};
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::ServerIdentity;
use crate::plan::Query;
use crate::plan::generate::{Identity, SigningRequest};
use crate::plan::probe::{Observation, Probe, Via};
use crate::plan::reconcile::{Attempt, Effect, Question, Reconciled};
use crate::resources::ObjectRef;

impl Observed {
    /// Whether creating an object failed because the name was taken.
    pub fn is_taken(&self, reference: &ObjectRef) -> bool {
        self.taken.contains(reference)
    }

    /// The changes of this run, in order.
    pub fn changes(&self) -> &[Written] {
        &self.written
    }

    /// The change of one object in this run.
    pub fn change_of(&self, reference: &ObjectRef) -> Option<&Written> {
        self.written
            .iter()
            .rev()
            .find(|written| &written.object == reference)
    }

    /// The observations of the last handshakes of a probe; empty before the probe was made.
    pub fn observations(&self, probe: &Probe) -> &[Observation] {
        self.observations_since(probe, None)
    }

    /// The observations of a probe that was made after this change; else empty.
    pub fn observations_since(&self, probe: &Probe, change: Option<&Written>) -> &[Observation] {
        match self.probes.get(probe) {
            Some((order, observations)) if change.is_none_or(|change| *order > change.order) => {
                observations
            }
            _ => &[],
        }
    }

    /// The client CA that this run generated.
    pub fn generated_authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    /// The certificate that this run generated for a client.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The signing request that this run generated.
    pub fn signing_request(&self) -> Option<&SigningRequest> {
        self.signing_request.as_ref()
    }

    /// The certificate of this label with which gateways are probed.
    pub fn canary(&self, label: &str) -> Option<&Identity> {
        self.canaries.get(label)
    }

    /// The CA for server certificates that this run generated.
    pub fn server_authority(&self) -> Option<&Authority> {
        self.server_authority.as_ref()
    }

    /// The server certificate that this run generated.
    pub fn server_identity(&self) -> Option<&ServerIdentity> {
        self.server_identity.as_ref()
    }

    /// The CA that this run generated and whose key was dropped at once.
    pub fn keyless_authority(&self) -> Option<&Certificate> {
        self.keyless_authority.as_ref()
    }

    /// How far this machine's clock is ahead of the API server's; `None` before the first request.
    pub fn clock_ahead(&self) -> Option<time::Duration> {
        self.clock_ahead
    }

    /// The notes that the user got in this run.
    pub fn notified(&self) -> &BTreeSet<String> {
        &self.notified
    }

    /// Blocks on asking the user, once.
    pub fn answer_to(&self, question: Question) -> Reconciled<()> {
        if self.answered.contains(&question) {
            return Ok(());
        }
        Err(Effect::Ask(question).into())
    }

    /// An object over which this run lost more than `most` races.
    pub fn contended(&self, most: u32) -> Option<&ObjectRef> {
        let mut conflicts = self.conflicts.iter();
        conflicts.find_map(|(object, lost)| (*lost > most).then_some(object))
    }

    /// Whether the credential was delivered to the user.
    pub fn was_delivered(&self) -> bool {
        self.delivered
    }

    /// How long the run has been waiting.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// A hexadecimal id that no other run has.
    pub fn random_id(&self) -> String {
        self.random
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether a write that may fail was made in this run.
    pub fn was_attempted(&self, reference: &ObjectRef) -> bool {
        self.attempted.contains_key(reference)
    }

    /// The result of such a write.
    pub fn attempt(&self, reference: &ObjectRef) -> Option<&Attempt> {
        self.attempted.get(reference)
    }

    /// Every probe that was made.
    #[cfg(test)]
    pub(in crate::plan) fn probed(&self) -> impl Iterator<Item = &Probe> {
        self.probes.keys()
    }

    /// All handshakes through one way to the gateway.
    pub fn probes_via<'a>(&'a self, via: &'a Via) -> impl Iterator<Item = &'a Observation> {
        self.probed_via(via)
            .flat_map(|(_, observations)| observations)
    }

    fn probed_via<'a>(&'a self, via: &'a Via) -> impl Iterator<Item = &'a (u64, Vec<Observation>)> {
        let probes = self.probes.iter();
        probes
            .filter(move |(probe, _)| &probe.via == via)
            .map(|(_, probed)| probed)
    }

    /// Whether the last handshake through a way succeeded with a header of the PROXY protocol.
    pub fn wants_proxy_protocol(&self, via: &Via) -> bool {
        let last = self.probed_via(via).max_by_key(|(order, _)| *order);
        last.and_then(|(_, observations)| observations.last())
            .is_some_and(|last| last.proxy_protocol && last.server.is_some())
    }

    /// Whether a list was read after the last handshake through a way.
    pub fn was_listed_after_probe(&self, list: &Query, via: &Via) -> bool {
        let listed = self.answers.get(list).map(|(order, _)| *order);
        listed > self.probed_via(via).map(|(order, _)| *order).max()
    }
}
