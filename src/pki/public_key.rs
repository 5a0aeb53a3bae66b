//! Public keys: their kinds and identifiers.

use std::{borrow::Cow, fmt};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};

pub(super) const OID_EC: &str = "1.2.840.10045.2.1";
pub(super) const OID_RSA: &str = "1.2.840.113549.1.1.1";
pub(super) const OID_ED25519: &str = "1.3.101.112";

/// The kind of a public key, as far as trust decisions depend on it. `Display` gives `P-256`, `RSA 2048`, `Ed25519`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// RSA with the modulus' size in bits.
    Rsa(usize),
    /// Edwards-curve signatures on Curve25519.
    Ed25519,
    /// Any other kind: its name if known, else its dotted object identifier.
    Other(String),
}

impl PublicKeyKind {
    /// Reads a `SubjectPublicKeyInfo` in DER; anything unreadable is `Other`.
    pub fn of(spki: &[u8]) -> Self {
        let Ok((_, key)) = SubjectPublicKeyInfo::from_der(spki) else {
            return Self::Other("unreadable".to_owned());
        };
        match key.algorithm.algorithm.to_id_string().as_str() {
            OID_EC => {
                let curve = key
                    .algorithm
                    .parameters
                    .as_ref()
                    .and_then(|p| p.as_oid().ok());
                match curve.map(|curve| curve.to_id_string()).as_deref() {
                    Some("1.2.840.10045.3.1.7") => Self::P256,
                    Some("1.3.132.0.34") => Self::P384,
                    Some("1.3.132.0.35") => Self::P521,
                    Some(other) => Self::Other(format!("elliptic curve {other}")),
                    None => Self::Other("elliptic curve with explicit parameters".to_owned()),
                }
            }
            OID_RSA => match key.parsed() {
                Ok(x509_parser::public_key::PublicKey::RSA(rsa)) => Self::Rsa(bits(rsa.modulus)),
                _ => Self::Other("unreadable RSA".to_owned()),
            },
            OID_ED25519 => Self::Ed25519,
            other => Self::Other(algorithm_name(other).to_owned()),
        }
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::P521 => f.write_str("P-521"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The name of an algorithm that is not supported here, or its object identifier.
pub(super) fn algorithm_name(oid: &str) -> &str {
    match oid {
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.113" => "Ed448",
        "1.3.101.110" => "X25519",
        other => other,
    }
}

/// The bits of the key in a `SubjectPublicKeyInfo`, without the algorithm.
pub(super) fn public_bits(spki: &[u8]) -> Option<&[u8]> {
    let (_, key) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    match key.subject_public_key.data {
        Cow::Borrowed(bits) => Some(bits),
        Cow::Owned(_) => None,
    }
}

/// The subject key identifier that rcgen computes: the first 160 bits of SHA-256 over the public key's DER (RFC 7093, 2, method 4).
pub(super) fn key_id(public_key: &[u8]) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public_key);
    digest.as_ref()[..20].to_vec()
}

fn bits(modulus: &[u8]) -> usize {
    let start = modulus.iter().take_while(|byte| **byte == 0).count();
    let top = modulus
        .get(start)
        .map_or(0, |byte| byte.leading_zeros() as usize);
    (modulus.len() - start) * 8 - top
}
