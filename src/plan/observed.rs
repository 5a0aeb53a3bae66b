//! Everything that one run of a command has read, generated, written and probed so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::generate::{Generated, Identity};
use super::probe::{Observation, Probe, Via};
use super::reconcile::{Answer, Blocked, Effect, Event, Question, Reconciled};
use super::{Query, Seen};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::ServerIdentity;
use crate::resources::proxy_config::Part;
use crate::resources::{Kind, Object, ObjectRef, field_managers};

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Created,
    /// It was changed.
    Configured,
    /// It was deleted; it may stand until its finalizers are done.
    Deleted,
}

/// A change that was made in this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The changed object.
    pub object: ObjectRef,
    /// What was done to it.
    pub action: Action,
    /// The API server's time of the change, to the second.
    pub at: OffsetDateTime,
    /// As the API server answered it.
    pub answer: Object,
    /// As it was read before; what did not exist, or was only applied, was not read.
    before: Option<Arc<Seen<Vec<Object>>>>,
    /// Its place in the order of everything folded in.
    order: u64,
}

impl Written {
    /// The object as it was read before the change.
    pub fn before(&self) -> Option<&Object> {
        self.before.as_ref()?.found()?.first()
    }

    /// The API server's time of the last change of the spec: earlier than `at` where somebody else wrote the same before, so
    /// that this write changed nothing and no controller looks at the object again.
    pub fn spec_changed_at(&self) -> OffsetDateTime {
        field_managers::spec_changed_at(&self.answer).map_or(self.at, |time| time.min(self.at))
    }
}

/// The answer to a read of objects, and its place in the order of all events.
type Ordered = (u64, Arc<Seen<Vec<Object>>>);

/// Everything that one run of a command has read, generated, written and probed so far; [`apply`](Self::apply) is the only way in.
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
    who: Option<Seen<String>>,
    proxies: BTreeMap<(ObjectRef, Part), Seen<BTreeSet<String>>>,
    attempted: BTreeSet<ObjectRef>,
    authority: Option<Arc<Authority>>,
    identity: Option<Identity>,
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
    /// Nothing was observed yet; `random` are bytes that no other run has.
    pub fn new(random: [u8; 16]) -> Self {
        Self {
            random,
            ..Self::default()
        }
    }

    /// Blocks on reading, all at once, what of this has not been read yet.
    pub fn prefetch(&self, queries: impl IntoIterator<Item = Query>) -> Reconciled<()> {
        self.read_first(queries)
            .map_or(Ok(()), |effect| Err(effect.into()))
    }

    /// Asks for what has not been read yet; `None` when all of it has.
    pub fn read_first(&self, queries: impl IntoIterator<Item = Query>) -> Option<Effect> {
        let unread: Vec<Query> = queries
            .into_iter()
            .filter(|query| !self.has_read(query))
            .collect();
        (!unread.is_empty()).then_some(Effect::Read(unread))
    }

    /// An object: found, or not there. Fails where it may not be read, or cannot be.
    pub fn get(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        Ok(required(
            self.try_get(reference)?,
            reference.kind,
            reference,
        )?)
    }

    /// An object of a kind that a cluster may lack: then there is none.
    pub fn get_if_served(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        match self.try_get(reference)? {
            Seen::NotServed => Ok(None),
            seen => Ok(required(seen, reference.kind, reference)?),
        }
    }

    /// The metadata of an object: found, or not there. Fails where it may not be read, or cannot be.
    pub fn get_metadata(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        let seen = self.try_get_metadata(reference)?;
        Ok(required(seen, reference.kind, reference)?)
    }

    /// The objects of a list. Fails where they may not be listed, or cannot be.
    pub fn list(&self, query: &Query) -> Reconciled<&[Object]> {
        let kind = match query {
            Query::List { kind, .. } => *kind,
            query => return Err(Failure::internal(format!("{query:?} is no list")).into()),
        };
        let what = format_args!("the {}", kind.plural());
        let found = required(self.try_list(query)?, kind, what)?;
        Ok(found.unwrap_or_default())
    }

    /// What reading an object answered.
    pub fn try_get(&self, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let query = Query::Get(reference.clone());
        self.already_read(reference).ok_or_else(|| unread(query))
    }

    /// What reading the metadata of an object answered.
    pub fn try_get_metadata(&self, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let query = Query::GetMetadata(reference.clone());
        let answer = self.answer(&query).map(|(_, answer)| first(answer));
        answer.ok_or_else(|| unread(query))
    }

    /// What a list answered.
    pub fn try_list(&self, query: &Query) -> Reconciled<Seen<&[Object]>> {
        self.already_listed(query)
            .ok_or_else(|| unread(query.clone()))
    }

    /// The addresses of a host.
    pub fn addresses_of(&self, host: &str) -> Reconciled<Seen<&[String]>> {
        let found = self.addresses.get(host).map(|seen| seen.map(Vec::as_slice));
        found.ok_or_else(|| unread(Query::Resolve(host.to_owned())))
    }

    /// What the proxy in a Pod says of a part of its configuration.
    pub fn proxy_config(
        &self,
        pod: &ObjectRef,
        part: &Part,
    ) -> Reconciled<Seen<&BTreeSet<String>>> {
        let found = self.proxies.get(&(pod.clone(), part.clone()));
        let found = found.map(|seen| seen.map(|said| said));
        found.ok_or_else(|| unread(Query::Proxy(pod.clone(), part.clone())))
    }

    /// What reading an object answered, where it was read in this run: for a report, which must cost no further request.
    pub fn already_read(&self, reference: &ObjectRef) -> Option<Seen<&Object>> {
        let answer = self.answer(&Query::Get(reference.clone()));
        answer.map(|(_, answer)| first(answer))
    }

    /// What a list answered, where it was read in this run: for a report, which must cost no further request.
    pub fn already_listed(&self, query: &Query) -> Option<Seen<&[Object]>> {
        let answer = self.answer(query);
        answer.map(|(_, answer)| answer.map(Vec::as_slice))
    }

    fn has_read(&self, query: &Query) -> bool {
        match query {
            Query::Resolve(host) => self.addresses.contains_key(host),
            Query::WhoAmI => self.who.is_some(),
            Query::Proxy(pod, part) => self.proxies.contains_key(&(pod.clone(), part.clone())),
            query => self.answer(query).is_some(),
        }
    }

    fn answer(&self, query: &Query) -> Option<&Ordered> {
        self.answers.get(query)
    }

    /// What is known of one object.
    pub fn seen(&self, reference: &ObjectRef) -> Seen<&Object> {
        match self.answer(&Query::Get(reference.clone())) {
            Some((_, answer)) => first(answer),
            None => Seen::Failed(format!("{reference} was not read")),
        }
    }

    /// What the first read of an object in this run answered.
    pub fn first_seen(&self, reference: &ObjectRef) -> Seen<&Object> {
        match self.first.get(reference) {
            Some(answer) => first(answer),
            None => Seen::Failed(format!("{reference} was not read")),
        }
    }

    /// Whether an object was read after it, or another one, was written in this run.
    pub fn was_read_after(&self, reference: &ObjectRef, written: &Written) -> bool {
        let answer = self.answer(&Query::Get(reference.clone()));
        answer.is_some_and(|(order, _)| *order > written.order)
    }

    /// Whether the first object was read, or written, after the answer about the second one was there.
    pub fn is_newer(&self, reference: &ObjectRef, than: &ObjectRef) -> bool {
        let order = |reference: &ObjectRef| {
            let answer = self.answer(&Query::Get(reference.clone()));
            answer.map(|(order, _)| *order)
        };
        order(reference) > order(than)
    }

    /// Whether the last two looks at an object showed the same version of it.
    pub fn is_confirmed(&self, reference: &ObjectRef) -> bool {
        self.confirmed.contains(reference)
    }

    /// Whether a list was read after this object was read, or written.
    pub fn was_listed_after(&self, list: &Query, reference: &ObjectRef) -> bool {
        let order = |query: &Query| self.answers.get(query).map(|(order, _)| *order);
        order(list) > order(&Query::Get(reference.clone()))
    }

    /// Whether a list was read after the last change of this run.
    pub fn was_read_after_all_changes(&self, list: &Query) -> bool {
        let last = self.written.iter().map(|written| written.order).max();
        let read = self.answers.get(list).map(|(order, _)| *order);
        read.is_some() && read > last
    }

    /// What is known of one object's metadata.
    pub fn seen_metadata(&self, reference: &ObjectRef) -> Seen<&Object> {
        match self.answer(&Query::GetMetadata(reference.clone())) {
            Some((_, answer)) => first(answer),
            None => Seen::Failed(format!("{reference} was not read")),
        }
    }

    /// What a list answered.
    pub fn listed(&self, query: &Query) -> Seen<&[Object]> {
        match self.answer(query).map(|(_, answer)| &**answer) {
            Some(Seen::Found(objects)) => Seen::Found(objects.as_slice()),
            Some(other) => other.read_as(|_| Err::<&[Object], _>("")),
            None => Seen::Failed("it was not read".to_owned()),
        }
    }

    /// The addresses of a host.
    pub fn resolved(&self, host: &str) -> Seen<&[String]> {
        match self.addresses.get(host) {
            Some(Seen::Found(addresses)) => Seen::Found(addresses.as_slice()),
            Some(other) => other.read_as(|_| Err::<&[String], _>("")),
            None => Seen::Failed("it was not looked up".to_owned()),
        }
    }

    /// An object that the command cannot do without knowing of: found, or known to be missing.
    pub fn required(&self, reference: &ObjectRef) -> Result<Option<&Object>, Failure> {
        required(self.seen(reference), reference.kind, reference)
    }

    /// The metadata of an object that the command cannot do without knowing of.
    pub fn required_metadata(&self, reference: &ObjectRef) -> Result<Option<&Object>, Failure> {
        required(self.seen_metadata(reference), reference.kind, reference)
    }

    /// An object of a kind that a cluster may lack: then there is none.
    pub fn if_served(&self, reference: &ObjectRef) -> Result<Option<&Object>, Failure> {
        match self.seen(reference) {
            Seen::NotServed => Ok(None),
            _ => self.required(reference),
        }
    }

    /// A list that the command cannot do without.
    pub fn required_list(&self, kind: Kind, query: &Query) -> Result<&[Object], Failure> {
        let found = required(
            self.listed(query),
            kind,
            format_args!("the {}", kind.plural()),
        )?;
        Ok(found.unwrap_or_default())
    }

    /// What a server-side dry run answered, strict about unknown fields or not.
    pub fn tried(&self, reference: &ObjectRef, strict: bool) -> Option<&Seen<Object>> {
        self.tried.get(&(reference.clone(), strict))
    }

    /// Whether somebody else had the name when it was to be created.
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

    /// What the last handshakes of a look showed; empty before it was made.
    pub fn observations(&self, probe: &Probe) -> &[Observation] {
        self.observations_since(probe, None)
    }

    /// The same, where they were made after this change; else empty.
    pub fn observations_since(&self, probe: &Probe, change: Option<&Written>) -> &[Observation] {
        match self.probes.get(probe) {
            Some((order, observations)) if change.is_none_or(|change| *order > change.order) => {
                observations
            }
            _ => &[],
        }
    }

    /// What the proxy in a Pod says of a part of its configuration; read with [`Query::Proxy`].
    pub fn proxy(&self, pod: &ObjectRef, part: &Part) -> Seen<&BTreeSet<String>> {
        match self.proxies.get(&(pod.clone(), part.clone())) {
            Some(Seen::Found(said)) => Seen::Found(said),
            Some(other) => other.read_as(|_| Err::<&BTreeSet<String>, _>("")),
            None => Seen::Failed(format!("{pod} was not asked")),
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

    /// How far this machine's clock is ahead of the API server's; none where nothing was asked of one yet.
    pub fn clock_ahead(&self) -> Option<time::Duration> {
        self.clock_ahead
    }

    /// What the user was told in this run.
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

    /// An object over which more races than this were lost.
    pub fn contended(&self, most: u32) -> Option<&ObjectRef> {
        let mut conflicts = self.conflicts.iter();
        conflicts.find_map(|(object, lost)| (*lost > most).then_some(object))
    }

    /// Whether the credential has been handed to the user.
    pub fn was_delivered(&self) -> bool {
        self.delivered
    }

    /// How long the run has been waiting.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// An id that no other run has, hexadecimal.
    pub fn random_id(&self) -> String {
        self.random
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Who the API server takes the user for; read with [`Query::WhoAmI`].
    pub fn who(&self) -> Option<&str> {
        self.who.as_ref()?.found().map(String::as_str)
    }

    /// Whether a write that may fail was made in this run.
    pub fn was_attempted(&self, reference: &ObjectRef) -> bool {
        self.attempted.contains(reference)
    }

    /// Every probe that was made.
    #[cfg(test)]
    pub(super) fn probed(&self) -> impl Iterator<Item = &Probe> {
        self.probes.keys()
    }

    /// All handshakes that went one way.
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

    /// Whether the last handshake on a way succeeded with a header of the PROXY protocol.
    pub fn wants_proxy_protocol(&self, via: &Via) -> bool {
        let last = self.probed_via(via).max_by_key(|(order, _)| *order);
        last.and_then(|(_, observations)| observations.last())
            .is_some_and(|last| last.proxy_protocol && last.server.is_some())
    }

    /// Whether a list was read before something was written in this run.
    pub fn was_listed_before(&self, list: &Query, written: &Written) -> bool {
        let answer = self.answers.get(list);
        answer.is_some_and(|(order, _)| *order < written.order)
    }

    /// Whether a list was read after the last handshake on a way.
    pub fn was_listed_after_probe(&self, list: &Query, via: &Via) -> bool {
        let listed = self.answers.get(list).map(|(order, _)| *order);
        listed > self.probed_via(via).map(|(order, _)| *order).max()
    }

    /// Takes in what an effect answered.
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
            Event::Attempted(reference) => {
                self.attempted.insert(reference);
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

    fn read(&mut self, order: u64, query: Query, answer: Answer) {
        match (query, answer) {
            (Query::Resolve(host), Answer::Addresses(addresses)) => {
                self.addresses.insert(host, addresses);
            }
            (Query::Proxy(pod, part), Answer::Proxy(answer)) => {
                self.proxies.insert((pod, part), answer);
            }
            (_, Answer::User(who)) => self.who = Some(who),
            (query, Answer::Objects(objects)) => self.read_objects(order, query, objects),
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
            Generated::Canaries(canaries) => self.canaries.extend(canaries),
            Generated::ServerAuthority(authority) => self.server_authority = Some(authority),
            Generated::KeylessAuthority(ca) => self.keyless_authority = Some(ca),
            Generated::Server(identity) => self.server_identity = Some(identity),
        }
    }

    /// From now on the object is as it was written; the lists that may hold it are as they were.
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
            order,
        });
        if action == Action::Deleted {
            // Finalizers may keep it: whether it is gone must be observed.
            self.forget(&reference);
            return;
        }
        let answer = (order, Arc::new(Seen::Found(vec![object])));
        self.answers.insert(Query::Get(reference), answer);
    }

    /// A race was lost: the object must be read again, and lists of its kind too.
    fn lost(&mut self, reference: ObjectRef) {
        self.forget(&reference);
        self.answers.retain(
            |query, _| !matches!(query, Query::List { kind, .. } if *kind == reference.kind),
        );
        *self.conflicts.entry(reference.clone()).or_default() += 1;
        self.taken.insert(reference);
    }

    fn forget(&mut self, reference: &ObjectRef) {
        self.answers.remove(&Query::Get(reference.clone()));
        self.answers.remove(&Query::GetMetadata(reference.clone()));
    }
}

fn unread(query: Query) -> Blocked {
    Effect::Read(vec![query]).into()
}

fn first(answer: &Seen<Vec<Object>>) -> Seen<&Object> {
    match answer {
        Seen::Found(objects) => objects.first().map_or(Seen::Missing, Seen::Found),
        other => other.read_as(|_| Err::<&Object, _>("")),
    }
}

fn required<T>(seen: Seen<T>, kind: Kind, what: impl fmt::Display) -> Result<Option<T>, Failure> {
    match seen {
        Seen::Found(value) => Ok(Some(value)),
        Seen::Missing => Ok(None),
        Seen::Denied(denial) => Err(Failure::refused(format!(
            "{what} must be read first, and may not be: {denial}"
        ))
        .for_want_of_rights()),
        Seen::NotServed => Err(Failure::refused(format!(
            "this cluster has no `{}`",
            kind.resource()
        ))
        .hint(format!("it comes with {}", kind.installed_by()))),
        Seen::Unreadable(reason) | Seen::Failed(reason) => {
            Err(Failure::failed(format!("could not read {what}: {reason}")))
        }
    }
}
