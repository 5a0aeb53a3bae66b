//! The facts in a certificate, whoever issued it.
//!
//! Facts are read once, when the certificate is read; after that nothing can fail.

mod extensions;
mod host;
mod signature;

pub(super) use signature::verifies;

use super::{
    der,
    names::{rfc4514, same_name},
    pem_text,
    public_key::{self, PublicKeyKind},
    serial::Serial,
    sha256,
};
use extensions::Extensions;
use std::{fmt, net::IpAddr};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes are not PEM.
    #[error("certificate: {0}")]
    Pem(#[from] pem_text::Error),
    /// A PEM block of another kind.
    #[error("expected a certificate, found a PEM block `{label}`")]
    NotACertificate {
        /// Label of the block.
        label: String,
    },
    /// There are several certificates where one is expected.
    #[error("{count} certificates where one is expected; keep the right one")]
    Several {
        /// The number of certificates.
        count: usize,
    },
    /// DER that is not a certificate, or one that contradicts itself.
    #[error("certificate is damaged: {0}")]
    Damaged(String),
}

/// An X.509 certificate and the facts in it. Two certificates are equal if their DER is.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    version: u32,
    serial: Serial,
    has_negative_serial: bool,
    subject: String,
    subject_der: Vec<u8>,
    issuer: String,
    issuer_der: Vec<u8>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    public_key: Vec<u8>,
    extensions: Extensions,
}

/// The identifier of a CA, or of another certificate, in every output: the first eight digits of its fingerprint.
pub fn id_of(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

impl Certificate {
    /// Reads one certificate in DER; no bytes may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &dyn fmt::Display| Error::Damaged(reason.to_string());
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| damaged(&error))?;
        if !rest.is_empty() {
            return Err(damaged(&"extra bytes at the end"));
        }
        // [0] version, serialNumber, signature.
        if !der::is_signed(der, 0xa0, 1) {
            return Err(damaged(&"not DER, or two different signature algorithms"));
        }
        Ok(Self {
            der: der.to_vec(),
            version: parsed.version().0 + 1,
            serial: Serial::from_be_bytes(parsed.raw_serial()),
            has_negative_serial: parsed
                .raw_serial()
                .first()
                .is_some_and(|byte| byte & 0x80 != 0),
            subject: rfc4514(parsed.subject()),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer: rfc4514(parsed.issuer()),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            public_key: parsed.public_key().raw.to_vec(),
            extensions: Extensions::of(&parsed).map_err(|error| damaged(&error))?,
        })
    }

    /// Reads a PEM text that holds exactly one certificate and nothing else.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut certificates = Self::many_from_pem(pem)?;
        match certificates.len() {
            1 => Ok(certificates.remove(0)),
            count => Err(Error::Several { count }),
        }
    }

    /// Reads a PEM text of one or more certificates, in their order, and nothing else.
    pub fn many_from_pem(pem: impl AsRef<[u8]>) -> Result<Vec<Self>, Error> {
        pem_text::blocks(pem.as_ref())?
            .into_iter()
            .map(|block| match block.tag() {
                "CERTIFICATE" | "X509 CERTIFICATE" => Self::from_der(block.contents()),
                label => Err(Error::NotACertificate {
                    label: label.to_owned(),
                }),
            })
            .collect()
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as PEM, newly encoded: LF, 64 columns, nothing around it.
    pub fn pem(&self) -> String {
        (*pem_text::encode("CERTIFICATE", &self.der)).clone()
    }

    /// X.509 version, counted from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Serial number.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Serial number in lower-case hexadecimal, no colons.
    pub fn serial_hex(&self) -> String {
        self.serial.to_string()
    }

    /// Whether the serial number is negative, which RFC 5280, 4.1.2.2, forbids: [`serial`](Self::serial) is another number then.
    pub fn has_negative_serial(&self) -> bool {
        self.has_negative_serial
    }

    /// Subject as RFC 4514 text, most specific attribute first, UTF-8.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Subject in DER, byte by byte.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Issuer as RFC 4514 text.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Issuer in DER, byte by byte.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// First second of validity, UTC.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// End of validity, UTC.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Whether the validity has ended: from notAfter on, as OpenSSL and `BoringSSL` count (RFC 5280 includes that second).
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now >= self.not_after
    }

    /// Whether `now` is within the validity.
    pub fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        now >= self.not_before && !self.is_expired(now)
    }

    /// Whether basicConstraints say `CA:TRUE`.
    pub fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// The number of intermediate CAs that may be between this CA and a leaf; `None` means any
    /// number.
    pub fn path_length(&self) -> Option<u32> {
        self.extensions.path_length
    }

    /// A critical extension that a gateway does not support, as a dotted object identifier: the gateway rejects such a certificate.
    pub fn unknown_critical_extension(&self) -> Option<&str> {
        self.extensions.unknown_critical.as_deref()
    }

    /// Whether keyUsage allows signing certificates; without keyUsage everything is allowed (RFC
    /// 5280, 4.2.1.3).
    pub fn may_sign_certificates(&self) -> bool {
        self.extensions
            .key_usage
            .is_none_or(|usage| usage.key_cert_sign)
    }

    /// Whether the certificate has keyUsage; those of plain `openssl req -x509` have none.
    pub fn has_key_usage(&self) -> bool {
        self.extensions.key_usage.is_some()
    }

    /// Whether keyUsage allows signing revocation lists; without keyUsage everything is allowed.
    pub fn may_sign_crls(&self) -> bool {
        self.extensions.key_usage.is_none_or(|usage| usage.crl_sign)
    }

    /// Whether the key usages allow the certificate for a TLS client at Envoy.
    ///
    /// extendedKeyUsage is absent or has clientAuth (`anyExtendedKeyUsage` alone is not enough: `BoringSSL`, `v3_purp.c`,
    /// `check_purpose_ssl_client`), keyUsage is absent or has digitalSignature. The rule on extendedKeyUsage also holds for the client's
    /// CAs.
    pub fn allows_client_auth(&self) -> bool {
        self.extended_usage_allows_clients()
            && self
                .extensions
                .key_usage
                .is_none_or(|usage| usage.digital_signature)
    }

    /// The extendedKeyUsage half of [`allows_client_auth`](Self::allows_client_auth).
    pub(super) fn extended_usage_allows_clients(&self) -> bool {
        self.extensions.client_auth.unwrap_or(true)
    }

    /// Whether extendedKeyUsage allows the certificate for a TLS server; without extendedKeyUsage
    /// everything is allowed.
    pub fn allows_server_auth(&self) -> bool {
        self.extensions.server_auth.unwrap_or(true)
    }

    /// subjectKeyIdentifier, lower-case hexadecimal.
    pub fn ski_hex(&self) -> Option<String> {
        self.extensions.ski.as_deref().map(sha256::hex)
    }

    /// authorityKeyIdentifier's keyIdentifier, lower-case hexadecimal.
    pub fn aki_hex(&self) -> Option<String> {
        self.extensions.aki.as_deref().map(sha256::hex)
    }

    /// The authority key identifier in certificates and CRLs of this CA: its SKI; for a CA without one, the first 160 bits of SHA-256 over
    /// its public key (RFC 7093, 2, method 4).
    pub fn key_id(&self) -> Vec<u8> {
        self.extensions
            .ski
            .clone()
            .unwrap_or_else(|| public_key::key_id(&self.public_key))
    }

    /// [`key_id`](Self::key_id) in lower-case hexadecimal: the AKI of certificates that this CA
    /// signs.
    pub fn key_id_hex(&self) -> String {
        sha256::hex(&self.key_id())
    }

    /// The identifiers in lower-case hexadecimal under which the CA's key may stand in another certificate of it: [`key_id`](Self::key_id),
    /// and that of RFC 7093, 2, method 4.
    pub fn key_ids_hex(&self) -> [String; 2] {
        let own = public_key::key_id(&self.public_key);
        [self.key_id_hex(), sha256::hex(&own)]
    }

    /// URI SANs.
    pub fn uri_sans(&self) -> &[String] {
        &self.extensions.uris
    }

    /// DNS SANs.
    pub fn dns_sans(&self) -> &[String] {
        &self.extensions.dns
    }

    /// e-mail SANs.
    pub fn emails(&self) -> &[String] {
        &self.extensions.emails
    }

    /// IP address SANs.
    pub fn ips(&self) -> &[IpAddr] {
        &self.extensions.ips
    }

    /// Whether a client that connects to `host` accepts this certificate: a DNS SAN equal to it, or one with `*` for the first label (RFC
    /// 6125, 6.4); an IP SAN for an address. The common name never counts.
    pub fn covers_host(&self, host: &str) -> bool {
        host::covers(self.dns_sans(), self.ips(), host)
    }

    /// SHA-256 over the DER, lower-case hexadecimal, no colons.
    pub fn fingerprint(&self) -> String {
        sha256::hex_digest(&self.der)
    }

    /// The identifier of the certificate in every output, see [`id_of`].
    pub fn id(&self) -> String {
        id_of(&self.fingerprint()).to_owned()
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    /// The kind of public key: `P-256`, `RSA 2048`.
    pub fn key_description(&self) -> String {
        PublicKeyKind::of(&self.public_key).to_string()
    }

    /// Whether `authority` signed the certificate: the names agree, the key identifiers do not contradict each other, and the signature
    /// verifies under its key. Checks neither validity nor whether the authority may sign.
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        let same_key = match (&self.extensions.aki, &authority.extensions.ski) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        let same_name =
            self.issuer_der == authority.subject_der || same_name(&self.issuer, &authority.subject);
        same_key && same_name && signature::certificate_verifies(&self.der, &authority.public_key)
    }

    /// Whether a publicly trusted CA signed the certificate, by the timestamps in it: such a CA is never a root (CA/Browser Forum, Baseline
    /// Requirements, 6.1.7).
    pub fn is_publicly_trusted(&self) -> bool {
        self.extensions.has_timestamps
    }

    /// Whether the certificate names the address of its issuer's certificate.
    pub fn has_issuer_address(&self) -> bool {
        self.extensions.has_issuer_address
    }

    /// Whether subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether the certificate is signed by its own key.
    pub fn is_self_signed(&self) -> bool {
        self.is_signed_by(self)
    }

    /// Whether a proxy accepts the certificate as a CA: `CA:TRUE`, or an X.509 v1 root (`BoringSSL`, `v3_purp.c`, `check_ca`).
    pub fn may_be_anchor(&self) -> bool {
        (self.is_ca() && self.may_sign_certificates())
            || (self.version == 1 && self.subject_der == self.issuer_der)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("serial", &self.serial)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}
