//! A Namespace, and whether new Pods in it get Istio's sidecar.

use super::istiod::REVISION;
use super::{Object, ObjectRef};

/// The injection label (<https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy>).
const INJECTION: &str = "istio-injection";
const ENABLED: &str = "enabled";

/// The injection setting of a Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// New Pods get a sidecar.
    On,
    /// The setting is absent.
    Unsaid,
    /// Injection is disabled, by this value of the label.
    Off(String),
}

/// Reads the injection setting of a Namespace.
pub fn injection(namespace: &Object) -> Injection {
    match (namespace.label(INJECTION), namespace.label(REVISION)) {
        // A revision injects too; the plain label beside it would win over it.
        (Some(ENABLED), _) | (None, Some(_)) => Injection::On,
        (Some(other), _) => Injection::Off(other.to_owned()),
        (None, None) => Injection::Unsaid,
    }
}

/// A Namespace in which new Pods get a sidecar.
pub fn injecting(name: &str) -> Object {
    Object::new(ObjectRef::namespace(name)).with_label(INJECTION, ENABLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_injects_too_and_a_no_is_told_apart_from_silence() {
        let bare = Object::new(ObjectRef::namespace("shop"));
        assert_eq!(injection(&bare), Injection::Unsaid);
        assert_eq!(injection(&injecting("shop")), Injection::On);
        let by_revision = bare.clone().with_label(REVISION, "canary");
        assert_eq!(injection(&by_revision), Injection::On);
        let no = bare.with_label(INJECTION, "disabled");
        assert_eq!(injection(&no), Injection::Off("disabled".to_owned()));
    }
}
