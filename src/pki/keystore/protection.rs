//! How the parts of a keystore are encrypted, and the whole is protected against changes.

use super::kdf::{Purpose, derive};
use super::{Error, ITERATIONS, Profile};
use aws_lc_rs::{
    cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256},
    hmac,
    iv::FixedLength,
    pbkdf2,
};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use std::num::NonZeroU32;
use yasna::{DERWriter, models::ObjectIdentifier};
use zeroize::Zeroizing;

const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const AES_256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA_AND_TRIPLE_DES: &[u64] = &[1, 2, 840, 113_549, 1, 12, 1, 3];
const SHA_1: &[u64] = &[1, 3, 14, 3, 2, 26];
const SHA_256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

/// Random bytes for one encrypted part.
#[derive(Clone, Copy)]
pub(super) struct Random<'a> {
    pub salt: &'a [u8; 16],
    /// Used where the profile does not derive it from the password.
    pub iv: &'a [u8; 16],
}

/// An encrypted part: its `AlgorithmIdentifier` in DER, and the ciphertext.
pub(super) struct Encrypted {
    pub algorithm: Vec<u8>,
    pub data: Vec<u8>,
}

/// Encrypts a part.
pub(super) fn encrypt(
    plain: &[u8],
    password: &str,
    profile: Profile,
    random: Random<'_>,
) -> Result<Encrypted, Error> {
    match profile {
        Profile::Modern => aes_256(plain, password, random),
        Profile::Compat => triple_des(plain, password, random.salt),
    }
}

/// PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018, appendix A).
fn aes_256(plain: &[u8], password: &str, random: Random<'_>) -> Result<Encrypted, Error> {
    let iterations = NonZeroU32::new(ITERATIONS).ok_or(Error::Library)?;
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        random.salt,
        password.as_bytes(),
        key.as_mut_slice(),
    );
    let key = UnboundCipherKey::new(&AES_256, key.as_slice()).map_err(|_| Error::Library)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| Error::Library)?;
    let mut data = plain.to_vec();
    let iv = EncryptionContext::Iv128(FixedLength::from(random.iv));
    key.less_safe_encrypt(&mut data, iv)
        .map_err(|_| Error::Library)?;
    let algorithm = yasna::construct_der(|writer| {
        algorithm(writer, PBES2, |parameters| {
            parameters.write_sequence(|parts| {
                algorithm(parts.next(), PBKDF2, |parameters| {
                    parameters.write_sequence(|parts| {
                        parts.next().write_bytes(random.salt);
                        parts.next().write_u32(ITERATIONS);
                        algorithm(parts.next(), HMAC_SHA256, no_parameters);
                    });
                });
                algorithm(parts.next(), AES_256_CBC, |parameters| {
                    parameters.write_bytes(random.iv);
                });
            });
        });
    });
    Ok(Encrypted { algorithm, data })
}

/// `pbeWithSHAAnd3-KeyTripleDES-CBC` (RFC 7292, appendix C).
fn triple_des(plain: &[u8], password: &str, salt: &[u8; 16]) -> Result<Encrypted, Error> {
    let derived = |purpose, length| {
        derive(
            &SHA1_FOR_LEGACY_USE_ONLY,
            password,
            salt,
            ITERATIONS,
            purpose,
            length,
        )
    };
    let (key, iv) = (derived(Purpose::Encryption, 24), derived(Purpose::Iv, 8));
    let cipher =
        cbc::Encryptor::<des::TdesEde3>::new_from_slices(&key, &iv).map_err(|_| Error::Library)?;
    let algorithm = yasna::construct_der(|writer| {
        algorithm(writer, SHA_AND_TRIPLE_DES, |parameters| {
            parameters.write_sequence(|parts| {
                parts.next().write_bytes(salt);
                parts.next().write_u32(ITERATIONS);
            });
        });
    });
    Ok(Encrypted {
        algorithm,
        data: cipher.encrypt_padded_vec::<Pkcs7>(plain),
    })
}

/// The `MacData` over the whole content (RFC 7292, 4).
pub(super) fn mac(content: &[u8], password: &str, profile: Profile, salt: &[u8; 16]) -> Vec<u8> {
    let (hash, mac, name): (&'static Algorithm, _, _) = match profile {
        Profile::Modern => (&SHA256, hmac::HMAC_SHA256, SHA_256),
        Profile::Compat => (
            &SHA1_FOR_LEGACY_USE_ONLY,
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            SHA_1,
        ),
    };
    let key = derive(
        hash,
        password,
        salt,
        ITERATIONS,
        Purpose::Mac,
        hash.output_len(),
    );
    let tag = hmac::sign(&hmac::Key::new(mac, &key), content);
    yasna::construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_sequence(|digest| {
                algorithm(digest.next(), name, no_parameters);
                digest.next().write_bytes(tag.as_ref());
            });
            parts.next().write_bytes(salt);
            parts.next().write_u32(ITERATIONS);
        });
    })
}

fn algorithm(writer: DERWriter<'_>, name: &[u64], parameters: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|parts| {
        parts.next().write_oid(&ObjectIdentifier::from_slice(name));
        parameters(parts.next());
    });
}

fn no_parameters(writer: DERWriter<'_>) {
    writer.write_null();
}
