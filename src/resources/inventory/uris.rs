//! The URIs of a certificate in its entry.

use super::{Entry, EntryState, NAME_ANNOTATION, Object, STATE_LABEL, URI_ANNOTATION};

/// The URI SANs after the first one, separated by blanks, which no URI contains; entries of earlier versions lack them.
const FURTHER_URIS_ANNOTATION: &str = "kubectl-mtls.dev/further-uris";

fn annotated(object: &Object) -> impl Iterator<Item = &str> {
    let text = object.annotation(FURTHER_URIS_ANNOTATION);
    text.unwrap_or_default().split_whitespace()
}

/// The URI SANs after the first one.
pub(super) fn further(object: &Object) -> Vec<String> {
    annotated(object).map(str::to_owned).collect()
}

/// Whether an object records all URI SANs of its certificate.
pub fn records_all_uris(object: &Object) -> bool {
    object.annotation(FURTHER_URIS_ANNOTATION).is_some()
}

/// An object with these URI SANs after the first one; the annotation is there without any, too, to tell the object from one of an earlier
/// version.
pub(super) fn with_further(object: Object, uris: &[String]) -> Object {
    object.with_annotation(FURTHER_URIS_ANNOTATION, &uris.join(" "))
}

impl Entry {
    /// All URI SANs of the certificate, as far as they are recorded.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        let first = std::iter::once(&self.uri).filter(|uri| !uri.is_empty());
        first.chain(&self.further_uris).map(String::as_str)
    }

    /// Whether one of the URI SANs is among these.
    pub fn has_uri_of<'a>(&self, uris: impl IntoIterator<Item = &'a String>) -> bool {
        let own: Vec<&str> = self.uris().collect();
        uris.into_iter().any(|uri| own.contains(&uri.as_str()))
    }
}

/// The client of an entry, and the URIs of its certificate. `None` for a certificate that was never delivered, and for an object without a
/// name.
pub fn identities(object: &Object) -> Option<(&str, impl Iterator<Item = &str>)> {
    if object.label(STATE_LABEL) == Some(EntryState::Void.name()) {
        return None;
    }
    let first = object.annotation(URI_ANNOTATION).into_iter();
    let all = first.chain(annotated(object)).filter(|uri| !uri.is_empty());
    Some((object.annotation(NAME_ANNOTATION)?, all))
}
