//! Certificates for many clients, first ones or renewals: rows come in as they are read, keys and certificates are made on all
//! cores, the inventory is written by a bounded number of requests at a time.
//!
//! Each client goes the way of a single one: [`Client::certify`] decides, by what was observed for it alone. What all share is done once
//! for a batch: reading the authority's state again between reserving and delivering, and flushing what was written.

mod batch;
mod client;
mod feed;
mod member;
mod pace;
mod standings;
#[cfg(test)]
mod tests;
mod workers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, Notify};

pub use client::Client;
pub use feed::{Feed, Place};

use super::execute::{self, Live};
use super::files::flush_file_systems;
use super::generate;
use super::interrupt::{self, Signals};
use super::runtime::OneThread;
use super::store::Store;
use super::terminal::{Color, Terminal};
use crate::error::Failure;
use crate::plan::issue_client::{Report, Standing};
use crate::plan::reconcile::Question;
use crate::plan::{self, Delivery, Observed, Seen};
use crate::resources::Object;
use pace::Pace;
use standings::Standings;
use workers::Workers;

/// Clients that go through their steps together.
const BATCH: usize = 64;
/// Batches under way: while some wait for the disk or the API server, the others compute.
const BATCHES: usize = 4;
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// What many certificates are issued with.
pub struct Bulk<'a, C: Client> {
    /// Where the inventory is.
    pub store: Store<'a>,
    /// Makes of a row what its certificate needs; on any core.
    pub prepare: &'a (dyn Fn(C::Row) -> Result<C, Failure> + Sync),
    /// Writes a client's files; on any core.
    pub deliver: &'a (dyn Fn(&C, &Delivery) -> Result<(), Failure> + Sync),
    /// Where all of them are written.
    pub out: &'a Path,
    /// Whether a bad row is told and left out; else it is the last one.
    pub keep_going: bool,
}

/// What is told while it goes on.
#[derive(Debug)]
pub enum Event<'a, C> {
    /// A client has its certificate.
    Issued(&'a C, &'a Report),
    /// A row is wrong, or refused.
    Bad(Place, Failure),
    /// A certificate was reserved in this run and reached nobody.
    Undelivered {
        /// The client.
        name: &'a str,
        /// Its serial, lower-case hex.
        serial: &'a str,
    },
    /// It is to end; what has begun is completed.
    Ending,
    /// Time has passed.
    Tick {
        /// How many rows there are in all, where that can be told.
        expected: Option<f64>,
    },
}

/// How it ended.
#[derive(Debug, Default)]
pub struct End {
    /// Why it broke off; a bad row is no reason of its own.
    pub failure: Option<Failure>,
    /// A host that admits the certificates, where one was seen.
    pub host: Option<String>,
    /// What the user must know of all certificates.
    pub notes: Vec<String>,
}

/// What the batches share.
struct Shared<'a, 'b, C: Client> {
    bulk: &'b Bulk<'a, C>,
    feed: AsyncMutex<Feed<C::Row>>,
    workers: Workers<C>,
    standings: AsyncMutex<Standings>,
    surroundings: Mutex<(Option<String>, Vec<String>)>,
    pace: Pace,
    stopped: AtomicBool,
    stop: Notify,
    #[expect(clippy::type_complexity, reason = "it has no other name")]
    tell: Mutex<&'b mut (dyn FnMut(Event<'_, C>) + 'b)>,
}

impl<C: Client> Bulk<'_, C> {
    /// Issues all of them, on as many threads as there are cores, and tells what came of each.
    pub fn run(
        &self,
        runtime: &OneThread,
        feed: Feed<C::Row>,
        mut tell: impl FnMut(Event<'_, C>),
    ) -> Result<End, Failure> {
        std::thread::scope(|scope| {
            let shared = Shared {
                bulk: self,
                feed: AsyncMutex::new(feed),
                workers: Workers::start(scope, self),
                standings: AsyncMutex::default(),
                surroundings: Mutex::default(),
                pace: Pace::default(),
                stopped: AtomicBool::new(false),
                stop: Notify::new(),
                tell: Mutex::new(&mut tell),
            };
            runtime.run_to_its_end(shared.all())
        })
    }
}

impl<C: Client> Shared<'_, '_, C> {
    async fn all(&self) -> Result<End, Failure> {
        let mut signals = Signals::listen();
        let mut ticks = tokio::time::interval(TICK);
        let batches = async {
            let all = join_all([(); BATCHES].map(|()| self.batches())).await;
            all.into_iter().find_map(Result::err)
        };
        tokio::pin!(batches);
        let mut interrupted = false;
        let failure = loop {
            tokio::select! {
                biased;
                () = signals.next() => {
                    if interrupted {
                        return Err(interrupt::failure());
                    }
                    interrupted = true;
                    self.tell(Event::Ending);
                    self.stop();
                }
                failure = &mut batches => break failure,
                _ = ticks.tick() => self.tell(Event::Tick { expected: self.expected() }),
            }
        };
        self.bulk.flush_all()?;
        let (host, notes) = std::mem::take(&mut *lock(&self.surroundings));
        Ok(End {
            failure: failure.or_else(|| interrupted.then(interrupt::failure)),
            host,
            notes,
        })
    }

    /// Takes batch after batch until there are no more rows.
    async fn batches(&self) -> Result<(), Failure> {
        while !self.is_stopped() {
            let rows = tokio::select! {
                () = self.stop.notified() => break,
                rows = async { self.feed.lock().await.take(BATCH).await } => rows,
            };
            if rows.is_empty() {
                break;
            }
            if let Err(failure) = self.batch(rows).await {
                self.stop();
                return Err(failure);
            }
        }
        Ok(())
    }

    fn expected(&self) -> Option<f64> {
        self.feed.try_lock().ok().and_then(|feed| feed.expected())
    }

    /// Takes no further rows; what has begun is completed.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.notify_waiters();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn tell(&self, event: Event<'_, C>) {
        lock(&self.tell)(event);
    }

    /// What the certificates share: found out once, and again where the authority's state, as this batch has read it, is
    /// another one than was known.
    async fn standing(
        &self,
        client: &C,
        read: Option<&Seen<Vec<Object>>>,
    ) -> Result<Arc<Standing>, Failure> {
        let mut standings = self.standings.lock().await;
        if let Some(usable) = standings.usable(read) {
            return Ok(usable);
        }
        let mut observed = generate::observed()?;
        // The passwords of all are known before the first of them is issued.
        observed.apply(plan::Event::Answered(Question::Password));
        let mut silent = Terminal::new(Color::Never, true);
        let mut live = Live::new(self.bulk.store, &mut silent);
        let shared = |observed: &Observed, now| client.shared(observed, now);
        let found = execute::run(&mut live, &mut observed, shared).await?;
        let (host, notes) = found.surroundings(client.issuer(), &observed, self.bulk.store.now());
        let mut known = lock(&self.surroundings);
        known.0 = host;
        for note in notes {
            if !known.1.contains(&note) {
                known.1.push(note);
            }
        }
        Ok(standings.keep(found))
    }
}

impl<C: Client> Bulk<'_, C> {
    /// Brings inventory and files to the disk.
    fn flush_all(&self) -> Result<(), Failure> {
        let inventory = match &self.store {
            Store::Directory(directory) => directory.to_flush(),
            Store::Cluster(_) | Store::None => None,
        };
        let folders: Vec<&Path> = inventory.into_iter().chain([self.out]).collect();
        flush_file_systems(&folders)
    }
}

/// What a thread left that panicked is whole: each change is one assignment.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
