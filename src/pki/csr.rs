//! Certificate signing requests (PKCS#10, RFC 2986): reading requests of clients, and creating requests for an external CA.
//!
//! A request that is read provides the key, and the names that the issuer chooses to copy; requested extensions other than SANs are
//! ignored.

use super::{
    inspect::verifies,
    key::PrivateKey,
    leaf::{self, LeafRequest},
    names, pem_text,
    seal::Signer,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use std::net::IpAddr;
use thiserror::Error;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

/// Longest accepted request, in bytes: RSA of 16 384 bits takes 6 KiB.
const LONGEST: usize = 64 * 1024;
const RSA_PSS: &str = "1.2.840.113549.1.1.10";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The text is too long for a request.
    #[error("signing request: {0} bytes are too many; a usual one has a few hundred")]
    TooLong(usize),
    /// The text is not PEM.
    #[error("signing request: {0}")]
    Pem(#[from] pem_text::Error),
    /// A PEM block of another kind, or several.
    #[error(
        "expected one signing request, found `{0}`; it starts with `-----BEGIN CERTIFICATE REQUEST-----`"
    )]
    NotARequest(String),
    /// DER that is not a signing request.
    #[error("signing request is damaged: {0}")]
    Damaged(String),
    /// The request is signed with RSA-PSS, whose keys gateways reject.
    #[error(
        "signing request is signed with RSA-PSS, which gateways do not accept; sign it with PKCS#1 v1.5 (openssl's default), or use an EC key"
    )]
    Pss,
    /// The signature was made by another key: the sender does not hold the private key.
    #[error("signing request is not signed by its own key; create it again")]
    Signature,
    /// A key that gateways reject.
    #[error(transparent)]
    Key(#[from] leaf::Error),
    /// The request has basicConstraints with CA:TRUE.
    #[error(
        "signing request asks for a CA certificate (CA:TRUE), and only client certificates are issued; create a request without CA:TRUE"
    )]
    AsksForCa,
    /// The requested subject cannot be copied.
    #[error(transparent)]
    Subject(#[from] names::Error),
    /// A requested SAN that cannot be copied.
    #[error(
        "signing request has a SAN that is not a URI, DNS name, e-mail or IP address; leave `--san-from csr` out"
    )]
    San,
}

/// A signing request with a verified signature and a key that gateways accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    public_key: Vec<u8>,
    subject: Vec<u8>,
    sans: Result<Sans, Error>,
}

/// The subject alternative names that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sans {
    /// URIs.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
}

impl Csr {
    /// Reads one request in PEM.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let pem = pem.as_ref();
        if pem.len() > LONGEST {
            return Err(Error::TooLong(pem.len()));
        }
        let blocks = pem_text::blocks(pem)?;
        match blocks.as_slice() {
            [block] if is_request(block.tag()) => Self::from_der(block.contents()),
            [block] => Err(Error::NotARequest(block.tag().to_owned())),
            several => Err(Error::NotARequest(format!("{} blocks", several.len()))),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &dyn std::fmt::Display| Error::Damaged(reason.to_string());
        let (rest, csr) =
            X509CertificationRequest::from_der(der).map_err(|error| damaged(&error))?;
        if !rest.is_empty() {
            return Err(damaged(&"extra bytes at the end"));
        }
        let info = &csr.certification_request_info;
        if csr.signature_algorithm.algorithm.to_id_string() == RSA_PSS {
            return Err(Error::Pss);
        }
        let public_key = info.subject_pki.raw;
        leaf::check_public_key(public_key)?;
        if !verifies(
            public_key,
            &csr.signature_algorithm,
            &csr.signature_value,
            info.raw,
        ) {
            return Err(Error::Signature);
        }
        let mut sans = Ok(Sans::default());
        for extension in csr.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                    return Err(Error::AsksForCa);
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    sans = Sans::of(&names.general_names);
                }
                _ => {}
            }
        }
        Ok(Self {
            public_key: public_key.to_vec(),
            subject: info.subject.as_raw().to_vec(),
            sans,
        })
    }

    /// The requested key, as `SubjectPublicKeyInfo` in DER.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    /// The requested subject, byte by byte.
    pub fn subject(&self) -> Result<names::Subject, Error> {
        Ok(names::Subject::from_der(&self.subject)?)
    }

    /// The requested SANs.
    pub fn sans(&self) -> Result<Sans, Error> {
        self.sans.clone()
    }
}

/// Creates a request in PEM for a certificate like that of [`leaf::issue`]: subject, SANs, digitalSignature, clientAuth.
pub fn make(request: &LeafRequest, key: &PrivateKey) -> Result<String, leaf::Error> {
    leaf::check_request(request)?;
    leaf::check_public_key(key.public_key_der())?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = leaf::sans(request)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let signer = Signer {
        name: &request.subject.to_der(),
        key_id: Vec::new(),
        key,
    };
    let der = signer.request(&params)?;
    Ok((*pem_text::encode("CERTIFICATE REQUEST", &der)).clone())
}

fn is_request(label: &str) -> bool {
    // The second is what old versions of OpenSSL and some devices write.
    matches!(label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST")
}

impl Sans {
    fn of(names: &[GeneralName<'_>]) -> Result<Self, Error> {
        let mut sans = Self::default();
        for name in names {
            match name {
                GeneralName::URI(uri) => sans.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => sans.dns.push((*dns).to_owned()),
                GeneralName::RFC822Name(email) => sans.emails.push((*email).to_owned()),
                GeneralName::IPAddress(octets) => sans.ips.push(ip(octets).ok_or(Error::San)?),
                _ => return Err(Error::San),
            }
        }
        Ok(sans)
    }
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}
