//! Names of Kubernetes objects, and which of them are allowed in the path of a request.

/// Longest label, in characters (RFC 1123, 2.1, and RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;
const LONGEST_SUBDOMAIN: usize = 253;

/// Whether a text is an RFC 1123 label: the name of a Namespace or a Service.
pub fn is_label(name: &str) -> bool {
    name.len() <= LONGEST_LABEL && is_of_label(name)
}

fn is_of_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether a text is an RFC 1123 subdomain in Kubernetes' sense, whose labels may be longer: the name of most objects.
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

/// An invalid object name, which would change the path of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a name that a Kubernetes object can have", .name.escape_debug())]
pub struct BadName {
    /// The name as given, by the user or by another object.
    pub name: String,
}

/// A name as a segment of a path: one that Kubernetes allows there (`k8s.io/apimachinery/pkg/api/validation/path`,
/// `IsValidPathSegmentName`), percent-encoded where a path requires it (RFC 3986, 3.3).
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
