//! What was seen so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::look::{Look, Sighting, Via};
use super::{Query, Seen, Step, Stop};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
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

/// A client certificate made in this run.
#[derive(Debug)]
pub struct Identity {
    /// Its key, unless that stays with whoever sent a signing request.
    pub key: Option<Arc<PrivateKey>>,
    /// The certificate.
    pub certificate: Certificate,
}

/// What a read answered, and its place in the order of everything folded in.
type Answer = (u64, Arc<Seen<Vec<Object>>>);

/// Everything seen and done so far in one run of a command.
#[derive(Debug, Default)]
pub struct World {
    answers: BTreeMap<Query, Answer>,
    first: BTreeMap<ObjectRef, Arc<Seen<Vec<Object>>>>,
    order: u64,
    addresses: BTreeMap<String, Seen<Vec<String>>>,
    tried: BTreeMap<(ObjectRef, bool), Seen<Object>>,
    taken: BTreeSet<ObjectRef>,
    confirmed: BTreeSet<ObjectRef>,
    written: Vec<Written>,
    looks: BTreeMap<Look, (u64, Vec<Sighting>)>,
    who: Option<Seen<String>>,
    proxies: BTreeMap<(ObjectRef, Part), Seen<BTreeSet<String>>>,
    attempted: BTreeSet<ObjectRef>,
    /// A CA made in this run.
    pub minted: Option<Arc<Authority>>,
    /// The client certificate that was made in this run for somebody.
    pub identity: Option<Identity>,
    /// Certificates that this run shows to gateways, by labels of its own.
    pub identities: BTreeMap<String, Identity>,
    /// How far this machine's clock is ahead of the API server's; none where nothing was asked of one yet.
    pub clock_ahead: Option<time::Duration>,
    /// Bytes that nobody can guess, of this run alone.
    pub random: [u8; 16],
    /// A CA for server certificates made in this run.
    pub server_authority: Option<Authority>,
    /// A CA made in this run whose key was dropped at once.
    pub nobody: Option<Certificate>,
    /// A server certificate made in this run.
    pub server_identity: Option<ServerIdentity>,
    /// What the user was told in this run.
    pub told: BTreeSet<String>,
    /// Whether the certificate has been handed over to the user.
    pub delivered: bool,
    /// How long the command has been waiting.
    pub waited: Duration,
}

impl World {
    /// Goes on when all of this has been read; else stops to read it.
    pub fn need<R>(&self, queries: impl IntoIterator<Item = Query>) -> Result<(), Stop<R>> {
        self.read_first(queries)
            .map_or(Ok(()), |step| Err(step.into()))
    }

    /// Asks for what has not been read yet; `None` when all of it has.
    pub fn read_first<R>(&self, queries: impl IntoIterator<Item = Query>) -> Option<Step<R>> {
        let unread: Vec<Query> = queries
            .into_iter()
            .filter(|query| !self.has_read(query))
            .collect();
        (!unread.is_empty()).then_some(Step::Read(unread))
    }

    fn has_read(&self, query: &Query) -> bool {
        match query {
            Query::Resolve(host) => self.addresses.contains_key(host),
            Query::WhoAmI => self.who.is_some(),
            Query::Proxy(pod, part) => self.proxies.contains_key(&(pod.clone(), part.clone())),
            query => self.answer(query).is_some(),
        }
    }

    fn answer(&self, query: &Query) -> Option<&Answer> {
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
    pub fn list(&self, query: &Query) -> Seen<&[Object]> {
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
            self.list(query),
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
    pub fn sightings(&self, look: &Look) -> &[Sighting] {
        self.sightings_since(look, None)
    }

    /// The same, where they were made after this change; else empty.
    pub fn sightings_since(&self, look: &Look, change: Option<&Written>) -> &[Sighting] {
        match self.looks.get(look) {
            Some((order, sightings)) if change.is_none_or(|change| *order > change.order) => {
                sightings
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

    /// All handshakes that went one way.
    pub fn looks_via<'a>(&'a self, via: &'a Via) -> impl Iterator<Item = &'a Sighting> {
        self.looked_via(via).flat_map(|(_, sightings)| sightings)
    }

    fn looked_via<'a>(&'a self, via: &'a Via) -> impl Iterator<Item = &'a (u64, Vec<Sighting>)> {
        let looks = self.looks.iter();
        looks
            .filter(move |(look, _)| &look.via == via)
            .map(|(_, looked)| looked)
    }

    /// Whether the last handshake on a way succeeded with a header of the PROXY protocol.
    pub fn wants_proxy_protocol(&self, via: &Via) -> bool {
        let last = self.looked_via(via).max_by_key(|(order, _)| *order);
        last.and_then(|(_, sightings)| sightings.last())
            .is_some_and(|last| last.proxy_protocol && last.server.is_some())
    }

    /// Whether a list was read before something was written in this run.
    pub fn was_listed_before(&self, list: &Query, written: &Written) -> bool {
        let answer = self.answers.get(list);
        answer.is_some_and(|(order, _)| *order < written.order)
    }

    /// Whether a list was read after the last handshake on a way.
    pub fn was_listed_after_look(&self, list: &Query, via: &Via) -> bool {
        let listed = self.answers.get(list).map(|(order, _)| *order);
        listed > self.looked_via(via).map(|(order, _)| *order).max()
    }

    /// Folds the answer to a read in.
    pub fn fold_read(&mut self, query: Query, answer: impl Into<Arc<Seen<Vec<Object>>>>) {
        let order = self.next_order();
        self.fold_answer(order, query, answer.into());
    }

    /// Folds the answers to reads in that were made side by side: none of them is newer than another.
    pub fn fold_reads<A>(&mut self, answers: impl IntoIterator<Item = (Query, A)>)
    where
        A: Into<Arc<Seen<Vec<Object>>>>,
    {
        let order = self.next_order();
        for (query, answer) in answers {
            self.fold_answer(order, query, answer.into());
        }
    }

    fn fold_answer(&mut self, order: u64, query: Query, answer: Arc<Seen<Vec<Object>>>) {
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

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Folds the answer to a DNS question in.
    pub fn fold_addresses(&mut self, host: String, answer: Seen<Vec<String>>) {
        self.addresses.insert(host, answer);
    }

    /// Folds the answer to a server-side dry run in.
    pub fn fold_tried(&mut self, reference: ObjectRef, strict: bool, answer: Seen<Object>) {
        self.tried.insert((reference, strict), answer);
    }

    /// Folds a change in: from now on the object is as it was written.
    pub fn fold_written(&mut self, object: Object, action: Action, at: OffsetDateTime) {
        let reference = object.reference().clone();
        let order = self.next_order();
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
            // Finalizers may keep it: whether it is gone must be seen.
            self.forget(&reference);
            return;
        }
        let answer = (order, Arc::new(Seen::Found(vec![object])));
        self.answers.insert(Query::Get(reference), answer);
    }

    /// Folds a lost race in: the name was taken, or the object changed meanwhile. It must be read again.
    pub fn fold_conflict(&mut self, reference: ObjectRef) {
        self.forget(&reference);
        self.answers.retain(
            |query, _| !matches!(query, Query::List { kind, .. } if *kind == reference.kind),
        );
        self.taken.insert(reference);
    }

    /// Forgets what was read of one object, so that it is read again.
    pub fn forget(&mut self, reference: &ObjectRef) {
        self.answers.remove(&Query::Get(reference.clone()));
        self.answers.remove(&Query::GetMetadata(reference.clone()));
    }

    /// Folds handshakes in.
    pub fn fold_look(&mut self, look: Look, sightings: Vec<Sighting>) {
        let order = self.next_order();
        self.looks.insert(look, (order, sightings));
    }

    /// Folds in what a proxy said.
    pub fn fold_proxy(&mut self, pod: ObjectRef, part: Part, answer: Seen<BTreeSet<String>>) {
        self.proxies.insert((pod, part), answer);
    }

    /// Folds in who the user is.
    pub fn fold_who(&mut self, answer: Seen<String>) {
        self.who = Some(answer);
    }

    /// Folds in that a write that may fail was made.
    pub fn fold_attempt(&mut self, reference: ObjectRef) {
        self.attempted.insert(reference);
    }
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
