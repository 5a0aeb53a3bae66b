//! Encrypted PKCS#8 keys (RFC 5958, 3): reads PBES2 of any usual kind, writes PBKDF2-HMAC-SHA256 with AES-256-CBC, which every program
//! reads (`GnuTLS` does not support scrypt).

use super::{Error, PrivateKey};
use crate::pki::pem_text;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Encode, asn1::OctetStringRef};
use pkcs8::pkcs5::pbes2::Parameters;
use zeroize::Zeroizing;

/// Iterations of PBKDF2, some 25 ms.
const ITERATIONS: u32 = 100_000;
const LABEL: &str = "ENCRYPTED PRIVATE KEY";

impl PrivateKey {
    /// Reads the one encrypted PKCS#8 key of a PEM text.
    pub fn from_encrypted_pem(pem: impl AsRef<[u8]>, password: &str) -> Result<Self, Error> {
        let blocks = pem_text::blocks(pem.as_ref())?;
        let block = blocks
            .iter()
            .find(|block| block.tag() == LABEL)
            .ok_or(Error::Encrypted)?;
        let encrypted = EncryptedPrivateKeyInfoRef::try_from(block.contents())
            .map_err(|_| Error::UnknownEncryption)?;
        let plain = encrypted
            .encryption_algorithm
            .decrypt(password, encrypted.encrypted_data.as_ref())
            .map(Zeroizing::new)
            .map_err(|_| Error::WrongPassword)?;
        // A wrong password sometimes leaves bytes that look whole.
        Self::from_pkcs8(&plain).map_err(|error| match error {
            Error::Damaged => Error::WrongPassword,
            other => other,
        })
    }

    /// The key as encrypted PKCS#8 PEM. `random`: 32 bytes from a cryptographic generator, for salt and IV.
    pub fn to_encrypted_pem(
        &self,
        password: &str,
        random: [u8; 32],
    ) -> Result<Zeroizing<String>, Error> {
        let (salt, iv) = random.split_at(16);
        let iv = iv.try_into().map_err(|_| Error::Library)?;
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, salt, iv)
            .map_err(|_| Error::Library)?;
        let data = parameters
            .encrypt(password, self.pkcs8_der())
            .map_err(|_| Error::Library)?;
        let encrypted = EncryptedPrivateKeyInfoRef {
            encryption_algorithm: parameters.into(),
            encrypted_data: OctetStringRef::new(&data).map_err(|_| Error::Library)?,
        };
        let der = encrypted.to_der().map_err(|_| Error::Library)?;
        Ok(pem_text::encode(LABEL, &der))
    }
}
