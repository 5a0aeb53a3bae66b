//! `--restore`: rebuilds an authority that was lost, edited or rolled back, from the Secret of its keys, which also has the CAs, the
//! inventory, and the readable parts of the authority itself.
//!
//! A CA is trusted again only if the authority, a live inventory entry or `--client-ca` names it, and never if it was dropped. The command
//! lists what it cannot restore, and requires `--accept-loss` to continue without it.

mod completion;
mod lists;
mod losses;
mod remains;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;

use super::transitions::entry;
use super::{Report, Request, Run};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::plan::authority::{keep_key, prepare};
use crate::plan::commit::{self, Standing};
use crate::plan::witness::{self, Fault};
use crate::plan::{DryRun, Effect, Generate, Observed, Reconciled, Write};
use crate::resources::audit::{self, RotationStep};
use crate::resources::authority::{AuthorityState, Origin, keys_with};
use crate::resources::client_ca::ClientCa;
use crate::resources::names::CredentialNames;
use crate::resources::witness::Dropped;
use crate::resources::{Object, ObjectRef};
use remains::Remains;
use selection::Selection;

/// The user's choices for a restoration.
#[derive(Debug, Clone, Default)]
pub struct Restore {
    /// The CAs of `--client-ca`: external ones, or CAs of the authority that would not be restored otherwise.
    pub external: Vec<Certificate>,
    /// Whether to continue without what cannot be restored.
    pub accept_loss: bool,
}

/// The next step; the report once the authority is restored and every gateway has loaded it.
pub(super) fn work(
    request: &Request,
    restore: &Restore,
    names: &CredentialNames,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let live = observed.get(&names.state())?;
    if let Some(object) = live {
        AuthorityState::check_format(object)
            .map_err(|error| Failure::refused(error.to_string()))?;
    }
    let state = live.and_then(|object| AuthorityState::read(object).ok());
    let heard = witness::hear(&names.authority, state.as_ref(), observed)?;
    let is_damaged = live.is_some() && state.is_none();
    match (Fault::of(state.as_ref(), heard.as_ref()), &state) {
        (Some(Fault::AuthorityLost | Fault::RolledBack { .. } | Fault::ListsEdited), _) => {}
        _ if is_damaged => {}
        // A backup may bring back both; the inventory is then accepted by itself.
        (Some(Fault::InventoryRestored), Some(state))
            if completion::is_under_way(names, (state, heard.as_ref()), observed) =>
        {
            return completion::work(request, names, (state, heard.as_ref()), observed, now);
        }
        (Some(fault), _) => return Err(fault.refusal(&names.authority).into()),
        (None, None) => return Err(never_was(names).into()),
        (None, Some(state)) => {
            return completion::work(request, names, (state, heard.as_ref()), observed, now);
        }
    }
    let remains = Remains::gather(request, names, live, heard, observed, now)?;
    let selection = Selection::of(&remains, restore)?;
    remains.rebuild(restore, &selection)
}

fn never_was(names: &CredentialNames) -> Failure {
    Failure::refused(format!(
        "there is no authority `{}`, and nothing to restore it from",
        names.authority
    ))
    .hint("create an authority with its Gateway: kubectl mtls expose SERVICE")
}

impl Remains<'_> {
    fn rebuild(&self, restore: &Restore, selection: &Selection) -> Reconciled<Report> {
        let mut signers = selection.signers.clone();
        if selection.trusts_nobody() {
            signers.push(self.new_ca(restore, selection)?);
        }
        let losses = self.losses(restore, selection);
        let is_dry = self.request.dry_run != DryRun::None;
        if !losses.is_empty() && !restore.accept_loss && !is_dry {
            return Err(Failure::refused("not all of the authority can be restored")
                .hints(losses)
                .hint("`--client-ca FILE` adds CAs, `--accept-loss` continues without the rest")
                .into());
        }
        let mut next = self.base(&signers, selection);
        self.serve(&mut next)?;
        if is_dry {
            let lists = self.relisted(&next, &signers, true)?;
            return self.planned(lists, &signers, losses);
        }
        self.refuse_kept(&signers, &next)?;
        next.inventory = Some(match &self.heard {
            Some(heard) => heard.inventory.clone(),
            None => prepare(&self.names.authority, None, self.observed)?,
        });
        next.keys_secret = self.keep(&signers, &next)?.name;
        let mut next = self.relisted(&next, &signers, false)?;
        let step = RotationStep::AuthorityRestored;
        let entry = entry(step, None, &next, self.observed, self.now)?;
        audit::add(&mut next.history, &entry);
        commit::fits(&next.object(), 0)?;
        Err(Effect::Write(match self.live {
            Some(live) => Write::Replace(next.changing(live)),
            None => Write::Create(next.object()),
        })
        .into())
    }

    /// Refuses, before the first write, to change an authority or a Secret of keys that a tool such as Argo CD manages.
    fn refuse_kept(
        &self,
        signers: &[Arc<Authority>],
        next: &AuthorityState,
    ) -> Result<(), Failure> {
        let home = self.home(next.issuing_ca());
        let home = home.filter(|home| completed(home, signers, next).is_some());
        let mut changed = self.live.into_iter().chain(home);
        changed.try_for_each(|object| commit::refuse_kept(object, self.request.force_conflicts))
    }

    /// A new CA, if no client uses an earlier one: which CA issued last is not known, and a key that no authority ever named must not be
    /// trusted.
    fn new_ca(&self, restore: &Restore, selection: &Selection) -> Reconciled<Arc<Authority>> {
        if self.undropped().next().is_some() {
            let secret = self.names.keys(1);
            return Err(Failure::refused(format!(
                "no CA of the authority `{}` is left with its key",
                self.names.authority
            ))
            .hints(self.losses(restore, selection))
            .hint(format!(
                "restore the Secret {}/{} from a backup",
                secret.namespace, secret.name
            ))
            .hint("`--client-ca FILE` trusts a CA without its key, which `kubectl mtls ca-rotate` then replaces")
            .into());
        }
        match self.observed.generated_authority() {
            Some(minted) => Ok(minted.clone()),
            None => Err(Generate::Authority(self.request.new.clone()).into()),
        }
    }

    /// Stores the keys of all signers in one Secret, unless they are there already; returns the Secret's name.
    fn keep(&self, signers: &[Arc<Authority>], next: &AuthorityState) -> Reconciled<ObjectRef> {
        let Some(home) = self.home(next.issuing_ca()) else {
            // Where there is no Secret at all, no key is left either.
            return Ok(
                match (self.observed.generated_authority(), signers.is_empty()) {
                    (Some(minted), false) => {
                        keep_key(self.names, minted, Origin::Made, self.observed)?
                    }
                    _ => self.names.keys(1),
                },
            );
        };
        match completed(home, signers, next) {
            Some(changed) => Err(Effect::Write(Write::Replace(changed)).into()),
            None => Ok(home.reference().clone()),
        }
    }

    /// The authority with these CAs, and its other known facts.
    fn base(&self, signers: &[Arc<Authority>], selection: &Selection) -> AuthorityState {
        let own = signers.iter().map(|ca| ca.certificate().clone());
        let mut trusted: Vec<Certificate> = own.chain(selection.keyless.iter().cloned()).collect();
        trusted.sort_by_key(|ca| std::cmp::Reverse(ca.not_before()));
        let issuing = self.issuing(signers, &trusted);
        let given = trusted
            .iter()
            .filter(|ca| self.origin(ca) == Origin::Given)
            .map(Certificate::fingerprint);
        let heard = self.heard.as_ref();
        let known = heard.and_then(|heard| heard.dropped.clone());
        let Dropped { fingerprints, keys } = known.unwrap_or_default();
        let left = self.fragments.clone();
        let retired: BTreeSet<String> = left.retired.into_iter().chain(keys).collect();
        AuthorityState {
            revision: left.revision.max(heard.map_or(0, |heard| heard.revision)) + 1,
            given: given.collect(),
            trusted,
            issuing: issuing.clone(),
            target: issuing,
            crls: left.crls,
            ends: left.ends,
            dropped: left.dropped.into_iter().chain(fingerprints).collect(),
            retired: retired.into_iter().chain(selection.retired(self)).collect(),
            unproven: Some(heard.map_or(0, |heard| heard.revision)),
            history: left.history,
            gateway: left.gateway,
            client_ca_secret: left.client_ca_secret,
            mesh_configs: left.mesh_configs,
            ..AuthorityState::of_external(
                &self.names.authority,
                selection.external.clone(),
                &self.names.keys(1).name,
            )
        }
    }

    /// The issuing CA: the one that an authority names which was not rolled back, else the one with the latest inventory entry, else the
    /// newest; a CA without its key only if there is no other.
    fn issuing(&self, signers: &[Arc<Authority>], trusted: &[Certificate]) -> Option<String> {
        let stated = self.fragments.issuing.as_ref();
        let able: Vec<&Certificate> = signers.iter().map(|ca| ca.certificate()).collect();
        let is_stated = |ca: &&&Certificate| Some(&ca.fingerprint()) == stated;
        let named = able.iter().find(is_stated).copied();
        let current = named.filter(|_| !self.is_rolled_back());
        let by_entry = || {
            let mut entries: Vec<_> = self.entries.iter().collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.not_before));
            entries.iter().find_map(|entry| {
                let is_issuer = |ca: &&&Certificate| ca.key_id_hex() == entry.issuer_ski;
                able.iter().find(is_issuer).copied()
            })
        };
        let newest = || able.iter().max_by_key(|ca| ca.not_before()).copied();
        let keyless = || {
            let of_state = trusted.iter().find(|ca| is_stated(&ca));
            of_state.or_else(|| trusted.first())
        };
        current
            .or_else(by_entry)
            .or(named)
            .or_else(newest)
            .or_else(keyless)
            .map(Certificate::fingerprint)
    }

    fn planned(
        &self,
        next: AuthorityState,
        signers: &[Arc<Authority>],
        losses: Vec<String>,
    ) -> Reconciled<Report> {
        let has_key = |ca: &Certificate| signers.iter().any(|signer| signer.certificate() == ca);
        let minted = self.observed.generated_authority();
        let mut lines: Vec<String> = next
            .trusted
            .iter()
            .map(|ca| {
                let role = if minted.is_some_and(|minted| minted.certificate() == ca) {
                    "a new CA, since no client uses an earlier one"
                } else if !has_key(ca) {
                    "for its present clients, without its key"
                } else if Some(ca.fingerprint()) == next.issuing {
                    "issues"
                } else {
                    "for its present clients"
                };
                format!(
                    "trust `{}` until {}: {role}",
                    ca.subject(),
                    ca.not_after().date()
                )
            })
            .collect();
        let external = next.external.iter();
        lines.extend(external.map(|ca| format!("trust `{}`, an external CA", ca.subject())));
        let lists = commit::crls(&next).unwrap_or_default();
        let revoked: usize = lists.iter().map(|list| list.revoked().len()).sum();
        lines.push(format!("revoke {revoked} certificates again"));
        lines.extend(
            losses
                .into_iter()
                .map(|loss| format!("continue without {loss}")),
        );
        let published = ClientCa::of(&next)
            .map_err(|error| Failure::refused("there is no CA to trust").caused_by(error))?;
        let object = next.object();
        let run = Run {
            request: self.request,
            standing: Standing::preview(&object, next, published),
            names: self.names.clone(),
            observed: self.observed,
            now: self.now,
        };
        let mut report = run.report()?;
        report.next = None;
        report.planned = lines;
        Ok(report)
    }
}

/// The Secret of the keys with the first key or certificate that it lacks; `None` if it lacks nothing.
fn completed(home: &Object, signers: &[Arc<Authority>], next: &AuthorityState) -> Option<Object> {
    signers.iter().find_map(|signer| {
        let (ca, key) = (signer.certificate(), signer.key());
        let origin = Origin::of(next.given.contains(&ca.fingerprint()));
        keys_with(home, ca, key, origin)
    })
}
