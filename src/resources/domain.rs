//! A domain that is valid in DNS and certificates: RFC 1123 labels in lower case.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::object_name::is_label;

/// Longest label, in characters (RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;

/// A domain of two labels or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a domain; errors say what to do.
impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(fault) => Err(fault),
        }
    }
}

fn fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("a domain needs a name, such as `my.example.com`".to_owned());
    }
    if !text.is_ascii() {
        return Some("the domain has letters outside of ASCII; give its punycode form, in which such labels begin with `xn--`".to_owned());
    }
    if text.parse::<IpAddr>().is_ok() {
        return Some("an IP address was given; give a domain, such as `my.example.com`".to_owned());
    }
    if let Some(rest) = text.strip_prefix("*.") {
        return Some(format!(
            "a wildcard was given; give the domain itself: `{rest}`"
        ));
    }
    if let Some(rest) = text.strip_suffix('.') {
        return Some(format!(
            "the name ends with a dot; leave the dot out: `{rest}`"
        ));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = text.to_lowercase();
        return Some(format!(
            "the name has capital letters; write it in lower case: `{lower}`"
        ));
    }
    if text.len() > LONGEST_NAME {
        let length = text.len();
        return Some(format!(
            "the name has {length} characters; DNS allows {LONGEST_NAME} at most"
        ));
    }
    if let Some(label) = text.split('.').find(|label| label.len() > LONGEST_LABEL) {
        let length = label.len();
        return Some(format!(
            "the label `{label}` has {length} characters; DNS allows {LONGEST_LABEL} at most"
        ));
    }
    if let Some(label) = text.split('.').find(|label| !is_label(label)) {
        return Some(format!(
            "`{label}` is not a DNS label (letters, digits and inner `-`); give the host only, without https:// and port"
        ));
    }
    (!text.contains('.')).then(|| {
        "the name has one label only; give the whole domain, such as `my.example.com`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_domain_is_refused_with_what_to_do() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = format!("{}com", "abcdefg.".repeat(32));
        for (text, said) in [
            ("bücher.example", "punycode"),
            ("My.Example.com", "`my.example.com`"),
            ("example.com.", "`example.com`"),
            ("*.example.com", "`example.com`"),
            ("192.0.2.1", "address"),
            ("2001:db8::1", "address"),
            (&long, "63 at most"),
            (&longer, "253 at most"),
            ("a..b", "not a DNS label"),
            ("-a.com", "not a DNS label"),
            ("a_b.com", "not a DNS label"),
            ("localhost", "one label"),
            ("", "my.example.com"),
        ] {
            let fault = text.parse::<Domain>().unwrap_err();
            assert!(fault.contains(said), "{text}: {fault}");
        }
    }

    #[test]
    fn punycode_is_a_domain() {
        assert_eq!(
            "xn--bcher-kva.example".parse::<Domain>().unwrap().as_str(),
            "xn--bcher-kva.example"
        );
    }
}
