//! A command killed after, and failing at, each of its effects in turn.

use super::{Cluster, Command, Run};
use crate::error::Failure;
use crate::plan::{Effect, Event};

/// What happens at one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is performed, and the command is killed.
    Killed,
    /// It is not performed, and the command fails: forbidden, overloaded, or broken.
    Failed,
    /// It is performed, and its answer is lost.
    AnswerLost,
    /// The write meets an object that changed meanwhile, once.
    Conflict,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Killed, Self::Failed, Self::AnswerLost, Self::Conflict];

    /// Whether it can happen to this effect.
    fn happens_to(self, effect: &Effect) -> bool {
        match self {
            Self::Killed => true,
            Self::Failed | Self::AnswerLost => !matches!(effect, Effect::Generate(_)),
            Self::Conflict => matches!(effect, Effect::Write(_)),
        }
    }
}

/// Runs a command with each fault at each of its effects, then once more without any, which must succeed. `check` sees the
/// cluster after both, with what the first run said; how many faults there were.
pub fn every_fault<C: Command>(
    cluster: &Cluster,
    command: &C,
    mut check: impl FnMut(&mut Cluster, Fault, Option<Failure>, C::Report),
) -> usize {
    let mut faults = 0;
    for fault in Fault::ALL {
        for at in 0.. {
            let mut cluster = cluster.clone();
            let Some(result) = run_with(&mut cluster, command, fault, at) else {
                break;
            };
            let Some(failure) = result else {
                continue;
            };
            faults += 1;
            match cluster.run(command) {
                Ok(report) => check(&mut cluster, fault, failure, report),
                Err(again) => panic!("{fault:?} at effect {at}, then again: {again}"),
            }
        }
    }
    faults
}

/// Runs it with a fault at one effect. `None` where it was over before; `Some(None)` where the fault cannot happen there.
#[expect(clippy::option_option, reason = "three ways to end, in one place")]
fn run_with<C: Command>(
    cluster: &mut Cluster,
    command: &C,
    fault: Fault,
    at: usize,
) -> Option<Option<Option<Failure>>> {
    let mut run = Run::begin(command);
    for _ in 0..at {
        if !cluster.step(&mut run) {
            return None;
        }
    }
    let effect = run.next(cluster.now)?;
    if !fault.happens_to(&effect) {
        return Some(None);
    }
    match fault {
        Fault::Killed | Fault::AnswerLost => drop(cluster.perform(effect, &run.observed)),
        Fault::Failed => {}
        Fault::Conflict => {
            if let Effect::Write(write) = effect {
                let lost = Event::Conflict(write.object().reference().clone());
                run.observed.apply(lost);
            }
            return Some(Some(cluster.finish(&mut run).err()));
        }
    }
    Some(Some(None))
}
