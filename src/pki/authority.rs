//! The certificate authority: made here, or given; either way fit to sign clients that a gateway accepts.

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

/// How far back a CA's notBefore lies, so that a slow clock at a gateway does not refuse its clients.
const BACKDATED: Duration = Duration::hours(1);

/// Why a CA cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The certificate cannot be read.
    #[error("CA {0}")]
    Certificate(#[from] inspect::Error),
    /// The key cannot be read.
    #[error("CA {0}")]
    Key(#[from] key::Error),
    /// `CA:TRUE` is missing.
    #[error(
        "`{subject}` is no CA certificate (basicConstraints without CA:TRUE); no verifier would accept what it signs"
    )]
    NotACa {
        /// RFC 4514 text.
        subject: String,
    },
    /// keyUsage without keyCertSign.
    #[error(
        "CA `{subject}` may not sign certificates (its keyUsage lacks keyCertSign); no verifier would accept them"
    )]
    MayNotSign {
        /// RFC 4514 text.
        subject: String,
    },
    /// extendedKeyUsage without clientAuth, which binds what is below (`BoringSSL`, `check_purpose_ssl_client`).
    #[error(
        "CA `{subject}` may not stand above TLS clients (its extendedKeyUsage lacks clientAuth)"
    )]
    NotForClients {
        /// RFC 4514 text.
        subject: String,
    },
    /// Gateways refuse what they do not understand (RFC 5280, 4.2), in every certificate of a chain (`BoringSSL`,
    /// `check_chain_extensions`).
    #[error(
        "CA `{subject}` has a critical extension `{oid}`, which gateways do not know: they would refuse all of its clients"
    )]
    CriticalExtension {
        /// RFC 4514 text.
        subject: String,
        /// The dotted object identifier.
        oid: String,
    },
    /// notAfter has passed.
    #[error("CA `{subject}` expired at {}; use its successor, or make one with `ca-rotate`", utc(*.not_after))]
    Expired {
        /// RFC 4514 text.
        subject: String,
        /// Its last second.
        not_after: OffsetDateTime,
    },
    /// notBefore lies ahead.
    #[error("CA `{subject}` is valid only from {} on; check this machine's clock", utc(*.not_before))]
    NotYetValid {
        /// RFC 4514 text.
        subject: String,
        /// Its first second.
        not_before: OffsetDateTime,
    },
    /// The key is another certificate's.
    #[error(
        "the private key does not belong to the CA `{subject}`; every certificate it signed would be refused"
    )]
    KeyMismatch {
        /// RFC 4514 text.
        subject: String,
    },
    /// An upper CA's pathLenConstraint.
    #[error(
        "CA `{subject}` allows {limit} CAs below it, and there are more (pathlen in its basicConstraints); no verifier would accept what they sign"
    )]
    PathLength {
        /// RFC 4514 text.
        subject: String,
        /// How many it allows.
        limit: u32,
    },
    /// A certificate that does not stand above the one that signs.
    #[error(
        "the certificate `{subject}` is not above the CA `{ca}`; give the CA that signs and those above it, and nothing else"
    )]
    Unrelated {
        /// RFC 4514 text.
        subject: String,
        /// RFC 4514 text.
        ca: String,
    },
    /// Zero, negative, or beyond the year 9999.
    #[error("a CA's lifetime must be positive and end before the year 10000")]
    Ttl,
    /// RFC 5280, 4.1.2.4: an issuer has a name.
    #[error("a CA needs a subject; give one such as `CN=Example client CA`")]
    NoSubject,
    /// Encoding failed.
    #[error(transparent)]
    Encoding(#[from] seal::Error),
}

/// What a new CA is to be.
#[derive(Debug, Clone)]
pub struct CaRequest {
    /// Its name; another one for every generation, see [`default_subject`].
    pub subject: Subject,
    /// From now to notAfter.
    pub ttl: Duration,
    /// Its key.
    pub key_type: KeyType,
}

impl CaRequest {
    /// notAfter, where the request is one that can be met.
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

/// The subject of a CA whose key is dropped as soon as it is made.
pub fn keyless_subject(random: [u8; 4]) -> Result<Subject, names::Error> {
    let digits = sha256::hex(&random);
    Subject::common_name(&format!("lets nobody in, its key is gone {digits}"))
}

/// A CA certificate with its key, checked: it may sign client certificates, and the key is its own.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    chain: Vec<Certificate>,
    key: PrivateKey,
}

impl Authority {
    /// Makes a self-signed CA: CA:TRUE without a path length (it may cross-sign later), keyCertSign and cRLSign, subject and
    /// authority key identifiers, notBefore an hour back.
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

    /// Reads a CA from PEM, with those above it: see [`among`](Self::among).
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

    /// The CA that the key belongs to; the other certificates must stand above it, in whatever order.
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

    /// Joins a CA certificate, the certificates above it and its key.
    ///
    /// Refuses, in this order: no CA:TRUE, keyUsage without keyCertSign, extendedKeyUsage without clientAuth, an unknown critical
    /// extension, expired, not yet valid (each of it and of those above it), more CAs than one of them allows below it, another certificate's key.
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

    /// The certificate that signs.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificates above it, the nearest one first; empty for a self-signed CA.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// When the first of them expires: no certificate below can be used after that.
    pub fn not_after(&self) -> OffsetDateTime {
        let ends = self.chain.iter().map(Certificate::not_after);
        ends.fold(self.certificate.not_after(), OffsetDateTime::min)
    }

    /// Its private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        Signer::of(&self.certificate, &self.key)
    }
}

/// Refuses a CA with a critical extension that gateways do not know.
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

/// Whether each of these CAs may stand in a client's chain now, where each one stands above the one before it.
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
