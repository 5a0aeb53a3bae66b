//! The keys of an authority's CAs: kept before a state names their CA, removed after no gateway trusts it any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Run};
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::{KeyType, PrivateKey, PublicKeyKind};
use crate::plan::{Query, Step, Write, signers};
use crate::resources::authority::{Keys, keys_object, keys_with, keys_without};
use crate::resources::{Object, ObjectRef};

impl Run<'_> {
    fn keys_secret(&self) -> ObjectRef {
        signers::secret(&self.standing.state)
    }

    fn keys_object(&self) -> Answer<Option<&Object>> {
        let reference = self.keys_secret();
        self.world.need([Query::Get(reference.clone())])?;
        Ok(self.world.required(&reference)?)
    }

    /// The keys that are there.
    pub(super) fn keys(&self) -> Answer<Option<Keys>> {
        let keys = self.keys_object()?.map(Keys::read).transpose();
        keys.map_err(|error| self.damaged(&error.to_string()).into())
    }

    /// A trusted CA with its key, which must be there and its own.
    pub(super) fn signer(&self, ca: &Certificate) -> Answer<Arc<Authority>> {
        let state = &self.standing.state;
        let keys = signers::keys(state, self.world)?;
        Ok(signers::signer(ca, &keys, state, self.now)?)
    }

    /// Keeps the key of a CA, where it is not kept already.
    pub(super) fn keep(&self, ca: &Authority) -> Answer<()> {
        let (certificate, key) = (ca.certificate(), ca.key());
        let Some(live) = self.keys_object()? else {
            let object = keys_object(
                self.keys_secret(),
                &self.request.authority,
                certificate,
                key,
            );
            return Err(Step::Write(Write::Create(object)).into());
        };
        if let Some(changed) = keys_with(live, certificate, key) {
            return Err(Step::Write(Write::Replace(changed)).into());
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

    /// A key of no CA, which an interrupted run has left: it is used, so that none is ever lost or left over.
    pub(super) fn left_over(&self, key_type: KeyType) -> Answer<Option<Arc<PrivateKey>>> {
        let Some(keys) = self.keys()? else {
            return Ok(None);
        };
        let state = &self.standing.state;
        let mut known: BTreeSet<String> = state.retired.clone();
        known.extend(state.trusted.iter().map(Certificate::key_id_hex));
        let unknown = keys.all().filter(|(ski, _)| !known.contains(*ski));
        let mut usable = unknown
            .filter_map(|(_, pem)| PrivateKey::from_pem(pem).ok())
            .filter(|key| key.kind() == kind(key_type));
        Ok(usable.next().map(Arc::new))
    }

    /// Removes the keys of CAs that have left the state, once no gateway is seen to trust them.
    pub(super) fn clean_up(&self) -> Answer<()> {
        let state = &self.standing.state;
        if state.retired.is_empty() {
            return Ok(());
        }
        let Some(live) = self.keys_object()? else {
            return Ok(());
        };
        let in_use: BTreeSet<String> = self
            .published()
            .iter()
            .chain(&state.trusted)
            .map(Certificate::key_id_hex)
            .collect();
        let gone = state.retired.difference(&in_use).cloned().collect();
        let Some(changed) = keys_without(live, &gone) else {
            return Ok(());
        };
        self.prove()?;
        Err(Step::Write(Write::Replace(changed)).into())
    }

    /// The CAs that gateways read.
    pub(super) fn published(&self) -> &[Certificate] {
        let published = self.standing.published.as_ref();
        published.map_or(&[], |published| published.bundle.certificates())
    }
}

fn kind(key_type: KeyType) -> PublicKeyKind {
    match key_type {
        KeyType::P256 => PublicKeyKind::P256,
        KeyType::P384 => PublicKeyKind::P384,
        KeyType::Rsa2048 => PublicKeyKind::Rsa(2048),
        KeyType::Rsa3072 => PublicKeyKind::Rsa(3072),
        KeyType::Rsa4096 => PublicKeyKind::Rsa(4096),
    }
}
