//! The CAs of these tests.

use time::Duration;

use super::EVER;
use crate::pki::inspect::Certificate;
use crate::pki::tests::NOW;

/// A CA, and the key that signs its lists.
pub(super) struct Ca {
    pub certificate: Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Ca {
    pub fn of(certificate: Certificate, key: &str) -> Self {
        let key = rcgen::KeyPair::from_pem(key).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate.der().into(), key).unwrap();
        Self {
            certificate,
            issuer,
        }
    }

    /// A CA that is not made as kubectl-mtls does.
    pub fn made(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        Self::with_key(&key, change)
    }

    pub fn with_key(
        key: &rcgen::KeyPair,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Self {
        let certificate = params(change).self_signed(key).unwrap();
        let certificate = Certificate::from_der(certificate.der()).unwrap();
        Self::of(certificate, &key.serialize_pem())
    }

    /// A CA below this one.
    pub fn below(&self) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let own = params(|params| name(params, rcgen::DnType::CommonName, "Intermediate"));
        let signed = own.signed_by(&key, &self.issuer).unwrap();
        let certificate = Certificate::from_der(signed.der()).unwrap();
        Self::of(certificate, &key.serialize_pem())
    }

    /// A CA of the same name and key identifier with another key.
    pub fn imitated(&self) -> Self {
        let subject = self.certificate.subject();
        Self::made(|params| {
            let own = subject.strip_prefix("CN=").unwrap();
            name(params, rcgen::DnType::CommonName, own);
            let key_id = self.certificate.key_id();
            params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(key_id);
        })
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A list that is valid from then until then, in days from now.
    pub fn list(&self, from: i64, until: i64) -> String {
        self.list_for(from, until, None)
    }

    /// The same for some certificates only.
    pub fn list_for(
        &self,
        from: i64,
        until: i64,
        part: Option<rcgen::CrlIssuingDistributionPoint>,
    ) -> String {
        let list = rcgen::CertificateRevocationListParams {
            this_update: NOW + Duration::days(from),
            next_update: NOW + Duration::days(until),
            crl_number: rcgen::SerialNumber::from(9),
            issuing_distribution_point: part,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::PreSpecified(self.certificate.key_id()),
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

pub(super) fn name(params: &mut rcgen::CertificateParams, kind: rcgen::DnType, value: &str) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(kind, value);
}

fn params(change: impl FnOnce(&mut rcgen::CertificateParams)) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    name(&mut params, rcgen::DnType::CommonName, "Corporate CA");
    params.not_before = NOW - Duration::days(30);
    params.not_after = NOW + EVER;
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
    ];
    change(&mut params);
    params
}
