//! A cluster in memory, for tests of every reconciler: what the API server, its controllers, the proxies of a gateway and the user
//! answer to an effect, without waiting for anything.
//!
//! [`Cluster::perform`] is a function of the cluster and the effect. A test runs a command to its end with [`Cluster::run`],
//! step by step with [`Run`], or under [`every_fault`] killed after, and failing at, each of its effects.

mod authority;
mod cluster;
mod controllers;
mod dropping;
mod essence;
mod faults;
mod generate;
pub mod hostile;
pub mod kyma;
pub mod order;
mod ownership;
mod policies;
mod proxies;
mod run;
mod strangers;

pub use authority::{foreign_ca, issue_request};
pub use cluster::Cluster;
pub use controllers::Controllers;
pub use dropping::Dropping;
pub use faults::{Fault, every_fault, every_fault_watched, unseen};
pub use proxies::{Verdict, server_issuer};
pub use run::{Command, Run};

use time::OffsetDateTime;

use super::probe::Client;
use super::{Action, Blocked, Effect, Event, Observed, Query, QueryResult, Reconciled, Seen};
use crate::error::Failure;
use crate::resources::Object;

impl Observed {
    /// Whether gateways were shown a client certificate.
    pub(crate) fn has_shown_a_canary(&self) -> bool {
        let mut probes = self.probed();
        probes.any(|probe| probe.client != Client::Nobody)
    }

    /// Observes the addresses of a host.
    pub(crate) fn resolved_to(&mut self, host: &str, addresses: Seen<Vec<String>>) {
        let query = Query::Resolve(host.to_owned());
        self.apply(Event::Read(vec![(
            query,
            QueryResult::Addresses(addresses),
        )]));
    }

    /// Observes a change by this run.
    pub(crate) fn changed(&mut self, object: Object, action: Action, at: OffsetDateTime) {
        let object = Box::new(object);
        self.apply(Event::Written { object, action, at });
    }

    /// Observes the answer to one query, as if it had just been read.
    pub(crate) fn saw(&mut self, query: Query, answer: Seen<Vec<Object>>) {
        self.apply(Event::Read(vec![(query, answer.into())]));
    }
}

/// The effect that a reconciler is blocked on.
#[track_caller]
pub fn blocked_on<T>(reconciled: Reconciled<T>) -> Effect {
    match reconciled {
        Err(Blocked::On(effect)) => *effect,
        Err(Blocked::Failed(failure)) => panic!("it fails: {failure}"),
        Ok(_) => panic!("it is done"),
    }
}

/// Why a reconciler failed.
#[track_caller]
pub fn why_failed<T>(reconciled: Reconciled<T>) -> Failure {
    match reconciled {
        Err(Blocked::Failed(failure)) => failure,
        Err(Blocked::On(effect)) => panic!("it goes on: {effect:?}"),
        Ok(_) => panic!("it is done"),
    }
}
