//! The revocation lists of a restored authority.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::remains::Remains;
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, Reason, Revoked, succession};
use crate::pki::inspect::Certificate;
use crate::pki::serial;
use crate::plan::revocations::{self, Revocation};
use crate::plan::{Observed, Reconciled, commit};
use crate::resources::authority::{AuthorityState, Origin};
use crate::resources::inventory::{Entry, EntryState};

/// The remaining lists, and the inventory's revocations.
pub(super) struct Lists {
    before: Vec<Crl>,
    revoked: Vec<Revocation>,
}

impl Lists {
    /// The lists of these CAs.
    pub fn of<'a>(
        remains: &Remains<'_>,
        cas: impl IntoIterator<Item = &'a Certificate>,
    ) -> Reconciled<Self> {
        let before = remains.fragments.crls.iter().map(Crl::many_from_pem);
        let before: Result<Vec<_>, _> = before.collect();
        let before = before.map_err(|error| {
            Failure::refused("a revocation list of the authority cannot be read")
                .caused_by(error)
                .hint("restore the authority from a backup")
        })?;
        let now = remains.now;
        let origins: BTreeMap<String, Origin> = cas
            .into_iter()
            .map(|ca| (ca.key_id_hex(), remains.origin(ca)))
            .collect();
        // An imported CA may have signed a longer certificate with the same serial number.
        let is_kept = |entry: &&Entry| match origins.get(&entry.issuer_ski) {
            Some(Origin::Given) => true,
            Some(Origin::Made) => entry.not_after > now,
            None => false,
        };
        let revoked = remains.entries.iter().filter(is_kept);
        let revoked = revoked.filter(|entry| entry.state == EntryState::Revoked);
        let revoked = revoked.map(|entry| {
            let how = entry.revocation;
            let serial = entry.serial.parse().map_err(|error: serial::Error| {
                Failure::refused(format!(
                    "certificate {} of `{}` is revoked, but its inventory entry has no valid serial number",
                    entry.number, entry.name
                ))
                .caused_by(error)
                .hint("restore the entry from a backup; without it nothing records that this certificate is revoked")
            })?;
            Ok(Revocation {
                issuer: entry.issuer_ski.clone(),
                entry: Revoked {
                    serial,
                    at: how.map_or(now, |how| how.at),
                    reason: how.map_or(Reason::Unspecified, |how| how.reason),
                },
                end: entry.not_after,
            })
        });
        let revoked: Result<Vec<Revocation>, Failure> = revoked.collect();
        Ok(Self {
            before: before.concat(),
            revoked: revoked?,
        })
    }

    /// Whether gateways check revocation lists.
    pub fn are_needed(&self) -> bool {
        !self.before.is_empty() || !self.revoked.is_empty()
    }

    /// Whether the last list of a CA can be kept: it has not expired, and contains every revoked certificate of that CA.
    pub fn keep(&self, ca: &Certificate, now: OffsetDateTime) -> bool {
        let Some(list) = succession::newest(ca, &self.before) else {
            return false;
        };
        let ski = ca.key_id_hex();
        let mut revoked = self.revoked.iter().filter(|one| one.issuer == ski);
        list.is_current_at(now)
            && revoked.all(|one| {
                let mut listed = list.revoked().iter();
                listed.any(|listed| listed.serial == one.entry.serial)
            })
    }
}

impl Remains<'_> {
    /// Adds revocation lists with all revocations of the inventory, if there are any; in a dry run without canaries.
    pub(super) fn relisted(
        &self,
        next: &AuthorityState,
        signers: &[Arc<Authority>],
        is_dry: bool,
    ) -> Reconciled<AuthorityState> {
        let lists = Lists::of(self, &next.trusted)?;
        if !lists.are_needed() {
            return Ok(next.clone());
        }
        relisted(
            next,
            signers,
            &lists.revoked,
            (!is_dry).then_some(self.observed),
            self.now,
        )
    }
}

/// The state with a new revocation list of every signer, whose canaries prove that gateways have loaded it, and with the last list of any
/// other CA. Without a cluster there are no canaries.
pub(super) fn relisted(
    state: &AuthorityState,
    signers: &[Arc<Authority>],
    revoked: &[Revocation],
    observed: Option<&Observed>,
    now: OffsetDateTime,
) -> Reconciled<AuthorityState> {
    let able: Vec<Arc<Authority>> = signers
        .iter()
        .filter(|signer| signer.certificate().may_sign_crls())
        .cloned()
        .collect();
    if let Some(observed) = observed {
        revocations::make_canaries(&state.authority, &able, observed, now)?;
    }
    let nothing = Observed::default();
    let end = |_: &str, _: &serial::Serial| None;
    let observed = observed.unwrap_or(&nothing);
    let mut next = revocations::renewed(state, &able, revoked, end, observed, now)?;
    let before = commit::crls(state).map_err(|error| {
        Failure::refused("a revocation list of the authority cannot be read")
            .caused_by(error)
            .hint("restore the authority from a backup")
    })?;
    let is_able = |ca: &Certificate| able.iter().any(|signer| signer.certificate() == ca);
    let others = state.admitted();
    let others = others.iter().filter(|ca| !is_able(ca));
    let kept = others.filter_map(|ca| succession::newest(ca, &before));
    next.crls.extend(kept.map(Crl::pem));
    Ok(next)
}
