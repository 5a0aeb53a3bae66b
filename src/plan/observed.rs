//! Everything that one run of a command has read, generated, written and probed so far.

mod facts;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::generate::{Generated, Identity, SigningRequest};
use super::probe::{Observation, Probe};
use super::reconcile::{Attempt, Event, QueryResult, Question};
use super::{Query, Seen};
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::ServerIdentity;
use crate::resources::inventory::Inventory;
use crate::resources::proxy_config::Part;
use crate::resources::{Object, ObjectRef, field_managers};

/// The change of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The object was created.
    Created,
    /// The object was changed.
    Configured,
    /// The object was deleted; its finalizers may keep it for a while.
    Deleted,
}

/// A change that was made in this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The changed object.
    pub object: ObjectRef,
    /// The change of the object.
    pub action: Action,
    /// The API server's time of the change, to the second.
    pub at: OffsetDateTime,
    /// The object in the API server's answer.
    pub answer: Object,
    /// The object as it was read before; `None` for a new object, and one that was only applied.
    before: Option<Arc<Seen<Vec<Object>>>>,
    /// How long the run had been waiting before the change.
    pub waited: Duration,
    /// The change's position in the order of all events.
    order: u64,
}

impl Written {
    /// The object as it was read before the change.
    pub fn before(&self) -> Option<&Object> {
        self.before.as_ref()?.found()?.first()
    }

    /// The API server's time of the last change of the spec: earlier than `at` if the object had the same content before, so that this
    /// write changed nothing and no controller reconciles the object again.
    pub fn spec_changed_at(&self) -> OffsetDateTime {
        field_managers::spec_changed_at(&self.answer).map_or(self.at, |time| time.min(self.at))
    }
}

/// The answer to a read of objects, and its position in the order of all events.
type Ordered = (u64, Arc<Seen<Vec<Object>>>);

/// What a proxy says of a part of its configuration.
#[derive(Debug)]
struct Said {
    /// How long the run had been waiting when the proxy gave this answer first.
    since: Duration,
    /// How long the run had been waiting when the proxy gave it last.
    last: Duration,
    answer: Seen<BTreeSet<String>>,
}

/// Everything that one run of a command has read, generated, written and probed so far; only [`apply`](Self::apply) adds to it.
#[derive(Debug, Default)]
pub struct Observed {
    answers: BTreeMap<Query, Ordered>,
    first: BTreeMap<ObjectRef, Arc<Seen<Vec<Object>>>>,
    order: u64,
    addresses: BTreeMap<String, Seen<Vec<String>>>,
    tried: BTreeMap<(ObjectRef, bool), Seen<Object>>,
    taken: BTreeSet<ObjectRef>,
    confirmed: BTreeSet<ObjectRef>,
    written: Vec<Written>,
    probes: BTreeMap<Probe, (u64, Vec<Observation>)>,
    inventory: Option<Arc<Seen<Inventory>>>,
    who: Option<Seen<String>>,
    proxies: BTreeMap<(ObjectRef, Part), Said>,
    attempted: BTreeMap<ObjectRef, Attempt>,
    authority: Option<Arc<Authority>>,
    identity: Option<Identity>,
    signing_request: Option<SigningRequest>,
    canaries: BTreeMap<String, Identity>,
    clock_ahead: Option<time::Duration>,
    random: [u8; 16],
    server_authority: Option<Authority>,
    keyless_authority: Option<Certificate>,
    server_identity: Option<ServerIdentity>,
    notified: BTreeSet<String>,
    answered: Vec<Question>,
    conflicts: BTreeMap<ObjectRef, u32>,
    delivered: bool,
    waited: Duration,
}

impl Observed {
    /// Nothing observed yet; `random` are bytes that no other run has.
    pub fn new(random: [u8; 16]) -> Self {
        Self {
            random,
            ..Self::default()
        }
    }

    /// Applies the answer of an effect.
    pub fn apply(&mut self, event: Event) {
        let order = self.next_order();
        match event {
            Event::Read(answers) => {
                for (query, answer) in answers {
                    self.read(order, query, answer);
                }
            }
            Event::ClockAhead(ahead) => self.clock_ahead = Some(ahead),
            Event::DryRun {
                object,
                strict,
                answer,
            } => {
                self.tried.insert((object, strict), answer);
            }
            Event::Generated(generated) => self.generated(*generated),
            Event::Answered(question) => self.answered.push(question),
            Event::Assumed(reference) => {
                let missing = Arc::new(Seen::Missing);
                self.answers.insert(Query::Get(reference), (order, missing));
            }
            Event::Notified(text) => {
                self.notified.insert(text);
            }
            Event::Written { object, action, at } => self.wrote(order, *object, action, at),
            Event::Conflict(reference) => self.lost(reference),
            Event::Attempted { object, outcome } => {
                self.attempted.insert(object, outcome);
            }
            Event::Waited(waited) => self.waited = waited,
            Event::Probed(probed) => {
                let probed = probed.into_iter();
                self.probes
                    .extend(probed.map(|(probe, observations)| (probe, (order, observations))));
            }
            Event::Delivered => self.delivered = true,
        }
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn read(&mut self, order: u64, query: Query, answer: QueryResult) {
        match (query, answer) {
            (Query::Resolve(host), QueryResult::Addresses(addresses)) => {
                self.addresses.insert(host, addresses);
            }
            (Query::Proxy(pod, part), QueryResult::Proxy(answer)) => {
                let key = (pod, part);
                let before = self.proxies.get(&key);
                let before = before.filter(|before| before.answer == answer);
                let said = Said {
                    since: before.map_or(self.waited, |before| before.since),
                    last: self.waited,
                    answer,
                };
                self.proxies.insert(key, said);
            }
            (_, QueryResult::User(who)) => self.who = Some(who),
            (_, QueryResult::Inventory(inventory)) => self.inventory = Some(inventory),
            (query, QueryResult::Objects(objects)) => self.read_objects(order, query, objects),
            // An answer to another question: the query stays unanswered.
            _ => {}
        }
    }

    fn read_objects(&mut self, order: u64, query: Query, answer: Arc<Seen<Vec<Object>>>) {
        if let Query::Get(reference) = &query {
            let version = |answer: &Arc<Seen<Vec<Object>>>| {
                let object = answer.found().and_then(|objects| objects.first());
                object.map(|object| object.resource_version().to_owned())
            };
            let before = self.answer(&query).and_then(|(_, before)| version(before));
            if before.is_some() && before == version(&answer) {
                self.confirmed.insert(reference.clone());
            } else {
                self.confirmed.remove(reference);
            }
            if !self.first.contains_key(reference) {
                self.first.insert(reference.clone(), answer.clone());
            }
        }
        self.answers.insert(query, (order, answer));
    }

    fn generated(&mut self, generated: Generated) {
        match generated {
            Generated::Authority(authority) => self.authority = Some(authority),
            Generated::Leaf(identity) => self.identity = Some(identity),
            Generated::SigningRequest(request) => self.signing_request = Some(request),
            Generated::Canaries(canaries) => self.canaries.extend(canaries),
            Generated::ServerAuthority(authority) => self.server_authority = Some(authority),
            Generated::KeylessAuthority(ca) => self.keyless_authority = Some(ca),
            Generated::Server(identity) => self.server_identity = Some(identity),
        }
    }

    /// Records a written object; lists that may contain it stay as they were read.
    fn wrote(&mut self, order: u64, object: Object, action: Action, at: OffsetDateTime) {
        let reference = object.reference().clone();
        let before = self.answer(&Query::Get(reference.clone()));
        let before = before.map(|(_, answer)| answer.clone());
        self.written.push(Written {
            object: reference.clone(),
            action,
            at,
            answer: object.clone(),
            before,
            waited: self.waited,
            order,
        });
        if action == Action::Deleted {
            // Finalizers may keep it: whether it is gone must be observed.
            self.forget(&reference);
            return;
        }
        let answer = (order, Arc::new(Seen::Found(vec![object])));
        let metadata = Query::GetMetadata(reference.clone());
        if let Some(known) = self.answers.get_mut(&metadata) {
            known.clone_from(&answer);
        }
        self.answers.insert(Query::Get(reference), answer);
    }

    /// Records a lost race: the object must be read again, and lists of its kind too.
    fn lost(&mut self, reference: ObjectRef) {
        self.forget(&reference);
        self.tried.retain(|(object, _), _| *object != reference);
        self.answers.retain(
            |query, _| !matches!(query, Query::List { kind, .. } if *kind == reference.kind),
        );
        *self.conflicts.entry(reference.clone()).or_default() += 1;
        self.taken.insert(reference);
    }

    fn forget(&mut self, reference: &ObjectRef) {
        self.confirmed.remove(reference);
        self.answers.remove(&Query::Get(reference.clone()));
        self.answers.remove(&Query::GetMetadata(reference.clone()));
    }
}
