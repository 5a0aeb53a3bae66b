//! Client certificates that somebody else issued: whether a gateway takes them, and what they lack.

use super::{inspect::Certificate, leaf, when::utc};
use thiserror::Error;
use time::OffsetDateTime;

/// Bytes that a gateway reads of a client's certificates (`BoringSSL`, `SSL_MAX_CERT_LIST_DEFAULT`).
const LARGEST: usize = 100 * 1024;

/// Why a gateway would refuse a client certificate, whatever CAs it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// `CA:TRUE`
    #[error(
        "`{0}` is a CA certificate, not a client's; ask the CA for a certificate of the request"
    )]
    IsCa(String),
    /// extendedKeyUsage without clientAuth, or keyUsage without digitalSignature.
    #[error(
        "`{subject}` may not stand for a TLS client (its {extension} lacks {usage}); ask the CA for a client certificate"
    )]
    Purpose {
        /// RFC 4514 text.
        subject: String,
        /// The extension's name.
        extension: &'static str,
        /// What it lacks.
        usage: &'static str,
    },
    /// notAfter has passed.
    #[error("the certificate expired at {}; ask the CA for a new one", utc(*.0))]
    Expired(OffsetDateTime),
    /// notBefore lies ahead.
    #[error("the certificate is valid only from {} on; wait, or check this machine's clock", utc(*.0))]
    NotYetValid(OffsetDateTime),
    /// Gateways refuse what they do not understand (RFC 5280, 4.2).
    #[error(
        "the certificate has a critical extension `{0}`, which gateways do not know; ask the CA for one without, or not critical"
    )]
    CriticalExtension(String),
    /// Gateways compare a client's identity with DNS names too (Envoy, `AuthenticatedMatcher`: URI SANs, then DNS SANs).
    #[error(
        "the certificate has the DNS name `{0}`, which gateways take for the identity of another client; ask the CA for one without"
    )]
    Impersonates(String),
    /// More than a gateway reads.
    #[error(
        "the certificate has {0} bytes, and gateways read {LARGEST} of a client's chain; ask the CA for one with fewer names"
    )]
    TooLarge(usize),
    /// A key that gateways refuse.
    #[error(transparent)]
    Key(#[from] leaf::Error),
}

/// Refuses a certificate that no gateway takes from a client.
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
