//! What would be done, and where things stand: nothing is written, not even what an interrupted run has left to do.

use time::OffsetDateTime;

use super::acts::Act;
use super::finish::certificates;
use super::{Answer, Finish, Goal, Report, Request, Run, adoption};
use crate::error::Failure;
use crate::plan::authority::{others, unknown};
use crate::plan::commit::Standing;
use crate::plan::{DryRun, Query, Seen, Step, TryOut, World, Write};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::CredentialNames;
use crate::resources::rotation::Phase;

pub(super) fn work(
    request: &Request,
    names: CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Report> {
    let Some(object) = world.required(&names.state())? else {
        return without_authority(request, &names, world, now);
    };
    let state = AuthorityState::read(object).map_err(|error| {
        Failure::refused(error.to_string()).hint("nothing was changed; restore it from a backup")
    })?;
    let mut notes = Vec::new();
    let published = match &state.client_ca_secret {
        None => None,
        Some(name) => {
            let secret = client_ca::reference(name);
            world.need([Query::Get(secret.clone())])?;
            match world.seen(&secret).read_as(|object| ClientCa::read(object)) {
                Seen::Found(shown) => Some(shown),
                Seen::Missing => {
                    notes.push(format!(
                        "{secret}, from which gateways read whom they trust, does not exist"
                    ));
                    None
                }
                other => {
                    let reason = other.unknown().unwrap_or_default();
                    notes.push(format!(
                        "what gateways trust was not seen: {secret}: {reason}"
                    ));
                    None
                }
            }
        }
    };
    let lags = published
        .as_ref()
        .is_some_and(|shown| shown.revision.is_none_or(|shown| shown < state.revision));
    let run = Run {
        request,
        names,
        standing: Standing {
            object,
            state,
            published,
        },
        world,
        now,
    };
    let mut report = run.report()?;
    report.notes.extend(notes);
    if lags {
        report.notes.push(format!(
            "what gateways read lags behind the authority's state: a run was interrupted; `{}` completes it",
            run.command("")
        ));
    }
    if matches!(run.request.goal, Goal::Status) {
        report.history.clone_from(&run.standing.state.history);
        return Ok(report);
    }
    report.next = None;
    report.planned = run.planned(lags)?;
    Ok(report)
}

impl Run<'_> {
    /// What would be done, in order. On request the API server is asked whether it would take the state's change.
    fn planned(&self, lags: bool) -> Answer<Vec<String>> {
        if lags {
            return Ok(vec![
                "complete what an interrupted run has left; nothing is started in the same run"
                    .to_owned(),
            ]);
        }
        let state = &self.standing.state;
        let look = "look at every gateway until it has loaded that".to_owned();
        let (mut planned, next) = match (&self.request.goal, state.phase()) {
            (Goal::Advance(given), Phase::Settled) => {
                if given
                    .as_ref()
                    .is_some_and(|ca| state.trusted.contains(ca.certificate()))
                {
                    return Ok(Vec::new());
                }
                let Some(ca) = &self.world.minted else {
                    return Err(self.new_ca(given.as_ref())?.into());
                };
                let next = self.started(ca, given.is_some())?;
                let lines = vec![
                    format!(
                        "keep the key of a new CA, `{}`, until {}",
                        ca.certificate().subject(),
                        ca.certificate().not_after().date()
                    ),
                    "trust it beside the old one".to_owned(),
                    look,
                    "let it issue".to_owned(),
                ];
                (lines, Some((next, Act::Started)))
            }
            (Goal::Advance(_) | Goal::TakeIn(_), Phase::Spreading) => {
                let next = state.clone().issuing_its_target();
                let lines = vec![look, "let the new CA issue".to_owned()];
                (lines, Some((next, Act::Moved)))
            }
            (Goal::Advance(_), Phase::Stopped) => {
                let next = state.clone().resumed();
                (
                    vec![look, "let it issue".to_owned()],
                    Some((next, Act::Resumed)),
                )
            }
            (Goal::TakeIn(ca), _) if !state.trusted.contains(ca.certificate()) => {
                self.check_taken_in(ca.certificate())?;
                let lines = vec![format!(
                    "keep the key of `{}`, which is trusted already",
                    ca.certificate().subject()
                )];
                (lines, Some((self.taken_in(ca)?, Act::TakenIn)))
            }
            (Goal::Finish(finish), _) => self.ending_planned(finish, look)?,
            (Goal::Abort, Phase::Settled) => {
                return Err(Failure::refused("there is no rotation to abort").into());
            }
            (Goal::Abort, phase)
                if phase == Phase::Spreading || state.turning_back_to().is_some() =>
            {
                let next = state.clone().turned_back();
                let lines = vec!["let the CA before issue".to_owned()];
                (lines, Some((next, Act::Aborted)))
            }
            _ => (Vec::new(), None),
        };
        if let (Some((next, act)), DryRun::Server) = (next, self.request.dry_run) {
            let object = self.tried(next, act)?;
            let reference = object.reference().clone();
            let write = Write::Replace(object);
            let Some(answer) = self.world.tried(&reference, true) else {
                return Err(Step::TryOut(TryOut {
                    write,
                    strict: true,
                })
                .into());
            };
            planned.push(match answer.unknown() {
                None => "(the API server would take it)".to_owned(),
                Some(reason) => format!("(the API server would not take it: {reason})"),
            });
        }
        Ok(planned)
    }
}

/// What would be done, and the change of the state that it begins with.
type Course = (Vec<String>, Option<(AuthorityState, Act)>);

impl Run<'_> {
    fn ending_planned(&self, finish: &Finish, look: String) -> Answer<Course> {
        let leaving = self.leaving(finish)?;
        if leaving.fingerprints.is_empty() {
            return Ok((Vec::new(), None));
        }
        let live = self.counted(&leaving.skis)?.live;
        let mut lines = vec![look];
        if !live.is_empty() {
            let what = certificates(live.len());
            lines.push(match (finish.force, finish.wait_for_clients) {
                (true, _) => format!("shut out {what}"),
                (_, true) => format!("wait for {what}"),
                _ => format!("refuse, because of {what}"),
            });
        }
        lines.push(format!("drop {} CA(s)", leaving.fingerprints.len()));
        lines.push("remove their keys, once no gateway trusts them".to_owned());
        let next = self.standing.state.clone().without(&leaving.fingerprints);
        Ok((lines, Some((next, Act::Dropped))))
    }
}

/// Where there is no authority: a dry run tells of the CAs beside which one would be made.
fn without_authority(
    request: &Request,
    names: &CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Report> {
    let wants_one = matches!(
        request.goal,
        Goal::Advance(_) | Goal::TakeIn(_) | Goal::Status
    );
    let site = if wants_one {
        adoption::site(names, world)?
    } else {
        None
    };
    let Some(site) = site else {
        world.need([others()])?;
        return Err(unknown(&names.authority, world)
            .hint("`kubectl mtls expose SERVICE` makes one with its Gateway; nothing was changed")
            .into());
    };
    let secret = site.object.reference();
    let is_status = matches!(request.goal, Goal::Status);
    let mut planned = Vec::new();
    if !is_status {
        adoption::check_site(request, &site)?;
        planned = vec![
            format!(
                "make the authority `{}` for the Gateway `{}`",
                names.authority, site.gateway
            ),
            match &request.goal {
                Goal::TakeIn(ca) => {
                    format!("keep the key of `{}`", ca.certificate().subject())
                }
                _ => format!("put its CA into {secret}, beside those that stand there"),
            },
            "look at every gateway until it has loaded that".to_owned(),
            "let the CA issue".to_owned(),
        ];
    }
    let cas = site.shown.bundle.certificates().iter().map(|ca| super::Ca {
        role: super::Role::Foreign,
        subject: ca.subject().to_owned(),
        fingerprint: ca.fingerprint(),
        ski: ca.key_id_hex(),
        not_after: ca.not_after(),
        given: true,
    });
    let mut notes = vec![format!(
        "there is no authority `{}`: {secret} holds CAs of others, whose clients cannot be known",
        names.authority
    )];
    if let Goal::TakeIn(ca) = &request.goal {
        notes.extend(super::given::flaws(ca.certificate(), now));
    }
    Ok(Report {
        authority: names.authority.clone(),
        phase: Phase::Stopped,
        done: Vec::new(),
        planned,
        cas: cas.collect(),
        dependents: None,
        shut_out: Vec::new(),
        looked: None,
        history: Vec::new(),
        notes,
        next: is_status.then(|| {
            format!(
                "{} puts a CA of this authority beside them",
                super::command("ca-rotate", &names.authority, "")
            )
        }),
    })
}
