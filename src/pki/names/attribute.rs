//! The attributes of X.500 names, and their allowed values.

use super::Error;
use std::{fmt, str::FromStr};
use yasna::{DERWriter, tags::TAG_PRINTABLESTRING};

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

/// The string type that X.520 and RFC 5280 (appendix A) require for a value.
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

    pub(super) fn oid(self) -> &'static [u64] {
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

    pub(super) fn check(self, value: &str) -> Result<(), Error> {
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
                refuse("may only contain letters, digits, spaces and `'()+,-./:=?`".into())
            }
            StringType::Ia5 if !value.is_ascii() => refuse("may only contain ASCII".into()),
            _ => Ok(()),
        }
    }

    pub(super) fn write_value(self, writer: DERWriter<'_>, value: &str) {
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

    /// Reads a short name in any case (RFC 4514, 3).
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|attribute| attribute.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::Attribute {
                attribute: name.to_owned(),
                value: String::new(),
                reason: format!(
                    "is unknown; give one of {}",
                    Self::ALL.map(Self::name).join(", ")
                ),
            })
    }
}

fn is_country(value: &str) -> bool {
    value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether a byte is allowed in a `PrintableString` (X.680, 41.4).
pub(super) fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Whether a character is a control character, or one that changes the order in which text is
/// displayed.
pub fn is_bad_character(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}
