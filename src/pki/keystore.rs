//! PKCS#12 keystores (RFC 7292) that OpenSSL, Java, NSS, `GnuTLS`, macOS and Windows open.

use super::{inspect::Certificate, key::PrivateKey, public_key::key_id};
use p12_keystore::{EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKeyChain};
use thiserror::Error;
use zeroize::Zeroizing;

/// Iterations of the key derivation: as many as Java and NSS use; some 2.7 ms for the whole file.
const ITERATIONS: u32 = 10_000;

/// Why a keystore cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The password is empty, which some programs treat as no password, and others refuse.
    #[error("the keystore's password is empty; give one, or have it generated")]
    EmptyPassword,
    /// The password has characters that programs encode differently.
    #[error(
        "the keystore's password may hold printable ASCII only; programs disagree on how to encode anything else"
    )]
    Password,
    /// The name of the entry is not possible in a `BMPString`.
    #[error(
        "the keystore's entry name may hold neither control characters nor characters above U+FFFF (such as emoji); choose another"
    )]
    Alias,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate `{subject}`")]
    KeyMismatch {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// Encoding failed.
    #[error("writing the keystore failed: {0}")]
    Encoding(String),
}

/// The programs that must be able to open the keystore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// PBES2 with AES-256 and HMAC-SHA256, for current programs.
    #[default]
    Modern,
    /// Triple DES and HMAC-SHA1: macOS before 15 and Windows up to Server 2016 need it.
    Compat,
}

/// Encodes the key, the certificate and its issuers as one entry.
///
/// The salts are random, so the output differs each time.
pub fn pkcs12(
    key: &PrivateKey,
    leaf: &Certificate,
    chain: &[Certificate],
    password: &str,
    friendly_name: &str,
    profile: Profile,
) -> Result<Vec<u8>, Error> {
    check_password(password)?;
    check_alias(friendly_name)?;
    if !key.matches(leaf) {
        return Err(Error::KeyMismatch {
            subject: leaf.subject().to_owned(),
        });
    }
    let encoding = |error: p12_keystore::error::Error| Error::Encoding(error.to_string());
    let certificates = std::iter::once(leaf)
        .chain(chain)
        .map(|certificate| p12_keystore::Certificate::from_der(certificate.der()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(encoding)?;
    let private = p12_keystore::PrivateKey::from_der(key.pkcs8_der()).map_err(encoding)?;
    let entry = PrivateKeyChain::new(key_id(key.public_key_der()), private, certificates);
    let mut store = KeyStore::new();
    store.add_entry(friendly_name, KeyStoreEntry::PrivateKeyChain(entry));
    let (encryption, mac) = match profile {
        Profile::Modern => (
            EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
            MacAlgorithm::HmacSha256,
        ),
        Profile::Compat => (
            EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
            MacAlgorithm::HmacSha1,
        ),
    };
    store
        .writer(password)
        .encryption_algorithm(encryption)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(mac)
        .mac_iterations(ITERATIONS)
        .write()
        .map_err(encoding)
}

/// Refuses passwords that not every program reads the same way: empty, not ASCII, control characters.
pub fn check_password(password: &str) -> Result<(), Error> {
    if password.is_empty() {
        return Err(Error::EmptyPassword);
    }
    if !password.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Error::Password);
    }
    Ok(())
}

/// Refuses entry names that a `BMPString` cannot hold, and empty ones.
pub fn check_alias(name: &str) -> Result<(), Error> {
    let fits = |character: char| u32::from(character) <= 0xffff && !character.is_control();
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::Alias);
    }
    Ok(())
}

/// 24 characters, 140 bits: letters and digits without `0 O 1 I l`, all equally likely.
///
/// `random` returns bytes of a cryptographic generator; it is called again when they are used up.
pub fn generate_password<E>(
    mut random: impl FnMut() -> Result<[u8; 48], E>,
) -> Result<Zeroizing<String>, E> {
    const LENGTH: usize = 24;
    const ALPHABET: &[u8; 57] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    // Bytes from here on would make the first letters likelier.
    const USABLE: u8 = 228;
    let mut password = Zeroizing::new(String::with_capacity(LENGTH));
    while password.len() < LENGTH {
        let bytes = Zeroizing::new(random()?);
        let missing = LENGTH - password.len();
        password.extend(
            bytes
                .iter()
                .filter(|byte| **byte < USABLE)
                .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
                .take(missing),
        );
    }
    Ok(password)
}
