//! The reconciler: how every command decides what to do next.
//!
//! A command is a function from what was observed so far to its report. If a fact is missing, the function returns [`Blocked::On`] an
//! [`Effect`]; `io::execute` performs that effect, applies the answer, an [`Event`], to [`Observed`](super::Observed), and runs the
//! function again from the top. So a plan is written as if all facts were known, finished steps are simply observed, and a killed command
//! is a reconciler that stopped.

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
use crate::resources::inventory::Inventory;
use crate::resources::{Object, ObjectRef};

/// The value of a reconciler, or why it does not have one yet.
pub type Reconciled<T> = Result<T, Blocked>;

/// Why a reconciler cannot continue.
#[derive(Debug)]
pub enum Blocked {
    /// An effect must be performed first.
    On(Box<Effect>),
    /// A step failed, or the reconciler refuses to continue.
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
    /// Changes the failure, if there is one.
    #[must_use]
    pub fn map_failure(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(change(failure)),
            on @ Self::On(_) => on,
        }
    }
}

/// The next effect to perform.
#[derive(Debug)]
pub enum Effect {
    /// Perform all of these reads in parallel.
    Read(Vec<Query>),
    /// Ask the API server which object a write would store, without storing it.
    DryRun(ServerDryRun),
    /// Generate keys and certificates, in memory.
    Generate(Generate),
    /// Ask the user a question, after all checks that are possible before.
    Ask(Question),
    /// Print a note before continuing.
    Notify(String),
    /// Change one object.
    Write(Write),
    /// Change one object if that is permitted; the run continues after a failure, and can read the result. An object that was changed
    /// meanwhile is read again.
    Attempt(Write),
    /// Repeat these reads after a pause.
    Wait(Wait),
    /// Make TLS handshakes with gateways; after a pause if the same ones were made before.
    Probe(Probes),
    /// Deliver this to the user: the executor writes the files.
    Deliver(Delivery),
}

/// A question to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The password of the client's files. The executor keeps the answer; no plan sees it.
    Password,
    /// A confirmation of `what`; each line names one consequence.
    Confirm {
        /// The action to confirm.
        what: String,
        /// The consequences, one per line.
        lines: Vec<String>,
    },
}

/// The result of a write that may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The write was made, or somebody else created the object first.
    Made,
    /// The API server denied the write, for this reason.
    Refused(String),
    /// The write failed for this other reason, and another attempt may succeed.
    Failed(String),
}

/// The answer of an effect, for [`Observed::apply`](super::Observed::apply).
#[derive(Debug)]
pub enum Event {
    /// The answers to parallel queries: none of them is newer than another.
    Read(Vec<(Query, QueryResult)>),
    /// How far the clock of this machine is ahead of the API server's.
    ClockAhead(time::Duration),
    /// The result of a server-side dry run.
    DryRun {
        /// The reference to the object.
        object: ObjectRef,
        /// Whether unknown fields were errors.
        strict: bool,
        /// The object as it would be stored, or the reason why not.
        answer: Seen<Object>,
    },
    /// Keys and certificates.
    Generated(Box<Generated>),
    /// The user answered a question, and did not refuse.
    Answered(Question),
    /// An object is assumed to be missing without a read: creating it would fail otherwise.
    Assumed(ObjectRef),
    /// The user got this note.
    Notified(String),
    /// An object was changed.
    Written {
        /// The object in the API server's answer.
        object: Box<Object>,
        /// The change of the object.
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
        /// The result of the write.
        outcome: Attempt,
    },
    /// The total time for which the run has been waiting.
    Waited(Duration),
    /// The observations of handshakes.
    Probed(Vec<(Probe, Vec<Observation>)>),
    /// The credential was delivered to the user.
    Delivered,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone)]
pub enum QueryResult {
    /// Objects, or their metadata.
    Objects(Arc<Seen<Vec<Object>>>),
    /// The entries of all clients.
    Inventory(Arc<Seen<Inventory>>),
    /// The addresses of a host.
    Addresses(Seen<Vec<String>>),
    /// The name of the user.
    User(Seen<String>),
    /// A part of a proxy's configuration.
    Proxy(Seen<BTreeSet<String>>),
}

impl QueryResult {
    /// The answer to a query that failed for this reason.
    pub fn failed(query: &Query, reason: String) -> Self {
        match query {
            Query::Inventory => Self::Inventory(Arc::new(Seen::Failed(reason))),
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

/// The number of lost races over one object from which on another client must be the cause.
const MOST_CONFLICTS: u32 = 20;

/// Runs a reconciler once; fails if another client keeps changing an object that it writes.
pub fn advance<T>(
    observed: &Observed,
    plan: impl FnOnce(&Observed) -> Reconciled<T>,
) -> Reconciled<T> {
    match observed.contended(MOST_CONFLICTS) {
        Some(object) => Err(
            Failure::refused(format!("another client keeps changing {object}"))
                .hint("find the other client, then run the same command again")
                .into(),
        ),
        None => plan(observed),
    }
}

/// The result of a part of a plan whose failure does not end the run. [`Blocked::On`] is passed on: that effect must be performed.
pub fn tolerate<T>(part: Reconciled<T>) -> Reconciled<Result<T, Failure>> {
    match part {
        Ok(value) => Ok(Ok(value)),
        Err(Blocked::Failed(failure)) => Ok(Err(failure)),
        Err(on @ Blocked::On(_)) => Err(on),
    }
}

/// Joins two parts of a plan: their reads are performed in one round. Any other effect of the first part is performed first.
pub fn join<A, B>(first: Reconciled<A>, second: Reconciled<B>) -> Reconciled<(A, B)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(Blocked::On(first)), Err(Blocked::On(second))) => Err(match (*first, *second) {
            (Effect::Read(mut queries), Effect::Read(mut more)) => {
                more.retain(|query| !queries.contains(query));
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
    /// The handshakes, made in parallel.
    pub probes: Vec<Probe>,
    /// The reads before a repetition: the gateway's Pods come and go.
    pub reread: Vec<Query>,
    /// The reasons for a repetition: one line per proxy without the expected answer.
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

/// The files to deliver to the user.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The credential of a client.
    Credential(Box<Credential>),
    /// A key and a signing request for an external CA.
    SigningRequest(Box<SigningRequest>),
}

/// A client's credential.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The certificate, and its key unless the sender of a signing request keeps it.
    pub identity: Identity,
    /// The CAs that the gateway trusts, newest first, as PEM.
    pub trusted_pem: String,
    /// The signing CA and its issuers, as far as they are known.
    pub chain: Vec<Certificate>,
}

/// A server-side dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerDryRun {
    /// The write to try.
    pub write: Write,
    /// Whether an unknown field is an error; otherwise the API server prunes it, which the answer shows.
    pub strict: bool,
}

/// A change of one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// POST; if the name is taken, the object is read again.
    Create(Object),
    /// PUT under the resourceVersion that was read; if that changed meanwhile, the object is read again.
    Replace(Object),
    /// Server-side apply with the field manager of kubectl-mtls; a conflict with another manager is
    /// an error.
    Apply(Object),
    /// Server-side apply that takes over fields of other managers. If the object has a resourceVersion that changed meanwhile, it is read
    /// again.
    TakeOver(Object),
    /// DELETE with the uid and resourceVersion that were read as preconditions. An object that is gone already is a success.
    Delete(Object),
}

impl Write {
    /// The object to write, or to delete.
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

/// A wait for pending objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// The reads to repeat.
    pub reread: Vec<Query>,
    /// One line per pending object: the object, its state, and its controller's message.
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
