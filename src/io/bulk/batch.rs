//! One batch: all its clients take each step together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;

use super::feed::Fed;
use super::member::{Ended, Member, Members};
use super::pace::MOST;
use super::workers::Job;
use super::{Client, Event, Shared, Stop};
use crate::error::Failure;
use crate::io::execute::written;
use crate::io::store::Store;
use crate::plan::issue_client::Standing;
use crate::plan::{Effect, Query, QueryResult, Seen, Write};
use crate::resources::Object;

/// The results of the reads of all members.
type Answers = BTreeMap<Query, Arc<Seen<Vec<Object>>>>;

/// The pause before the entries of other runs are read again.
const PAUSE: Duration = Duration::from_millis(500);

impl<C: Client> Shared<'_, '_, C> {
    /// Issues the certificates of these rows, and reports the result of each, after the batches before this one.
    pub(super) async fn batch(&self, number: u64, rows: Vec<Fed<C::Row>>) -> Result<(), Failure> {
        let members = rows.into_iter().map(Member::new).map(Box::new).collect();
        let (members, mut broken) = match self.workers.all(Job::Prepare, members).await {
            Ok(mut members) => {
                let broken = self.steps(&mut members).await.err();
                (members, broken)
            }
            Err(failure) => (Vec::new(), Some(failure)),
        };
        // Fails only where the sender is gone, which lives as long as this.
        let _ = self
            .reported
            .subscribe()
            .wait_for(|count| *count == number)
            .await;
        for member in members {
            if let Some(failure) = self.conclude(*member) {
                broken.get_or_insert(failure);
            }
        }
        self.reported.send_modify(|count| *count += 1);
        broken.map_or(Ok(()), Err)
    }

    /// Takes all members to their ends; where the run ends at once, as far as they have come.
    async fn steps(&self, members: &mut Members<C>) -> Result<(), Failure> {
        self.leave_out(members);
        let first = self.unless_at_once(self.first_standing(members)).await?;
        let Some(mut standing) = first.flatten() else {
            return Ok(());
        };
        let done = self.turns(members, &mut standing).await;
        for member in members {
            member.settle(&standing, self.bulk.store.now());
        }
        done
    }

    async fn turns(
        &self,
        members: &mut Members<C>,
        standing: &mut Arc<Standing>,
    ) -> Result<(), Failure> {
        loop {
            let job = Job::Advance(standing.clone(), self.bulk.store.now());
            *members = self.workers.all(job, std::mem::take(members)).await?;
            self.leave_out(members);
            if members.iter().all(|member| member.pending.is_none()) {
                return Ok(());
            }
            if self
                .unless_at_once(self.turn(members, standing))
                .await?
                .is_none()
            {
                return Ok(());
            }
        }
    }

    /// Performs the effects that the members wait for.
    async fn turn(
        &self,
        members: &mut Members<C>,
        standing: &mut Arc<Standing>,
    ) -> Result<(), Failure> {
        if members.iter().any(|member| member.needs_flush(standing)) {
            self.workers.flush().await?;
        }
        let are_all_waiting = members
            .iter()
            .all(|member| member.pending.is_none() || member.is_waiting());
        if are_all_waiting {
            self.tell_of_waiting(members);
            tokio::time::sleep(PAUSE).await;
        }
        let answers = self.read(members, are_all_waiting).await?;
        for member in members.iter_mut() {
            member.take_read(|query| Some(QueryResult::Objects(answers.get(query)?.clone())));
        }
        let state = answers.get(&Query::Get(standing.reference().clone()));
        if state.is_some_and(|state| !standing.holds(state)) {
            *standing = self
                .standing_for(members, state.map(|state| &**state))
                .await?;
        }
        self.write(members).await
    }

    /// Reports the members that begin to wait for another run.
    fn tell_of_waiting(&self, members: &[Box<Member<C>>]) {
        let mut lines = members.iter().filter_map(|member| member.begins_to_wait());
        if let Some(first) = lines.next() {
            self.tell(Event::Waiting(first, lines.count()));
        }
    }

    /// The facts that the certificates share; `None` if no certificate is left to issue.
    async fn first_standing(
        &self,
        members: &[Box<Member<C>>],
    ) -> Result<Option<Arc<Standing>>, Failure> {
        if members.iter().all(|member| member.end.is_some()) {
            return Ok(None);
        }
        self.standing_for(members, None).await.map(Some)
    }

    async fn standing_for(
        &self,
        members: &[Box<Member<C>>],
        read: Option<&Seen<Vec<Object>>>,
    ) -> Result<Arc<Standing>, Failure> {
        let mut clients = members.iter().filter(|member| member.end.is_none());
        let client = clients.find_map(|member| member.client.as_ref());
        let client = client.ok_or_else(|| Failure::internal("a batch without clients"))?;
        self.standing(client, read).await
    }

    /// Skips members that have not begun, once a row was bad or the run is stopping.
    fn leave_out(&self, members: &mut [Box<Member<C>>]) {
        let ends_all = |member: &Member<C>| match &member.end {
            Some(Ended::Bad(_)) => !self.bulk.keep_going,
            Some(Ended::Broken(_)) => true,
            _ => false,
        };
        let mut ends = self.stops(Stop::AfterBegun);
        for member in members {
            if ends_all(member) {
                ends = true;
                self.stop(Stop::AfterBegun);
            }
            if ends && member.is_untouched() {
                member.pending = None;
                member.end = Some(Ended::LeftOut);
            }
        }
    }

    /// Performs the reads that the members wait for, each once: those that wait for another run only when `after_pause`.
    async fn read(
        &self,
        members: &[Box<Member<C>>],
        after_pause: bool,
    ) -> Result<Answers, Failure> {
        let mut wanted: Vec<Query> = members
            .iter()
            .filter(|member| after_pause || !member.is_waiting())
            .flat_map(|member| member.reads().to_vec())
            .collect();
        wanted.sort();
        wanted.dedup();
        let read = |query: Query| async move {
            let objects = self.answer(&query).await?;
            Ok((query, objects))
        };
        let answers: Vec<Result<_, Failure>> = stream::iter(wanted)
            .map(read)
            .buffer_unordered(MOST)
            .collect()
            .await;
        self.learn();
        answers.into_iter().collect()
    }

    /// Performs the writes that the members wait for, if they go over the network; into a directory, each core writes its own.
    async fn write(&self, members: &mut [Box<Member<C>>]) -> Result<(), Failure> {
        let Store::Cluster(cluster) = self.bulk.store else {
            return Ok(());
        };
        let wanted: Vec<(usize, Write)> = members
            .iter_mut()
            .enumerate()
            .filter_map(|(index, member)| match member.pending.take() {
                Some(Effect::Write(write)) => Some((index, write)),
                other => {
                    member.pending = other;
                    None
                }
            })
            .collect();
        let write = |(index, write): (usize, Write)| async move {
            let outcome = self.pace.keep(cluster.write(&write)).await;
            (index, write, outcome)
        };
        let mut all = stream::iter(wanted).map(write).buffer_unordered(MOST);
        // All of them are waited for, whatever one comes to: an entry that was made must not be forgotten.
        while let Some((index, write, outcome)) = all.next().await {
            match outcome {
                Ok(outcome) => {
                    let event = written(outcome, &write, cluster.now());
                    members[index].wrote(event);
                }
                Err(failure) => {
                    members[index].end = Some(Ended::Broken(failure));
                    self.stop(Stop::AfterBegun);
                }
            }
        }
        drop(all);
        self.learn();
        Ok(())
    }

    fn learn(&self) {
        if let Store::Cluster(cluster) = self.bulk.store {
            self.pace.learn(cluster.times_too_busy());
        }
    }

    /// Reports the result of a client; returns the failure if it must end the whole run.
    fn conclude(&self, member: Member<C>) -> Option<Failure> {
        let reserved = member.reserved();
        let was_delivered = member.observed.was_delivered();
        let name = member.client.as_ref().map(|client| client.name().clone());
        let failure = match (member.end, &member.client) {
            (Some(Ended::Issued(report)), Some(client)) => {
                self.tell(Event::Issued(client, &report));
                return None;
            }
            (Some(Ended::Bad(failure)), _) => {
                self.tell(Event::Bad(member.place, failure));
                None
            }
            (Some(Ended::Broken(failure)), _) => Some(failure),
            _ => None,
        };
        if let (Some(serial), Some(name)) = (&reserved, &name) {
            let name = name.as_str();
            self.tell(if was_delivered {
                Event::Unconfirmed { name, serial }
            } else {
                Event::Undelivered { name, serial }
            });
        }
        failure
    }
}
