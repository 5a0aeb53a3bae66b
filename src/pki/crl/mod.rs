//! Certificate revocation lists (RFC 5280, 5), as a gateway needs them.
//!
//! Envoy rejects every client of a CA whose CRL is expired or not yet valid, so nextUpdate is the CA's notAfter and thisUpdate lies an hour
//! back; of two CRLs of one CA the newest counts, so thisUpdate grows from one to the next.

mod reason;
pub mod succession;

pub use reason::{Reason, UnknownReason};

use super::{
    authority::{self, Authority},
    der,
    inspect::{Certificate, verifies},
    names::rfc4514,
    pem_text, seal,
    serial::Serial,
    sha256,
    when::{utc, whole_seconds},
};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use std::fmt;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_parser::{
    extensions::ParsedExtension, prelude::FromDer, revocation_list::CertificateRevocationList,
};

/// How far back thisUpdate lies, so that a gateway with a slow clock does not reject every client.
const BACKDATED: Duration = Duration::hours(1);

/// Why a CRL cannot be signed or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The CA is expired, or the certificate is not a CA.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// keyUsage lacks cRLSign: a gateway would reject all clients of that CA.
    #[error(
        "CA `{subject}` may not sign revocation lists (its keyUsage lacks cRLSign); rotate to a CA that may"
    )]
    MayNotSign {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// The previous CRL's thisUpdate is so far ahead that the next one would be in the future.
    #[error("the published CRL's thisUpdate is {}, ahead of this clock; check the clock", utc(*.previous))]
    Ahead {
        /// thisUpdate of the previous CRL.
        previous: OffsetDateTime,
    },
    /// The text is not PEM.
    #[error("CRL: {0}")]
    Pem(#[from] pem_text::Error),
    /// A PEM block of another kind.
    #[error("expected a CRL, found a PEM block `{label}`")]
    NotACrl {
        /// Label of the block.
        label: String,
    },
    /// DER that is not a CRL.
    #[error("CRL is damaged: {0}")]
    Damaged(String),
    /// Encoding failed.
    #[error(transparent)]
    Encoding(#[from] seal::Error),
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The certificate's serial number.
    pub serial: Serial,
    /// When the certificate was revoked, UTC, whole seconds.
    pub at: OffsetDateTime,
    /// The reason of the revocation.
    pub reason: Reason,
}

/// A CRL and the facts in it.
#[derive(Clone)]
pub struct Crl {
    der: Vec<u8>,
    issuer: String,
    issuer_der: Vec<u8>,
    aki: Option<Vec<u8>>,
    number: Option<Vec<u8>>,
    this_update: OffsetDateTime,
    next_update: Option<OffsetDateTime>,
    revoked: Vec<Revoked>,
    has_critical: bool,
}

impl Crl {
    /// Signs a CRL over all entries given.
    ///
    /// `number` must be greater than that of the previous CRL (RFC 5280, 5.2.3), whose thisUpdate is `previous`. thisUpdate: an hour back,
    /// but after `previous`; nextUpdate: the CA's notAfter. The authority key identifier is the CA's own SKI.
    pub fn sign(
        authority: &Authority,
        number: u64,
        revoked: &[Revoked],
        previous: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let ca = authority.certificate();
        authority::check(ca, now)?;
        if !ca.may_sign_crls() {
            return Err(Error::MayNotSign {
                subject: ca.subject().to_owned(),
            });
        }
        let backdated = whole_seconds(now) - BACKDATED;
        let this_update = previous.map_or(backdated, |previous| {
            backdated.max(whole_seconds(previous) + Duration::SECOND)
        });
        if let Some(previous) = previous.filter(|_| this_update > now) {
            return Err(Error::Ahead { previous });
        }
        let params = CertificateRevocationListParams {
            this_update,
            next_update: ca.not_after(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(ca.key_id()),
        };
        Self::from_der(&authority.signer().crl(params)?)
    }

    /// Reads one CRL in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let (rest, parsed) = CertificateRevocationList::from_der(der)
            .map_err(|error| Error::Damaged(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Error::Damaged("extra bytes at the end".to_owned()));
        }
        // version, signature.
        if !der::is_signed(der, 0x02, 0) {
            let reason = "not DER, or two different signature algorithms";
            return Err(Error::Damaged(reason.to_owned()));
        }
        let aki =
            parsed
                .extensions()
                .iter()
                .find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::AuthorityKeyIdentifier(id) => {
                        id.key_identifier.as_ref().map(|id| id.0.to_vec())
                    }
                    _ => None,
                });
        let mut extensions = parsed.extensions().iter();
        Ok(Self {
            has_critical: extensions.any(|extension| extension.critical),
            der: der.to_vec(),
            issuer: rfc4514(parsed.issuer()),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            aki,
            number: parsed
                .crl_number()
                .map(x509_parser::num_bigint::BigUint::to_bytes_be),
            this_update: parsed.last_update().to_datetime(),
            next_update: parsed.next_update().map(|time| time.to_datetime()),
            revoked: parsed
                .iter_revoked_certificates()
                .map(|revoked| Revoked {
                    serial: Serial::from_be_bytes(revoked.raw_serial()),
                    at: revoked.revocation_date.to_datetime(),
                    reason: revoked
                        .reason_code()
                        .map(|(_, code)| Reason::decoded(code))
                        .unwrap_or_default(),
                })
                .collect(),
        })
    }

    /// Reads a PEM text of one or more CRLs and nothing else.
    pub fn many_from_pem(pem: impl AsRef<[u8]>) -> Result<Vec<Self>, Error> {
        pem_text::blocks(pem.as_ref())?
            .into_iter()
            .map(|block| match block.tag() {
                "X509 CRL" => Self::from_der(block.contents()),
                label => Err(Error::NotACrl {
                    label: label.to_owned(),
                }),
            })
            .collect()
    }

    /// The CRL in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CRL as PEM (`X509 CRL`), LF, 64 columns.
    pub fn pem(&self) -> String {
        (*pem_text::encode("X509 CRL", &self.der)).clone()
    }

    /// Issuer as RFC 4514 text.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// authorityKeyIdentifier, lower-case hexadecimal.
    pub fn aki_hex(&self) -> Option<String> {
        self.aki.as_deref().map(sha256::hex)
    }

    /// CRL number; `None` if there is none, or one above 2⁶⁴ − 1.
    pub fn number(&self) -> Option<u64> {
        self.number
            .as_deref()?
            .iter()
            .try_fold(0u64, |number, byte| {
                number.checked_mul(256)?.checked_add(u64::from(*byte))
            })
    }

    /// thisUpdate, the first second in which the list is valid, UTC.
    pub fn this_update(&self) -> OffsetDateTime {
        self.this_update
    }

    /// nextUpdate, the end of the list's validity, UTC.
    pub fn next_update(&self) -> Option<OffsetDateTime> {
        self.next_update
    }

    /// Whether the list is valid at this time; if not, verifiers reject every client of its CA.
    pub fn is_current_at(&self, now: OffsetDateTime) -> bool {
        now >= self.this_update && self.next_update.is_some_and(|end| now < end)
    }

    /// Whether the list has a critical extension, as only delta lists and lists of some certificates have: a gateway does not accept such a
    /// list for a CA (`BoringSSL`, `x509_vfy.cc`, `get_crl_score`).
    pub fn has_critical_extension(&self) -> bool {
        self.has_critical
    }

    /// The entries.
    pub fn revoked(&self) -> &[Revoked] {
        &self.revoked
    }

    /// Whether `authority` signed the list: same name, key identifiers that agree, and a signature that verifies.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let same_key = self
            .aki_hex()
            .is_none_or(|aki| authority.ski_hex().is_none_or(|ski| ski == aki));
        same_key
            && self.issuer_der == authority.subject_der()
            && CertificateRevocationList::from_der(&self.der).is_ok_and(|(_, parsed)| {
                verifies(
                    authority.public_key_der(),
                    &parsed.signature_algorithm,
                    &parsed.signature_value,
                    parsed.tbs_cert_list.as_ref(),
                )
            })
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", &self.issuer)
            .field("number", &self.number())
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

fn entry(revoked: &Revoked) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(revoked.serial.as_bytes()),
        revocation_time: whole_seconds(revoked.at),
        reason_code: revoked.reason.encoded(),
        invalidity_date: None,
    }
}
