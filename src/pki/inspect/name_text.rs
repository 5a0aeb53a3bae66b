//! X.500 names as text.

use crate::pki::{
    names::{Attribute, escape_value},
    sha256,
};
use x509_parser::{
    asn1_rs::{Tag, ToDer},
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// RFC 4514 text: most specific first, `+` within a multi-valued RDN, UTF-8 unescaped.
///
/// Attributes without a short name appear as `1.2.3.4=#hex`.
pub(in crate::pki) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| rdn.iter().map(pair).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

/// RFC 4514 text of a name in DER; what is no name is shown as hexadecimal.
pub fn name_text(der: &[u8]) -> String {
    X509Name::from_der(der).map_or_else(|_| sha256::hex(der), |(_, name)| rfc4514(&name))
}

/// The values of a name in DER, as text where they are text; `None` where it is no name, or more than one.
pub(in crate::pki) fn name_values(der: &[u8]) -> Option<Vec<String>> {
    let (rest, name) = X509Name::from_der(der).ok()?;
    let shown = |attribute: &AttributeTypeAndValue<'_>| {
        text(attribute).unwrap_or_else(|| sha256::hex(attribute.attr_value().data))
    };
    rest.is_empty()
        .then(|| name.iter_attributes().map(shown).collect())
}

/// Whether two names are the same to a verifier: case and runs of blanks do not count (RFC 5280, 7.1), string types neither.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let canonical = |name: &str| {
        name.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    canonical(one) == canonical(other)
}

fn pair(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let known = oid
        .iter()
        .and_then(|components| Attribute::from_oid(&components.collect::<Vec<_>>()));
    match (known, text(attribute)) {
        (Some(known), Some(value)) => format!("{known}={}", escape_value(&value)),
        (known, _) => {
            let name = known.map_or_else(|| oid.to_id_string(), |known| known.to_string());
            let value = attribute.attr_value().to_der_vec().unwrap_or_default();
            format!("{name}=#{}", sha256::hex(&value))
        }
    }
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.header.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => String::from_utf8(value.data.to_vec()).ok(),
        // T.61 is Latin-1 in practice.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units: Vec<u16> = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).ok()
        }
        Tag::UniversalString => value
            .data
            .chunks_exact(4)
            .map(|unit| char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]])))
            .collect(),
        _ => None,
    }
}
