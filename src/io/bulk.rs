//! Certificates for many clients, first ones or renewals: rows are processed as they are read, keys and certificates are made on all cores,
//! and the inventory is written by a bounded number of parallel requests.
//!
//! Each client is handled like a single one: [`Client::certify`] decides by the facts observed for this client. Shared work is done once
//! per batch: reading the authority's state again between reserving and delivering, and flushing files.

mod batch;
mod client;
mod feed;
mod member;
mod pace;
mod standings;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, watch};

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
use crate::plan::{self, Delivery, Observed, Query, QueryResult, Seen};
use crate::resources::Object;
use pace::Pace;
use standings::Standings;
use workers::Workers;

/// Number of clients that go through their steps together.
const BATCH: usize = 64;
/// Number of parallel batches: while some wait for the disk or the API server, the others compute.
const BATCHES: usize = 4;
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// The parameters of a bulk run.
pub struct Bulk<'a, C: Client> {
    /// The store of the inventory.
    pub store: Store<'a>,
    /// Turns a row into a client; runs on any core.
    pub prepare: &'a (dyn Fn(C::Row) -> Result<C, Failure> + Sync),
    /// Writes a client's files; runs on any core.
    pub deliver: &'a (dyn Fn(&C, &Delivery) -> Result<(), Failure> + Sync),
    /// The folder for all files.
    pub out: &'a Path,
    /// Whether a bad row is reported and skipped; else the run ends at it.
    pub keep_going: bool,
}

/// A progress event of a bulk run.
#[derive(Debug)]
pub enum Event<'a, C> {
    /// A client has its certificate.
    Issued(&'a C, &'a Report),
    /// A row is wrong, or refused.
    Bad(Place, Failure),
    /// A certificate was reserved in this run and never delivered.
    Undelivered {
        /// The client's name.
        name: &'a str,
        /// The serial number, lower-case hex.
        serial: &'a str,
    },
    /// A certificate was delivered in this run, and recording it as issued was not confirmed.
    Unconfirmed {
        /// The client's name.
        name: &'a str,
        /// The serial number, lower-case hex.
        serial: &'a str,
    },
    /// Clients wait for another run: what the first one waits for, and how many more there are.
    Waiting(&'a str, usize),
    /// The run is stopping; certificates that have begun are completed.
    Ending,
    /// A fixed time has passed.
    Tick {
        /// The total number of rows, if it can be estimated.
        expected: Option<f64>,
    },
}

/// The result of a bulk run.
#[derive(Debug, Default)]
pub struct End {
    /// Why the run broke off; a bad row alone does not end up here.
    pub failure: Option<Failure>,
    /// A host that accepts the certificates, if one was seen.
    pub host: Option<String>,
    /// Notes about all certificates, for the user.
    pub notes: Vec<String>,
}

/// How soon a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// When there are no more rows.
    Not,
    /// When the certificates that have begun are completed.
    AfterBegun,
    /// Now: nobody waits for the network or the disk any more.
    AtOnce,
}

/// The state that the batches share.
struct Shared<'a, 'b, C: Client> {
    bulk: &'b Bulk<'a, C>,
    feed: AsyncMutex<Feed<C::Row>>,
    /// The number of batches that have reported: they do so in the order in which they took their rows.
    reported: watch::Sender<u64>,
    workers: Workers<C>,
    standings: AsyncMutex<Standings>,
    /// The lists that were read, once for all clients of the run.
    lists: AsyncMutex<BTreeMap<Query, Arc<Seen<Vec<Object>>>>>,
    surroundings: Mutex<(Option<String>, Vec<String>)>,
    pace: Pace,
    stop: &'b watch::Sender<Stop>,
    #[expect(clippy::type_complexity, reason = "this type has no shorter name")]
    tell: Mutex<&'b mut (dyn FnMut(Event<'_, C>) + 'b)>,
}

impl<C: Client> Bulk<'_, C> {
    /// Issues all certificates, on as many threads as there are cores, and reports the result of
    /// each.
    pub fn run(
        &self,
        runtime: &OneThread,
        feed: Feed<C::Row>,
        mut tell: impl FnMut(Event<'_, C>),
    ) -> End {
        let stop = watch::Sender::new(Stop::Not);
        std::thread::scope(|scope| {
            let shared = Shared {
                bulk: self,
                feed: AsyncMutex::new(feed),
                reported: watch::Sender::new(0),
                workers: Workers::start(scope, self, &stop),
                standings: AsyncMutex::default(),
                lists: AsyncMutex::default(),
                surroundings: Mutex::default(),
                pace: Pace::default(),
                stop: &stop,
                tell: Mutex::new(&mut tell),
            };
            runtime.run_to_its_end(shared.all())
        })
    }
}

impl<C: Client> Shared<'_, '_, C> {
    async fn all(&self) -> End {
        let mut signals = Some(Signals::listen());
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
                () = next_of(&mut signals) => {
                    if interrupted {
                        self.stop(Stop::AtOnce);
                        // A key that is being made, or a row that waits for a pipe, is still waited for; the next signal ends the process.
                        signals = None;
                    } else {
                        interrupted = true;
                        self.tell(Event::Ending);
                        self.stop(Stop::AfterBegun);
                    }
                }
                failure = &mut batches => break failure,
                _ = ticks.tick() => self.tell(Event::Tick { expected: self.expected() }),
            }
        };
        let flushed = if self.stops(Stop::AtOnce) {
            Ok(())
        } else {
            self.bulk.flush_all()
        };
        let (host, notes) = std::mem::take(&mut *lock(&self.surroundings));
        End {
            failure: failure
                .or_else(|| interrupted.then(interrupt::failure))
                .or(flushed.err()),
            host,
            notes,
        }
    }

    /// Processes batches until there are no more rows.
    async fn batches(&self) -> Result<(), Failure> {
        while !self.stops(Stop::AfterBegun) {
            let (number, rows) = tokio::select! {
                () = self.until(Stop::AfterBegun) => break,
                rows = async { self.feed.lock().await.take(BATCH).await } => rows,
            };
            if rows.is_empty() {
                break;
            }
            if let Err(failure) = self.batch(number, rows).await {
                self.stop(Stop::AfterBegun);
                return Err(failure);
            }
        }
        Ok(())
    }

    fn expected(&self) -> Option<f64> {
        self.feed.try_lock().ok().and_then(|feed| feed.expected())
    }

    /// Ends the run this soon, unless it ends sooner already.
    fn stop(&self, stop: Stop) {
        self.stop.send_modify(|known| *known = stop.max(*known));
    }

    /// Whether the run ends this soon, or sooner.
    fn stops(&self, stop: Stop) -> bool {
        *self.stop.borrow() >= stop
    }

    /// Waits until the run ends this soon, or sooner.
    async fn until(&self, stop: Stop) {
        // Fails only where the sender is gone, which lives as long as this.
        let _ = self.stop.subscribe().wait_for(|known| *known >= stop).await;
    }

    /// The result of waiting for the network or the disk; `None` if the run ends at once.
    async fn unless_at_once<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        tokio::select! {
            biased;
            () = self.until(Stop::AtOnce) => Ok(None),
            result = work => result.map(Some),
        }
    }

    fn tell(&self, event: Event<'_, C>) {
        lock(&self.tell)(event);
    }

    /// Performs a read of clients; a list is read once for all of them.
    async fn answer(&self, query: &Query) -> Result<Arc<Seen<Vec<Object>>>, Failure> {
        if !matches!(query, Query::List { .. }) {
            return self.ask(query).await;
        }
        let mut lists = self.lists.lock().await;
        if let Some(listed) = lists.get(query) {
            return Ok(listed.clone());
        }
        let listed = self.ask(query).await?;
        lists.insert(query.clone(), listed.clone());
        Ok(listed)
    }

    async fn ask(&self, query: &Query) -> Result<Arc<Seen<Vec<Object>>>, Failure> {
        match self.pace.keep(self.bulk.store.read(query)).await? {
            QueryResult::Objects(objects) => Ok(objects),
            // Nothing else is the same for all, and would be asked for ever.
            _ => Err(Failure::internal(format!(
                "a bulk row cannot read {query:?}"
            ))),
        }
    }

    /// The facts that the certificates share: found out once, and again if the authority's state that this batch has read differs from the
    /// known one.
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
    /// Flushes inventory and files to the disk.
    fn flush_all(&self) -> Result<(), Failure> {
        let inventory = match &self.store {
            Store::Directory(directory) => directory.to_flush(),
            Store::Cluster(_) | Store::None => None,
        };
        let folders: Vec<&Path> = inventory.into_iter().chain([self.out]).collect();
        flush_file_systems(&folders)
    }
}

/// Waits for the next signal; for ever where nobody listens any more.
async fn next_of(signals: &mut Option<Signals>) {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// Locks a mutex, also after a thread panicked: each change is one assignment, so the value is
/// always complete.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
