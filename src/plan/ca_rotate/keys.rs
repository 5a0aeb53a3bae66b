//! The keys of an authority's CAs: stored before a state names their CA, removed after no gateway trusts it any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Run;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::plan::authority::MOST_NAMES;
use crate::plan::{Effect, Query, Reconciled, Seen, Write, audit, commit, signers, weakness};
use crate::resources::audit::{self as history, Transition};
use crate::resources::authority::{
    AuthorityState, Keys, Origin, keys_described, keys_object, keys_with, keys_without,
};
use crate::resources::names::AUTHORITY_LABEL;
use crate::resources::{Object, ObjectRef};

impl Run<'_> {
    fn keys_secret(&self) -> ObjectRef {
        signers::secret(&self.standing.state)
    }

    /// The reads that repeat the observation of the authority and its keys: while a run waits, another run may continue or end the rotation.
    pub(super) fn own_reads(&self) -> [Query; 2] {
        [self.names.state(), self.keys_secret()].map(Query::Get)
    }

    pub(super) fn keys_object(&self) -> Reconciled<Option<&Object>> {
        self.observed.get(&self.keys_secret())
    }

    /// The stored keys, if there are any.
    pub(super) fn keys(&self) -> Reconciled<Option<Keys>> {
        let keys = self.keys_object()?.map(Keys::read).transpose();
        keys.map_err(|error| self.damaged(&error.to_string()).into())
    }

    /// What the lost keys of trusted CAs mean, with the ways out; a note where the keys may not be read.
    pub(super) fn lost_keys(&self) -> Reconciled<Vec<String>> {
        let state = &self.standing.state;
        let secret = self.keys_secret();
        let keys = match self.observed.try_get(&secret)? {
            Seen::Missing => None,
            Seen::Found(object) => match Keys::read(object) {
                Ok(keys) => Some(keys),
                Err(error) => {
                    return Ok(vec![format!(
                        "the keys of the authority cannot be read: {error}; restore the Secret from a backup"
                    )]);
                }
            },
            other => {
                let why = other.unknown().unwrap_or_default();
                return Ok(vec![format!(
                    "whether the keys of the authority are in {secret} was not checked: {why}"
                )]);
            }
        };
        let has_key = |ca: &Certificate| keys.as_ref().is_some_and(|keys| keys.of(ca).is_some());
        let trusted = || state.trusted.iter().filter(|ca| !ca.is_expired(self.now));
        let keyless: Vec<&Certificate> = trusted().filter(|ca| !has_key(ca)).collect();
        let Some(first) = keyless.first() else {
            return Ok(Vec::new());
        };
        let lost = trusted().any(has_key).then_some(*first);
        let says = keyless.iter().map(|ca| {
            let lost = signers::LOST_KEY;
            format!("the key of the {} is lost: {lost}", weakness::name(ca))
        });
        Ok(says.chain(signers::ways_out(state, lost)).collect())
    }

    /// A trusted CA with its key; fails if the key is missing or does not belong to it.
    pub(super) fn signer(&self, ca: &Certificate) -> Reconciled<Arc<Authority>> {
        let state = &self.standing.state;
        let keys = signers::keys(state, self.observed)?;
        Ok(signers::signer(ca, &keys, state, self.now)?)
    }

    /// Stores the key of a CA, unless it is stored already.
    pub(super) fn keep(&self, ca: &Authority, origin: Origin) -> Reconciled<()> {
        let (certificate, key) = (ca.certificate(), ca.key());
        let Some(live) = self.keys_object()? else {
            self.standing.may_change(self.request.force_conflicts)?;
            let object = keys_object(
                self.keys_secret(),
                &self.request.authority,
                certificate,
                key,
                origin,
            );
            return Err(Effect::Write(Write::Create(object)).into());
        };
        if let Some(changed) = keys_with(live, certificate, key, origin) {
            commit::refuse_kept(live, self.request.force_conflicts)?;
            self.standing.may_change(self.request.force_conflicts)?;
            let changed = keys_described(changed, self.origins());
            return Err(Effect::Write(Write::Replace(changed)).into());
        }
        let kept = self.keys()?;
        let kept = kept.as_ref().and_then(|keys| keys.of(certificate));
        let is_same = kept
            .and_then(|pem| PrivateKey::from_pem(pem).ok())
            .is_some_and(|kept| kept.matches(certificate));
        if is_same {
            return Ok(());
        }
        let what = format!(
            "{} has another key under the key identifier of the CA `{}`",
            self.keys_secret(),
            certificate.subject()
        );
        Err(self.damaged(&what).into())
    }

    /// The trusted CAs, each with its origin.
    fn origins(&self) -> impl Iterator<Item = (&Certificate, Origin)> {
        let state = &self.standing.state;
        let origin = |ca: &Certificate| Origin::of(state.given.contains(&ca.fingerprint()));
        state.trusted.iter().map(move |ca| (ca, origin(ca)))
    }

    /// Retires the keys that interrupted runs left without a CA, with an entry in the history: such a key is never used, since nobody knows
    /// who has seen it. A run that still wants to use one fails to commit, because this change comes first.
    pub(super) fn retire_orphans(
        &self,
        new_ca: &Authority,
        mut next: AuthorityState,
    ) -> Reconciled<AuthorityState> {
        let mut left: BTreeSet<String> = BTreeSet::new();
        let secrets = self.keys_object()?.into_iter().chain(self.leftovers()?);
        for secret in secrets {
            let keys = Keys::read(secret).map_err(|error| self.damaged(&error.to_string()))?;
            left.extend(keys.skis().map(str::to_owned));
        }
        let cas = next.trusted.iter().chain(self.published());
        let cas = cas.chain([new_ca.certificate()]);
        let mut known: BTreeSet<String> = cas.map(Certificate::key_id_hex).collect();
        known.extend(next.retired.iter().cloned());
        for ski in left.difference(&known) {
            let what = format!("retired the key {ski}, which an interrupted run left without a CA");
            let transition = Transition::KeyRetired;
            let entry = audit::entry(transition, &what, Vec::new(), self.observed, self.now)?;
            history::add(&mut next.history, &entry);
            next.retired.insert(ski.clone());
        }
        Ok(next)
    }

    /// The Secrets that first runs left which were killed before they made the authority: those with an earlier name than the Secret of the
    /// authority's keys. One that cannot be read holds nothing that could be retired.
    fn leftovers(&self) -> Reconciled<Vec<&Object>> {
        let own = self.keys_secret();
        let names = (1..=MOST_NAMES).map(|n| self.names.keys(n));
        let earlier: Vec<ObjectRef> = names.take_while(|name| *name != own).collect();
        // A Secret with another name, which somebody wrote into the state.
        if earlier.contains(&self.names.keys(MOST_NAMES)) {
            return Ok(Vec::new());
        }
        self.observed
            .prefetch(earlier.iter().cloned().map(Query::Get))?;
        let mut found = Vec::new();
        for name in &earlier {
            found.extend(self.observed.try_get(name)?.found().copied());
        }
        let authority = self.request.authority.as_str();
        found.retain(|secret| {
            let is_own = secret.is_ours() && secret.label(AUTHORITY_LABEL) == Some(authority);
            is_own && Keys::read(secret).is_ok()
        });
        Ok(found)
    }

    /// Removes the keys of CAs that are no longer in the state, once every gateway proxy stopped
    /// trusting them.
    pub(super) fn clean_up(&self) -> Reconciled<()> {
        let state = &self.standing.state;
        if state.retired.is_empty() {
            return Ok(());
        }
        let in_use: BTreeSet<String> = self
            .published()
            .iter()
            .chain(&state.trusted)
            .map(Certificate::key_id_hex)
            .collect();
        let gone = state.retired.difference(&in_use).cloned().collect();
        for live in self.keys_object()?.into_iter().chain(self.leftovers()?) {
            if let Some(changed) = keys_without(live, &gone) {
                commit::refuse_kept(live, self.request.force_conflicts)?;
                self.prove()?;
                return Err(Effect::Write(Write::Replace(changed)).into());
            }
        }
        Ok(())
    }

    /// The CAs in the bundle that gateways read.
    pub(super) fn published(&self) -> &[Certificate] {
        self.standing.published.bundle.certificates()
    }
}
