//! A command killed after, and failing at, each of its effects in turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cluster, Command, Run};
use crate::error::Failure;
use crate::plan::probe::{Observation, Outcome, Probe};
use crate::plan::{Effect, Event, Observed, Query, QueryResult, Seen, Write};
use crate::resources::{Kind, Object};

/// What happens at one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is performed, and the command is killed.
    Killed,
    /// It is not performed, and the command fails: the API server cannot be reached.
    Failed,
    /// It is performed, and its answer is lost.
    AnswerLost,
    /// The write meets an object that changed meanwhile, once.
    Conflict,
    /// The API server does not do it, and answers with this HTTP status; the command goes on as it can.
    Refused(u16),
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Killed,
        Self::Failed,
        Self::AnswerLost,
        Self::Conflict,
        Self::Refused(403),
        Self::Refused(409),
        Self::Refused(429),
        Self::Refused(500),
    ];

    /// Whether it can happen to this effect.
    fn happens_to(self, effect: &Effect) -> bool {
        let is_of_memory = matches!(
            effect,
            Effect::Generate(_) | Effect::Ask(_) | Effect::Notify(_) | Effect::Deliver(_)
        );
        // Of an attempt a failure is ignored.
        let is_attempt = matches!(effect, Effect::Attempt(_));
        match self {
            Self::Killed => true,
            Self::Failed | Self::AnswerLost => !matches!(effect, Effect::Generate(_)),
            Self::Conflict => matches!(
                effect,
                Effect::Write(_) | Effect::Attempt(Write::Replace(_))
            ),
            Self::Refused(409) => matches!(effect, Effect::Write(Write::Apply(_))),
            Self::Refused(429) => matches!(effect, Effect::Write(_) | Effect::DryRun(_)),
            Self::Refused(_) => !is_of_memory && !is_attempt,
        }
    }

    /// Whether the run ends with it; else it goes on.
    fn ends_the_run(self, effect: &Effect) -> bool {
        match self {
            Self::Killed | Self::Failed | Self::AnswerLost => true,
            Self::Conflict => false,
            Self::Refused(403) => matches!(effect, Effect::Write(_)),
            Self::Refused(_) => matches!(effect, Effect::Write(_) | Effect::DryRun(_)),
        }
    }
}

/// Runs a command with each fault at each of its effects, then once more without any, which must succeed. `check` sees the
/// cluster after both, with what the first run said; how many faults there were.
pub fn every_fault<C: Command>(
    cluster: &Cluster,
    command: &C,
    check: impl FnMut(&mut Cluster, Fault, Option<Failure>, C::Report),
) -> usize {
    every_fault_watched(cluster, command, |_| {}, check)
}

/// The same, where `watch` sees the cluster after every single effect of every run. Faults after which the cluster is the same
/// count each, and are followed by one run.
pub fn every_fault_watched<C: Command>(
    cluster: &Cluster,
    command: &C,
    mut watch: impl FnMut(&Cluster),
    mut check: impl FnMut(&mut Cluster, Fault, Option<Failure>, C::Report),
) -> usize {
    // Where an older authority was restored, the witness leads from the beginning.
    let is_led = cluster.has_leading_witness();
    let mut watch = |cluster: &Cluster| {
        assert!(is_led || !cluster.has_leading_witness(), "a witness leads");
        watch(cluster);
    };
    let mut faults = 0;
    let mut ends = BTreeSet::new();
    let mut undisturbed = cluster.clone();
    let mut run = Run::begin(command);
    for at in 0.. {
        let Some(effect) = run.next(undisturbed.now) else {
            break;
        };
        let possible = Fault::ALL
            .into_iter()
            .filter(|fault| fault.happens_to(&effect));
        let possible: Vec<(Fault, bool)> = possible
            .map(|fault| (fault, fault.ends_the_run(&effect)))
            .collect();
        let before = undisturbed.clone();
        undisturbed.step(&mut run);
        watch(&undisturbed);
        command.check_order(
            &cluster.objects,
            &undisturbed.writes[cluster.writes.len()..],
        );
        for (fault, is_over) in possible {
            faults += 1;
            let (mut disturbed, failure) = if is_over {
                let end = match fault {
                    Fault::Killed | Fault::AnswerLost => undisturbed.clone(),
                    _ => before.clone(),
                };
                if !ends.insert((end.version, end.writes.len())) {
                    continue;
                }
                (end, None)
            } else {
                let mut disturbed = cluster.clone();
                let failure = go_on_with(&mut disturbed, command, fault, at, &mut watch);
                (disturbed, failure)
            };
            let mut again = Run::begin(command);
            match disturbed.finish_watched(&mut again, &mut watch) {
                Ok(report) => check(&mut disturbed, fault, failure, report),
                Err(again) => panic!(
                    "{fault:?} at effect {at}, then again: {again} {:?}; first: {failure:?}",
                    again.what_to_do()
                ),
            }
        }
    }
    faults
}

/// Runs it with a fault at one effect, and to its end; why it failed.
fn go_on_with<C: Command>(
    cluster: &mut Cluster,
    command: &C,
    fault: Fault,
    at: usize,
    watch: &mut impl FnMut(&Cluster),
) -> Option<Failure> {
    let mut run = Run::begin(command);
    cluster.steps(&mut run, at);
    let effect = run.next(cluster.now)?;
    let events = match (fault, effect) {
        (Fault::Refused(status), effect) => refused(effect, status, &run.observed),
        (_, Effect::Write(write) | Effect::Attempt(write)) => {
            // Nobody else has a use for a namespace by that name: somebody was quicker.
            if write.object().reference().kind == Kind::Namespace {
                cluster.put(write.object());
            }
            Ok(vec![lost(&write)])
        }
        (_, other) => panic!("{fault:?} cannot happen to {other:?}"),
    };
    match events {
        Ok(events) => events
            .into_iter()
            .for_each(|event| run.observed.apply(event)),
        Err(failure) => return Some(failure),
    }
    cluster.finish_watched(&mut run, watch).err()
}

fn lost(write: &Write) -> Event {
    Event::Conflict(write.object().reference().clone())
}

/// What comes of an effect that the API server refuses with this status.
fn refused(effect: Effect, status: u16, observed: &Observed) -> Result<Vec<Event>, Failure> {
    let read = |queries: Vec<Query>| {
        let answers = queries.into_iter().map(|query| {
            let answer = unread(&query, status);
            (query, answer)
        });
        Event::Read(answers.collect())
    };
    Ok(match effect {
        Effect::Read(queries) => vec![read(queries)],
        Effect::Wait(wait) => {
            vec![
                Event::Waited(observed.waited() + super::cluster::PAUSE),
                read(wait.reread),
            ]
        }
        Effect::DryRun(dry_run) if status == 403 => vec![Event::DryRun {
            object: dry_run.write.object().reference().clone(),
            strict: dry_run.strict,
            answer: Seen::Denied("you may not `patch` it".to_owned()),
        }],
        Effect::Probe(wanted) => {
            let unseen = |probe: &Probe| Observation {
                offered: None,
                server: None,
                chain: Vec::new(),
                outcome: match status {
                    403 => Outcome::Denied(format!("you may not port-forward to {}", probe.via)),
                    status => Outcome::NotForwarded(format!("HTTP {status}")),
                },
                proxy_protocol: false,
            };
            let probes = wanted.probes.into_iter();
            let probed = probes.map(|probe| {
                let unseen = unseen(&probe);
                (probe, vec![unseen])
            });
            vec![Event::Probed(probed.collect())]
        }
        Effect::Write(write) => {
            let object = write.object().reference();
            return Err(match status {
                403 => {
                    Failure::refused(format!("{object} may not be written")).for_want_of_rights()
                }
                409 => Failure::refused(format!("{object} is kept by somebody else")),
                status => Failure::failed(format!("{object} was not taken (HTTP {status})")),
            });
        }
        other => return Err(Failure::failed(format!("HTTP {status}: {other:?}"))),
    })
}

fn unread(query: &Query, status: u16) -> QueryResult {
    let seen = match (query, status) {
        (Query::Resolve(_), _) => Seen::Failed("the resolver is silent".to_owned()),
        (_, 403) => Seen::Denied("you may not `get` it".to_owned()),
        (_, status) => Seen::Failed(format!("HTTP {status}")),
    };
    unseen(query, &seen)
}

/// The answer to a query for something that may not be read, or could not.
pub fn unseen(query: &Query, seen: &Seen<()>) -> QueryResult {
    fn of<T>(seen: &Seen<()>) -> Seen<T> {
        match seen {
            Seen::Denied(what) => Seen::Denied(what.clone()),
            Seen::NotServed => Seen::NotServed,
            other => Seen::Failed(other.unknown().unwrap_or_default()),
        }
    }
    match query {
        Query::Resolve(_) => QueryResult::Addresses(of(seen)),
        // Who it is stands in the history of what was done.
        Query::WhoAmI => QueryResult::User(Seen::Found("ada".to_owned())),
        Query::Proxy(..) => QueryResult::Proxy(of(seen)),
        Query::Inventory => QueryResult::Inventory(Arc::new(of(seen))),
        _ => of::<Vec<Object>>(seen).into(),
    }
}
