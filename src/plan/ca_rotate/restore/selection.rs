//! The choice of CAs to restore: those that the authority, a live client or the user names, and never a dropped one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Restore;
use super::lists::Lists;
use super::remains::Remains;
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::plan::{Reconciled, weakness};

/// The CAs of a restored authority, and those that are left out.
#[derive(Default)]
pub(super) struct Selection {
    /// The CAs with their keys.
    pub signers: Vec<Arc<Authority>>,
    /// The authority's own CAs whose keys are lost: they stay trusted for their present clients.
    pub keyless: Vec<Certificate>,
    /// The external CAs.
    pub external: Vec<Certificate>,
    /// Known CAs that are not trusted again.
    pub left_out: Vec<(Certificate, LeftOut)>,
}

/// Why a CA is not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// The CA was dropped.
    Dropped,
    /// The CA has expired.
    Expired,
    /// The CA's key exists, but nothing shows that it was ever trusted.
    Unproven,
    /// The CA is external, and whether it was still trusted is not known.
    External,
    /// The CA's key is gone, and whether the CA was dropped is not known.
    KeyGone,
    /// The CA's key is lost, and it has no revocation list that can be kept.
    Listless,
}

impl Selection {
    pub fn of(remains: &Remains<'_>, restore: &Restore) -> Reconciled<Self> {
        let mut selection = Self::default();
        let known = remains.known().chain(&restore.external);
        let known: BTreeMap<String, &Certificate> =
            known.map(|ca| (ca.fingerprint(), ca)).collect();
        for ca in known.into_values() {
            selection.place(ca, remains, restore)?;
        }
        selection.leave_listless(remains, restore)?;
        let newest_first = |ca: &Certificate| std::cmp::Reverse(ca.not_before());
        selection
            .signers
            .sort_by_key(|signer| newest_first(signer.certificate()));
        selection.keyless.sort_by_key(newest_first);
        Ok(selection)
    }

    pub fn trusts_nobody(&self) -> bool {
        self.signers.is_empty() && self.keyless.is_empty() && self.external.is_empty()
    }

    /// The hex SKIs of keys that a backup restored although their CAs were dropped.
    pub fn retired<'a>(&'a self, remains: &'a Remains<'_>) -> impl Iterator<Item = String> + 'a {
        let dropped = self
            .left_out
            .iter()
            .filter(|(ca, why)| *why == LeftOut::Dropped && remains.key(ca).is_some());
        dropped.map(|(ca, _)| ca.key_id_hex())
    }

    fn place(
        &mut self,
        ca: &Certificate,
        remains: &Remains<'_>,
        restore: &Restore,
    ) -> Reconciled<()> {
        let fingerprint = ca.fingerprint();
        let is_wanted = restore.external.contains(ca);
        if remains.is_dropped(ca) {
            if is_wanted {
                return Err(Failure::refused(format!(
                    "the {} was dropped from this authority, and cannot be added again",
                    weakness::name(ca)
                ))
                .hint("run the command again with a `--client-ca` file that lacks this CA")
                .into());
            }
            self.left_out.push((ca.clone(), LeftOut::Dropped));
            return Ok(());
        }
        if ca.is_expired(remains.now) {
            self.left_out.push((ca.clone(), LeftOut::Expired));
            return Ok(());
        }
        let left = &remains.fragments;
        let is_published = left.bundle.contains(ca);
        let is_external = left.external.contains(&fingerprint);
        let has_clients = remains
            .live_entries()
            .any(|entry| entry.issuer_ski == ca.key_id_hex());
        let is_own = left.origins.contains_key(&fingerprint) || (has_clients && !is_external);
        // A key that does not fit, or a CA that may not sign, is as good as none.
        let key = remains.key(ca);
        let signer = key.and_then(|pem| Authority::load(ca.pem(), pem, remains.now).ok());
        let is_only_published = is_published && !left.has_state;
        match signer {
            Some(signer) if is_own || is_wanted || has_clients || is_only_published => {
                self.signers.push(Arc::new(signer));
            }
            _ if is_own && (is_wanted || remains.knows_what_was_dropped()) => {
                self.keyless.push(ca.clone());
            }
            _ if is_wanted || (is_external && has_clients) => self.external.push(ca.clone()),
            _ if is_own => self.left_out.push((ca.clone(), LeftOut::KeyGone)),
            _ if is_published => self.left_out.push((ca.clone(), LeftOut::External)),
            Some(_) => self.left_out.push((ca.clone(), LeftOut::Unproven)),
            None => {}
        }
        Ok(())
    }

    /// Leaves out CAs that would accept revoked clients again, or that gateways reject: beside any revocation list each CA needs one, and a
    /// CA without its key has only its last list.
    fn leave_listless(&mut self, remains: &Remains<'_>, restore: &Restore) -> Reconciled<()> {
        let lists = Lists::of(remains, self.trusted())?;
        if !lists.are_needed() {
            return Ok(());
        }
        let stays = |ca: &Certificate| lists.keep(ca, remains.now);
        if let Some(ca) = self
            .external
            .iter()
            .find(|ca| !stays(ca) && restore.external.contains(ca))
        {
            return Err(Failure::refused(format!(
                "clients are revoked, so every CA needs a revocation list, and a list of the {} can only be signed with its key",
                weakness::name(ca)
            ))
            .hint("run the command again with a `--client-ca` file that lacks this CA")
            .into());
        }
        let listless = |ca: &Certificate| (ca.clone(), LeftOut::Listless);
        self.signers.retain(|signer| {
            let ca = signer.certificate();
            let stays = ca.may_sign_crls() || stays(ca);
            if !stays {
                self.left_out.push(listless(ca));
            }
            stays
        });
        for cas in [&mut self.keyless, &mut self.external] {
            let (staying, leaving): (Vec<_>, Vec<_>) =
                std::mem::take(cas).into_iter().partition(stays);
            self.left_out.extend(leaving.iter().map(listless));
            *cas = staying;
        }
        Ok(())
    }

    fn trusted(&self) -> Vec<&Certificate> {
        let signers = self.signers.iter().map(|signer| signer.certificate());
        signers.chain(&self.keyless).chain(&self.external).collect()
    }

    /// The hex SKIs of the restored CAs.
    pub fn skis(&self) -> BTreeSet<String> {
        self.trusted()
            .into_iter()
            .map(Certificate::key_id_hex)
            .collect()
    }
}
