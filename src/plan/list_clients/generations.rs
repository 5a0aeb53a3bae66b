//! The generations of the CA that issued a certificate.

use std::collections::BTreeMap;

use super::{AuthorityState, Certificate, Entry, Generation, Object, Seen};
use crate::plan::witness;

/// The CAs of an authority by their SKI.
#[derive(Default)]
pub(super) struct Generations {
    issuing: Option<String>,
    /// Each with its SHA-256 fingerprint, hex.
    trusted: Option<BTreeMap<String, String>>,
}

impl Generations {
    /// The CAs of an authority's state; adds a note if it was not read. Without any entry nobody asks for them.
    pub(super) fn of_entries(
        authority: &str,
        entries: &[Entry],
        state: &Seen<&Object>,
        notes: &mut Vec<String>,
    ) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let is_there = state.found().is_some();
        let state = state.read_as(|object| AuthorityState::read(object));
        if let Seen::Missing = state {
            // Its entries show that there was one.
            notes.push(witness::Fault::AuthorityLost.note(authority));
        }
        if is_there && state.found().is_none() {
            notes.push(witness::remedy_hint("--restore", authority));
        }
        if let Some(reason) = state.unknown() {
            notes.push(format!(
                "which CA of `{authority}` issues now is not known: the authority's state was not read: {reason}"
            ));
        }
        Self::of(&state)
    }

    fn of(state: &Seen<AuthorityState>) -> Self {
        let state = state.found();
        Self {
            issuing: state
                .and_then(AuthorityState::issuing_ca)
                .map(Certificate::key_id_hex),
            trusted: state.map(|state| {
                let trusted = state.trusted.iter();
                trusted
                    .map(|ca| (ca.key_id_hex(), ca.fingerprint()))
                    .collect()
            }),
        }
    }

    pub(super) fn generation(&self, ski: &str) -> Generation {
        match &self.trusted {
            _ if self.issuing.as_deref() == Some(ski) => Generation::Issuing,
            Some(trusted) if trusted.contains_key(ski) => Generation::Trusted,
            Some(_) => Generation::Dropped,
            None => Generation::Unknown,
        }
    }

    /// The SHA-256 fingerprint of the CA with this SKI, hex; `None` if the authority does not trust it any more.
    pub(super) fn fingerprint(&self, ski: &str) -> Option<String> {
        self.trusted.as_ref()?.get(ski).cloned()
    }
}
