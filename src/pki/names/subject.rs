//! X.500 subjects: attributes in order, repeats kept.

use super::Error;
use crate::pki::der;
use std::{
    fmt::{self, Write},
    str::FromStr,
};
use yasna::{DERWriter, models::ObjectIdentifier, tags::TAG_PRINTABLESTRING};

/// The attributes that a subject may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `CN`
    CommonName,
    /// `O`
    Organization,
    /// `OU`
    OrganizationalUnit,
    /// `C`, two capital letters (ISO 3166)
    Country,
    /// `L`
    Locality,
    /// `ST`
    StateOrProvince,
    /// `STREET`
    Street,
    /// `DC`, one label of a domain name
    DomainComponent,
    /// `UID`
    UserId,
    /// `emailAddress`
    EmailAddress,
    /// `serialNumber` of a device, not of the certificate
    SerialNumber,
    /// `title`
    Title,
    /// `GN`
    GivenName,
    /// `SN`
    Surname,
}

/// How X.520 and RFC 5280 (appendix A) want a value encoded.
enum StringType {
    Utf8,
    Printable,
    Ia5,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 14] = [
        Self::CommonName,
        Self::Organization,
        Self::OrganizationalUnit,
        Self::Country,
        Self::Locality,
        Self::StateOrProvince,
        Self::Street,
        Self::DomainComponent,
        Self::UserId,
        Self::EmailAddress,
        Self::SerialNumber,
        Self::Title,
        Self::GivenName,
        Self::Surname,
    ];

    /// The short name in text form, as RFC 4514 and OpenSSL write it.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    fn oid(self) -> &'static [u64] {
        self.facts().1
    }

    /// The attribute with this object identifier.
    pub(in crate::pki) fn from_oid(oid: &[u64]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|attribute| attribute.oid() == oid)
    }

    /// Short name, object identifier, string type, longest value in characters (RFC 5280, appendix A.1, upper bounds).
    fn facts(self) -> (&'static str, &'static [u64], StringType, usize) {
        use StringType::{Ia5, Printable, Utf8};
        match self {
            Self::CommonName => ("CN", &[2, 5, 4, 3], Utf8, 64),
            Self::Organization => ("O", &[2, 5, 4, 10], Utf8, 64),
            Self::OrganizationalUnit => ("OU", &[2, 5, 4, 11], Utf8, 64),
            Self::Country => ("C", &[2, 5, 4, 6], Printable, 2),
            Self::Locality => ("L", &[2, 5, 4, 7], Utf8, 128),
            Self::StateOrProvince => ("ST", &[2, 5, 4, 8], Utf8, 128),
            Self::Street => ("STREET", &[2, 5, 4, 9], Utf8, 128),
            Self::DomainComponent => ("DC", &[0, 9, 2342, 19_200_300, 100, 1, 25], Ia5, 63),
            Self::UserId => ("UID", &[0, 9, 2342, 19_200_300, 100, 1, 1], Utf8, 256),
            Self::EmailAddress => ("emailAddress", &[1, 2, 840, 113_549, 1, 9, 1], Ia5, 255),
            Self::SerialNumber => ("serialNumber", &[2, 5, 4, 5], Printable, 64),
            Self::Title => ("title", &[2, 5, 4, 12], Utf8, 64),
            Self::GivenName => ("GN", &[2, 5, 4, 42], Utf8, 64),
            Self::Surname => ("SN", &[2, 5, 4, 4], Utf8, 64),
        }
    }

    fn check(self, value: &str) -> Result<(), Error> {
        let refuse = |reason: String| {
            Err(Error::Attribute {
                attribute: self.name().to_owned(),
                value: value.to_owned(),
                reason,
            })
        };
        let (_, _, string_type, longest) = self.facts();
        if value.is_empty() {
            return refuse("is empty; leave it out".into());
        }
        if value.chars().any(is_bad_character) {
            return refuse("contains control characters; leave them out".into());
        }
        let characters = value.chars().count();
        if characters > longest {
            return refuse(format!(
                "has {characters} characters, at most {longest} are allowed (X.520)"
            ));
        }
        match string_type {
            _ if matches!(self, Self::Country) && !is_country(value) => {
                refuse("must be two capital letters, such as `DE` (ISO 3166)".into())
            }
            StringType::Printable if !value.bytes().all(is_printable) => {
                refuse("takes letters, digits, blanks and `'()+,-./:=?` only".into())
            }
            StringType::Ia5 if !value.is_ascii() => refuse("takes ASCII only".into()),
            _ => Ok(()),
        }
    }

    fn write_value(self, writer: DERWriter<'_>, value: &str) {
        match self.facts().2 {
            StringType::Utf8 => writer.write_utf8_string(value),
            // Its write_printable_string panics at `?`, which X.680 allows.
            StringType::Printable => writer.write_tagged_implicit(TAG_PRINTABLESTRING, |writer| {
                writer.write_bytes(value.as_bytes());
            }),
            StringType::Ia5 => writer.write_ia5_string(value),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Attribute {
    type Err = Error;

    /// A short name in any case (RFC 4514, 3).
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|attribute| attribute.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::Attribute {
                attribute: name.to_owned(),
                value: String::new(),
                reason: format!(
                    "is unknown; one of {}",
                    Self::ALL.map(Self::name).join(", ")
                ),
            })
    }
}

/// A subject: attributes from the most general to the most specific, one per RDN, repeats kept in order.
///
/// As text (RFC 4514) the order is the reverse: `CN=alice,OU=a,OU=b,DC=example` stands in the certificate as DC, OU=b, OU=a,
/// CN. `FromStr` reads that text; multi-valued RDNs (`CN=a+UID=b`) and `#hex` values are refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Subject(Vec<(Attribute, String)>);

impl Subject {
    /// A subject of nothing but `CN=<value>`.
    pub fn common_name(value: &str) -> Result<Self, Error> {
        Self::default().with(Attribute::CommonName, value)
    }

    /// Adds an attribute behind the others, thus more specific than they are.
    pub fn with(mut self, attribute: Attribute, value: impl Into<String>) -> Result<Self, Error> {
        let value = value.into();
        attribute.check(&value)?;
        self.0.push((attribute, value));
        Ok(self)
    }

    /// Whether there is no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The attributes in the order of the certificate.
    pub fn attributes(&self) -> &[(Attribute, String)] {
        &self.0
    }

    /// The `Name` in DER (RFC 5280, 4.1.2.4): `UTF8String`, but `PrintableString` and `IA5String` where the attribute demands it.
    pub fn to_der(&self) -> Vec<u8> {
        let names: Vec<Vec<u8>> = self
            .0
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
        for (index, (attribute, value)) in self.0.iter().rev().enumerate() {
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
                .ok_or_else(|| fail("a part has no `=`"))?;
            let value = unescape_value(value).map_err(fail)?;
            subject = subject.with(name.trim().parse()?, value)?;
        }
        Ok(subject)
    }
}

/// Escapes an attribute value as RFC 4514, 2.4 demands; UTF-8 stays as it is.
pub(in crate::pki) fn escape_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', character]),
            '#' if index == 0 => escaped.push_str("\\#"),
            ' ' if index == 0 || index == last => escaped.push_str("\\ "),
            control if control.is_ascii_control() => {
                // Writing into a String cannot fail.
                let _ = write!(escaped, "\\{:02X}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Control characters, and those that make text read in another order than it stands.
pub(in crate::pki) fn is_bad_character(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
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

/// RFC 4514, 3: `\` before a special character, or before two hexadecimal digits of a UTF-8 byte.
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
                            "a backslash stands before neither a special character nor two hexadecimal digits",
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

fn is_country(value: &str) -> bool {
    value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// X.680, 41.4.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
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
            .attributes()
            .iter()
            .map(|(attribute, _)| attribute.name())
            .collect();
        assert_eq!(names, ["DC", "OU", "CN"]);
        assert_eq!(subject.attributes()[1].1, "a");
    }

    #[test]
    fn hexadecimal_escapes_are_utf8_bytes() {
        let subject: Subject = "cn=Lu\\C4\\8Di\\C4\\87".parse().unwrap();
        assert_eq!(subject.to_string(), "CN=Lučić");
    }

    #[test]
    fn what_would_be_read_differently_elsewhere_is_refused() {
        for text in [
            "alice",
            "CN=",
            "CN=a+UID=b",
            "CN=#0403",
            "X=1",
            "CN=a;O=b",
            "CN=a\\",
            "CN=a\\zz",
            "CN=\\FF",
            "C=de",
            "C=DEU",
            "serialNumber=a_b",
            "DC=ü",
            "CN=a\\00b",
            "CN=\\+1\u{202e}",
            "CN=a,,O=b",
        ] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
        assert!(Subject::common_name(&"x".repeat(65)).is_err());
    }
}
