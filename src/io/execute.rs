//! The executor: performs the effect that a reconciler is blocked on, applies the answer, and runs the reconciler again.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::cluster::Outcome;
use super::files::Unflushed;
use super::store::Store;
use super::terminal::Terminal;
use super::{generate, interrupt, prompt, resolver};
use crate::error::Failure;
use crate::plan::probe::Client;
use crate::plan::reconcile::{Question, advance};
use crate::plan::{
    Blocked, Delivery, Effect, Event, Observed, Probes, Query, QueryResult, Reconciled, Wait, Write,
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many probes are made at a time: each has a connection of its own, with buffers of some hundred kilobytes.
const PROBES: usize = 64;
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Performs effects.
pub trait Effects {
    /// The current time, UTC: the API server's where there is one.
    fn now(&self) -> OffsetDateTime;

    /// Performs one effect; returns its answers, in order.
    fn perform(
        &mut self,
        effect: Effect,
        observed: &Observed,
    ) -> impl Future<Output = Result<Vec<Event>, Failure>>;
}

/// Runs a reconciler until it returns a result.
pub async fn run<T>(
    effects: &mut impl Effects,
    observed: &mut Observed,
    plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<T>,
) -> Result<T, Failure> {
    let mut last_read = Vec::new();
    loop {
        interrupt::check()?;
        // So that a signal ends even a command whose effects never wait.
        tokio::task::yield_now().await;
        match advance(observed, |observed| plan(observed, effects.now())) {
            Ok(report) => return Ok(report),
            Err(Blocked::Failed(failure)) => return Err(failure),
            Err(Blocked::On(effect)) => {
                // The answer is known now, so a plan that blocks on the same read once more never ends.
                let read = match &*effect {
                    Effect::Read(queries) => queries.clone(),
                    _ => Vec::new(),
                };
                if !read.is_empty() && read == last_read {
                    return Err(Failure::internal(format!(
                        "the command reads {read:?} again and again"
                    )));
                }
                last_read = read;
                for event in effects.perform(*effect, observed).await? {
                    observed.apply(event);
                }
            }
        }
    }
}

/// Asks for the password of a client's files, and writes them.
pub trait CredentialWriter {
    /// Asks for the password, where the files need one and none was given.
    fn ask_password(&mut self, terminal: &Terminal) -> Result<(), Failure>;

    /// Writes the files; what is `unflushed` must reach the disk before them.
    fn write(&mut self, delivery: &Delivery, unflushed: &[Unflushed]) -> Result<(), Failure>;
}

/// Performs effects on a cluster or a directory.
pub struct Live<'a> {
    store: Store<'a>,
    terminal: &'a mut Terminal,
    resolver: Option<String>,
    credential: Option<&'a mut dyn CredentialWriter>,
    pause: Duration,
    started: Option<Instant>,
    read_limit: Option<Duration>,
}

impl<'a> Live<'a> {
    /// Reads and writes objects in `store`, and tells progress on the terminal.
    pub fn new(store: Store<'a>, terminal: &'a mut Terminal) -> Self {
        Self {
            store,
            terminal,
            resolver: None,
            credential: None,
            pause: SHORTEST_PAUSE,
            started: None,
            read_limit: None,
        }
    }

    /// Gives up a single read after this time, and continues after failed reads: their answer is `Seen::Failed`.
    #[must_use]
    pub fn tolerating_failed_reads(mut self, limit: Duration) -> Self {
        self.read_limit = Some(limit);
        self
    }

    /// Asks this DNS server, `HOST[:PORT]`, instead of the system's resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Option<String>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Writes a client's credential with this writer.
    #[must_use]
    pub fn with_credential(mut self, writer: &'a mut dyn CredentialWriter) -> Self {
        self.credential = Some(writer);
        self
    }

    /// Prints a note beside the result.
    pub fn note(&self, text: &str) {
        self.terminal.note(text);
    }

    /// Runs a reconciler until it returns a result, starting with nothing observed.
    pub async fn run<T>(
        &mut self,
        plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<T>,
    ) -> Result<T, Failure> {
        let mut observed = generate::observed()?;
        run(self, &mut observed, plan).await
    }
}

impl Effects for Live<'_> {
    fn now(&self) -> OffsetDateTime {
        self.store.now()
    }

    async fn perform(
        &mut self,
        effect: Effect,
        observed: &Observed,
    ) -> Result<Vec<Event>, Failure> {
        if !matches!(effect, Effect::Wait(_) | Effect::Probe(_)) {
            self.terminal.progress(&[]);
        }
        Ok(match effect {
            Effect::Read(queries) => {
                let is_waiting = self.started.is_some();
                let mut events: Vec<Event> =
                    is_waiting.then(|| self.waited()).into_iter().collect();
                events.extend(self.read(queries).await?);
                events
            }
            Effect::DryRun(dry_run) => vec![Event::DryRun {
                answer: self.store.dry_run(&dry_run).await?,
                object: dry_run.write.object().reference().clone(),
                strict: dry_run.strict,
            }],
            Effect::Generate(generate) => {
                let generated = generate::generate(&generate, self.store.now())?;
                vec![Event::Generated(Box::new(generated))]
            }
            Effect::Ask(question) => vec![self.ask(question)?],
            Effect::Notify(text) => {
                self.terminal.warn(&text);
                vec![Event::Notified(text)]
            }
            Effect::Write(write) => vec![self.write(&write).await?],
            Effect::Attempt(write) => {
                let object = write.object().reference().clone();
                vec![match self.store.attempt(&write).await {
                    Some(outcome) => Event::Attempted { object, outcome },
                    // It is read again, and decided anew.
                    None => Event::Conflict(object),
                }]
            }
            Effect::Wait(wait) => self.wait(wait).await?,
            Effect::Probe(probes) => self.probe(probes, observed).await?,
            Effect::Deliver(delivery) => vec![self.deliver(&delivery)?],
        })
    }
}

impl Live<'_> {
    async fn read(&self, queries: Vec<Query>) -> Result<Vec<Event>, Failure> {
        let reads = queries.into_iter().map(|query| async {
            let answer = match self.read_limit {
                None => self.read_one(&query).await?,
                Some(limit) => self.read_within(limit, &query).await,
            };
            Ok::<_, Failure>((query, answer))
        });
        let answers = try_join_all(reads).await?;
        let ahead = self.store.clock_ahead().map(Event::ClockAhead);
        Ok(ahead.into_iter().chain([Event::Read(answers)]).collect())
    }

    async fn read_within(&self, limit: Duration, query: &Query) -> QueryResult {
        match timeout(limit, self.read_one(query)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => QueryResult::failed(query, failure.to_string()),
            Err(_) => {
                let reason = format!("no answer within {} s", limit.as_secs());
                QueryResult::failed(query, reason)
            }
        }
    }

    async fn read_one(&self, query: &Query) -> Result<QueryResult, Failure> {
        match query {
            Query::Resolve(host) => Ok(QueryResult::Addresses(
                resolver::resolve(host, self.resolver.as_deref()).await?,
            )),
            query => self.store.read(query).await,
        }
    }

    async fn write(&mut self, write: &Write) -> Result<Event, Failure> {
        let outcome = self.store.write(write).await?;
        if matches!(outcome, Outcome::Written { .. }) {
            self.pause = SHORTEST_PAUSE;
        }
        Ok(written(outcome, write, self.store.now()))
    }

    fn ask(&mut self, question: Question) -> Result<Event, Failure> {
        match &question {
            Question::Password => {
                let writer = self.credential.as_mut().ok_or_else(no_writer)?;
                writer.ask_password(self.terminal)?;
            }
            Question::Confirm { what, lines } => prompt::confirm(what, lines, self.terminal)?,
        }
        Ok(Event::Answered(question))
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<Event, Failure> {
        let writer = self.credential.as_mut().ok_or_else(no_writer)?;
        writer.write(delivery, &self.store.take_unflushed())?;
        Ok(Event::Delivered)
    }

    async fn wait(&mut self, wait: Wait) -> Result<Vec<Event>, Failure> {
        self.terminal.progress(&wait.progress);
        let mut events = vec![self.pause().await];
        events.extend(self.read(wait.reread).await?);
        Ok(events)
    }

    /// Pauses, while the spinner turns.
    async fn pause(&mut self) -> Event {
        self.started.get_or_insert_with(Instant::now);
        let turning = async {
            loop {
                tokio::time::sleep(TURN).await;
                self.terminal.turn();
            }
        };
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = turning => {}
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.waited()
    }

    /// How long the run has been waiting, which begins now if it was not waiting yet.
    fn waited(&mut self) -> Event {
        let started = self.started.get_or_insert_with(Instant::now);
        Event::Waited(started.elapsed())
    }

    async fn probe(&mut self, wanted: Probes, observed: &Observed) -> Result<Vec<Event>, Failure> {
        let probes = wanted.probes;
        let mut events = Vec::new();
        let is_repeated = |probe| !observed.observations(probe).is_empty();
        if probes.iter().any(is_repeated) {
            self.terminal.progress(&wanted.progress);
            events.push(self.pause().await);
            events.extend(self.read(wanted.reread).await?);
        } else {
            self.terminal.progress(&[]);
            events.push(self.waited());
        }
        let (store, resolver) = (&self.store, self.resolver.as_deref());
        let made = probes.into_iter().map(|probe| async move {
            let identity = match &probe.client {
                Client::Nobody => None,
                Client::Shown(label) => observed.canary(label),
            };
            let wants_header = observed.wants_proxy_protocol(&probe.via);
            let made = store.probe(&probe, identity, resolver, wants_header);
            let observations = made.await?;
            Ok::<_, Failure>((probe, observations))
        });
        let probed = stream::iter(made).buffer_unordered(PROBES);
        events.push(Event::Probed(probed.try_collect().await?));
        Ok(events)
    }
}

/// The result of a write, as an event.
pub fn written(outcome: Outcome, write: &Write, at: OffsetDateTime) -> Event {
    match outcome {
        Outcome::Written { object, action } => Event::Written { object, action, at },
        Outcome::Conflict => Event::Conflict(write.object().reference().clone()),
    }
}

fn no_writer() -> Failure {
    Failure::internal("this command writes no client files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ca_dir::CaDir;
    use crate::io::runtime::OneThread;
    use crate::io::terminal::Color;
    use crate::plan::issue_client;
    use crate::plan::testing::{Cluster, issue_request};
    use crate::resources::inventory::EntryState;

    /// The cluster in memory performs effects for the same loop.
    impl Effects for Cluster {
        fn now(&self) -> OffsetDateTime {
            self.now
        }

        async fn perform(
            &mut self,
            effect: Effect,
            observed: &Observed,
        ) -> Result<Vec<Event>, Failure> {
            Self::perform(self, effect, observed)
        }
    }

    #[test]
    fn the_loop_performs_what_a_plan_is_blocked_on_until_there_is_a_report() {
        let mut cluster = Cluster::default();
        let request = issue_request("alice");
        let plan = |observed: &Observed, now| issue_client::reconcile(&request, observed, now);
        let ended = futures::executor::block_on(run(&mut cluster, &mut Observed::default(), plan));
        assert_eq!(ended.unwrap().entry.state, EntryState::Issued);
        assert_eq!(cluster.asked, [Question::Password]);
    }

    #[test]
    fn a_command_that_reads_the_same_for_ever_is_a_defect_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = CaDir::new(folder.path());
        let mut terminal = Terminal::new(Color::Never, true);
        let mut live = Live::new(Store::Directory(&directory), &mut terminal);
        let again = |_: &Observed, _| Err::<(), _>(Effect::Read(vec![Query::WhoAmI]).into());
        let failure = futures::executor::block_on(live.run(again)).unwrap_err();
        let said = failure.to_string();
        assert!(
            said.starts_with("internal error: the command reads [WhoAmI] again and again"),
            "{said}"
        );
    }

    #[test]
    fn a_command_whose_effects_never_wait_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let directory = CaDir::new(folder.path());
        let mut terminal = Terminal::new(Color::Never, true);
        let mut live = Live::new(Store::Directory(&directory), &mut terminal);
        let endless = live.run(|_, _| Err::<(), _>(Effect::Notify(String::new()).into()));
        let thread = OneThread::start().unwrap();
        let ended = thread.run_to_its_end(async {
            tokio::time::timeout(std::time::Duration::from_millis(20), endless).await
        });
        let timed_out = ended.expect_err("it ended by itself");
        assert_eq!(timed_out.to_string(), "deadline has elapsed");
    }
}
