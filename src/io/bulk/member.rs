//! One client of a batch, and its progress.

use std::time::Instant;

use time::OffsetDateTime;

use super::feed::{Fed, Place};
use super::{Bulk, Client};
use crate::error::{Failure, Kind};
use crate::io::ca_dir::CaDir;
use crate::io::execute::written;
use crate::io::generate::generate;
use crate::io::store::Store;
use crate::plan::issue_client::{Report, Standing};
use crate::plan::reconcile::{Question, advance};
use crate::plan::{Blocked, Effect, Event, Observed, Query, QueryResult, Write};
use crate::resources::inventory::{Entry, EntryState};

/// One client of a batch.
pub(super) struct Member<C: Client> {
    pub place: Place,
    row: Option<Result<C::Row, Failure>>,
    /// The client, once its row was parsed.
    pub client: Option<C>,
    pub observed: Observed,
    /// The effect that the client waits for.
    pub pending: Option<Effect>,
    /// Whether another run wrote for the client since its files were read.
    is_disturbed: bool,
    /// When the client began to wait for another run.
    waiting_since: Option<Instant>,
    /// The result for this client.
    pub end: Option<Ended>,
}

/// Several members; boxed, because they move between threads at every step.
pub(super) type Members<C> = Vec<Box<Member<C>>>;

/// The result for a client.
pub(super) enum Ended {
    /// The certificate was delivered.
    Issued(Box<Report>),
    /// The row is wrong, or the client was refused.
    Bad(Failure),
    /// A failure that ends the whole run.
    Broken(Failure),
    /// The client was skipped, because an earlier row was wrong or the run is stopping.
    LeftOut,
}

impl<C: Client> Member<C> {
    pub fn new(fed: Fed<C::Row>) -> Self {
        let mut observed = Observed::default();
        // The password of each keystore is known before the run begins.
        observed.apply(Event::Answered(Question::Password));
        Self {
            place: fed.place,
            row: Some(fed.row),
            client: None,
            observed,
            pending: None,
            is_disturbed: false,
            waiting_since: None,
            end: None,
        }
    }

    /// Parses the row.
    pub fn prepare(&mut self, bulk: &Bulk<'_, C>) {
        let Some(row) = self.row.take() else {
            return;
        };
        match row.and_then(|row| (bulk.prepare)(row)) {
            Ok(client) => {
                if let Some(free) = client.free_entry() {
                    self.observed.apply(Event::Assumed(free));
                }
                self.client = Some(client);
            }
            Err(failure) => self.end = Some(Ended::Bad(failure)),
        }
    }

    /// Advances the client on this core, up to an effect that needs the network, a flush, or other
    /// clients.
    pub fn advance(&mut self, bulk: &Bulk<'_, C>, standing: &Standing, now: OffsetDateTime) {
        let Some(mut client) = self.client.take() else {
            return;
        };
        if self.end.is_none() {
            self.end = self
                .work(&mut client, bulk, standing, now)
                .unwrap_or_else(Some);
            if self.end.is_some() {
                self.pending = None;
            }
        }
        self.client = Some(client);
    }

    fn work(
        &mut self,
        client: &mut C,
        bulk: &Bulk<'_, C>,
        standing: &Standing,
        now: OffsetDateTime,
    ) -> Result<Option<Ended>, Ended> {
        let directory = match bulk.store {
            Store::Directory(directory) => Some(directory),
            Store::Cluster(_) | Store::None => None,
        };
        if let Some(directory) = directory
            && let Some(Effect::Write(write)) = self
                .pending
                .take_if(|effect| matches!(effect, Effect::Write(_)))
        {
            let outcome = directory.write(write.clone()).map_err(Ended::Broken)?;
            self.wrote(written(outcome, &write, now));
        }
        if self.pending.is_some() {
            return Ok(None);
        }
        if std::mem::take(&mut self.is_disturbed) && self.is_untouched() {
            client.read_files_again(bulk.out).map_err(Ended::Bad)?;
        }
        loop {
            let plan = |observed: &Observed| client.certify(standing, observed, now);
            let effect = match advance(&self.observed, plan) {
                Ok(report) => return Ok(Some(Ended::Issued(Box::new(report)))),
                Err(Blocked::Failed(failure)) => return Err(ended(failure)),
                Err(Blocked::On(effect)) => *effect,
            };
            let event = match effect {
                Effect::Generate(wanted) => {
                    Event::Generated(Box::new(generate(&wanted, now).map_err(ended)?))
                }
                Effect::Deliver(delivery) => {
                    (bulk.deliver)(&*client, &delivery).map_err(Ended::Broken)?;
                    Event::Delivered
                }
                Effect::Read(queries) => match directory {
                    Some(directory) if !is_common(&queries, standing) => read(queries, directory)?,
                    _ => {
                        self.pending = Some(Effect::Read(queries));
                        return Ok(None);
                    }
                },
                effect @ (Effect::Write(_) | Effect::Wait(_)) => {
                    self.pending = Some(effect);
                    return Ok(None);
                }
                other => {
                    let what = format!("a bulk row cannot perform {other:?}");
                    return Err(Ended::Broken(Failure::internal(what)));
                }
            };
            self.observed.apply(event);
        }
    }

    /// Applies the results of reads.
    pub fn take_read(&mut self, answer_of: impl Fn(&Query) -> Option<QueryResult>) {
        let queries = self.reads();
        if queries.is_empty() {
            return;
        }
        let answers = queries
            .iter()
            .map(|query| Some((query.clone(), answer_of(query)?)));
        let Some(answers) = answers.collect() else {
            return;
        };
        if self.is_waiting() {
            let since = self.waiting_since.get_or_insert_with(Instant::now);
            self.observed.apply(Event::Waited(since.elapsed()));
            self.is_disturbed = true;
        }
        self.observed.apply(Event::Read(answers));
        self.pending = None;
    }

    /// The reads that the client waits for, at once or after a pause.
    pub fn reads(&self) -> &[Query] {
        match &self.pending {
            Some(Effect::Read(queries)) => queries,
            Some(Effect::Wait(wait)) => &wait.reread,
            _ => &[],
        }
    }

    /// Whether the client waits for another run.
    pub fn is_waiting(&self) -> bool {
        matches!(self.pending, Some(Effect::Wait(_)))
    }

    /// What the client waits for, if it did not wait before.
    pub fn begins_to_wait(&self) -> Option<&str> {
        match &self.pending {
            Some(Effect::Wait(wait)) if self.waiting_since.is_none() => {
                wait.progress.first().map(String::as_str)
            }
            _ => None,
        }
    }

    /// Applies the result of a write.
    pub fn wrote(&mut self, event: Event) {
        self.is_disturbed |= matches!(event, Event::Conflict(_));
        self.observed.apply(event);
    }

    /// Whether the client's next effect must wait until everything written is on disk.
    pub fn needs_flush(&self, standing: &Standing) -> bool {
        match &self.pending {
            Some(Effect::Read(queries)) => is_shared(queries, standing),
            Some(Effect::Write(Write::Replace(_))) => self.observed.was_delivered(),
            _ => false,
        }
    }

    /// Ends a client that needs no further effect, such as one whose last write was made just before the run ended.
    pub fn settle(&mut self, standing: &Standing, now: OffsetDateTime) {
        if self.end.is_some() || self.pending.is_some() || self.observed.changes().is_empty() {
            return;
        }
        let Some(client) = &self.client else {
            return;
        };
        let plan = |observed: &Observed| client.certify(standing, observed, now);
        if let Ok(report) = advance(&self.observed, plan) {
            self.end = Some(Ended::Issued(Box::new(report)));
        }
    }

    /// The serial number of a certificate that was reserved in this run and not recorded as issued.
    pub fn reserved(&self) -> Option<String> {
        let last = self.observed.changes().last();
        let entry = last.and_then(|change| Entry::read(&change.answer).ok());
        let reserved = entry.is_some_and(|entry| entry.state == EntryState::Reserved);
        let identity = self.observed.identity().filter(|_| reserved);
        identity.map(|identity| identity.certificate.serial_hex())
    }

    /// Whether nothing was written for this client yet.
    pub fn is_untouched(&self) -> bool {
        self.end.is_none() && self.observed.changes().is_empty()
    }
}

/// Whether a read is of the authority's state, which is read once for all clients that need it.
fn is_shared(queries: &[Query], standing: &Standing) -> bool {
    queries.contains(&Query::Get(standing.reference().clone()))
}

/// Whether a read is performed once for all clients.
fn is_common(queries: &[Query], standing: &Standing) -> bool {
    let is_list = |query: &Query| matches!(query, Query::List { .. });
    is_shared(queries, standing) || queries.iter().any(is_list)
}

fn read(queries: Vec<Query>, directory: &CaDir) -> Result<Event, Ended> {
    let answers = queries.into_iter().map(|query| {
        let answer = directory.read(&query)?;
        Ok((query, answer.into()))
    });
    let answers: Result<_, Failure> = answers.collect();
    Ok(Event::Read(answers.map_err(Ended::Broken)?))
}

/// The result for a failure: a refusal concerns the row, any other failure the whole run.
fn ended(failure: Failure) -> Ended {
    match failure.kind() {
        Kind::Usage | Kind::Refused => Ended::Bad(failure),
        _ => Ended::Broken(failure),
    }
}
