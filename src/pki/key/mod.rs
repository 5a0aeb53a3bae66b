//! Private keys.

mod encrypted;

use super::{
    inspect::Certificate,
    pem_text,
    public_key::{OID_EC, OID_ED25519, OID_RSA, PublicKeyKind, algorithm_name, public_bits},
    sha256,
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use std::{fmt, str::FromStr};
use thiserror::Error;
use x509_parser::{
    asn1_rs::{Integer, Sequence},
    prelude::FromDer,
    x509::AlgorithmIdentifier,
};
use zeroize::Zeroizing;

/// Why a private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes are not PEM.
    #[error("private key: {0}")]
    Pem(#[from] pem_text::Error),
    /// PEM without a key.
    #[error(
        "no private key: the file holds `{label}`; a key starts with `-----BEGIN PRIVATE KEY-----`"
    )]
    NotAKey {
        /// Label of the first block.
        label: String,
    },
    /// More than one key.
    #[error("{count} private keys in one file; keep the one that belongs to the certificate")]
    Several {
        /// The number of keys.
        count: usize,
    },
    /// Encrypted PKCS#8, or the older `Proc-Type: 4,ENCRYPTED`.
    #[error("private key is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN`")]
    Encrypted,
    /// Encrypted in a way that is not supported: PKCS#5 v1.5, or an old cipher.
    #[error(
        "private key is encrypted in an unsupported way; convert it with `openssl pkcs8 -topk8 -in KEY -out NEW`"
    )]
    UnknownEncryption,
    /// The password does not decrypt the key.
    #[error("the password does not open the private key")]
    WrongPassword,
    /// A PEM block with the label of a key, but other contents.
    #[error("private key is damaged")]
    Damaged,
    /// A key of a type or size that cannot be used.
    #[error(
        "private key is of an unsupported type ({0}); use P-256, P-384, or RSA of 2048 bits or more"
    )]
    Unsupported(String),
    /// The random generator or the library failed.
    #[error("key operation failed in the cryptographic library")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for Error {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

/// The types of keys that are generated: those that Envoy accepts in a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyType {
    /// ECDSA on NIST P-256.
    #[default]
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

impl KeyType {
    /// Every type, in the order in which help shows them.
    pub const ALL: [Self; 5] = [
        Self::P256,
        Self::P384,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// The type of a public key (`SubjectPublicKeyInfo`, DER); `None` for types that this plugin does not generate.
    pub fn of(public_key: &[u8]) -> Option<Self> {
        match PublicKeyKind::of(public_key) {
            PublicKeyKind::P256 => Some(Self::P256),
            PublicKeyKind::P384 => Some(Self::P384),
            PublicKeyKind::Rsa(2048) => Some(Self::Rsa2048),
            PublicKeyKind::Rsa(3072) => Some(Self::Rsa3072),
            PublicKeyKind::Rsa(4096) => Some(Self::Rsa4096),
            _ => None,
        }
    }

    /// The type's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a [`KeyType`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown key type `{0}`; one of p256, p384, rsa2048, rsa3072, rsa4096")]
pub struct UnknownKeyType(String);

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(name: &str) -> Result<Self, UnknownKeyType> {
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.name() == name)
            .ok_or_else(|| UnknownKeyType(name.to_owned()))
    }
}

/// An unencrypted private key.
///
/// The PKCS#8 bytes are wiped when dropped, and so is the library's own copy (aws-lc wipes memory that it frees). `Debug` shows only the
/// type and the public key's hash.
pub struct PrivateKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair, &'static rcgen::SignatureAlgorithm),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Generates a key. The randomness is aws-lc-rs's own. P-256 takes some 20 µs, RSA 2048 some 80 ms.
    pub fn generate(key_type: KeyType) -> Result<Self, Error> {
        let rsa = |size| RsaKeyPair::generate(size).map(Pair::Rsa);
        let pair = match key_type {
            KeyType::P256 => Pair::Ecdsa(EcdsaKeyPair::generate(P256.0)?, P256.1),
            KeyType::P384 => Pair::Ecdsa(EcdsaKeyPair::generate(P384.0)?, P384.1),
            KeyType::Rsa2048 => rsa(KeySize::Rsa2048)?,
            KeyType::Rsa3072 => rsa(KeySize::Rsa3072)?,
            KeyType::Rsa4096 => rsa(KeySize::Rsa4096)?,
        };
        Self::from_pair(pair)
    }

    /// Reads one PEM key: PKCS#8, SEC1 (`EC PRIVATE KEY`, after an optional `EC PARAMETERS`) or PKCS#1.
    ///
    /// Accepts P-256, P-384, P-521, RSA from 2048 to 8192 bits, and Ed25519: a CA may have any of them. Certificates in the same file are
    /// ignored.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let blocks = pem_text::blocks(pem.as_ref())?;
        let first = blocks.first().map_or("", pem::Pem::tag).to_owned();
        let mut keys: Vec<pem::Pem> = blocks
            .into_iter()
            .filter(|block| block.tag().ends_with("PRIVATE KEY"))
            .collect();
        if keys.len() > 1 {
            return Err(Error::Several { count: keys.len() });
        }
        let key = keys.pop().ok_or(Error::NotAKey { label: first })?;
        let encrypted = key.tag() == "ENCRYPTED PRIVATE KEY"
            || key
                .headers()
                .get("Proc-Type")
                .is_some_and(|kind| kind.contains("ENCRYPTED"));
        if encrypted {
            return Err(Error::Encrypted);
        }
        let label = key.tag().to_owned();
        let contents = Zeroizing::new(key.into_contents());
        match label.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8(&contents),
            "EC PRIVATE KEY" => ecdsa(&contents)
                .ok_or(Error::Damaged)
                .and_then(Self::from_pair),
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(&contents)).and_then(Self::from_pair),
            _ => Err(Error::NotAKey { label }),
        }
    }

    /// Reads an unencrypted PKCS#8 key in DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let algorithm = pkcs8_algorithm(der).ok_or(Error::Damaged)?;
        let pair = match algorithm.as_str() {
            OID_EC => ecdsa(der).ok_or_else(|| Error::Unsupported("elliptic curve".into()))?,
            OID_RSA => rsa(RsaKeyPair::from_pkcs8(der))?,
            OID_ED25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(Pair::Ed25519)
                .map_err(|_| Error::Damaged)?,
            other => return Err(Error::Unsupported(algorithm_name(other).to_owned())),
        };
        Self::from_pair(pair)
    }

    fn from_pair(pair: Pair) -> Result<Self, Error> {
        let (pkcs8, public) = match &pair {
            Pair::Ecdsa(key, _) => (
                key.to_pkcs8v1()?.as_ref().to_vec(),
                AsDer::<PublicKeyX509Der>::as_der(key.public_key())?,
            ),
            Pair::Rsa(key) => (
                AsDer::<Pkcs8V1Der>::as_der(key)?.as_ref().to_vec(),
                AsDer::<PublicKeyX509Der>::as_der(key.public_key())?,
            ),
            Pair::Ed25519(key) => (
                key.to_pkcs8v1()?.as_ref().to_vec(),
                AsDer::<PublicKeyX509Der>::as_der(key.public_key())?,
            ),
        };
        let public = public.as_ref().to_vec();
        Ok(Self {
            pkcs8: Zeroizing::new(pkcs8),
            public,
            pair,
        })
    }

    /// The key as PKCS#8 PEM (`PRIVATE KEY`), LF, 64 columns; wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem_text::encode("PRIVATE KEY", &self.pkcs8)
    }

    /// The key as PKCS#8 in DER.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key as `SubjectPublicKeyInfo` in DER (RFC 5280, 4.1).
    pub fn public_key_der(&self) -> &[u8] {
        &self.public
    }

    /// The kind of the key.
    pub fn kind(&self) -> PublicKeyKind {
        PublicKeyKind::of(&self.public)
    }

    /// Whether the certificate is for this key.
    pub fn matches(&self, certificate: &Certificate) -> bool {
        public_bits(&self.public).is_some_and(|bits| {
            Some(bits) == public_bits(certificate.public_key_der())
                && self.kind() == PublicKeyKind::of(certificate.public_key_der())
        })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("kind", &self.kind().to_string())
            .field("public_sha256", &sha256::hex_digest(&self.public))
            .finish_non_exhaustive()
    }
}

impl rcgen::PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Ecdsa(key, _) => key.public_key().as_ref(),
            Pair::Rsa(key) => key.public_key().as_ref(),
            Pair::Ed25519(key) => key.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match &self.pair {
            Pair::Ecdsa(_, algorithm) => algorithm,
            Pair::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
            Pair::Ed25519(_) => &rcgen::PKCS_ED25519,
        }
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(key, _) => key
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &random,
                    message,
                    &mut signature,
                )
                .map(|()| signature)
            }
            Pair::Ed25519(key) => key
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec()),
        }
        .map_err(|_| rcgen::Error::RingUnspecified)
    }
}

type Curve = (
    &'static EcdsaSigningAlgorithm,
    &'static rcgen::SignatureAlgorithm,
);
const P256: Curve = (
    &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    &rcgen::PKCS_ECDSA_P256_SHA256,
);
const P384: Curve = (
    &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
    &rcgen::PKCS_ECDSA_P384_SHA384,
);
const P521: Curve = (
    &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
    &rcgen::PKCS_ECDSA_P521_SHA512,
);

/// A key of one of the three NIST curves, as PKCS#8 or SEC1.
fn ecdsa(der: &[u8]) -> Option<Pair> {
    [P256, P384, P521].into_iter().find_map(|(curve, name)| {
        EcdsaKeyPair::from_private_key_der(curve, der)
            .ok()
            .map(|key| Pair::Ecdsa(key, name))
    })
}

fn rsa(key: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>) -> Result<Pair, Error> {
    key.map(Pair::Rsa)
        .map_err(|rejected| match rejected.to_string().as_str() {
            "TooSmall" => Error::Unsupported("RSA of less than 2048 bits".into()),
            "TooLarge" => Error::Unsupported("RSA of more than 8192 bits".into()),
            _ => Error::Damaged,
        })
}

/// The algorithm of a PKCS#8 key (RFC 5958, 2), as dotted text. Copies nothing of the key.
fn pkcs8_algorithm(der: &[u8]) -> Option<String> {
    let (_, info) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&info.content).ok()?;
    let (_, algorithm) = AlgorithmIdentifier::from_der(rest).ok()?;
    Some(algorithm.algorithm.to_id_string())
}
