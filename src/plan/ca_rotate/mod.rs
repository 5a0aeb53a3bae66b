//! `ca-rotate`: replaces the CA that gateways trust, without rejecting one valid client.
//!
//! The phase follows from the authority's state alone, so the command can be stopped anywhere and run again: a key is stored before a state
//! names its CA, the state is committed before gateways read it, and the new CA issues only after every gateway has loaded it. The old CA
//! is removed only when the inventory, read after the state, holds no live certificate of it: an issuer reads the state again between
//! reserving an entry and delivering, so it delivers nothing that was not counted.

mod accept;
mod dependents;
mod finish;
mod forecast;
mod given;
mod keys;
mod proof;
mod report;
mod restore;
mod start;
#[cfg(test)]
mod tests;
mod transitions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

pub use dependents::Dependent;
pub use report::{Ca, Looked, Report};
pub use restore::Restore;

use super::authority::{NewAuthority, absent, follower};
use super::commit::{self, Standing};
use super::{DryRun, Observed, Query};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::Reconciled;
use crate::resources::audit::RotationStep;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{CredentialNames, FIRST_AUTHORITY};
use crate::resources::rotation::Phase;
use crate::resources::witness::reference;

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority whose CA is replaced.
    pub authority: String,
    /// The goal of the run.
    pub goal: Goal,
    /// The parameters of a new CA.
    pub new: NewAuthority,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Time limit for all waiting.
    pub timeout: Duration,
    /// Address of the gateway to use instead of the load balancer, `HOST:PORT`.
    pub connect_to: Option<String>,
    /// Whether objects of tools such as Argo CD are changed too.
    pub force_conflicts: bool,
}

/// The goal of the run.
#[derive(Debug, Clone)]
pub enum Goal {
    /// The next step: start or continue a rotation, or report what it waits for. With a CA, a rotation to that CA.
    Advance(Option<Arc<Authority>>),
    /// Import the key of a CA that the gateway trusts already.
    TakeIn(Arc<Authority>),
    /// Remove the old CA.
    Finish(Finish),
    /// Let the old CA issue again.
    Abort,
    /// Accept the existing inventory.
    AcceptInventory,
    /// Restore the authority.
    Restore(Restore),
    /// Only report the state.
    Status,
}

/// How the old CA is removed.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    /// Remove it even if certificates of it are live.
    pub force: bool,
    /// Wait until no certificate of it is live.
    pub wait_for_clients: bool,
    /// The fingerprints of CAs to remove whose clients are not in the inventory.
    pub foreign: BTreeSet<String>,
}

/// One run on an existing authority.
struct Run<'a> {
    request: &'a Request,
    names: CredentialNames,
    standing: Standing<'a>,
    observed: &'a Observed,
    now: OffsetDateTime,
}

/// Works towards the goal.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let names = CredentialNames::of_authority(&request.authority);
    let witness = reference(&request.authority);
    observed.prefetch([names.state(), witness].map(Query::Get))?;
    if let Goal::Restore(restore) = &request.goal {
        return restore::work(request, restore, &names, observed, now);
    }
    if observed.get(&names.state())?.is_none() {
        let makes_one = [
            "create an authority with its Gateway: kubectl mtls expose SERVICE",
            "create an authority from a Gateway that reads its client CA from a Secret: kubectl mtls expose SERVICE --fail-closed",
        ];
        return Err(absent(&names.authority, &makes_one, observed)?.into());
    }
    if matches!(request.goal, Goal::Status) || request.dry_run != DryRun::None {
        return forecast::work(request, names, observed, now);
    }
    refuse_unmoved(&names, observed)?;
    let standing = commit::standing(&request.authority, request.force_conflicts, observed, now)?;
    let counts = matches!(request.goal, Goal::Finish(_));
    let run = Run {
        request,
        standing: commit::witnessed(standing, counts, observed)?,
        names,
        observed,
        now,
    };
    if !run.standing.state.readmitted.is_empty() {
        // Every change leaves them out.
        let state = run.standing.state.clone();
        return Err(run.commit(state, RotationStep::CaDropped)?);
    }
    match &request.goal {
        Goal::Advance(given) => run.advance(given.as_ref()),
        Goal::TakeIn(ca) => run.take_in(ca),
        Goal::Finish(finish) => run.finish(finish),
        Goal::Abort => run.abort(),
        Goal::AcceptInventory => run.accept_inventory(),
        // Done above, by themselves.
        Goal::Status | Goal::Restore(_) => run.done(),
    }
}

impl Run<'_> {
    fn advance(&self, given: Option<&Arc<Authority>>) -> Reconciled<Report> {
        let state = &self.standing.state;
        match state.phase() {
            Phase::Stopped => {
                if state.trusted.is_empty() {
                    // Beside the CAs of others, the first one of its own.
                    return self.start(given);
                }
                Err(self.commit(state.clone().resumed(), RotationStep::Resumed)?)
            }
            Phase::Spreading => {
                self.check_same(given)?;
                self.promote()
            }
            Phase::Overlap => {
                self.check_same(given)?;
                self.clean_up()?;
                self.done()
            }
            Phase::Settled => {
                self.clean_up()?;
                self.start(given)
            }
        }
    }

    /// Lets the new CA issue, once every gateway has loaded it.
    fn promote(&self) -> Reconciled<Report> {
        let state = &self.standing.state;
        if let Some(ca) = state.target_ca() {
            self.signer(ca)?;
        }
        self.prove()?;
        Err(self.commit(
            state.clone().issuing_its_target(),
            RotationStep::IssuingMoved,
        )?)
    }

    fn abort(&self) -> Reconciled<Report> {
        let state = &self.standing.state;
        let before = state.turning_back_to();
        match state.phase() {
            Phase::Settled => return Err(self.nothing_to_abort().into()),
            Phase::Stopped => return self.done(),
            Phase::Overlap if before.is_none() => return self.done(),
            Phase::Overlap | Phase::Spreading => {}
        }
        if let Some(ca) = before.filter(|ca| state.issuing_ca() != Some(ca)) {
            // A CA that cannot sign must not be made to.
            self.signer(ca)?;
        }
        Err(self.commit(state.clone().turned_back(), RotationStep::Aborted)?)
    }

    fn nothing_to_abort(&self) -> Failure {
        let state = &self.standing.state;
        let failure = Failure::refused("there is no rotation to abort");
        if state.dropped.is_empty() {
            return failure;
        }
        failure
            .hint("the last rotation is finished: the old CA was removed, and its key deleted")
            .hint(format!("`{}` starts another rotation", self.command("")))
    }

    /// Refuses another CA than the target of the current rotation.
    fn check_same(&self, given: Option<&Arc<Authority>>) -> Result<(), Failure> {
        let state = &self.standing.state;
        let Some(given) = given else { return Ok(()) };
        let target = state.target_ca();
        if target == Some(given.certificate()) {
            return Ok(());
        }
        let name = target.map_or("none", |ca| ca.subject());
        Err(Failure::refused(format!(
            "a rotation to the CA `{name}` is under way, not to `{}`",
            given.certificate().subject()
        ))
        .hint(format!(
            "`{}` finishes the rotation, `{}` aborts it",
            self.command(" --finish"),
            self.command(" --abort")
        )))
    }

    /// The command line to show to the user, for this authority.
    fn command(&self, flags: &str) -> String {
        command("ca-rotate", &self.request.authority, flags)
    }

    fn damaged(&self, what: &str) -> Failure {
        Failure::refused(format!(
            "the state of the authority `{}` is damaged: {what}",
            self.request.authority
        ))
        .hint("restore the authority from a backup")
    }
}

/// Refuses to continue while a Gateway reads a Secret, or may do so, instead of the authority: both would have to change together.
fn refuse_unmoved(names: &CredentialNames, observed: &Observed) -> Reconciled<()> {
    let state = observed.get(&names.state())?;
    // Whoever reads a damaged one refuses it with the reason.
    let state = state.and_then(|object| AuthorityState::read(object).ok());
    let Some(secret) = state.as_ref().and_then(follower) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "a Gateway still reads {secret} in the place of the authority `{}`",
        names.authority
    ))
    .hint("`kubectl mtls expose SERVICE --fail-closed` moves the Gateway to the authority, and no client is rejected")
    .hint("where the Gateway was moved already, `expose` must see that every proxy stopped reading the Secret: it needs the right to port-forward, and no `--connect-to`")
    .into())
}

/// The command line to show to the user, for a command on an authority.
fn command(name: &str, authority: &str, flags: &str) -> String {
    let authority = match authority {
        FIRST_AUTHORITY => String::new(),
        other => format!(" --authority {other}"),
    };
    format!("kubectl mtls {name}{flags}{authority}")
}
