//! X.500 subjects: attributes in order, including repeated ones.

use super::text::{common_names, escape_value, name_fault, name_text, name_values};
use super::{Attribute, Error, is_bad_character};
use crate::pki::der;
use std::{fmt, str::FromStr};
use yasna::models::ObjectIdentifier;

/// A subject: attributes from the most general to the most specific, one per RDN, repeated ones kept in order.
///
/// As text (RFC 4514) the order is the reverse: `CN=alice,OU=a,OU=b,DC=example` is encoded in the certificate as DC, OU=b, OU=a, CN.
/// `FromStr` reads that text; it refuses multi-valued RDNs (`CN=a+UID=b`) and `#hex` values, which [`from_der`](Self::from_der) accepts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Subject {
    attributes: Vec<(Attribute, String)>,
    verbatim: Option<Verbatim>,
}

/// A name from a request or certificate, byte by byte, with its RFC 4514 text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Verbatim {
    der: Vec<u8>,
    text: String,
}

/// Longest accepted value, in characters; gateways put the whole subject into a header.
const LONGEST_VALUE: usize = 256;

impl Subject {
    /// The subject `CN=<value>`.
    pub fn common_name(value: &str) -> Result<Self, Error> {
        Self::default().with(Attribute::CommonName, value)
    }

    /// Adds an attribute as the last, most specific one.
    pub fn with(mut self, attribute: Attribute, value: impl Into<String>) -> Result<Self, Error> {
        let value = value.into();
        attribute.check(&value)?;
        self.attributes.push((attribute, value));
        Ok(self)
    }

    /// A name in DER from a request or a certificate, kept byte by byte: with unknown attributes, multi-valued RDNs, and its own string
    /// types. Refuses values that their string type does not allow, control characters, and values of more than 256 characters.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let text = name_text(der);
        let fail = |reason: &str| Error::Taken {
            text: text.escape_debug().to_string(),
            reason: reason.to_owned(),
        };
        let values = name_values(der).ok_or_else(|| fail("the name is damaged"))?;
        if let Some(fault) = name_fault(der) {
            return Err(fail(fault));
        }
        if values.is_empty() {
            return Ok(Self::default());
        }
        for value in &values {
            if value.chars().any(is_bad_character) {
                return Err(fail("the name contains control characters"));
            }
            if value.chars().count() > LONGEST_VALUE {
                return Err(fail("a value of the name is longer than 256 characters"));
            }
        }
        Ok(Self {
            attributes: Vec::new(),
            verbatim: Some(Verbatim {
                der: der.to_vec(),
                text,
            }),
        })
    }

    /// The common names of the subject, from the most general to the most specific one.
    pub fn common_names(&self) -> Vec<String> {
        common_names(&self.to_der())
    }

    /// Whether the subject has no attributes.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.verbatim.is_none()
    }

    /// The `Name` in DER (RFC 5280, 4.1.2.4): `UTF8String`, except where an attribute requires `PrintableString` or `IA5String`.
    pub fn to_der(&self) -> Vec<u8> {
        if let Some(verbatim) = &self.verbatim {
            return verbatim.der.clone();
        }
        let names: Vec<Vec<u8>> = self
            .attributes
            .iter()
            .map(|(attribute, value)| {
                yasna::construct_der(|writer| {
                    writer.write_set(|set| {
                        set.next().write_sequence(|pair| {
                            pair.next()
                                .write_oid(&ObjectIdentifier::from_slice(attribute.oid()));
                            attribute.write_value(pair.next(), value);
                        });
                    });
                })
            })
            .collect();
        der::sequence(&names)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(verbatim) = &self.verbatim {
            return f.write_str(&verbatim.text);
        }
        for (index, (attribute, value)) in self.attributes.iter().rev().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{attribute}={}", escape_value(value))?;
        }
        Ok(())
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = |reason: &str| Error::Subject {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let mut subject = Self::default();
        for part in split_unescaped(text).into_iter().rev() {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| fail("a part of the name has no `=`"))?;
            let value = unescape_value(value).map_err(fail)?;
            subject = subject.with(name.trim().parse()?, value)?;
        }
        Ok(subject)
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte == b',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// Decodes an escaped value (RFC 4514, 3): `\` before a special character, or before two
/// hexadecimal digits of a UTF-8 byte.
fn unescape_value(value: &str) -> Result<String, &'static str> {
    let mut rest = value.trim_start().as_bytes();
    if rest.starts_with(b"#") {
        return Err("values in `#hex` form are not supported");
    }
    let mut bytes = Vec::with_capacity(rest.len());
    // Blanks at the end count only when escaped.
    let mut keep = 0;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => {
                let hex = rest.get(..2).and_then(hex_byte);
                let (unescaped, length) = match (hex, rest.first()) {
                    (Some(byte), _) => (byte, 2),
                    (None, Some(special)) if b" \"#+,;<=>\\".contains(special) => (*special, 1),
                    _ => {
                        return Err(
                            "a backslash is followed by neither a special character nor two hexadecimal digits",
                        );
                    }
                };
                bytes.push(unescaped);
                rest = &rest[length..];
                keep = bytes.len();
            }
            b'+' => {
                return Err(
                    "multi-valued parts (`+`) are not supported; write `\\+` for a plus sign",
                );
            }
            b'"' | b';' | b'<' | b'>' => return Err("one of `\";<>` needs a backslash before it"),
            other => {
                bytes.push(other);
                if other != b' ' {
                    keep = bytes.len();
                }
            }
        }
    }
    bytes.truncate(keep);
    String::from_utf8(bytes).map_err(|_| "the escaped bytes are not UTF-8")
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    // from_str_radix takes a sign.
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_with_repeats_order_and_escapes() {
        for text in [
            "CN=alice,OU=a,OU=b,DC=example,DC=com",
            "CN=Jürgen\\, der \\\"Erste\\\",O=a\\+b",
            "CN=\\#1,O=\\ x\\ ",
            "emailAddress=a@example.com,serialNumber=17,C=DE",
        ] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_certificate_has_the_most_general_attribute_first() {
        let subject: Subject = "CN=alice, OU=a ,DC=example".parse().unwrap();
        let names: Vec<&str> = subject
            .attributes
            .iter()
            .map(|(attribute, _)| attribute.name())
            .collect();
        assert_eq!(names, ["DC", "OU", "CN"]);
        assert_eq!(subject.attributes[1].1, "a");
    }

    #[test]
    fn hexadecimal_escapes_are_utf8_bytes() {
        let subject: Subject = "cn=Lu\\C4\\8Di\\C4\\87".parse().unwrap();
        assert_eq!(subject.to_string(), "CN=Lučić");
    }

    #[test]
    fn what_would_be_read_differently_elsewhere_is_refused() {
        for (text, reason) in [
            ("alice", "has no `=`"),
            ("CN=a,,O=b", "has no `=`"),
            ("CN=", "`CN=`: is empty"),
            ("CN=a+UID=b", "multi-valued parts"),
            ("CN=#0403", "`#hex`"),
            ("X=1", "is unknown; give one of CN, O,"),
            ("CN=a;O=b", "one of `\";<>` needs a backslash"),
            ("CN=a\\", "a backslash is followed by neither"),
            ("CN=a\\zz", "a backslash is followed by neither"),
            ("CN=\\FF", "not UTF-8"),
            ("C=de", "two capital letters"),
            ("C=DEU", "has 3 characters, at most 2"),
            ("serialNumber=a_b", "may only contain letters, digits"),
            ("DC=ü", "may only contain ASCII"),
            ("CN=a\\00b", "control characters"),
            ("CN=\\+1\u{202e}", "control characters"),
        ] {
            let said = text.parse::<Subject>().unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
        let long = Subject::common_name(&"x".repeat(65)).unwrap_err();
        let said = long.to_string();
        assert!(said.contains("has 65 characters, at most 64"), "{said}");
    }
}
