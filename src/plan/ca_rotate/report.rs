//! The report of `ca-rotate`: the phase of the rotation, what was done, which clients still use the old CA, and the next command.

use std::collections::BTreeSet;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::dependents::Dependent;
use super::finish::certificates;
use super::{Goal, Run, command, given};
use crate::pki::inspect::Certificate;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::status::Role;
use crate::plan::witness::{self, Fault};
use crate::plan::{Reconciled, probe};
use crate::resources::audit::RotationStep;
use crate::resources::rotation::Phase;

/// A CA that gateways trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ca {
    /// The CA's role.
    pub role: Role,
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 fingerprint, lower-case hex.
    pub fingerprint: String,
    /// The SKI in hex, which is the AKI in its clients' certificates.
    pub ski: String,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Whether others hold, or held, the CA's key.
    pub given: bool,
}

/// The result of probing the gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// The Gateways that read the authority's trust bundle.
    pub gateways: Vec<String>,
    /// The proxies or addresses that were probed.
    pub through: Vec<String>,
    /// Why replicas were not probed one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas_unknown: Option<String>,
    /// CAs for which no canary could be presented.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_shown: Vec<String>,
}

/// The outcome of `ca-rotate`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The authority.
    pub authority: String,
    /// The phase of the rotation.
    pub phase: Phase,
    /// What this run did, one line each.
    pub done: Vec<String>,
    /// The planned steps of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<String>,
    /// The trusted CAs, newest first, external ones last.
    pub cas: Vec<Ca>,
    /// Live certificates of CAs that are being removed, sorted by expiry; `None` if the inventory was not read, or was lost.
    pub dependents: Option<Vec<Dependent>>,
    /// Certificates that are rejected since this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shut_out: Vec<Dependent>,
    /// The result of probing the gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked: Option<Looked>,
    /// The authority's history, oldest entry first; only if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The next command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A time as RFC 3339 text, UTC.
pub(super) fn utc(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

impl Run<'_> {
    /// The end of a run: writes its Events, and returns the report.
    pub(super) fn done(&self) -> Reconciled<Report> {
        witness::catch_up_unless_unproven(&self.standing.state.authority, self.observed)?;
        self.leave_events()?;
        let steps = self.steps();
        let mut report = self.report()?;
        // What was looked at in this run is known; nothing new is looked at here.
        if !steps.is_empty() {
            report.looked = self.looked()?;
        }
        report.done = steps.iter().map(|step| self.told(*step)).collect();
        report.done.dedup();
        let lost = witness::fault_of_inventory(&self.standing.state, self.observed)?;
        let lost = lost.map(|fault| fault.note(&self.request.authority));
        report.notes.extend(lost);
        report.notes.extend(self.said_of_this_run(&steps)?);
        report.notes.extend(self.lost_keys()?);
        if steps.contains(&RotationStep::CaDropped) {
            let shut_out = self.known(&self.standing.state.retired)?;
            report.shut_out = shut_out.unwrap_or_default().live;
        }
        Ok(report)
    }

    /// The report of the current state.
    pub(super) fn report(&self) -> Reconciled<Report> {
        let state = &self.standing.state;
        let mut notes = Vec::new();
        let lost = witness::fault_of_inventory(state, self.observed)?;
        let leaving: BTreeSet<String> = state.leaving().map(Certificate::key_id_hex).collect();
        let dependents = match self.known(&leaving)? {
            Ok(known) => {
                notes.extend(
                    known
                        .unreadable
                        .iter()
                        .map(|entry| format!("{entry}; it may belong to a live certificate")),
                );
                // Of a lost inventory, an empty list proves nothing.
                Some(known.live).filter(|live| lost.is_none() || !live.is_empty())
            }
            Err(reason) => {
                notes.push(format!(
                    "which clients still use an old CA is not known: the inventory was not read: {reason}"
                ));
                None
            }
        };
        notes.extend(self.unknown_clients());
        notes.extend(self.ending());
        let next = match &lost {
            Some(fault) => Some(self.accepting(fault)),
            None => self.next_command(dependents.as_ref().map(Vec::len)),
        };
        Ok(Report {
            authority: state.authority.clone(),
            phase: state.phase(),
            done: Vec::new(),
            planned: Vec::new(),
            cas: self.cas(),
            next,
            dependents,
            shut_out: Vec::new(),
            looked: None,
            history: Vec::new(),
            notes,
        })
    }

    fn cas(&self) -> Vec<Ca> {
        let state = &self.standing.state;
        let own = state.trusted.iter().map(|ca| {
            let fingerprint = Some(ca.fingerprint());
            let role = if fingerprint == state.issuing {
                Role::Issuing
            } else if fingerprint == state.target {
                Role::New
            } else {
                Role::Retired
            };
            (ca, role)
        });
        own.chain(self.foreign().map(|ca| (ca, Role::External)))
            .map(|(ca, role)| Ca {
                role,
                subject: ca.subject().to_owned(),
                fingerprint: ca.fingerprint(),
                ski: ca.key_id_hex(),
                not_after: ca.not_after(),
                given: role == Role::External || state.given.contains(&ca.fingerprint()),
            })
            .collect()
    }

    /// Notes on clients that cannot be known, repeated by each run.
    fn unknown_clients(&self) -> Vec<String> {
        let state = &self.standing.state;
        let foreign = self.foreign().map(|ca| {
            format!(
                "the clients of the external CA `{}` are not known: only the owner of its key can list them; when no client uses this CA any more, run `{}`",
                ca.subject(),
                self.command(&format!(" --finish --drop-external {}", ca.fingerprint()))
            )
        });
        let given = state
            .leaving()
            .filter(|ca| state.given.contains(&ca.fingerprint()))
            .map(|ca| {
                format!(
                    "certificates that others signed with `{}` are not known: the inventory holds only those that kubectl-mtls issued",
                    ca.subject()
                )
            });
        let all = foreign.chain(given);
        let evidence = (state.leaving().count() > 0)
            .then(|| "only the inventory shows which clients still use an old CA".to_owned());
        all.chain(evidence).collect()
    }

    fn ending(&self) -> Option<String> {
        let ca = self.standing.state.issuing_ca()?;
        let is_replaced = self.standing.state.phase() == Phase::Spreading;
        (!is_replaced && ca.not_after() - self.now < CLIENT_TTL).then(|| {
            format!(
                "the issuing CA `{}` ends on {}, and so does every certificate that it signed: replace it with `{}`",
                ca.subject(),
                ca.not_after().date(),
                self.command("")
            )
        })
    }

    /// The next command after a loss of the inventory, in whatever phase the rotation is.
    fn accepting(&self, fault: &Fault) -> String {
        let flags = format!(" {}", fault.remedy());
        format!("{} accepts the inventory as it is", self.command(&flags))
    }

    fn next_command(&self, dependents: Option<usize>) -> Option<String> {
        let authority = &self.request.authority;
        Some(match self.standing.state.phase() {
            Phase::Settled => return None,
            Phase::Spreading => format!("{} continues the rotation", self.command("")),
            Phase::Stopped => format!("{} lets the CA issue", self.command("")),
            Phase::Overlap => match dependents {
                Some(0) => format!("{} drops the old CA", self.command(" --finish")),
                count => format!(
                    "{} gives {} a certificate of the issuing CA; then {}",
                    command("renew-client", authority, " NAME"),
                    count.map_or("every client".to_owned(), |count| format!(
                        "the clients of {}",
                        certificates(count)
                    )),
                    self.command(" --finish")
                ),
            },
        })
    }

    /// The result of probing; `None` if this run probed no Gateway that reads the authority.
    fn looked(&self) -> Reconciled<Option<Looked>> {
        let mut looked = Looked::default();
        let connect_to = self.request.connect_to.as_deref();
        for at in self.served()? {
            let was_read = |query| self.observed.has_read(&query);
            if connect_to.is_none() && !probe::queries(&at.ingress).into_iter().all(was_read) {
                return Ok(None);
            }
            let ways = probe::ways(self.observed, &at.ingress, connect_to)?;
            if at.is_only_reported(&ways) {
                continue;
            }
            let seen = ways
                .ways
                .iter()
                .filter(|via| self.observed.probes_via(via).next().is_some());
            looked.through.extend(seen.map(ToString::to_string));
            looked.gateways.push(at.gateway.to_string());
            looked.replicas_unknown = looked.replicas_unknown.or(ways.why_unknown());
        }
        looked.gateways.dedup();
        looked.through.sort();
        looked.through.dedup();
        let was_probed = looked.gateways.is_empty() || !looked.through.is_empty();
        Ok(was_probed.then_some(looked))
    }

    fn told(&self, step: RotationStep) -> String {
        let state = &self.standing.state;
        let name = |ca: Option<&Certificate>| ca.map_or("none", |ca| ca.subject()).to_owned();
        match step {
            RotationStep::Started
            | RotationStep::CaTakenIn
            | RotationStep::Resumed
            | RotationStep::InventoryAccepted
            | RotationStep::AuthorityRestored => step.what().to_owned(),
            RotationStep::IssuingMoved => format!(
                "every gateway has loaded the new CA: `{}` issues now",
                name(state.issuing_ca())
            ),
            RotationStep::Aborted => match state.issuing_ca() {
                Some(ca) => format!("`{}` issues again", ca.subject()),
                None => "no CA of kubectl-mtls issues".to_owned(),
            },
            RotationStep::CaDropped => "the removed CAs are no longer trusted".to_owned(),
        }
    }

    fn said_of_this_run(&self, steps: &[RotationStep]) -> Reconciled<Vec<String>> {
        let state = &self.standing.state;
        let mut notes = Vec::new();
        if steps.is_empty() && !self.observed.changes().is_empty() {
            let what = if matches!(self.request.goal, Goal::Advance(_))
                && state.phase() == Phase::Settled
            {
                "completed an interrupted run; no rotation was started: run the command again to start one"
            } else {
                "completed an interrupted run"
            };
            notes.push(what.to_owned());
        }
        if steps.contains(&RotationStep::Aborted) && state.phase() == Phase::Overlap {
            notes.push(
                "the newer CA stays trusted until no live certificate of it is known: no client is rejected".to_owned(),
            );
        }
        if steps.is_empty()
            && matches!(self.request.goal, Goal::Abort)
            && state.phase() == Phase::Overlap
        {
            notes.push("the rotation is aborted already".to_owned());
        }
        if let Goal::TakeIn(ca) = &self.request.goal {
            notes.extend(given::flaws(ca.certificate(), self.now));
        }
        if steps.is_empty() {
            return Ok(notes);
        }
        let served = self.served()?;
        if served.is_empty() {
            notes.push("no Gateway reads this authority yet: no gateway was probed".to_owned());
        } else {
            let ingresses = served.iter().map(|at| &at.ingress);
            notes.extend(probe::others_unknown(self.observed));
            notes.extend(probe::proxies_unknown(ingresses, self.observed));
        }
        notes.extend(self.unprobed()?);
        Ok(notes)
    }
}
