//! The parts of a keystore (RFC 7292, 4).

use super::protection::Encrypted;
use yasna::{DERWriter, Tag, construct_der, models::ObjectIdentifier};

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
const SHROUDED_KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERT_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 20];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];

/// What programs show of a bag, and how they find the certificate of a key.
#[derive(Clone, Copy)]
pub(super) struct Label<'a> {
    pub friendly_name: &'a str,
    pub key_id: &'a [u8],
}

/// A certificate; the CAs above the client have no label.
pub(super) fn certificate(der: &[u8], label: Option<Label<'_>>) -> Vec<u8> {
    bag(CERT_BAG, label, |value| {
        value.write_sequence(|parts| {
            write_oid(parts.next(), X509_CERTIFICATE);
            explicit(parts.next(), |content| content.write_bytes(der));
        });
    })
}

/// An encrypted private key.
pub(super) fn key(key: &Encrypted, label: Label<'_>) -> Vec<u8> {
    bag(SHROUDED_KEY_BAG, Some(label), |value| {
        value.write_sequence(|parts| {
            parts.next().write_der(&key.algorithm);
            parts.next().write_bytes(&key.data);
        });
    })
}

/// Bags as they are.
pub(super) fn data(bags: &[u8]) -> Vec<u8> {
    content(DATA, |content| content.write_bytes(bags))
}

/// Bags that were encrypted together.
pub(super) fn encrypted(bags: &Encrypted) -> Vec<u8> {
    content(ENCRYPTED_DATA, |content| {
        content.write_sequence(|parts| {
            parts.next().write_u32(0);
            parts.next().write_sequence(|parts| {
                write_oid(parts.next(), DATA);
                parts.next().write_der(&bags.algorithm);
                parts.next().write_tagged_implicit(Tag::context(0), |data| {
                    data.write_bytes(&bags.data);
                });
            });
        });
    })
}

/// The whole file.
pub(super) fn file(safe: &[u8], mac: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_u32(3);
            parts.next().write_der(&data(safe));
            parts.next().write_der(mac);
        });
    })
}

fn bag(kind: &[u64], label: Option<Label<'_>>, value: impl FnOnce(DERWriter<'_>)) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            write_oid(parts.next(), kind);
            explicit(parts.next(), value);
            if let Some(label) = label {
                parts.next().write_set_of(|attributes| {
                    attribute(attributes.next(), FRIENDLY_NAME, |value| {
                        value.write_bmp_string(label.friendly_name);
                    });
                    attribute(attributes.next(), LOCAL_KEY_ID, |value| {
                        value.write_bytes(label.key_id);
                    });
                });
            }
        });
    })
}

fn attribute(writer: DERWriter<'_>, kind: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|parts| {
        write_oid(parts.next(), kind);
        parts.next().write_set_of(|values| value(values.next()));
    });
}

fn content(kind: &[u64], value: impl FnOnce(DERWriter<'_>)) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            write_oid(parts.next(), kind);
            explicit(parts.next(), value);
        });
    })
}

fn explicit(writer: DERWriter<'_>, value: impl FnOnce(DERWriter<'_>)) {
    writer.write_tagged(Tag::context(0), value);
}

fn write_oid(writer: DERWriter<'_>, name: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(name));
}
