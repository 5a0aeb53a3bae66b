//! The bundle of CA certificates that a gateway trusts.

use super::{
    inspect::{self, Certificate},
    pem_text,
    when::utc,
};
use thiserror::Error;
use time::OffsetDateTime;

/// Why PEM text is not a trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no certificate: a gateway would take that for "no bundle".
    #[error("the trust bundle is empty")]
    Empty,
    /// The text is not PEM.
    #[error("trust bundle: {0}")]
    Pem(pem_text::Error),
    /// A private key, which proxies must never be able to read.
    #[error(
        "the trust bundle holds a private key (`{label}`); remove it, and replace that key: whoever could read the bundle has it"
    )]
    PrivateKey {
        /// Label of the PEM block.
        label: String,
    },
    /// A PEM block of another kind; a CRL belongs under its own key.
    #[error("the trust bundle holds a PEM block `{label}`; only certificates belong there")]
    Unexpected {
        /// Label of the PEM block.
        label: String,
    },
    /// A certificate that cannot be read.
    #[error("trust bundle, block {number}: {error}")]
    Damaged {
        /// The number of the certificate in the bundle, counted from 1.
        number: usize,
        /// The reason.
        error: inspect::Error,
    },
    /// A certificate that is not a CA.
    #[error(
        "`{subject}` in the trust bundle is not a CA certificate; put the CA that issued it there"
    )]
    Leaf {
        /// The subject as RFC 4514 text.
        subject: String,
    },
    /// Every certificate has expired.
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
    /// Reads PEM as it is in a Secret or a file, in its order, including repeated and expired certificates.
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

    /// A bundle of exactly these certificates, in order, without repeats. Never empty.
    pub fn of(certificates: impl IntoIterator<Item = Certificate>) -> Result<Self, Error> {
        let mut kept: Vec<Certificate> = Vec::new();
        for certificate in certificates {
            if !certificate.may_be_anchor() {
                return Err(Error::Leaf {
                    subject: certificate.subject().to_owned(),
                });
            }
            if !kept.contains(&certificate) {
                kept.push(certificate);
            }
        }
        if kept.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self(kept))
    }

    /// The bundle to publish: newest first by notBefore, then by notAfter, without expired certificates and repeats.
    ///
    /// The order matters: an expired CA before its renewed certificate makes Envoy reject every client. Never empty: fails without any
    /// certificate, or if all have expired.
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

    /// Whether exactly this certificate is in the bundle.
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// PEM, every certificate newly encoded: LF, 64 columns, nothing between the blocks.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::{NOW, authority, client};
    use time::Duration;

    fn ca() -> Certificate {
        authority().certificate().clone()
    }

    #[test]
    fn what_is_published_reads_back_and_offers_its_subjects() {
        let (one, other) = (ca(), ca());
        let bundle = Bundle::compose([one.clone(), other.clone(), one.clone()], NOW).unwrap();
        assert_eq!(bundle.certificates().len(), 2);
        assert_eq!(Bundle::parse(bundle.to_pem()), Ok(bundle.clone()));
        assert_eq!(
            bundle.subjects_der(),
            [one.subject_der(), other.subject_der()]
        );
        assert_eq!(bundle.fingerprints().len(), 2);
        assert!(bundle.contains(&other));
    }

    #[test]
    fn the_newest_ca_stands_first() {
        use crate::pki::authority::{Authority, CaRequest};
        let request = CaRequest {
            subject: "CN=x".parse().unwrap(),
            ttl: Duration::days(365),
            key_type: crate::pki::key::KeyType::P256,
        };
        let made = |now| {
            Authority::generate(&request, now, [0; 20])
                .unwrap()
                .certificate()
                .clone()
        };
        let (old, new) = (made(NOW), made(NOW + Duration::days(1)));
        let bundle = Bundle::compose([old.clone(), new.clone()], NOW).unwrap();
        assert_eq!(bundle.certificates(), [new, old]);
    }

    #[test]
    fn expired_cas_leave_and_the_last_one_is_never_replaced_by_nothing() {
        let ca = ca();
        let last = ca.not_after();
        assert!(Bundle::compose([ca.clone()], last - Duration::SECOND).is_ok());
        assert_eq!(Bundle::compose([ca], last), Err(Error::AllExpired { last }));
        assert_eq!(Bundle::compose([], NOW), Err(Error::Empty));
    }

    #[test]
    fn what_does_not_belong_into_a_bundle_is_named() {
        let authority = authority();
        let (key, leaf) = client(&authority);
        let with = |other: &str| Bundle::parse(authority.certificate().pem() + other);
        assert!(matches!(with(&key.to_pem()), Err(Error::PrivateKey { .. })));
        assert!(matches!(with(&leaf.pem()), Err(Error::Leaf { .. })));
        assert!(matches!(
            with("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
            Err(Error::Unexpected { .. })
        ));
        assert!(matches!(
            with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Err(Error::Damaged { number: 2, .. })
        ));
        assert!(matches!(with(&leaf.pem()[..200]), Err(Error::Pem(_))));
        assert!(matches!(Bundle::parse("hello"), Err(Error::Pem(_))));
        assert_eq!(Bundle::parse(" \n"), Err(Error::Empty));
    }
}
