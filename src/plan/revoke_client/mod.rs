//! `revoke-client`: writes the CRLs of all CAs into the authority, which gateways read, then marks the inventory; the command ends only
//! when every gateway rejects the revoked certificates. A Secret that a Gateway reads instead is updated too.
//!
//! The CRL is decisive: the state is written before anything else, and the next run completes a killed one from the CRL. The inventory is
//! listed again afterwards, to find new certificates of the same names.
//!
//! A run that revokes nothing new publishes nothing where every proxy shows that it uses the published lists already.

mod closing;
mod damaged;
mod marks;
mod proof;
mod refusals;
mod report;
mod shared;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

pub use report::{Evidence, Fate, List, Report, Revoked as RevokedClient, Shown};

use self::damaged::Damaged;
use self::refusals::{refuse_foreign, unreadable_lists};
use self::targets::Target;
use super::commit::{self, Standing};
use super::list_clients::{inventory, with_serials};
use super::probe;
use super::{DryRun, Observed, Query, Seen, Write, audit, revocations, signers, witness};
use crate::error::Failure;
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::plan::reconcile::Question;
use crate::plan::{Effect, Reconciled, ServerDryRun};
use crate::resources::audit::{AuditEntry, Transition};
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::CredentialNames;
use crate::resources::{Object, capacity};

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The authority that issued the certificates.
    pub authority: String,
    /// The directory with the authority, if it is not in the cluster.
    pub directory: Option<String>,
    /// The certificates to revoke.
    pub which: Which,
    /// The reason of the revocation.
    pub reason: Reason,
    /// Whether other clients may be rejected too, because they share a serial number.
    pub confirmed: bool,
    /// Whether open connections are closed, too.
    pub close_connections: bool,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Time limit for all waiting.
    pub timeout: Duration,
    /// Address of the gateway to use instead of the load balancer, `HOST:PORT`.
    pub connect_to: Option<String>,
    /// Whether objects that a tool such as Argo CD manages are changed too.
    pub force_conflicts: bool,
}

/// How the user names the certificates.
#[derive(Debug, Clone)]
pub enum Which {
    /// All live certificates of these clients.
    Names(Vec<ClientName>),
    /// Serial numbers, or their first digits, in hexadecimal.
    Serials(Vec<String>),
    /// The certificates themselves.
    Certificates(Vec<Certificate>),
    /// All certificates with a successor that was delivered at least this long ago and that the gateway accepts.
    Superseded(time::Duration),
}

/// The status of a certificate before the run.
#[derive(Debug, Clone, Copy)]
enum Stand<'a> {
    /// The gateway accepts the certificate.
    Open,
    /// The CRL contains the certificate.
    Listed(&'a Revoked),
    /// The certificate has expired, and its revocation is not needed any more.
    Expired,
    /// The certificate's CA is no longer trusted.
    Dropped,
}

/// Revokes certificates, and verifies that every gateway rejects them.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let state_name = CredentialNames::of_authority(&request.authority).state();
    let list = inventory(&request.authority);
    observed.prefetch([Query::Get(state_name.clone()), list.clone(), Query::WhoAmI])?;
    if let Some(folder) = &request.directory
        && let Seen::Missing = observed.try_get(&state_name)?
    {
        return Err(Failure::refused(format!("there is no CA in `{folder}`"))
            .hint("name the folder of `issue-client --ca-dir`")
            .into());
    }
    let (found, was_edited) = standing(request, observed, now)?;
    let connect_to = request.connect_to.as_deref();
    let all = probe::served(&found.state, observed)?;
    let served = probe::reached(&all, connect_to);
    if let Some(committed) = observed.change_of(&state_name)
        && matches!(request.which, Which::Names(_))
        && observed.was_listed_before(&list, committed)
    {
        // A run that issues for one of these names may have reserved an entry before it could see the revocation.
        return Err(Effect::Read(vec![list]).into());
    }
    let objects = observed.list(&list)?;
    let (entries, unreadable) = with_serials(objects);
    let damaged = Damaged {
        request,
        entries: &unreadable,
    };
    let crls =
        commit::crls(&found.state).map_err(|error| unreadable_lists(request).caused_by(error))?;
    let inventory = (entries.as_slice(), &damaged);
    let mut targets = targets::find(request, &found.state, inventory, observed, now)?;
    let named: Vec<Stand<'_>> = targets
        .iter()
        .map(|target| stand(target, &found, &crls, now))
        .collect();
    let shared = shared::find(&targets, &named, &entries, now)?;
    if !request.confirmed && request.dry_run == DryRun::None {
        let lines = shared::refused_too(&targets, &named, &shared);
        if !lines.is_empty() {
            let what = "other clients would be refused too, because they share a serial number";
            observed.answer_to(Question::Confirm {
                what: what.to_owned(),
                lines,
            })?;
        }
    }
    targets.extend(shared);
    targets.extend(targets::unlisted(
        &targets,
        &found.state,
        &crls,
        &entries,
        now,
    )?);
    let stands: Vec<Stand<'_>> = targets
        .iter()
        .map(|target| stand(target, &found, &crls, now))
        .collect();

    let has_committed = observed.change_of(&state_name).is_some();
    let is_open = |stand: &Stand<'_>| matches!(stand, Stand::Open);
    let counts = |stand: &Stand<'_>| matches!(stand, Stand::Open | Stand::Listed(_));
    let case = Case {
        request,
        found: &found,
        objects,
        entries: &entries,
        targets: &targets,
        stands: &stands,
        damaged: &damaged,
        was_edited,
    };
    let counts = stands.iter().any(counts);
    if stands.iter().any(is_open)
        || (!has_committed && counts && !case.is_published(&served, observed)?)
    {
        case.revoke(observed, now)?;
    }
    if request.dry_run != DryRun::None {
        return Ok(case.report(Vec::new(), observed, now));
    }
    case.tell(observed, now)?;
    let unmarked = marks::make(&case, observed, now)?;
    let shown = if has_committed || counts {
        case.look(&served, observed, now)?
    } else {
        Vec::new()
    };
    let unprobed = probe::kubernetes_unprobed(&found.state, &all, connect_to, observed)?;
    let closed = closing::close(&case, &served, observed)?;
    let mut report = case.report(shown, observed, now);
    report.notes.extend(unprobed);
    if !closed.is_empty() {
        report.restart = None;
    }
    report.notes.extend(closed);
    report.notes.extend(unmarked);
    Ok(report)
}

/// The authority as it stands, and whether somebody edited its revocation lists.
fn standing<'a>(
    request: &Request,
    observed: &'a Observed,
    now: OffsetDateTime,
) -> Reconciled<(Standing<'a>, bool)> {
    let mut found = commit::standing(&request.authority, request.force_conflicts, observed, now)?;
    let was_edited = found.state.has_edited_lists();
    // What an edited list lacks comes back, as far as the inventory tells: an incident must not wait.
    found.state.lists.clear();
    if request.directory.is_none() {
        let counts = matches!(request.which, Which::Names(_) | Which::Superseded(_));
        found = commit::witnessed(found, counts, observed)?;
    }
    refuse_foreign(&found, now)?;
    Ok((found, was_edited))
}

/// The certificates of a run, and the facts about them.
struct Case<'a> {
    request: &'a Request,
    found: &'a Standing<'a>,
    /// The inventory as it was listed.
    objects: &'a [Object],
    entries: &'a [Entry],
    targets: &'a [Target],
    stands: &'a [Stand<'a>],
    damaged: &'a Damaged<'a>,
    /// Whether somebody edited the revocation lists.
    was_edited: bool,
}

impl Case<'_> {
    fn each(&self) -> impl Iterator<Item = (&Target, &Stand<'_>)> {
        self.targets.iter().zip(self.stands)
    }

    /// Commits the state with the new lists, which contain the existing revocations, too.
    fn revoke(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<()> {
        let state = &self.found.state;
        self.found.may_change(self.request.force_conflicts)?;
        let signers = signers::all(state, observed, now)?;
        if self.request.directory.is_none() {
            revocations::make_canaries(&state.authority, &signers, observed, now)?;
        }
        let open = self
            .each()
            .filter(|(_, stand)| matches!(stand, Stand::Open));
        let more: Vec<(&Target, revocations::Revocation)> = open
            .map(|(target, _)| {
                let before = target
                    .entry
                    .as_ref()
                    .and_then(|entry| entry.revocation.as_ref());
                let entry = Revoked {
                    serial: target.serial.clone(),
                    at: before.map_or(now, |before| before.at),
                    reason: before.map_or(self.request.reason, |before| before.reason),
                };
                let issuer = target.issuer.clone();
                let end = target.not_after;
                (target, revocations::Revocation { issuer, entry, end })
            })
            .collect();
        let mut ends: BTreeMap<(&str, &str), OffsetDateTime> = BTreeMap::new();
        for entry in self.entries {
            let certificate = (entry.issuer_ski.as_str(), entry.serial.as_str());
            let end = ends.entry(certificate).or_insert(entry.not_after);
            *end = (*end).max(entry.not_after);
        }
        let new: Vec<revocations::Revocation> = more
            .iter()
            .map(|(_, revocation)| revocation.clone())
            .collect();
        let mut next = revocations::renewed(
            state,
            &signers,
            &new,
            |ca, serial| ends.get(&(ca, serial.to_string().as_str())).copied(),
            observed,
            now,
        )?;
        next.unproven = None;
        let entry = self.audit_entry(observed, now)?;
        let object = commit::changed(self.found, next, &entry, now)?;
        if self.request.directory.is_none() {
            let room = if new.is_empty() {
                0
            } else {
                capacity::ROTATION
            };
            commit::fits(&object, room)?;
        }
        if self.request.dry_run == DryRun::None && self.request.directory.is_none() {
            witness::catch_up(&state.authority, observed)?;
        }
        match self.request.dry_run {
            DryRun::None => Err(Effect::Write(Write::Replace(object)).into()),
            DryRun::Client => Ok(()),
            DryRun::Server => self.try_out(object, observed),
        }
    }

    fn try_out(&self, object: Object, observed: &Observed) -> Reconciled<()> {
        match observed.tried(object.reference(), true) {
            None => Err(Effect::DryRun(ServerDryRun {
                write: Write::Replace(object),
                strict: true,
            })
            .into()),
            Some(Seen::Found(_)) => Ok(()),
            // A directory stores what it is given.
            Some(Seen::NotServed) if self.request.directory.is_some() => Ok(()),
            Some(other) => Err(Failure::refused(format!(
                "the API server would not accept {}: {}",
                object.reference(),
                other.unknown().unwrap_or_default()
            ))
            .into()),
        }
    }

    /// The audit entry of this run, for the history and for Events.
    fn audit_entry(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<AuditEntry> {
        let committed = observed.change_of(self.found.object.reference()).is_some();
        let revoked: Vec<&Target> = self
            .each()
            .filter(|(_, stand)| match stand {
                Stand::Open => true,
                Stand::Listed(_) => committed,
                Stand::Expired | Stand::Dropped => false,
            })
            .map(|(target, _)| target)
            .collect();
        let names: BTreeSet<&str> = revoked.iter().map(|target| target.name.as_str()).collect();
        let what = if revoked.is_empty() {
            "published the revocation lists again".to_owned()
        } else {
            let names: Vec<&str> = names.into_iter().take(8).collect();
            format!("revoked {}: {}", names.join(", "), self.request.reason)
        };
        let ids = revoked
            .iter()
            .map(|target| target.serial.to_string())
            .collect();
        audit::entry(Transition::ClientsRevoked, what, ids, observed, now)
    }

    /// Writes the Event about the change of the state. Without a change, the witness is updated, which a killed run may have left behind.
    fn tell(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<()> {
        let Some(written) = observed.change_of(self.found.object.reference()) else {
            return match self.request.directory {
                Some(_) => Ok(()),
                None => witness::catch_up_unless_unproven(&self.request.authority, observed),
            };
        };
        let entry = self.audit_entry(observed, now)?;
        let revision = self.found.state.revision;
        audit::leave(
            entry.event(&written.answer, &format!("r{revision}")),
            observed,
        )
    }
}

fn stand<'a>(
    target: &Target,
    found: &Standing<'_>,
    crls: &'a [Crl],
    now: OffsetDateTime,
) -> Stand<'a> {
    if let Some(revoked) = revocations::find(&found.state, crls, &target.issuer, &target.serial) {
        return Stand::Listed(revoked);
    }
    let is_revoked = |entry: &Entry| entry.state == EntryState::Revoked;
    let is_kept =
        target.entry.as_ref().is_some_and(is_revoked) && found.state.is_of_given(&target.issuer);
    if target.not_after <= now && !is_kept {
        return Stand::Expired;
    }
    let is_trusted = |ca: &Certificate| ca.key_id_hex() == target.issuer && !ca.is_expired(now);
    if found.state.trusted.iter().any(is_trusted) {
        Stand::Open
    } else {
        Stand::Dropped
    }
}
