//! The end of a rotation: CAs are removed when no live certificate of them is known.

use std::collections::BTreeSet;

use super::dependents::{Dependent, Dependents};
use super::report::utc;
use super::{Finish, Report, Run};
use crate::error::{Failure, Kind};
use crate::pki::inspect::Certificate;
use crate::plan::reconcile::tolerate;
use crate::plan::{Effect, Reconciled, Wait};
use crate::resources::audit::RotationStep;
use crate::resources::inventory::EntryState;
use crate::resources::rotation::Phase;

/// Number of clients that one message names.
const MOST_NAMED: usize = 10;

/// The CAs of the authority to remove.
pub(super) struct Leaving {
    /// Their fingerprints.
    pub fingerprints: BTreeSet<String>,
    /// Their key identifiers.
    pub skis: BTreeSet<String>,
}

impl Run<'_> {
    pub(super) fn finish(&self, finish: &Finish) -> Reconciled<Report> {
        let state = &self.standing.state;
        let external = self.leaving_external(finish)?;
        if !external.is_empty() {
            // Its clients are shut out at once: a proxy that lags does not keep them in.
            let next = state.clone().without(&external);
            return Err(self.commit(next, RotationStep::CaDropped)?);
        }
        let leaving = match tolerate(self.free(finish))? {
            Ok(leaving) => leaving,
            // All that was named has left.
            Err(refusal) if refusal.kind() == Kind::Refused && self.have_left(finish) => {
                let mut report = self.ended()?;
                let stays = format!("the rotation stays as it is: {refusal}");
                report.notes.push(stays);
                return Ok(report);
            }
            Err(failure) => return Err(failure.into()),
        };
        if leaving.fingerprints.is_empty() {
            return self.ended();
        }
        self.prove()?;
        let next = state.clone().without(&leaving.fingerprints);
        Err(self.commit(next, RotationStep::CaDropped)?)
    }

    /// The end of a run after which no CA is to be removed.
    fn ended(&self) -> Reconciled<Report> {
        if !self.observed.changes().is_empty() {
            self.prove()?;
        }
        self.clean_up()?;
        self.done()
    }

    /// The CAs of the authority to remove, once no live certificate of them is known or that does not count.
    fn free(&self, finish: &Finish) -> Reconciled<Leaving> {
        let leaving = self.leaving(finish)?;
        if !leaving.fingerprints.is_empty() {
            self.until_free(finish, &leaving)?;
        }
        Ok(leaving)
    }

    /// Whether the user named CAs to remove, and all of them were removed.
    fn have_left(&self, finish: &Finish) -> bool {
        let dropped = &self.standing.state.dropped;
        !finish.foreign.is_empty() && finish.foreign.is_subset(dropped)
    }

    /// The external CAs that the user named. They are removed in every phase, without counting the inventory, which does not have their
    /// clients; but while no CA of the authority issues, not the last of them.
    pub(super) fn leaving_external(&self, finish: &Finish) -> Reconciled<BTreeSet<String>> {
        let named = self.foreign_among(&finish.foreign)?;
        let state = &self.standing.state;
        let may_leave = state.issuing.is_some() || named.len() < state.external.len();
        Ok(if may_leave { named } else { BTreeSet::new() })
    }

    /// The CAs of the authority to remove, or an error if one may not be removed.
    pub(super) fn leaving(&self, finish: &Finish) -> Reconciled<Leaving> {
        let state = &self.standing.state;
        match state.phase() {
            Phase::Spreading => {
                let target = state.target_ca().map_or("none", |ca| ca.subject());
                return Err(Failure::refused(format!(
                    "the new CA `{target}` does not issue yet: not every gateway was seen to have loaded it"
                ))
                .hint(format!(
                    "`{}` continues until it issues",
                    self.command("")
                ))
                .into());
            }
            Phase::Stopped => {
                return Err(Failure::refused(format!(
                    "no CA of the authority `{}` issues",
                    state.authority
                ))
                .hint(format!("`{}` makes one of them issue", self.command("")))
                .into());
            }
            Phase::Overlap | Phase::Settled => {}
        }
        let own: Vec<&Certificate> = state.leaving().collect();
        if !finish.force {
            self.check_given(&own, finish)?;
        }
        Ok(Leaving {
            fingerprints: own.iter().map(|ca| ca.fingerprint()).collect(),
            skis: own.iter().map(|ca| ca.key_id_hex()).collect(),
        })
    }

    /// The external CAs with these fingerprints. Those that were removed already are skipped; unknown ones are refused.
    fn foreign_among(&self, wanted: &BTreeSet<String>) -> Reconciled<BTreeSet<String>> {
        let state = &self.standing.state;
        let foreign: BTreeSet<String> = self.foreign().map(Certificate::fingerprint).collect();
        let mut found = BTreeSet::new();
        for fingerprint in wanted {
            if foreign.contains(fingerprint) {
                found.insert(fingerprint.clone());
            } else if state.trusted_ca(Some(fingerprint)).is_some()
                && state.issuing.as_ref() == Some(fingerprint)
            {
                return Err(Failure::refused(format!(
                    "`--drop-external {fingerprint}`: this is the issuing CA"
                ))
                .hint("rotate to another CA first")
                .into());
            } else if !state.knows(fingerprint) {
                return Err(self.unknown_foreign(fingerprint).into());
            }
        }
        Ok(found)
    }

    fn unknown_foreign(&self, fingerprint: &str) -> Failure {
        let failure = Failure::refused(format!(
            "`--drop-external {fingerprint}`: no gateway of this authority trusts such a CA"
        ));
        let known: Vec<String> = self
            .foreign()
            .map(|ca| format!("`{}`: {}", ca.subject(), ca.fingerprint()))
            .collect();
        if known.is_empty() {
            return failure.hint("the authority trusts no external CA");
        }
        failure.hints(known).hint(
            "give one of the fingerprints that `kubectl mtls ca-rotate --status -o wide` shows",
        )
    }

    /// The CAs that gateways trust and whose keys the authority does not hold.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &Certificate> {
        self.standing.state.external.iter()
    }

    /// Refuses to remove a CA with a key that others hold, or held, unless its fingerprint is given: it may have clients that are not in
    /// the inventory.
    fn check_given(&self, own: &[&Certificate], finish: &Finish) -> Result<(), Failure> {
        let given = &self.standing.state.given;
        let mut unnamed = own.iter().filter(|ca| {
            let fingerprint = ca.fingerprint();
            given.contains(&fingerprint)
                && !finish.foreign.contains(&fingerprint)
                && !ca.is_expired(self.now)
        });
        let Some(ca) = unnamed.next() else {
            return Ok(());
        };
        Err(Failure::refused(format!(
            "the CA `{}` was not created by kubectl-mtls: certificates that others signed with it are not in the inventory, and cannot be listed",
            ca.subject()
        ))
        .hint(format!(
            "when all clients of the old CA have certificates of the new CA: `{}`",
            self.command(&format!(" --finish --drop-external {}", ca.fingerprint()))
        )))
    }

    /// Returns when no live certificate of the CAs to remove is known, or when `finish` forces the
    /// removal.
    fn until_free(&self, finish: &Finish, leaving: &Leaving) -> Reconciled<()> {
        let dependents = self.counted(&leaving.skis)?;
        if finish.force || (dependents.live.is_empty() && dependents.unreadable.is_empty()) {
            return Ok(());
        }
        if finish.wait_for_clients && dependents.unreadable.is_empty() {
            let progress = vec![format!(
                "{} of the old CA that the gateway still accepts: {}",
                certificates(dependents.live.len()),
                named(&dependents)
            )];
            if self.observed.waited() < self.request.timeout {
                // The inventory is listed after that.
                let reread = self.own_reads().to_vec();
                return Err(Effect::Wait(Wait { reread, progress }).into());
            }
            return Err(Failure::timed_out(format!(
                "timed out after {} s, waiting for {}",
                self.request.timeout.as_secs(),
                progress.join("; ")
            ))
            .hint("run the same command again to continue")
            .into());
        }
        Err(self.depended_upon(&dependents).into())
    }

    fn depended_upon(&self, dependents: &Dependents) -> Failure {
        if let Some(first) = dependents.unreadable.first() {
            return Failure::refused(format!(
                "{} of the inventory cannot be read, and may belong to live certificates: {first}",
                match dependents.unreadable.len() {
                    1 => "an entry".to_owned(),
                    more => format!("{more} entries"),
                }
            ))
            .hint("restore the unreadable entries, or continue with `--force`");
        }
        Failure::refused(format!(
            "{} of the old CA would be rejected: {}",
            certificates(dependents.live.len()),
            named(dependents)
        ))
        .hint(self.way_out(&dependents.live))
        .hint("`--wait-for-clients` waits until none is left; `--force` drops the CA anyway")
    }

    /// What ends these certificates without harm to their clients.
    fn way_out(&self, live: &[Dependent]) -> String {
        let command = |name, flags| super::command(name, &self.request.authority, flags);
        if live.iter().all(|dependent| dependent.renewed_by.is_some()) {
            return format!(
                "each was renewed: once its client uses the new one, revoke them with `{}`, or let them expire",
                command("revoke-client", " --superseded")
            );
        }
        format!(
            "renew these certificates with `{}`, revoke them, or let them expire",
            command("renew-client", " NAME")
        )
    }
}

pub(super) fn certificates(count: usize) -> String {
    match count {
        1 => "1 live certificate".to_owned(),
        more => format!("{more} live certificates"),
    }
}

fn named(dependents: &Dependents) -> String {
    let mut names: Vec<String> = dependents
        .live
        .iter()
        .take(MOST_NAMED)
        .map(|live| {
            let state = match live.state {
                EntryState::Reserved => ", reserved",
                _ => "",
            };
            format!(
                "`{}` until {} (serial {}{state})",
                live.name,
                utc(live.not_after),
                live.serial
            )
        })
        .collect();
    if dependents.live.len() > MOST_NAMED {
        names.push(format!("{} more", dependents.live.len() - MOST_NAMED));
    }
    names.join(", ")
}
