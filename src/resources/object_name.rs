//! Names of Kubernetes objects, and which of them may stand in the path of a request.

use std::fmt;

use super::Kind;

/// RFC 1123, 2.1, and RFC 1035, 2.3.4.
const LONGEST_LABEL: usize = 63;
const LONGEST_SUBDOMAIN: usize = 253;

/// Whether it is a label of RFC 1123: the name of a Namespace or a Service.
pub fn is_label(name: &str) -> bool {
    name.len() <= LONGEST_LABEL && is_of_label(name)
}

fn is_of_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether it is a subdomain of RFC 1123 as Kubernetes takes it, whose labels may be longer: the name of most objects.
pub fn is_subdomain(name: &str) -> bool {
    name.len() <= LONGEST_SUBDOMAIN && name.split('.').all(is_of_label)
}

/// Reads the name of a Namespace or a Service.
pub fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a name has 1 to {LONGEST_LABEL} lower-case letters, digits and, inside, `-`"
    ))
}

/// Reads the name of an object.
pub fn subdomain(text: &str) -> Result<String, String> {
    if is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a name has 1 to {LONGEST_SUBDOMAIN} lower-case letters, digits, `-` and `.`, and begins and ends with a letter or digit"
    ))
}

/// A name that no object can have: it would lead a request to another place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a name that a Kubernetes object can have")]
pub struct BadName {
    /// As it was given, by the user or by another object.
    pub name: String,
}

/// A name as a segment of a path: one that Kubernetes allows there (`k8s.io/apimachinery/pkg/api/validation/path`,
/// `IsValidPathSegmentName`), percent-encoded where it holds what a path does not (RFC 3986, 3.3).
pub(super) fn segment(name: &str) -> Result<String, BadName> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '%', '\\', '\0']) {
        return Err(BadName {
            name: name.to_owned(),
        });
    }
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(encoded)
}

/// Names one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// Names a namespaced object.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Names a Namespace.
    pub fn namespace(name: impl Into<String>) -> Self {
        Self::new(Kind::Namespace, "", name)
    }

    /// The URL path of the object: the one way from a name, wherever it comes from, into a request.
    pub fn path(&self) -> Result<String, BadName> {
        let name = segment(&self.name)?;
        Ok(format!("{}/{name}", self.collection_path()?))
    }

    /// Refuses a reference that no object can have.
    pub fn check(&self) -> Result<(), BadName> {
        self.path().map(drop)
    }

    /// The URL path of the collection that the object is in.
    pub fn collection_path(&self) -> Result<String, BadName> {
        let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        self.kind.collection_path(namespace)
    }
}

/// `Kind namespace/name`, as messages write it.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_a_request_to_another_place() {
        for name in ["..", ".", "", "../configmaps/x", "a/b", "a%2fb", "a\\b"] {
            let secret = ObjectRef::new(Kind::Secret, "shop", name);
            assert!(secret.path().is_err(), "{name:?}");
            if !name.is_empty() {
                let secret = ObjectRef::new(Kind::Secret, name, "x");
                assert!(secret.path().is_err(), "{name:?}");
            }
        }
        let odd = ObjectRef::new(Kind::ConfigMap, "shop", "a?watch=true#b c");
        assert!(
            odd.path()
                .unwrap()
                .ends_with("/configmaps/a%3Fwatch%3Dtrue%23b%20c")
        );
    }

    #[test]
    fn names_of_flags_are_those_of_kubernetes() {
        assert!(is_label("shop-1") && is_label(&"a".repeat(63)));
        for name in ["", "-a", "a-", "A", "a.b", "x y", &"a".repeat(64)] {
            assert!(!is_label(name), "{name:?}");
        }
        assert!(is_subdomain("a.b-c.d") && is_subdomain(&"a".repeat(253)));
        for name in ["", "a..b", ".a", "../a", "a/b", "a_b"] {
            assert!(!is_subdomain(name), "{name:?}");
        }
    }

    #[test]
    fn paths_follow_the_api_conventions() {
        assert_eq!(
            ObjectRef::new(Kind::Gateway, "shop", "gw").path().unwrap(),
            "/apis/networking.istio.io/v1/namespaces/shop/gateways/gw"
        );
        assert_eq!(
            ObjectRef::namespace("shop").path().unwrap(),
            "/api/v1/namespaces/shop"
        );
    }
}
