//! Server certificates of a gateway: signed by a CA of kubectl-mtls, or given and checked before use.

use super::{
    authority::{self, Authority},
    inspect::{self, Certificate},
    key::{self, KeyType, PrivateKey},
    leaf,
    names::{self, Subject},
    public_key::PublicKeyKind,
    seal,
    serial::Serial,
    sha256,
    when::{utc, whole_seconds},
};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
    string::Ia5String,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// Lifetime of a server certificate that kubectl-mtls signs; browsers refuse more than 398 days, and a rerun renews it.
pub const TTL: Duration = Duration::days(90);
/// How long before its end a rerun renews a server certificate.
pub const RENEWED_BEFORE: Duration = Duration::days(30);
/// Lifetime of a server CA: its successor has to be given to clients by hand.
pub const CA_TTL: Duration = Duration::days(3650);
/// How far back notBefore lies, for clients whose clock is behind.
const BACKDATED: Duration = Duration::minutes(5);
/// Longest common name in characters (X.520, `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;
/// The text in the common name of every server CA of kubectl-mtls, before its eight hexadecimal
/// digits.
const CA_WORDS: &str = " server CA ";
/// Random bytes in the CA's name, which tell generations apart.
const GENERATION: usize = 4;

/// Why a server certificate is not generated, or not accepted.
#[derive(Debug, Error)]
pub enum Error {
    /// The CA may not sign now.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// A certificate cannot be read.
    #[error("server {0}")]
    Certificate(#[from] inspect::Error),
    /// A key cannot be read or generated.
    #[error("server {0}")]
    Key(#[from] key::Error),
    /// A name that is not possible in a certificate.
    #[error(transparent)]
    Name(#[from] names::Error),
    /// Encoding failed.
    #[error(transparent)]
    Encoding(#[from] seal::Error),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the first certificate, `{subject}`")]
    KeyMismatch {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// The first certificate is a CA, not the server's own certificate.
    #[error("the first certificate, `{subject}`, is a CA; put the server's own certificate first")]
    IsCa {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// extendedKeyUsage lacks serverAuth.
    #[error("`{subject}` is not for servers (its extendedKeyUsage lacks serverAuth)")]
    NotForServers {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// A key that Envoy does not load (Envoy, `context_impl.cc`).
    #[error("Envoy accepts P-256, P-384, and RSA keys of 2048 bits and more, not {0}")]
    KeyKind(PublicKeyKind),
    /// The certificate's notAfter has passed.
    #[error("`{subject}` expired at {}", utc(*.not_after))]
    Expired {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The certificate's notAfter.
        not_after: OffsetDateTime,
    },
    /// The certificate's notBefore lies in the future.
    #[error("`{subject}` is valid only from {} on", utc(*.not_before))]
    NotYetValid {
        /// The subject as RFC 4514 text.
        subject: String,
        /// The certificate's notBefore.
        not_before: OffsetDateTime,
    },
    /// A certificate that did not sign the previous one of the chain.
    #[error(
        "`{upper}` did not sign `{lower}`, which precedes it: each certificate must be signed by the next one"
    )]
    Chain {
        /// The issuer's subject as RFC 4514 text.
        upper: String,
        /// The subject of the issued certificate as RFC 4514 text.
        lower: String,
    },
    /// The certificate is for other hosts.
    #[error("the certificate is for {}, not for `{host}`", .names.join(", "))]
    Host {
        /// The DNS names of the certificate.
        names: Vec<String>,
        /// The gateway's host.
        host: String,
    },
}

/// `CN=<authority> server CA <8 hexadecimal digits>`, cut to 64 characters before these words.
pub fn ca_subject(authority: &str, generation: [u8; GENERATION]) -> Result<Subject, names::Error> {
    let generation = sha256::hex(&generation);
    Subject::common_name(&format!("{}{generation}", ca_stem(authority)))
}

/// The common name without the generation: as much of the authority's name as a common name has room for.
fn ca_stem(authority: &str) -> String {
    let room = LONGEST_COMMON_NAME - CA_WORDS.len() - 2 * GENERATION;
    let head: String = authority.chars().take(room).collect();
    format!("{head}{CA_WORDS}")
}

/// Whether a server CA of kubectl-mtls signed the certificate, judging by its issuer's name.
pub fn is_self_made(certificate: &Certificate) -> bool {
    certificate.issuer().starts_with("CN=") && certificate.issuer().contains(CA_WORDS)
}

/// Whether this is the server CA of kubectl-mtls for an authority's Gateways, judging by its name.
pub fn is_ca_of(ca: &Certificate, authority: &str) -> bool {
    ca.subject()
        .starts_with(&format!("CN={}", ca_stem(authority)))
}

/// A server's certificate chain, its own certificate first, with the key.
#[derive(Debug)]
pub struct ServerIdentity {
    chain: Vec<Certificate>,
    key: PrivateKey,
}

impl ServerIdentity {
    /// Generates a P-256 key and a certificate for one host, a wildcard or exact.
    ///
    /// X.509 v3, not a CA, digitalSignature (critical), serverAuth only, valid for [`TTL`] but not beyond the CA. `serial_random`: 20 bytes
    /// from a cryptographic generator.
    pub fn generate(
        authority: &Authority,
        host: &str,
        now: OffsetDateTime,
        serial_random: [u8; 20],
    ) -> Result<Self, Error> {
        let ca = authority.certificate();
        authority::check(ca, now)?;
        let key = PrivateKey::generate(KeyType::P256)?;
        let now = whole_seconds(now);
        let common_name = if host.len() > LONGEST_COMMON_NAME {
            "mutual TLS gateway"
        } else {
            host
        };
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATED).max(ca.not_before());
        params.not_after = (now + TTL).min(ca.not_after());
        params.serial_number = Some(SerialNumber::from_slice(
            Serial::from_random(serial_random).as_bytes(),
        ));
        let host = Ia5String::try_from(host).map_err(seal::Error::from)?;
        params.subject_alt_names = vec![SanType::DnsName(host)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let subject = Subject::common_name(common_name)?.to_der();
        let der = authority
            .signer()
            .certificate(&params, key.public_key_der(), &subject)?;
        Ok(Self {
            chain: vec![Certificate::from_der(&der)?],
            key,
        })
    }

    /// Reads certificates and key from PEM; refuses those that a gateway could not use, or clients would reject.
    pub fn load(
        chain_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let chain = Certificate::many_from_pem(chain_pem)?;
        let key = PrivateKey::from_pem(key_pem)?;
        let identity = Self { chain, key };
        identity.check(now)?;
        Ok(identity)
    }

    fn check(&self, now: OffsetDateTime) -> Result<(), Error> {
        let own = self.certificate();
        let subject = || own.subject().to_owned();
        if own.is_ca() {
            return Err(Error::IsCa { subject: subject() });
        }
        if !self.key.matches(own) {
            return Err(Error::KeyMismatch { subject: subject() });
        }
        if leaf::check_public_key(own.public_key_der()).is_err() {
            return Err(Error::KeyKind(self.key.kind()));
        }
        if !own.allows_server_auth() {
            return Err(Error::NotForServers { subject: subject() });
        }
        for pair in self.chain.windows(2) {
            if !pair[0].is_signed_by(&pair[1]) {
                return Err(Error::Chain {
                    upper: pair[1].subject().to_owned(),
                    lower: pair[0].subject().to_owned(),
                });
            }
        }
        for certificate in &self.chain {
            let subject = certificate.subject().to_owned();
            if certificate.is_expired(now) {
                return Err(Error::Expired {
                    subject,
                    not_after: certificate.not_after(),
                });
            }
            if now < certificate.not_before() {
                return Err(Error::NotYetValid {
                    subject,
                    not_before: certificate.not_before(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a host that the certificate does not cover.
    pub fn check_host(&self, host: &str) -> Result<(), Error> {
        if self.certificate().covers_host(host) {
            return Ok(());
        }
        Err(Error::Host {
            names: self.certificate().dns_sans().to_vec(),
            host: host.to_owned(),
        })
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> &Certificate {
        // `many_from_pem` refuses an empty file, and `generate` puts one in.
        &self.chain[0]
    }

    /// All certificates as PEM, the server's own first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    /// The server's private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
}
