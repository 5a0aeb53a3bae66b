//! X.500 names as text.

use super::attribute::{Attribute, is_printable};
use crate::pki::sha256;
use std::fmt::Write;
use x509_parser::{
    asn1_rs::{Any, Tag, ToDer},
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// RFC 4514 text of a name: most specific attribute first, `+` within a multi-valued RDN, UTF-8
/// unescaped.
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

/// RFC 4514 text of a name in DER; anything else is shown as hexadecimal.
pub fn name_text(der: &[u8]) -> String {
    X509Name::from_der(der).map_or_else(|_| sha256::hex(der), |(_, name)| rfc4514(&name))
}

/// The values of a name in DER, as text if they are text; `None` if the bytes are not exactly one name.
pub(super) fn name_values(der: &[u8]) -> Option<Vec<String>> {
    let (rest, name) = X509Name::from_der(der).ok()?;
    let shown = |attribute: &AttributeTypeAndValue<'_>| {
        text(attribute).unwrap_or_else(|| sha256::hex(attribute.attr_value().data))
    };
    rest.is_empty()
        .then(|| name.iter_attributes().map(shown).collect())
}

/// The common names in a name in DER that are text; none if the name is damaged.
pub(super) fn common_names(der: &[u8]) -> Vec<String> {
    let Ok((_, name)) = X509Name::from_der(der) else {
        return Vec::new();
    };
    name.iter_common_name().filter_map(text).collect()
}

/// The attributes that two names in DER do not have alike, by their short names; `subject` if only the order differs.
pub fn differing_attributes(one: &[u8], other: &[u8]) -> Vec<String> {
    let pairs = |der| {
        let (_, name) = X509Name::from_der(der).ok()?;
        let pairs = name.iter_attributes().map(|attribute| {
            let text = pair(attribute);
            let (key, value) = text.split_once('=').unwrap_or_default();
            (key.to_owned(), value.to_owned())
        });
        Some(pairs.collect::<Vec<_>>())
    };
    let subject = || vec!["subject".to_owned()];
    let (Some(one), Some(other)) = (pairs(one), pairs(other)) else {
        return subject();
    };
    let values = |pairs: &[(String, String)], key: &str| -> Vec<String> {
        let own = pairs.iter().filter(|(known, _)| known == key);
        own.map(|(_, value)| value.clone()).collect()
    };
    let mut differing: Vec<String> = Vec::new();
    for (key, _) in one.iter().chain(&other) {
        if !differing.contains(key) && values(&one, key) != values(&other, key) {
            differing.push(key.clone());
        }
    }
    if differing.is_empty() && one != other {
        return subject();
    }
    differing
}

/// Why some libraries would fail on a name in DER, or change it: a value that its string type does not allow, or that is not text (X.680,
/// 41; OpenSSL's `ASN1_STRING_to_UTF8`).
pub(super) fn name_fault(der: &[u8]) -> Option<&'static str> {
    let Ok((_, name)) = X509Name::from_der(der) else {
        return Some("the name is damaged");
    };
    name.iter_attributes()
        .find_map(|attribute| value_fault(attribute.attr_value()))
}

fn value_fault(value: &Any<'_>) -> Option<&'static str> {
    let data = value.data;
    let is_scalar = |unit: &[u8]| {
        let bytes = unit
            .iter()
            .fold(0, |scalar, byte| scalar << 8 | u32::from(*byte));
        char::from_u32(bytes).is_some()
    };
    let units =
        |width: usize| data.len().is_multiple_of(width) && data.chunks(width).all(is_scalar);
    let is_text = match value.header.tag() {
        _ if value.header.is_constructed() => false,
        Tag::Utf8String => std::str::from_utf8(data).is_ok(),
        Tag::PrintableString => data.iter().copied().all(is_printable),
        Tag::Ia5String => data.is_ascii(),
        Tag::NumericString => data
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b' '),
        Tag::T61String => true,
        Tag::BmpString => units(2),
        Tag::UniversalString => units(4),
        // `VisibleString` among them: it is not of the types that OpenSSL reads in names (`ASN1_PRINTABLE`).
        _ => return Some("a value of the name has an unsupported ASN.1 type"),
    };
    (!is_text).then_some("a value of the name has characters that its string type does not allow")
}

/// Whether a verifier treats two names as the same: case, runs of blanks (RFC 5280, 7.1) and string types do not count.
pub(in crate::pki) fn same_name(one: &str, other: &str) -> bool {
    comparable(one) == comparable(other)
}

/// The text by which a verifier compares a name.
pub fn comparable(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Escapes an attribute value as RFC 4514, 2.4 demands; UTF-8 stays as it is.
pub(super) fn escape_value(value: &str) -> String {
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
