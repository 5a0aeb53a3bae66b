//! The remaining parts of an authority.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::super::Request;
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::authority::MOST_NAMES;
use crate::plan::command_line::{certificate_of, kubectl, restore, revoke_certificate};
use crate::plan::{Observed, Query, Reconciled, Seen, list_clients, probe};
use crate::resources::authority::{AuthorityState, Fragments, Keys, Origin};
use crate::resources::gateway::Gateway;
use crate::resources::inventory::Entry;
use crate::resources::names::{AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::witness::Witness;
use crate::resources::{Kind, Object, ObjectRef};

/// The remaining parts of an authority.
pub(super) struct Remains<'a> {
    pub request: &'a Request,
    pub names: &'a CredentialNames,
    pub live: Option<&'a Object>,
    pub fragments: Fragments,
    pub heard: Option<Witness>,
    pub keys: Vec<KeysSecret<'a>>,
    /// Why further Secrets of keys could not be read.
    pub unread: Option<String>,
    pub entries: Vec<Entry>,
    pub observed: &'a Observed,
    pub now: OffsetDateTime,
}

/// A Secret with keys of the authority.
pub(super) struct KeysSecret<'a> {
    pub object: &'a Object,
    pub keys: Keys,
    pub certificates: Vec<Certificate>,
}

impl<'a> Remains<'a> {
    pub fn gather(
        request: &'a Request,
        names: &'a CredentialNames,
        live: Option<&'a Object>,
        heard: Option<Witness>,
        observed: &'a Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Self> {
        let mut remains = Self {
            request,
            names,
            live,
            fragments: live.map(Fragments::read).unwrap_or_default(),
            heard,
            keys: Vec::new(),
            unread: None,
            entries: entries(request, observed)?,
            observed,
            now,
        };
        remains.find_keys()?;
        Ok(remains)
    }

    /// Reads the Secrets of keys: the one that the authority names, then one name after the other until all keys are found that a CA or a
    /// live client needs. Nobody may list Secrets.
    ///
    /// The first name may be taken by the Secret of an interrupted first run, whose key never became that of a CA.
    fn find_keys(&mut self) -> Reconciled<()> {
        let named = self.fragments.keys_secret.clone();
        let named = named.map(|name| ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, name));
        let tried = (1..=MOST_NAMES).map(|n| self.names.keys(n));
        let tried: Vec<ObjectRef> = tried
            .filter(|secret| Some(secret) != named.as_ref())
            .collect();
        for secret in named.iter().chain(&tried) {
            if !self.keys.is_empty() && self.has_all_keys() {
                return Ok(());
            }
            let is_first = Some(secret) == named.as_ref() || *secret == self.names.keys(1);
            let object = match self.observed.try_get(secret)? {
                Seen::Found(object) => object,
                Seen::Missing if is_first => continue,
                Seen::Missing => return Ok(()),
                _ if is_first => match self.observed.get(secret)? {
                    Some(object) => object,
                    None => continue,
                },
                other => {
                    let reason = other.unknown().unwrap_or_default();
                    self.unread = Some(format!(
                        "keys in {secret}: the Secret cannot be read: {reason}"
                    ));
                    return Ok(());
                }
            };
            let label = object.label(AUTHORITY_LABEL);
            if label.is_none_or(|authority| authority == self.names.authority) {
                self.keys.push(KeysSecret::read(object)?);
            }
        }
        Ok(())
    }

    /// Whether there is a key for every CA that the authority or a live client names, as far as the CA's certificate is known.
    fn has_all_keys(&self) -> bool {
        let dropped = self.dropped();
        let own = self.fragments.origins.keys();
        let mut own = own.filter(|ca| !dropped.contains(*ca));
        let skis: BTreeSet<&str> = self.keys.iter().flat_map(|one| one.keys.skis()).collect();
        let has_key = |fingerprint: &String| {
            let mut known = self.known();
            known.any(|ca| ca.fingerprint() == *fingerprint && skis.contains(&*ca.key_id_hex()))
        };
        let mut live = self.undropped();
        own.all(has_key) && live.all(|entry| skis.contains(&*entry.issuer_ski))
    }

    /// Every known CA certificate: those of the bundle, and those stored beside the keys.
    pub fn known(&self) -> impl Iterator<Item = &Certificate> {
        let minted = self
            .observed
            .generated_authority()
            .map(|minted| minted.certificate());
        let beside = self.keys.iter().flat_map(|secret| &secret.certificates);
        let all = self.fragments.bundle.iter().chain(beside);
        all.filter(move |ca| Some(*ca) != minted)
    }

    /// The key of a CA as PEM.
    pub fn key(&self, ca: &Certificate) -> Option<&[u8]> {
        let mut secrets = self.keys.iter();
        secrets.find_map(|secret| secret.keys.of(ca))
    }

    /// The Secret for the keys of the restored authority: the one that it names, else the one with the key of the issuing CA, else the
    /// first.
    pub fn home(&self, issuing: Option<&Certificate>) -> Option<&'a Object> {
        let named = self.fragments.keys_secret.as_deref();
        let is_named = |secret: &&KeysSecret<'_>| Some(secret.object.name()) == named;
        let issues =
            |secret: &&KeysSecret<'_>| issuing.is_some_and(|ca| secret.keys.of(ca).is_some());
        let home = self.keys.iter().find(is_named);
        let home = home.or_else(|| self.keys.iter().find(issues));
        home.or(self.keys.first()).map(|secret| secret.object)
    }

    /// The origin of a CA; if it is not known, others may have signed clients with its key.
    pub fn origin(&self, ca: &Certificate) -> Origin {
        let ski = ca.key_id_hex();
        let minted = self.observed.generated_authority();
        if minted.is_some_and(|minted| minted.certificate() == ca) {
            return Origin::Made;
        }
        let stated = self.fragments.origins.get(&ca.fingerprint()).copied();
        let beside = self.keys.iter().filter_map(|one| one.keys.origin(&ski));
        let told: Vec<Origin> = beside.chain(stated).collect();
        Origin::of(told.is_empty() || told.contains(&Origin::Given))
    }

    /// The fingerprints of the CAs that were dropped, as far as they are known.
    pub fn dropped(&self) -> BTreeSet<&String> {
        let heard = self.heard.as_ref().and_then(|heard| heard.dropped.as_ref());
        let heard = heard.into_iter().flat_map(|dropped| &dropped.fingerprints);
        self.fragments.dropped.iter().chain(heard).collect()
    }

    fn retired(&self) -> BTreeSet<&str> {
        let heard = self.heard.as_ref().and_then(|heard| heard.dropped.as_ref());
        let heard = heard.into_iter().flat_map(|dropped| &dropped.keys);
        let all = self.fragments.retired.iter().chain(heard);
        all.map(String::as_str).collect()
    }

    /// Whether a CA was dropped, and must not be restored.
    pub fn is_dropped(&self, ca: &Certificate) -> bool {
        let mut keys = ca.key_ids_hex().into_iter();
        self.dropped().contains(&ca.fingerprint()) || keys.any(|ski| self.is_retired(&ski))
    }

    /// Whether a key, by its hex SKI, is retired, and must not be restored.
    pub fn is_retired(&self, ski: &str) -> bool {
        self.retired().contains(ski)
    }

    /// Whether every dropped CA is known: by the witness, unless it is new, or by an authority that was not rolled back.
    pub fn knows_what_was_dropped(&self) -> bool {
        let heard = self.heard.as_ref();
        heard.is_some_and(|heard| heard.dropped.is_some() && heard.revision > 0)
            || (self.fragments.has_state && !self.is_rolled_back())
    }

    /// Whether the authority has an older revision than its witness recorded.
    pub fn is_rolled_back(&self) -> bool {
        let heard = self.heard.as_ref();
        heard.is_some_and(|heard| heard.revision > self.fragments.revision)
    }

    /// The entries of live certificates.
    pub fn live_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_live(self.now))
    }

    /// The live entries whose CA was not dropped, as far as that is known.
    pub fn undropped(&self) -> impl Iterator<Item = &Entry> {
        let dropped = self.known().filter(|ca| self.is_dropped(ca));
        let dropped: BTreeSet<String> = dropped.map(Certificate::key_id_hex).collect();
        self.live_entries().filter(move |entry| {
            !dropped.contains(&entry.issuer_ski) && !self.is_retired(&entry.issuer_ski)
        })
    }

    /// Sets the Gateway that reads the authority, if no remaining part names it.
    pub fn serve(&self, next: &mut AuthorityState) -> Reconciled<()> {
        let listed = self.observed.try_list(&Query::everywhere(Kind::Gateway))?;
        if next.gateway.is_some() {
            return Ok(());
        }
        let listed = listed.found().copied().unwrap_or_default();
        let reader = listed
            .iter()
            .filter_map(|object| Gateway::read(object).ok())
            .find(|gateway| probe::is_reader(gateway, next));
        next.gateway = reader.map(|gateway| gateway.name.to_string());
        Ok(())
    }
}

impl<'a> KeysSecret<'a> {
    fn read(object: &'a Object) -> Result<Self, Failure> {
        let keys = Keys::read(object).map_err(|error| {
            Failure::refused(error.to_string()).hint("restore the Secret from a backup")
        })?;
        let certificates = keys.certificates().map_err(|error| {
            Failure::refused(format!(
                "{}: a certificate beside the keys cannot be read",
                object.reference()
            ))
            .caused_by(error)
            .hint("restore the Secret from a backup")
        })?;
        Ok(Self {
            object,
            keys,
            certificates,
        })
    }
}

fn entries(request: &Request, observed: &Observed) -> Reconciled<Vec<Entry>> {
    let objects = observed.list(&list_clients::inventory(&request.authority))?;
    let (entries, unreadable) = list_clients::with_serials(objects);
    let Some(first) = unreadable.first() else {
        return Ok(entries);
    };
    Err(Failure::refused(format!(
        "an entry of the inventory cannot be read, and may belong to a revoked certificate: {first}"
    ))
    .hint("keep its certificate, then remove the entry:")
    .hint(format!("  {}", certificate_of(&first.object)))
    .hint(format!("  {}", kubectl("delete", &first.object)))
    .hint("restore the authority, then revoke the certificate, unless its client must be accepted:")
    .hint(format!("  {}", restore(&request.authority)))
    .hint(format!("  {}", revoke_certificate(&request.authority)))
    .into())
}
