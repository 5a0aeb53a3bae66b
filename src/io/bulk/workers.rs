//! A thread per core for CPU-intensive work.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};

use super::member::Members;
use super::{Bulk, Client, Stop, lock};
use crate::error::Failure;
use crate::plan::issue_client::Standing;

/// Number of clients that one core takes at a time.
const PORTION: usize = 8;

/// The work on each client.
#[derive(Clone)]
pub(super) enum Job {
    /// Parse the client's row.
    Prepare,
    /// Advance the client, with these facts, at this time.
    Advance(Arc<Standing>, OffsetDateTime),
}

struct Portion<C: Client> {
    job: Job,
    members: Members<C>,
    done: oneshot::Sender<Members<C>>,
}

/// The channel on which the caller of a flush waits.
type Flushed = oneshot::Sender<Result<(), Failure>>;

/// The threads; they end when this value is dropped.
pub(super) struct Workers<C: Client> {
    portions: Sender<Portion<C>>,
    flushes: Sender<Flushed>,
}

impl<C: Client> Workers<C> {
    /// Starts a thread per core, and one more, which waits for the disk.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        bulk: &'scope Bulk<'scope, C>,
        stop: &'scope watch::Sender<Stop>,
    ) -> Self
    where
        C: 'scope,
    {
        let (portions, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            let receiver = receiver.clone();
            scope.spawn(move || work(&receiver, bulk, stop));
        }
        let (flushes, receiver) = channel();
        scope.spawn(move || flush(&receiver, bulk));
        Self { portions, flushes }
    }

    /// Does this job for all members, on all cores, or for none of the rest where the run ends at once; returns them in their order.
    pub async fn all(&self, job: Job, members: Members<C>) -> Result<Members<C>, Failure> {
        let mut rest = members.into_iter();
        let mut replies = Vec::new();
        loop {
            let members: Vec<_> = rest.by_ref().take(PORTION).collect();
            if members.is_empty() {
                break;
            }
            let (done, reply) = oneshot::channel();
            let portion = Portion {
                job: job.clone(),
                members,
                done,
            };
            self.portions.send(portion).map_err(|_| broken())?;
            replies.push(reply);
        }
        let mut members = Vec::new();
        for reply in replies {
            members.extend(reply.await.map_err(|_| broken())?);
        }
        Ok(members)
    }

    /// Flushes inventory and files to the disk.
    pub async fn flush(&self) -> Result<(), Failure> {
        let (done, reply) = oneshot::channel();
        self.flushes.send(done).map_err(|_| broken())?;
        reply.await.map_err(|_| broken())?
    }
}

fn broken() -> Failure {
    Failure::internal("a thread ended early").hint("run the same command again to continue")
}

/// Works on portions until the channel closes; a caller that is gone needs no answer.
fn work<C: Client>(
    receiver: &Mutex<Receiver<Portion<C>>>,
    bulk: &Bulk<'_, C>,
    stop: &watch::Sender<Stop>,
) {
    loop {
        let next = lock(receiver).recv();
        let Ok(mut portion) = next else {
            return;
        };
        for member in &mut portion.members {
            if *stop.borrow() == Stop::AtOnce {
                break;
            }
            match &portion.job {
                Job::Prepare => member.prepare(bulk),
                Job::Advance(standing, now) => member.advance(bulk, standing, *now),
            }
        }
        drop(portion.done.send(portion.members));
    }
}

/// Flushes on request; callers that ask while a flush is under way share the next one.
fn flush<C: Client>(receiver: &Receiver<Flushed>, bulk: &Bulk<'_, C>) {
    while let Ok(first) = receiver.recv() {
        let others: Vec<_> = receiver.try_iter().collect();
        let result = bulk.flush_all();
        for other in others {
            // Where it failed, each is told why.
            let own = if result.is_ok() {
                Ok(())
            } else {
                bulk.flush_all()
            };
            drop(other.send(own));
        }
        drop(first.send(result));
    }
}
