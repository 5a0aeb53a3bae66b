//! One client of a batch, on its way.

use std::sync::Arc;

use time::OffsetDateTime;

use super::feed::{Fed, Place};
use super::{Bulk, Client};
use crate::error::{Failure, Kind};
use crate::io::ca_dir::CaDir;
use crate::io::cluster::Outcome as Written;
use crate::io::drive::make_leaf;
use crate::io::store::Store;
use crate::plan::issue_client::{Outcome, Report, Standing};
use crate::plan::{Query, Seen, Step, World, Write};
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::{Object, ObjectRef};

/// More lost races than this over one entry are no accident.
const MOST_CONFLICTS: u32 = 20;

/// One client.
pub(super) struct Member<C: Client> {
    pub place: Place,
    row: Option<Result<C::Row, Failure>>,
    /// What is issued, once the row was understood.
    pub client: Option<C>,
    pub world: World,
    /// What it waits for.
    pub pending: Option<Step<Outcome>>,
    /// What came of it.
    pub end: Option<Ended>,
    conflicts: u32,
}

/// Many of them; boxed, because they go from thread to thread and back at every step.
pub(super) type Members<C> = Vec<Box<Member<C>>>;

/// What came of a client.
pub(super) enum Ended {
    /// It has its certificate.
    Issued(Box<Report>),
    /// Its row is wrong, or it is refused.
    Bad(Failure),
    /// Nothing more can be done for anybody.
    Broken(Failure),
    /// It was left out, because an earlier row was wrong or the run is to end.
    LeftOut,
}

impl<C: Client> Member<C> {
    pub fn new(fed: Fed<C::Row>) -> Self {
        Self {
            place: fed.place,
            row: Some(fed.row),
            client: None,
            world: World::default(),
            pending: None,
            end: None,
            conflicts: 0,
        }
    }

    /// Understands the row.
    pub fn prepare(&mut self, bulk: &Bulk<'_, C>) {
        let Some(row) = self.row.take() else {
            return;
        };
        match row.and_then(|row| (bulk.prepare)(row)) {
            Ok(client) => {
                if let Some(free) = client.free_entry() {
                    self.world.fold_read(Query::Get(free), Seen::Missing);
                }
                self.client = Some(client);
            }
            Err(failure) => self.end = Some(Ended::Bad(failure)),
        }
    }

    /// Does what can be done on this core, up to what must be done outside or together with others.
    pub fn advance(&mut self, bulk: &Bulk<'_, C>, standing: &Standing, now: OffsetDateTime) {
        let Some(client) = self.client.take() else {
            return;
        };
        if self.end.is_none() {
            self.end = self.work(&client, bulk, standing, now).unwrap_or_else(Some);
            if self.end.is_some() {
                self.pending = None;
            }
        }
        self.client = Some(client);
    }

    fn work(
        &mut self,
        client: &C,
        bulk: &Bulk<'_, C>,
        standing: &Standing,
        now: OffsetDateTime,
    ) -> Result<Option<Ended>, Ended> {
        let directory = match bulk.store {
            Store::Directory(directory) => Some(directory),
            Store::Cluster(_) => None,
        };
        if let Some(directory) = directory
            && let Some(Step::Write(write)) =
                self.pending.take_if(|step| matches!(step, Step::Write(_)))
        {
            let reference = write.object().reference().clone();
            let outcome = directory.write(write).map_err(Ended::Broken)?;
            self.fold_written(reference, outcome, now)?;
        }
        if self.pending.is_some() {
            return Ok(None);
        }
        loop {
            let step = client.next(standing, &self.world, now).map_err(ended)?;
            match step {
                Step::MakeLeaf(make) => {
                    self.world.identity = Some(make_leaf(&make, now).map_err(ended)?);
                }
                Step::Deliver(delivery) => {
                    let identity = self.world.identity.as_ref().ok_or_else(|| {
                        Ended::Broken(Failure::failed("there is no certificate to hand over"))
                    })?;
                    (bulk.deliver)(client, identity, &delivery).map_err(Ended::Broken)?;
                    self.world.delivered = true;
                }
                Step::Read(queries) if directory.is_some() && !is_shared(&queries, standing) => {
                    self.read(queries, directory)?;
                }
                Step::Done(Outcome::Issued(report)) => return Ok(Some(Ended::Issued(report))),
                // What else could be read has its answer nowhere here, and would be asked for ever.
                Step::Read(queries) if queries.iter().all(Query::is_of_objects) => {
                    self.pending = Some(Step::Read(queries));
                    return Ok(None);
                }
                step @ Step::Write(_) => {
                    self.pending = Some(step);
                    return Ok(None);
                }
                other => {
                    let what = format!("a client of many cannot do this: {other:?}");
                    return Err(Ended::Broken(Failure::failed(what)));
                }
            }
        }
    }

    fn read(&mut self, queries: Vec<Query>, directory: Option<&CaDir>) -> Result<(), Ended> {
        for query in queries {
            if let Some(directory) = directory {
                let answer = directory.read(&query).map_err(Ended::Broken)?;
                self.world.fold_read(query, answer);
            }
        }
        Ok(())
    }

    /// Folds in what a write came to.
    pub fn fold_written(
        &mut self,
        reference: ObjectRef,
        outcome: Written,
        now: OffsetDateTime,
    ) -> Result<(), Ended> {
        match outcome {
            Written::Written { object, action } => {
                self.world.fold_written(*object, action, now);
                Ok(())
            }
            Written::Conflict => {
                self.conflicts += 1;
                if self.conflicts > MOST_CONFLICTS {
                    return Err(Ended::Bad(Failure::failed(format!(
                        "somebody else keeps changing {reference}"
                    ))));
                }
                self.world.fold_conflict(reference);
                Ok(())
            }
        }
    }

    /// Folds in what was read.
    pub fn fold_read(&mut self, answer_of: impl Fn(&Query) -> Option<Arc<Seen<Vec<Object>>>>) {
        let Some(Step::Read(queries)) = &self.pending else {
            return;
        };
        let answers: Vec<_> = queries
            .iter()
            .map(|query| (query.clone(), answer_of(query)))
            .collect();
        if answers.iter().all(|(_, answer)| answer.is_some()) {
            let missing = || Arc::new(Seen::Missing);
            let answers = answers.into_iter();
            self.world
                .fold_reads(answers.map(|(query, answer)| (query, answer.unwrap_or_else(missing))));
            self.pending = None;
        }
    }

    /// Whether it waits for something that must not be done before all that was written is on disk.
    pub fn needs_flush(&self, standing: &Standing) -> bool {
        match &self.pending {
            Some(Step::Read(queries)) => is_shared(queries, standing),
            Some(Step::Write(Write::Replace(_))) => self.world.delivered,
            _ => false,
        }
    }

    /// The serial of a certificate that was reserved in this run and reached nobody.
    pub fn undelivered(&self) -> Option<String> {
        let last = self.world.changes().last();
        let entry = last.and_then(|change| Entry::read(&change.answer).ok());
        let reserved =
            entry.is_some_and(|entry| entry.state == EntryState::Reserved) && !self.world.delivered;
        let identity = self.world.identity.as_ref().filter(|_| reserved);
        identity.map(|identity| identity.certificate.serial_hex())
    }

    /// Whether nothing was written for it yet.
    pub fn is_untouched(&self) -> bool {
        self.end.is_none() && self.world.changes().is_empty()
    }
}

/// The authority's state is read once for all that ask for it.
fn is_shared(queries: &[Query], standing: &Standing) -> bool {
    queries.contains(&Query::Get(standing.reference().clone()))
}

/// A refusal is about the row; a failure is about everything.
fn ended(failure: Failure) -> Ended {
    match failure.kind() {
        Kind::Usage | Kind::Refused => Ended::Bad(failure),
        _ => Ended::Broken(failure),
    }
}
