//! Running a command against the cluster in memory.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Cluster, order};
use crate::error::Failure;
use crate::plan::reconcile::advance;
use crate::plan::{
    Blocked, Credential, Delivery, Effect, Observed, Reconciled, ca_rotate, expose, issue_client,
    renew_client, revoke_client, status, unexpose,
};
use crate::resources::{Object, ObjectRef};

/// No command needs more effects than this.
const MOST_EFFECTS: usize = 400;

/// A reconciler with its request.
pub trait Command: Clone {
    /// What comes of it.
    type Report;

    /// Runs it once, from the top.
    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report>;

    /// Asserts that a run, or what there was of it, wrote in the order that it must; `before` is what stood before it.
    fn check_order(&self, _before: &BTreeMap<ObjectRef, Object>, _writes: &[String]) {}
}

impl<T, F> Command for F
where
    F: Fn(&Observed, OffsetDateTime) -> Reconciled<T> + Clone,
{
    type Report = T;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<T> {
        self(observed, now)
    }
}

impl Command for issue_client::Request {
    type Report = issue_client::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        issue_client::reconcile(self, observed, now)
    }
}

impl Command for renew_client::Request {
    type Report = issue_client::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        renew_client::reconcile(self, observed, now)
    }
}

impl Command for revoke_client::Request {
    type Report = revoke_client::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        revoke_client::reconcile(self, observed, now)
    }
}

impl Command for ca_rotate::Request {
    type Report = ca_rotate::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        ca_rotate::reconcile(self, observed, now)
    }
}

impl Command for expose::Request {
    type Report = expose::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        expose::reconcile(self, observed, now)
    }

    fn check_order(&self, before: &BTreeMap<ObjectRef, Object>, writes: &[String]) {
        order::made(before, writes);
    }
}

impl Command for unexpose::Request {
    type Report = unexpose::Report;

    fn reconcile(&self, observed: &Observed, _: OffsetDateTime) -> Reconciled<Self::Report> {
        unexpose::reconcile(self, observed)
    }

    fn check_order(&self, _: &BTreeMap<ObjectRef, Object>, writes: &[String]) {
        order::removed(writes);
    }
}

impl Command for status::Request {
    type Report = status::Report;

    fn reconcile(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self::Report> {
        status::reconcile(self, observed, now)
    }
}

/// A run of a command that is not over yet.
pub struct Run<C: Command> {
    command: C,
    /// What it has observed.
    pub observed: Observed,
    /// What it came to, once it is over.
    pub result: Option<Result<C::Report, Failure>>,
    /// The client that it delivered a certificate to, among those of the cluster, and what came with it.
    pub delivered: Option<(usize, Credential)>,
}

impl<C: Command> Run<C> {
    /// Begins from nothing observed.
    pub fn begin(command: &C) -> Self {
        Self::go_on(command, Observed::default())
    }

    /// Begins from what was observed already.
    pub fn go_on(command: &C, observed: Observed) -> Self {
        Self {
            command: command.clone(),
            observed,
            result: None,
            delivered: None,
        }
    }

    /// What it is blocked on; `None` once it is over.
    pub fn next(&mut self, now: OffsetDateTime) -> Option<Effect> {
        if self.result.is_some() {
            return None;
        }
        let plan = |observed: &Observed| self.command.reconcile(observed, now);
        match advance(&self.observed, plan) {
            Err(Blocked::On(effect)) => return Some(*effect),
            Err(Blocked::Failed(failure)) => self.result = Some(Err(failure)),
            Ok(report) => self.result = Some(Ok(report)),
        }
        None
    }

    /// The certificate that it delivered.
    pub fn client(&self) -> usize {
        self.delivered.as_ref().expect("nothing was delivered").0
    }
}

impl Cluster {
    /// Performs the one effect that a run is blocked on; whether it goes on.
    pub fn step<C: Command>(&mut self, run: &mut Run<C>) -> bool {
        let Some(effect) = run.next(self.now) else {
            return false;
        };
        let credential = match &effect {
            Effect::Deliver(delivery) => match delivery {
                Delivery::Credential(credential) => Some((**credential).clone()),
                Delivery::SigningRequest(_) => None,
            },
            _ => None,
        };
        match self.perform(effect, &run.observed) {
            Ok(events) => events
                .into_iter()
                .for_each(|event| run.observed.apply(event)),
            Err(failure) => run.result = Some(Err(failure)),
        }
        if let Some(credential) = credential {
            run.delivered = Some((self.clients.len() - 1, credential));
        }
        run.result.is_none()
    }

    /// Runs a command to its end.
    pub fn run<C: Command>(&mut self, command: &C) -> Result<C::Report, Failure> {
        self.finish(&mut Run::begin(command))
    }

    /// Runs it to its end.
    pub fn finish<C: Command>(&mut self, run: &mut Run<C>) -> Result<C::Report, Failure> {
        self.finish_watched(run, &mut |_| {})
    }

    /// The same, where `watch` sees the cluster after every effect.
    pub fn finish_watched<C: Command>(
        &mut self,
        run: &mut Run<C>,
        watch: &mut impl FnMut(&Self),
    ) -> Result<C::Report, Failure> {
        let before = self.objects.clone();
        let begun = self.writes.len();
        for _ in 0..MOST_EFFECTS {
            let goes_on = self.step(run);
            watch(self);
            if !goes_on && let Some(result) = run.result.take() {
                run.command.check_order(&before, &self.writes[begun..]);
                return result;
            }
        }
        panic!("it never ends: {:?}", run.next(self.now));
    }

    /// Runs a command while its canaries expire after the first probe.
    pub fn run_slowly<C: Command>(&mut self, command: &C) -> Result<C::Report, Failure> {
        let mut run = Run::begin(command);
        let late = self.now + time::Duration::minutes(11);
        for _ in 0..MOST_EFFECTS {
            if run.observed.has_shown_a_canary() {
                self.now = late;
            }
            if !self.step(&mut run)
                && let Some(result) = run.result.take()
            {
                return result;
            }
        }
        panic!("it never ends: {:?}", run.next(self.now));
    }

    /// Performs up to so many effects of a run.
    pub fn steps<C: Command>(&mut self, run: &mut Run<C>, effects: usize) {
        for _ in 0..effects {
            if !self.step(run) {
                return;
            }
        }
    }

    /// Performs some effects of a command, and kills it; whether it was over by then.
    pub fn killed<C: Command>(&mut self, command: &C, effects: usize) -> bool {
        let mut run = Run::begin(command);
        self.steps(&mut run, effects);
        run.next(self.now).is_none()
    }
}
