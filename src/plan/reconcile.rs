//! The reconciler: how every command decides what to do next.
//!
//! A command is a function from what was observed so far to its report. Where something is missing, it returns
//! [`Blocked::On`] an [`Effect`]; `io::execute` performs that effect, applies the [`Event`] it answers to
//! [`Observed`](super::Observed), and runs the function again from the top. So a plan reads as if all were known,
//! what was done before is simply observed, and a killed command is a reconciler that stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::generate::{Generate, Generated, Identity, SigningRequest};
use super::observed::{Action, Observed};
use super::probe::{Observation, Probe};
use super::{Query, Seen};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::resources::{Object, ObjectRef};

/// What a reconciler has, or why it does not have it yet.
pub type Reconciled<T> = Result<T, Blocked>;

/// Why a reconciler cannot go on.
#[derive(Debug)]
pub enum Blocked {
    /// This must be done first.
    On(Box<Effect>),
    /// It failed, or refuses to go on.
    Failed(Failure),
}

impl From<Failure> for Blocked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Effect> for Blocked {
    fn from(effect: Effect) -> Self {
        Self::On(Box::new(effect))
    }
}

impl From<Generate> for Blocked {
    fn from(generate: Generate) -> Self {
        Effect::Generate(generate).into()
    }
}

impl From<Credential> for Blocked {
    fn from(credential: Credential) -> Self {
        Effect::Deliver(Delivery::Credential(Box::new(credential))).into()
    }
}

impl From<Write> for Blocked {
    fn from(write: Write) -> Self {
        Effect::Write(write).into()
    }
}

impl Blocked {
    /// Adds to the failure, where it is one.
    #[must_use]
    pub fn map_failure(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(change(failure)),
            on @ Self::On(_) => on,
        }
    }
}

/// The next thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Read all of these at once, in parallel.
    Read(Vec<Query>),
    /// Ask the API server what it would store, without storing it.
    DryRun(ServerDryRun),
    /// Generate keys and certificates, in memory.
    Generate(Generate),
    /// Ask the user something, after all that can be checked before.
    Ask(Question),
    /// Tell the user something before going on.
    Notify(String),
    /// Change one object.
    Write(Write),
    /// Change one object where that is permitted; the run goes on after a failure, and may ask for it.
    Attempt(Write),
    /// Read these again after a pause.
    Wait(Wait),
    /// Make TLS handshakes with gateways; after a pause where the same ones were made before.
    Probe(Probes),
    /// Hand this to the user: the executor writes its files.
    Deliver(Delivery),
}

/// A question to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The password of the client's files. The executor keeps the answer: no plan knows it.
    Password,
    /// Whether the user means what `what` says; each line tells one consequence.
    Confirm {
        /// What would happen.
        what: String,
        /// To whom.
        lines: Vec<String>,
    },
}

/// What became of a write that may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was made, or lost a race.
    Made,
    /// The API server refuses it: why.
    Refused(String),
    /// It failed otherwise, and another attempt may succeed: why.
    Failed(String),
}

/// What an effect answered; [`Observed::apply`](super::Observed::apply) takes it in.
#[derive(Debug)]
pub enum Event {
    /// The answers to queries that were asked side by side: none of them is newer than another.
    Read(Vec<(Query, QueryResult)>),
    /// How far the clock of this machine is ahead of the API server's.
    ClockAhead(time::Duration),
    /// What the API server would store.
    DryRun {
        /// What would be written.
        object: ObjectRef,
        /// Whether unknown fields were errors.
        strict: bool,
        /// The object as it would be stored, or why it would not.
        answer: Seen<Object>,
    },
    /// Keys and certificates.
    Generated(Box<Generated>),
    /// The user was asked, and did not refuse.
    Answered(Question),
    /// This is taken to be missing without having been read: creating it would tell otherwise.
    Assumed(ObjectRef),
    /// The user was told this.
    Notified(String),
    /// An object was changed.
    Written {
        /// The object as the API server answered it.
        object: Box<Object>,
        /// What was done to it.
        action: Action,
        /// The API server's time of the change.
        at: OffsetDateTime,
    },
    /// The name was taken, or the object changed meanwhile.
    Conflict(ObjectRef),
    /// A write that may fail was made.
    Attempted {
        /// The object.
        object: ObjectRef,
        /// What became of it.
        outcome: Attempt,
    },
    /// The run has been waiting for so long altogether.
    Waited(Duration),
    /// What handshakes showed.
    Probed(Vec<(Probe, Vec<Observation>)>),
    /// The credential was handed to the user.
    Delivered,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone)]
pub enum QueryResult {
    /// Objects, or their metadata.
    Objects(Arc<Seen<Vec<Object>>>),
    /// The addresses of a host.
    Addresses(Seen<Vec<String>>),
    /// The name of the user.
    User(Seen<String>),
    /// A part of a proxy's configuration.
    Proxy(Seen<BTreeSet<String>>),
}

impl QueryResult {
    /// What a query answers that failed for this reason.
    pub fn failed(query: &Query, reason: String) -> Self {
        match query {
            Query::Resolve(_) => Self::Addresses(Seen::Failed(reason)),
            Query::WhoAmI => Self::User(Seen::Failed(reason)),
            Query::Proxy(..) => Self::Proxy(Seen::Failed(reason)),
            Query::Get(_)
            | Query::GetMetadata(_)
            | Query::GetMetadataIfAllowed(_)
            | Query::List { .. } => Seen::Failed(reason).into(),
        }
    }
}

impl From<Seen<Vec<Object>>> for QueryResult {
    fn from(objects: Seen<Vec<Object>>) -> Self {
        Self::Objects(Arc::new(objects))
    }
}

/// More lost races than this over one object are no accident.
const MOST_CONFLICTS: u32 = 20;

/// Runs a reconciler once; fails where another client keeps changing what it writes.
pub fn advance<T>(
    observed: &Observed,
    plan: impl FnOnce(&Observed) -> Reconciled<T>,
) -> Reconciled<T> {
    match observed.contended(MOST_CONFLICTS) {
        Some(object) => Err(
            Failure::refused(format!("another client keeps changing {object}"))
                .hint("find out which, then run the same command again")
                .into(),
        ),
        None => plan(observed),
    }
}

/// What a part of a plan came to where its failure is not the end of the run. Never drops [`Blocked::On`]: that must be done.
pub fn tolerate<T>(part: Reconciled<T>) -> Reconciled<Result<T, Failure>> {
    match part {
        Ok(value) => Ok(Ok(value)),
        Err(Blocked::Failed(failure)) => Ok(Err(failure)),
        Err(on @ Blocked::On(_)) => Err(on),
    }
}

/// Joins two parts of a plan so that what both of them read is read in one round. Else the first one goes first.
pub fn join<A, B>(first: Reconciled<A>, second: Reconciled<B>) -> Reconciled<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(Blocked::On(first)), Err(Blocked::On(second))) => Err(match (*first, *second) {
            (Effect::Read(mut queries), Effect::Read(more)) => {
                queries.extend(more);
                Effect::Read(queries).into()
            }
            (read @ Effect::Read(_), _) | (_, read @ Effect::Read(_)) => read.into(),
            (first, _) => first.into(),
        }),
        (Err(on @ Blocked::On(_)), _) | (_, Err(on @ Blocked::On(_))) => Err(on),
        (Err(failed), _) | (_, Err(failed)) => Err(failed),
    }
}

/// TLS handshakes to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// All of them at once.
    pub probes: Vec<Probe>,
    /// What is read again before a repetition: the gateway's Pods come and go.
    pub reread: Vec<Query>,
    /// What a repetition waits for: one line per proxy that does not show it yet, and why.
    pub progress: Vec<String>,
}

impl From<Vec<Probe>> for Probes {
    fn from(probes: Vec<Probe>) -> Self {
        Self {
            probes,
            reread: Vec::new(),
            progress: Vec::new(),
        }
    }
}

/// What is handed to the user.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The credential of a client.
    Credential(Box<Credential>),
    /// A key and a signing request for an external CA.
    SigningRequest(Box<SigningRequest>),
}

/// What a client gets.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The certificate, and its key unless that stays with whoever sent a signing request.
    pub identity: Identity,
    /// The CAs that the gateway trusts, newest first, as PEM.
    pub trusted_pem: String,
    /// The CA that signed, and those above it as far as they are known.
    pub chain: Vec<Certificate>,
}

/// A server-side dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerDryRun {
    /// What would be written.
    pub write: Write,
    /// Whether a field that the kind does not have is an error; else the API server prunes it, and that is the question.
    pub strict: bool,
}

/// A change of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// POST; when the name is taken already, the object is read again.
    Create(Object),
    /// PUT under the resourceVersion that was read; when it changed meanwhile, the object is read again.
    Replace(Object),
    /// Server-side apply under our field manager; a conflict with another manager is an error.
    Apply(Object),
    /// The same, taking over what other managers wrote. Where it bears the resourceVersion that was read and the object changed
    /// meanwhile, that is read again.
    TakeOver(Object),
    /// DELETE of the object as it was read: its uid and resourceVersion are preconditions. Gone already is as good.
    Delete(Object),
}

impl Write {
    /// The object as it will be, or as it was when it is to be deleted.
    pub fn object(&self) -> &Object {
        match self {
            Self::Create(object)
            | Self::Replace(object)
            | Self::Apply(object)
            | Self::TakeOver(object)
            | Self::Delete(object) => object,
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// What is read again.
    pub reread: Vec<Query>,
    /// One line per object that is not there yet: the object, its state, and its controller's own words.
    pub progress: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::testing::{Cluster, Run};
    use crate::resources::Kind;

    /// The worked example of CONTRIBUTING.md.
    fn greet(observed: &Observed, _: OffsetDateTime) -> Reconciled<Object> {
        let name = ObjectRef::new(Kind::ConfigMap, "shop", "greeting");
        let Some(object) = observed.get(&name)? else {
            let greeting = Object::new(name).with("data", json!({"text": "hello"}));
            return Err(Write::Create(greeting).into());
        };
        Ok(object.clone())
    }

    #[test]
    fn the_worked_example_reads_writes_and_ends() {
        let mut cluster = Cluster::default();
        let mut run = Run::begin(&greet);
        assert!(matches!(run.next(cluster.now), Some(Effect::Read(_))));
        assert!(cluster.step(&mut run));
        assert!(matches!(
            run.next(cluster.now),
            Some(Effect::Write(Write::Create(_)))
        ));
        assert!(cluster.step(&mut run));
        let greeting = cluster.finish(&mut run).unwrap();
        assert_eq!(greeting.text(&["data", "text"]), "hello");
        cluster.run(&greet).unwrap();
        assert_eq!(cluster.writes.len(), 1, "a rerun finds it done");
    }

    #[test]
    fn the_worked_example_reads_again_what_somebody_else_created_meanwhile() {
        let mut cluster = Cluster::default();
        let mut run = Run::begin(&greet);
        assert!(cluster.step(&mut run));
        let name = ObjectRef::new(Kind::ConfigMap, "shop", "greeting");
        cluster.put(&Object::new(name).with("data", json!({"text": "theirs"})));
        let greeting = cluster.finish(&mut run).unwrap();
        assert_eq!(greeting.text(&["data", "text"]), "theirs");
        assert!(cluster.writes.is_empty());
    }
}
