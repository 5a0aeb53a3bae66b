//! Builds certificates and CRLs with rcgen, inserts the exact names, and signs.
//!
//! rcgen's `DistinguishedName` keeps one value per attribute and re-encodes strings, so a certificate would name an issuer with two `OU`s
//! differently than the issuer's own certificate does, and no verifier would find the issuer. Therefore rcgen encodes everything but the
//! names, with an empty signature; then the names are inserted byte by byte, and the result is signed.

use super::{der, inspect::Certificate, key::PrivateKey};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, PublicKeyData,
    SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo,
};
use thiserror::Error;

/// The encoder or the signature failed. Requests are checked before, so this is a defect of this program or a library.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("encoding or signing failed: {0}")]
pub struct Error(String);

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

/// The signing key, with the issuer's name and key identifier.
pub(super) struct Signer<'a> {
    pub(super) name: &'a [u8],
    pub(super) key_id: Vec<u8>,
    pub(super) key: &'a PrivateKey,
}

impl<'a> Signer<'a> {
    pub(super) fn of(certificate: &'a Certificate, key: &'a PrivateKey) -> Self {
        Self {
            name: certificate.subject_der(),
            key_id: certificate.key_id(),
            key,
        }
    }

    fn issuer(&self) -> Issuer<'static, Unsigned> {
        let mut params = CertificateParams::default();
        params.key_identifier_method = KeyIdMethod::PreSpecified(self.key_id.clone());
        Issuer::new(params, Unsigned(self.key.algorithm()))
    }

    /// Replaces elements of the unsigned part by position, and signs the result.
    fn sign(&self, unsigned: &[u8], replacements: &[(usize, &[u8])]) -> Result<Vec<u8>, Error> {
        let broken = || Error("unexpected structure".to_owned());
        let mut outer = der::elements(unsigned).ok_or_else(broken)?;
        let mut signed = outer
            .first()
            .and_then(|signed| der::elements(signed))
            .ok_or_else(broken)?;
        for (position, name) in replacements {
            *signed.get_mut(*position).ok_or_else(broken)? = name.to_vec();
        }
        let signed = der::sequence(&signed);
        let signature = der::bit_string(&self.key.sign(&signed)?);
        outer[0] = signed;
        *outer.get_mut(2).ok_or_else(broken)? = signature;
        Ok(der::sequence(&outer))
    }

    /// A certificate over `public_key` (`SubjectPublicKeyInfo`, DER) for the subject (`Name`, DER).
    pub(super) fn certificate(
        &self,
        params: &CertificateParams,
        public_key: &[u8],
        subject: &[u8],
    ) -> Result<Vec<u8>, Error> {
        // RFC 5280, 4.1: version, serialNumber, signature, issuer, validity, subject, …
        const ISSUER: usize = 3;
        const SUBJECT: usize = 5;
        let public_key = SubjectPublicKeyInfo::from_der(public_key)?;
        let unsigned = params.signed_by(&public_key, &self.issuer())?;
        self.sign(unsigned.der(), &[(ISSUER, self.name), (SUBJECT, subject)])
    }

    /// A signing request (PKCS#10) for the signer's own key, under its own name.
    pub(super) fn request(&self, params: &CertificateParams) -> Result<Vec<u8>, Error> {
        // RFC 2986, 4.1: version, subject, …
        const SUBJECT: usize = 1;
        let unnamed = params.serialize_request(self.key)?;
        self.sign(unnamed.der(), &[(SUBJECT, self.name)])
    }

    /// A certificate revocation list.
    pub(super) fn crl(
        &self,
        mut params: CertificateRevocationListParams,
    ) -> Result<Vec<u8>, Error> {
        // RFC 5280, 5.1: version, signature, issuer, …
        const ISSUER: usize = 2;
        params.key_identifier_method = KeyIdMethod::PreSpecified(self.key_id.clone());
        let unsigned = params.signed_by(&self.issuer())?;
        self.sign(unsigned.der(), &[(ISSUER, self.name)])
    }
}

/// A key for rcgen that only names the algorithm and makes an empty signature.
struct Unsigned(&'static SignatureAlgorithm);

impl PublicKeyData for Unsigned {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0
    }
}

impl SigningKey for Unsigned {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}
