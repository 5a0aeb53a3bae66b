//! A certificate authority that is generated here or imported, and checked that it can sign clients for a gateway.

use super::{
    chain,
    inspect::{self, Certificate},
    key::{self, KeyType, PrivateKey},
    names::{self, Subject},
    pem_text,
    public_key::key_id,
    seal::{self, Signer},
    serial::Serial,
    sha256,
    when::{LAST, utc, whole_seconds},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SerialNumber};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How far back a CA's notBefore lies, so that a gateway with a slow clock does not reject its clients.
const BACKDATED: Duration = Duration::hours(1);

/// Why a CA cannot be generated or used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The CA certificate cannot be read.
    #[error("CA {0}")]
    Certificate(#[from] inspect::Error),
    /// The CA's key cannot be read.
    #[error("CA {0}")]
    Key(#[from] key::Error),
    /// basicConstraints lack `CA:TRUE`.
    #[error(
        "`{subject}` is not a CA certificate (basicConstraints without CA:TRUE); no verifier would accept what it signs"
    )]
    NotACa {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// keyUsage lacks keyCertSign.
    #[error(
        "CA `{subject}` may not sign certificates (its keyUsage lacks keyCertSign); no verifier would accept them"
    )]
    MayNotSign {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// extendedKeyUsage lacks clientAuth, which restricts every certificate below (`BoringSSL`, `check_purpose_ssl_client`).
    #[error(
        "CA `{subject}` may not issue certificates for TLS clients (its extendedKeyUsage lacks clientAuth)"
    )]
    NotForClients {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// An unknown critical extension: gateways reject it (RFC 5280, 4.2) in every certificate of a chain (`BoringSSL`,
    /// `check_chain_extensions`).
    #[error(
        "CA `{subject}` has a critical extension `{oid}`, which gateways do not support: they would reject all clients of this CA"
    )]
    CriticalExtension {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The dotted object identifier.
        oid: String,
    },
    /// The CA's notAfter has passed.
    #[error("CA `{subject}` expired at {}; use its successor, or make one with `ca-rotate`", utc(*.not_after))]
    Expired {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The CA's notAfter.
        not_after: OffsetDateTime,
    },
    /// The CA's notBefore lies in the future.
    #[error("CA `{subject}` is valid only from {} on; check this machine's clock", utc(*.not_before))]
    NotYetValid {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The CA's notBefore.
        not_before: OffsetDateTime,
    },
    /// The key belongs to another certificate.
    #[error(
        "the private key does not belong to the CA `{subject}`; every certificate it signed would be refused"
    )]
    KeyMismatch {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// The pathLenConstraint of an upper CA is exceeded.
    #[error(
        "CA `{subject}` allows {limit} CAs below it, and there are more (pathlen in its basicConstraints); no verifier would accept what they sign"
    )]
    PathLength {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The number of CAs that it allows below it.
        limit: u32,
    },
    /// A certificate that is not an issuer of the signing CA.
    #[error(
        "the certificate `{subject}` is not an issuer of the CA `{ca}`; give the signing CA and its issuers only"
    )]
    Unrelated {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The signing CA's subject as RFC 4514 text.
        ca: String,
    },
    /// The lifetime is zero, negative, or ends after the year 9999.
    #[error("a CA's lifetime must be positive and end before the year 10000")]
    Ttl,
    /// The subject is empty: an issuer has a name (RFC 5280, 4.1.2.4).
    #[error("a CA needs a subject; give one such as `CN=Example client CA`")]
    NoSubject,
    /// Encoding failed.
    #[error(transparent)]
    Encoding(#[from] seal::Error),
}

/// The parameters of a new CA.
#[derive(Debug, Clone)]
pub struct CaRequest {
    /// The CA's subject, a new one for every generation, see [`default_subject`].
    pub subject: Subject,
    /// The time from now to notAfter.
    pub ttl: Duration,
    /// The type of the CA's key.
    pub key_type: KeyType,
}

impl CaRequest {
    /// The notAfter of the CA, or an error if the lifetime is not possible.
    fn ends(&self, now: OffsetDateTime) -> Result<OffsetDateTime, Error> {
        if self.subject.is_empty() {
            return Err(Error::NoSubject);
        }
        let now = whole_seconds(now);
        now.checked_add(self.ttl)
            .filter(|end| *end > now && *end <= LAST)
            .ok_or(Error::Ttl)
    }
}

/// `CN=<authority> client CA <8 hexadecimal digits>`: no two generations share a subject, because verifiers pick issuers by it.
///
/// An authority's name that would make the common name longer than 64 characters is cut.
pub fn default_subject(authority: &str, generation: [u8; 4]) -> Result<Subject, names::Error> {
    let tail = format!(" client CA {}", sha256::hex(&generation));
    let head: String = authority.chars().take(64 - tail.len()).collect();
    Subject::common_name(&format!("{head}{tail}"))
}

/// The subject of a CA whose key is dropped as soon as it is generated.
pub fn keyless_subject(random: [u8; 4]) -> Result<Subject, names::Error> {
    let digits = sha256::hex(&random);
    Subject::common_name(&format!("lets nobody in, its key is gone {digits}"))
}

/// A CA certificate with its key, checked: it may sign client certificates, and the key belongs to
/// it.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    chain: Vec<Certificate>,
    key: PrivateKey,
}

impl Authority {
    /// Generates a self-signed CA: CA:TRUE without a path length (it may cross-sign later), keyCertSign and cRLSign, subject and authority
    /// key identifiers, notBefore an hour back.
    ///
    /// `serial_random`: 20 bytes from a cryptographic generator. The key's randomness is aws-lc-rs's own.
    pub fn generate(
        request: &CaRequest,
        now: OffsetDateTime,
        serial_random: [u8; 20],
    ) -> Result<Self, Error> {
        // What is refused is refused before a key is made.
        let not_after = request.ends(now)?;
        let key = PrivateKey::generate(request.key_type)?;
        let now = whole_seconds(now);
        let subject = request.subject.to_der();
        let mut params = CertificateParams::default();
        params.not_before = now - BACKDATED;
        params.not_after = whole_seconds(not_after);
        params.serial_number = Some(SerialNumber::from_slice(
            Serial::from_random(serial_random).as_bytes(),
        ));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let signer = Signer {
            name: &subject,
            key_id: key_id(key.public_key_der()),
            key: &key,
        };
        let der = signer.certificate(&params, key.public_key_der(), &subject)?;
        Self::new(Certificate::from_der(&der)?, Vec::new(), key, now)
    }

    /// Reads a CA and its issuers from PEM: see [`among`](Self::among).
    pub fn load(
        certificate_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let certificates = Certificate::many_from_pem(certificate_pem)?;
        if let Some(first) = certificates.first() {
            check(first, now)?;
        }
        Self::among(certificates, PrivateKey::from_pem(key_pem)?, now)
    }

    /// The CA that the key belongs to; the other certificates must be its issuers, in any order.
    pub fn among(
        mut certificates: Vec<Certificate>,
        key: PrivateKey,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        if certificates.is_empty() {
            return Err(inspect::Error::Pem(pem_text::Error::NoBlock).into());
        }
        let own = certificates.iter().position(|one| key.matches(one));
        let certificate = certificates.remove(own.unwrap_or_default());
        let chain = chain::above(&certificate, &certificates);
        let stray = |one: &&Certificate| **one != certificate && !chain.contains(*one);
        if let Some(stray) = certificates.iter().find(stray).filter(|_| own.is_some()) {
            return Err(Error::Unrelated {
                subject: stray.subject().to_owned(),
                ca: certificate.subject().to_owned(),
            });
        }
        Self::new(certificate, chain, key, now)
    }

    /// Combines a CA certificate, its issuers and its key.
    ///
    /// Refuses, in this order: no CA:TRUE, keyUsage without keyCertSign, extendedKeyUsage without clientAuth, an unknown critical
    /// extension, expired, not yet valid (each for the CA and its issuers), more CAs than a path length allows, a key of another
    /// certificate.
    pub fn new(
        certificate: Certificate,
        chain: Vec<Certificate>,
        key: PrivateKey,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        check_chain(std::iter::once(&certificate).chain(&chain), now)?;
        if !key.matches(&certificate) {
            return Err(Error::KeyMismatch {
                subject: certificate.subject().to_owned(),
            });
        }
        Ok(Self {
            certificate,
            chain,
            key,
        })
    }

    /// The signing CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The issuers of the CA, the nearest one first; empty for a self-signed CA.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The earliest notAfter of the CA and its issuers: no certificate below can be used after
    /// that.
    pub fn not_after(&self) -> OffsetDateTime {
        let ends = self.chain.iter().map(Certificate::not_after);
        ends.fold(self.certificate.not_after(), OffsetDateTime::min)
    }

    /// The CA's private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        Signer::of(&self.certificate, &self.key)
    }
}

/// Refuses a CA with a critical extension that gateways do not support.
pub fn check_extensions(certificate: &Certificate) -> Result<(), Error> {
    let unknown = certificate.unknown_critical_extension();
    unknown.map_or(Ok(()), |oid| {
        Err(Error::CriticalExtension {
            subject: certificate.subject().to_owned(),
            oid: oid.to_owned(),
        })
    })
}

/// Whether a certificate may sign clients at this moment, whoever holds its key.
pub fn check(certificate: &Certificate, now: OffsetDateTime) -> Result<(), Error> {
    let subject = || certificate.subject().to_owned();
    if !certificate.is_ca() {
        return Err(Error::NotACa { subject: subject() });
    }
    if !certificate.may_sign_certificates() {
        return Err(Error::MayNotSign { subject: subject() });
    }
    if !certificate.extended_usage_allows_clients() {
        return Err(Error::NotForClients { subject: subject() });
    }
    check_extensions(certificate)?;
    if certificate.is_expired(now) {
        return Err(Error::Expired {
            subject: subject(),
            not_after: certificate.not_after(),
        });
    }
    if now < certificate.not_before() {
        return Err(Error::NotYetValid {
            subject: subject(),
            not_before: certificate.not_before(),
        });
    }
    Ok(())
}

/// Whether each of these CAs may be in a client's chain now; each one is the issuer of the one before it.
///
/// A CA's pathLenConstraint counts the CAs below it that are not self-issued (RFC 5280, 4.2.1.9).
pub fn check_chain<'a>(
    cas: impl IntoIterator<Item = &'a Certificate>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut below = 0;
    for ca in cas {
        check(ca, now)?;
        if let Some(limit) = ca.path_length().filter(|limit| *limit < below) {
            return Err(Error::PathLength {
                subject: ca.subject().to_owned(),
                limit,
            });
        }
        below += u32::from(!ca.is_self_issued());
    }
    Ok(())
}
