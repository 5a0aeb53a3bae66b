//! Client certificates of external CAs: whether a gateway accepts them, and what they lack.

use super::{inspect::Certificate, leaf, when::utc};
use thiserror::Error;
use time::OffsetDateTime;

/// Largest size of a client's certificates that a gateway reads, in bytes (`BoringSSL`, `SSL_MAX_CERT_LIST_DEFAULT`).
const LARGEST: usize = 100 * 1024;

/// Why a gateway would reject a client certificate, whatever CAs it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The certificate is a CA (`CA:TRUE`).
    #[error(
        "`{0}` is a CA certificate, not a client's; ask the CA for a certificate of the request"
    )]
    IsCa(String),
    /// extendedKeyUsage without clientAuth, or keyUsage without digitalSignature.
    #[error(
        "`{subject}` is not for TLS clients (its {extension} lacks {usage}); ask the CA for a client certificate"
    )]
    Purpose {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The name of the extension.
        extension: &'static str,
        /// The key usage that the extension lacks.
        usage: &'static str,
    },
    /// The certificate's notAfter has passed.
    #[error("the certificate expired at {}; ask the CA for a new one", utc(*.0))]
    Expired(OffsetDateTime),
    /// The certificate's notBefore lies in the future.
    #[error("the certificate is valid only from {} on; wait, or check this machine's clock", utc(*.0))]
    NotYetValid(OffsetDateTime),
    /// A critical extension that gateways do not support, so they reject the certificate (RFC 5280,
    /// 4.2).
    #[error(
        "the certificate has a critical extension `{0}`, which gateways do not support; ask the CA for a certificate without it, or with the extension not critical"
    )]
    CriticalExtension(String),
    /// A DNS name that gateways compare with clients' identities (Envoy, `AuthenticatedMatcher`: URI SANs, then DNS SANs).
    #[error(
        "the certificate has the DNS name `{0}`, which gateways take for the identity of another client; ask the CA for a certificate without this name"
    )]
    Impersonates(String),
    /// The certificate is larger than a gateway reads.
    #[error(
        "the certificate has {0} bytes, and gateways read {LARGEST} of a client's chain; ask the CA for one with fewer names"
    )]
    TooLarge(usize),
    /// A key that gateways reject.
    #[error(transparent)]
    Key(#[from] leaf::Error),
}

/// Refuses a certificate that no gateway accepts from a client.
pub fn check(certificate: &Certificate, now: OffsetDateTime) -> Result<(), Error> {
    let subject = || certificate.subject().to_owned();
    if certificate.is_ca() {
        return Err(Error::IsCa(subject()));
    }
    let lacking = if !certificate.extended_usage_allows_clients() {
        Some(("extendedKeyUsage", "clientAuth"))
    } else if !certificate.allows_client_auth() {
        Some(("keyUsage", "digitalSignature"))
    } else {
        None
    };
    if let Some((extension, usage)) = lacking {
        return Err(Error::Purpose {
            subject: subject(),
            extension,
            usage,
        });
    }
    leaf::check_public_key(certificate.public_key_der())?;
    if let Some(oid) = certificate.unknown_critical_extension() {
        return Err(Error::CriticalExtension(oid.to_owned()));
    }
    let is_identity = |dns: &&String| dns.to_ascii_lowercase().starts_with("spiffe:");
    if let Some(dns) = certificate.dns_sans().iter().find(is_identity) {
        return Err(Error::Impersonates(dns.clone()));
    }
    if certificate.der().len() > LARGEST {
        return Err(Error::TooLarge(certificate.der().len()));
    }
    if certificate.is_expired(now) {
        return Err(Error::Expired(certificate.not_after()));
    }
    if now < certificate.not_before() {
        return Err(Error::NotYetValid(certificate.not_before()));
    }
    Ok(())
}
