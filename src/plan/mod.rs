//! What each command does next, decided from what was seen: pure, so that every decision can be tested without a cluster.
//!
//! A command is a loop around its `next`: read what it asks for, do the one thing that it says, fold the answer into the
//! [`World`], ask again, until it is done. Waiting and looking at the gateway are answers of `next` too, and a killed
//! command is just the loop's end: the state is the cluster. Nothing here knows the client, a file or a clock.

pub mod audit;
pub mod authority;
pub mod ca_rotate;
pub mod check;
pub mod commit;
pub mod expose;
pub mod external_routes;
#[cfg(test)]
pub(crate) mod fake;
pub mod gateway_look;
#[cfg(test)]
pub(crate) mod hostile;
pub mod identity;
pub mod issue_client;
pub mod list_clients;
pub mod look;
pub mod outside;
pub mod register_domain;
pub mod renew_client;
pub mod revocations;
pub mod revoke_client;
mod seen;
pub mod signers;
mod spelling;
#[cfg(test)]
pub(crate) mod stage;
pub mod status;
pub mod unexpose;
pub mod weakness;
pub mod witness;
mod world;

use std::sync::Arc;

pub use look::{Look, Sighting};
pub use seen::{Query, Seen};
pub use world::{Action, Identity, World, Written};

use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf::LeafRequest;
use crate::resources::Object;

/// What a command does next.
#[derive(Debug)]
pub enum Step<R> {
    /// Read all of these at once, in parallel.
    Read(Vec<Query>),
    /// Ask the API server what it would store, without storing it.
    TryOut(TryOut),
    /// Make a CA, in memory.
    MakeAuthority(authority::NewAuthority),
    /// Take a CA that was given as if it had been made in this run.
    TakeAuthority(Arc<Authority>),
    /// Make a client certificate with a CA at hand, in memory.
    MakeLeaf(Box<MakeLeaf>),
    /// Make client certificates to show to gateways, in memory, each under its label.
    MakeCanaries(Vec<(String, MakeLeaf)>),
    /// Make a server's certificate, or a CA for it, in memory.
    MakeServer(MakeServer),
    /// Tell the user before going on.
    Tell(String),
    /// Change one object.
    Write(Write),
    /// Change one object where that is permitted: whatever comes of it, the command goes on.
    Attempt(Write),
    /// Read these again after a pause.
    Wait(Wait),
    /// Shake hands with the gateway, after a pause where it was done before.
    Look(Looks),
    /// Hand the finished certificate over to the user: the command writes its files.
    Deliver(Box<Delivery>),
    /// Nothing is left to do.
    Done(R),
}

impl<R> Step<R> {
    /// The same step of a plan that comes to something else; a defect where it is the last one.
    fn before_its_end<S>(self) -> Result<Step<S>, Failure> {
        Ok(match self {
            Self::Read(queries) => Step::Read(queries),
            Self::TryOut(try_out) => Step::TryOut(try_out),
            Self::MakeAuthority(new) => Step::MakeAuthority(new),
            Self::TakeAuthority(given) => Step::TakeAuthority(given),
            Self::MakeLeaf(make) => Step::MakeLeaf(make),
            Self::MakeServer(make) => Step::MakeServer(make),
            Self::MakeCanaries(make) => Step::MakeCanaries(make),
            Self::Attempt(attempt) => Step::Attempt(attempt),
            Self::Tell(text) => Step::Tell(text),
            Self::Write(write) => Step::Write(write),
            Self::Wait(wait) => Step::Wait(wait),
            Self::Look(looks) => Step::Look(looks),
            Self::Deliver(delivery) => Step::Deliver(delivery),
            Self::Done(_) => return Err(Failure::failed("a plan ended before its time")),
        })
    }
}

/// Handshakes to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// All of them at once.
    pub looks: Vec<Look>,
    /// What is read again before a repetition: the gateway's Pods come and go.
    pub reread: Vec<Query>,
}

impl From<Vec<Look>> for Looks {
    fn from(looks: Vec<Look>) -> Self {
        Self {
            looks,
            reread: Vec::new(),
        }
    }
}

/// Why a part of a plan does not come to an answer: something must be done first, or it cannot go on.
///
/// With `?` in the parts, a plan reads as if all were known.
#[derive(Debug)]
pub enum Stop<R> {
    /// Do this, and ask again.
    Do(Box<Step<R>>),
    /// It cannot go on.
    Fail(Failure),
}

impl<R> From<Failure> for Stop<R> {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

impl<R> From<Step<R>> for Stop<R> {
    fn from(step: Step<R>) -> Self {
        Self::Do(Box::new(step))
    }
}

impl<R> Stop<R> {
    /// The end of a plan: its report, or why it stopped short of it.
    pub fn settle(result: Result<R, Self>) -> Result<Step<R>, Failure> {
        match result {
            Ok(report) => Ok(Step::Done(report)),
            Err(Self::Do(step)) => Ok(*step),
            Err(Self::Fail(failure)) => Err(failure),
        }
    }
}

/// A client certificate that is to be made in memory.
#[derive(Debug)]
pub struct MakeLeaf {
    /// Who signs it.
    pub authority: Arc<Authority>,
    /// What it says.
    pub request: LeafRequest,
    /// The key that it certifies.
    pub key: ClientKey,
}

/// The key of a client.
#[derive(Debug, Clone)]
pub enum ClientKey {
    /// It is made now.
    New(KeyType),
    /// The user has it in a file.
    Given(Arc<PrivateKey>),
    /// Only the public half is known (`SubjectPublicKeyInfo`, DER): a signing request was sent.
    Elsewhere(Vec<u8>),
}

/// What is made for a server in memory.
#[derive(Debug)]
pub enum MakeServer {
    /// A CA, for the authority of this name.
    Authority(String),
    /// A CA whose key is dropped at once: it has no clients, and never will have.
    Nobody,
    /// A certificate with its key.
    Leaf {
        /// Who signs it.
        authority: Arc<Authority>,
        /// The host, a wildcard or exact.
        host: String,
    },
}

/// What a client gets beside its certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The CAs that the gateway trusts, newest first, as PEM.
    pub trusted_pem: String,
    /// The CA that signed, and those above it as far as they are known.
    pub chain: Vec<Certificate>,
}

/// A server-side dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct TryOut {
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

/// How far writing may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// Write.
    #[default]
    None,
    /// Print what would be written; ask the API server nothing but reads.
    Client,
    /// Have the API server check what would be written.
    Server,
}
