//! The bundle of CA certificates that a gateway trusts.

use super::{
    inspect::{self, Certificate},
    pem_text,
    when::utc,
};
use thiserror::Error;
use time::OffsetDateTime;

/// Why there is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// Nothing in it: a gateway would take that for "no bundle".
    #[error("the trust bundle is empty")]
    Empty,
    /// Not PEM.
    #[error("trust bundle: {0}")]
    Pem(pem_text::Error),
    /// A private key, which must never stand where proxies read.
    #[error(
        "the trust bundle holds a private key (`{label}`); remove it, and replace that key: whoever could read the bundle has it"
    )]
    PrivateKey {
        /// Label of the PEM block.
        label: String,
    },
    /// A block that is neither: a CRL belongs under its own key.
    #[error("the trust bundle holds a PEM block `{label}`; only certificates belong there")]
    Unexpected {
        /// Label of the PEM block.
        label: String,
    },
    /// A certificate that cannot be read.
    #[error("trust bundle, block {number}: {error}")]
    Damaged {
        /// Counted from 1.
        number: usize,
        /// Why.
        error: inspect::Error,
    },
    /// Not a CA.
    #[error(
        "`{subject}` in the trust bundle is no CA certificate; put the CA that issued it there"
    )]
    Leaf {
        /// RFC 4514 text.
        subject: String,
    },
    /// Nothing is left to trust.
    #[error("every CA of the trust bundle has expired, the last one at {}", utc(*.last))]
    AllExpired {
        /// The latest notAfter.
        last: OffsetDateTime,
    },
}

/// One or more CA certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle(Vec<Certificate>);

impl Bundle {
    /// Reads PEM as it stands in a Secret or a file, in its order, repeats and expired ones included.
    pub fn parse(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let pem = pem.as_ref();
        if pem.trim_ascii().is_empty() {
            return Err(Error::Empty);
        }
        let blocks = pem_text::blocks(pem).map_err(Error::Pem)?;
        let mut certificates = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.iter().enumerate() {
            match block.tag() {
                "CERTIFICATE" | "X509 CERTIFICATE" => {}
                label if label.ends_with("PRIVATE KEY") => {
                    return Err(Error::PrivateKey {
                        label: label.to_owned(),
                    });
                }
                label => {
                    return Err(Error::Unexpected {
                        label: label.to_owned(),
                    });
                }
            }
            let certificate =
                Certificate::from_der(block.contents()).map_err(|error| Error::Damaged {
                    number: index + 1,
                    error,
                })?;
            if !certificate.may_be_anchor() {
                return Err(Error::Leaf {
                    subject: certificate.subject().to_owned(),
                });
            }
            certificates.push(certificate);
        }
        Ok(Self(certificates))
    }

    /// The bundle to publish: newest first by notBefore, then by notAfter; expired ones and repeats dropped.
    ///
    /// The order matters: an expired CA that stands before its renewed twin makes Envoy refuse everybody. Never empty:
    /// without any certificate, or with expired ones only, it fails.
    pub fn compose(
        certificates: impl IntoIterator<Item = Certificate>,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let mut kept: Vec<Certificate> = Vec::new();
        let mut last: Option<OffsetDateTime> = None;
        for certificate in certificates {
            if !certificate.may_be_anchor() {
                return Err(Error::Leaf {
                    subject: certificate.subject().to_owned(),
                });
            }
            last = last.max(Some(certificate.not_after()));
            if !certificate.is_expired(now) && !kept.contains(&certificate) {
                kept.push(certificate);
            }
        }
        kept.sort_by_key(|certificate| {
            std::cmp::Reverse((certificate.not_before(), certificate.not_after()))
        });
        match (kept.is_empty(), last) {
            (false, _) => Ok(Self(kept)),
            (true, Some(last)) => Err(Error::AllExpired { last }),
            (true, None) => Err(Error::Empty),
        }
    }

    /// The certificates, in order; at least one.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// Whether this very certificate is in it.
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// PEM, every certificate encoded anew: LF, 64 columns, nothing between them.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::pem).collect()
    }

    /// The subjects in DER: the CA names that a gateway with this bundle offers in its handshake (RFC 8446, 4.2.4).
    pub fn subjects_der(&self) -> Vec<&[u8]> {
        self.0.iter().map(Certificate::subject_der).collect()
    }

    /// SHA-256 fingerprints, lower-case hexadecimal, in order.
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(Certificate::fingerprint).collect()
    }
}
