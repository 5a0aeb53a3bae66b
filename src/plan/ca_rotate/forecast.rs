//! A dry run: the planned steps and the current state. Nothing is written, not even to complete an interrupted run.

use time::OffsetDateTime;

use super::finish::certificates;
use super::{Finish, Goal, Report, Request, Run};
use crate::error::Failure;
use crate::plan::commit::Standing;
use crate::plan::witness;
use crate::plan::{DryRun, Effect, Observed, Reconciled, ServerDryRun, Write};
use crate::resources::audit::RotationStep;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::CredentialNames;
use crate::resources::rotation::Phase;

pub(super) fn work(
    request: &Request,
    names: CredentialNames,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let Some(object) = observed.get(&names.state())? else {
        return Err(Failure::failed("the authority was deleted").into());
    };
    let state = AuthorityState::read(object)
        .map_err(|error| witness::unreadable(&names.authority, &error))?;
    if !matches!(request.goal, Goal::Status) {
        super::refuse_unmoved(&names, observed)?;
    }
    let published = ClientCa::of(&state).map_err(|error| {
        Failure::refused(format!("the authority `{}` trusts nobody", names.authority))
            .caused_by(error)
    })?;
    let run = Run {
        request,
        names,
        standing: Standing::preview(object, state, published),
        observed,
        now,
    };
    let mut report = run.report()?;
    let fault = witness::fault(&run.standing.state, observed)?;
    let note = fault.map(|fault| fault.note(&run.names.authority));
    report.notes.extend(note);
    if matches!(run.request.goal, Goal::Status) {
        report.notes.extend(run.lost_keys()?);
        report.history.clone_from(&run.standing.state.history);
        return Ok(report);
    }
    report.next = None;
    if matches!(request.goal, Goal::AcceptInventory) {
        report.planned = run.entries_by_ca()?;
        report
            .planned
            .push("record this inventory as the inventory of the authority".to_owned());
        return Ok(report);
    }
    report.planned = run.planned()?;
    Ok(report)
}

impl Run<'_> {
    /// The planned steps, in order. On request the API server is asked whether it would accept the change of the state.
    fn planned(&self) -> Reconciled<Vec<String>> {
        let state = &self.standing.state;
        let look = "probe every gateway until it has loaded the change".to_owned();
        let (mut planned, next) = match (&self.request.goal, state.phase()) {
            (Goal::Advance(given), phase)
                if phase == Phase::Settled || state.trusted.is_empty() =>
            {
                if given
                    .as_ref()
                    .is_some_and(|ca| state.trusted.contains(ca.certificate()))
                {
                    return Ok(Vec::new());
                }
                let Some(ca) = self.observed.generated_authority() else {
                    return Err(self.new_ca(given.as_ref())?.into());
                };
                let next = self.started(ca, given.is_some())?;
                let lines = vec![
                    format!(
                        "store the key of a new CA, `{}`, valid until {}",
                        ca.certificate().subject(),
                        ca.certificate().not_after().date()
                    ),
                    "trust the new CA beside the old one".to_owned(),
                    look,
                    "let the new CA issue".to_owned(),
                ];
                (lines, Some((next, RotationStep::Started)))
            }
            (Goal::Advance(_) | Goal::TakeIn(_), Phase::Spreading) => {
                let next = state.clone().issuing_its_target();
                let lines = vec![look, "let the new CA issue".to_owned()];
                (lines, Some((next, RotationStep::IssuingMoved)))
            }
            (Goal::Advance(_), Phase::Stopped) => {
                let next = state.clone().resumed();
                (
                    vec![look, "let a trusted CA issue".to_owned()],
                    Some((next, RotationStep::Resumed)),
                )
            }
            (Goal::TakeIn(ca), _) if !state.trusted.contains(ca.certificate()) => {
                self.check_taken_in(ca.certificate())?;
                let lines = vec![format!(
                    "store the key of `{}`, which is trusted already",
                    ca.certificate().subject()
                )];
                (lines, Some((self.taken_in(ca)?, RotationStep::CaTakenIn)))
            }
            (Goal::Finish(finish), _) => self.ending_planned(finish, look)?,
            (Goal::Abort, Phase::Settled) => {
                return Err(Failure::refused("there is no rotation to abort").into());
            }
            (Goal::Abort, phase)
                if phase == Phase::Spreading || state.turning_back_to().is_some() =>
            {
                let next = state.clone().turned_back();
                let lines = vec!["let the previous CA issue".to_owned()];
                (lines, Some((next, RotationStep::Aborted)))
            }
            _ => (Vec::new(), None),
        };
        if let (Some((next, step)), DryRun::Server) = (next, self.request.dry_run) {
            let object = self.tried(next, step)?;
            let reference = object.reference().clone();
            let write = Write::Replace(object);
            let Some(answer) = self.observed.tried(&reference, true) else {
                return Err(Effect::DryRun(ServerDryRun {
                    write,
                    strict: true,
                })
                .into());
            };
            planned.push(match answer.unknown() {
                None => "(the API server would accept the change)".to_owned(),
                Some(reason) => format!("(the API server would not accept the change: {reason})"),
            });
        }
        Ok(planned)
    }
}

/// The planned steps, and the first change of the state.
type Course = (Vec<String>, Option<(AuthorityState, RotationStep)>);

impl Run<'_> {
    fn ending_planned(&self, finish: &Finish, look: String) -> Reconciled<Course> {
        let state = &self.standing.state;
        let external = self.leaving_external(finish)?;
        if !external.is_empty() {
            let mut lines = vec![match external.len() {
                1 => "remove 1 external CA".to_owned(),
                more => format!("remove {more} external CAs"),
            }];
            lines.push(look);
            let own = state.leaving().count();
            if own > 0 {
                lines.push("then drop the old CA as without `--drop-external`, unless a live certificate of it is known".to_owned());
            }
            let next = state.clone().without(&external);
            return Ok((lines, Some((next, RotationStep::CaDropped))));
        }
        let leaving = self.leaving(finish)?;
        if leaving.fingerprints.is_empty() {
            return Ok((Vec::new(), None));
        }
        let live = self.counted(&leaving.skis)?.live;
        let mut lines = vec![look];
        if !live.is_empty() {
            let what = certificates(live.len());
            lines.push(match (finish.force, finish.wait_for_clients) {
                (true, _) => format!("reject {what}"),
                (_, true) => format!("wait for {what}"),
                _ => format!("refuse, because of {what}"),
            });
        }
        lines.push(format!("drop {} CA(s)", leaving.fingerprints.len()));
        lines.push("remove the keys of dropped CAs, once no gateway trusts them".to_owned());
        let next = state.clone().without(&leaving.fingerprints);
        Ok((lines, Some((next, RotationStep::CaDropped))))
    }
}
