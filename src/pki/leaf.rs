//! Client certificates that are valid by construction.

use super::{
    authority::{self, Authority},
    inspect::{self, Certificate},
    names::{self, Subject, check_uri_syntax, is_bad_character},
    public_key::PublicKeyKind,
    seal,
    serial::Serial,
    when::{LAST, whole_seconds},
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
    string::Ia5String,
};
use std::net::IpAddr;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};

/// How far back a leaf's notBefore lies, for gateways whose clock is behind.
pub const BACKDATED: Duration = Duration::minutes(5);

/// Largest size of subject and alternative names, in bytes. A client sends its certificate and the CAs above it in one message, whose size
/// Java limits to 32 KiB (`jdk.tls.maxHandshakeMessageSize`), OpenSSL and `BoringSSL` to 100 KiB (`SSL_MAX_CERT_LIST_DEFAULT`).
const LARGEST_NAMES: usize = 16 * 1024;

/// Why a client certificate is not issued.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The CA may not sign now.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// The lifetime is not positive.
    #[error("a certificate's lifetime must be positive")]
    Ttl,
    /// The subject is empty: a gateway would pass a client's forged subject header on (Envoy, `request_headers_to_add`).
    #[error("a client certificate needs a subject; give at least a common name")]
    NoSubject,
    /// There is no URI SAN: a gateway would pass a client's forged SAN header on.
    #[error(
        "a client certificate needs a URI SAN; without one clients could forge their identity header"
    )]
    NoUri,
    /// A SAN that is refused.
    #[error(transparent)]
    Name(#[from] names::Error),
    /// A DNS or e-mail SAN that is not valid.
    #[error("{kind} SAN `{value}` is not valid; {remedy}")]
    San {
        /// The kind of SAN: `DNS` or `e-mail`.
        kind: &'static str,
        /// The SAN as given.
        value: String,
        /// The next step.
        remedy: &'static str,
    },
    /// The names are larger than every TLS library accepts.
    #[error(
        "subject and alternative names take {0} bytes, and only {LARGEST_NAMES} fit into a certificate that every TLS library takes; leave some out"
    )]
    TooManyNames(usize),
    /// A key that Envoy rejects, or that is weak.
    #[error(
        "a client's key may not be {kind}; gateways accept P-256, P-384, and RSA of 2048 to 8192 bits"
    )]
    KeyKind {
        /// The kind of key.
        kind: PublicKeyKind,
    },
    /// The public key is not a valid key of its kind.
    #[error("the public key is damaged")]
    DamagedKey,
    /// Encoding failed.
    #[error(transparent)]
    Encoding(#[from] seal::Error),
    /// The new certificate cannot be read, which is a defect.
    #[error(transparent)]
    Unreadable(#[from] inspect::Error),
}

/// The names and the lifetime of a client certificate.
#[derive(Debug, Clone, Default)]
pub struct LeafRequest {
    /// The subject; not empty.
    pub subject: Subject,
    /// URI SANs; at least one. The caller must check them with [`check_uri_san`](super::names::check_uri_san), which needs the mesh's trust
    /// domains.
    pub uris: Vec<String>,
    /// DNS SANs.
    pub dns: Vec<String>,
    /// E-mail SANs.
    pub emails: Vec<String>,
    /// IP address SANs.
    pub ips: Vec<IpAddr>,
    /// The time from now to notAfter; cut to the CA's notAfter.
    pub ttl: Duration,
}

/// Issues a client certificate for `public_key` (`SubjectPublicKeyInfo`, DER).
///
/// X.509 v3, not a CA, digitalSignature (critical), clientAuth only, key identifiers, notBefore five minutes back but not before the CA's,
/// notAfter by the ttl but not after the end of any CA of the chain. The issuer is the CA's subject, byte by byte. `serial_random`: 20
/// bytes from a cryptographic generator.
pub fn issue(
    authority: &Authority,
    request: &LeafRequest,
    public_key: &[u8],
    now: OffsetDateTime,
    serial_random: [u8; 20],
) -> Result<Certificate, Error> {
    let ca = authority.certificate();
    authority::check(ca, now)?;
    check_public_key(public_key)?;
    if request.subject.is_empty() {
        return Err(Error::NoSubject);
    }
    let now = whole_seconds(now);
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATED).max(ca.not_before());
    params.not_after = not_after(authority, request.ttl, now)?;
    params.serial_number = Some(SerialNumber::from_slice(
        Serial::from_random(serial_random).as_bytes(),
    ));
    params.subject_alt_names = sans(request)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let der = authority
        .signer()
        .certificate(&params, public_key, &request.subject.to_der())?;
    Ok(Certificate::from_der(&der)?)
}

/// Refuses a request that no CA could fulfil: without subject or URI, or with an invalid SAN.
pub fn check_request(request: &LeafRequest) -> Result<(), Error> {
    if request.subject.is_empty() {
        return Err(Error::NoSubject);
    }
    sans(request).map(|_| ())
}

/// Refuses public keys (`SubjectPublicKeyInfo`, DER) that Envoy refuses in a client certificate, and invalid ones.
pub fn check_public_key(public_key: &[u8]) -> Result<(), Error> {
    let (_, parsed) = SubjectPublicKeyInfo::from_der(public_key).map_err(|_| Error::DamagedKey)?;
    let bits = parsed.subject_public_key.data.as_ref();
    match PublicKeyKind::of(public_key) {
        PublicKeyKind::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bits),
        PublicKeyKind::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, bits),
        PublicKeyKind::Rsa(2048..=8192) => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bits),
        kind => return Err(Error::KeyKind { kind }),
    }
    .map(|_| ())
    .map_err(|_| Error::DamagedKey)
}

fn not_after(
    authority: &Authority,
    ttl: Duration,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, Error> {
    if ttl.whole_seconds() <= 0 {
        return Err(Error::Ttl);
    }
    let last = authority.not_after().min(LAST);
    Ok(now
        .checked_add(ttl)
        .map_or(last, |end| whole_seconds(end).min(last)))
}

/// The lifetime that a certificate was issued for, from its validity and the usual backdating. Up to five minutes are missing if its CA was
/// younger than that.
pub fn lifetime(certificate: &Certificate) -> Duration {
    let validity = certificate.not_after() - certificate.not_before();
    if validity > BACKDATED {
        validity - BACKDATED
    } else {
        validity
    }
}

pub(super) fn sans(request: &LeafRequest) -> Result<Vec<SanType>, Error> {
    if request.uris.is_empty() {
        return Err(Error::NoUri);
    }
    let mut sans = Vec::new();
    for uri in &request.uris {
        check_uri_syntax(uri)?;
        sans.push(SanType::URI(ia5(uri)?));
    }
    for dns in &request.dns {
        if !is_host_name(dns) {
            return Err(Error::San {
                kind: "DNS",
                value: dns.clone(),
                remedy: "give a host name in ASCII, such as `laptop.example.com`",
            });
        }
        sans.push(SanType::DnsName(ia5(dns)?));
    }
    for email in &request.emails {
        if !is_email(email) {
            return Err(Error::San {
                kind: "e-mail",
                value: email.clone(),
                remedy: "give an address in ASCII, such as `alice@example.com`",
            });
        }
        sans.push(SanType::Rfc822Name(ia5(email)?));
    }
    sans.extend(request.ips.iter().copied().map(SanType::IpAddress));
    let texts = [&request.uris, &request.dns, &request.emails];
    // Tag and length of each take up to four bytes.
    let texts = texts.into_iter().flatten().map(|text| text.len() + 4);
    let names = request.subject.to_der().len() + texts.sum::<usize>() + request.ips.len() * 18;
    if names > LARGEST_NAMES {
        return Err(Error::TooManyNames(names));
    }
    Ok(sans)
}

fn ia5(text: &str) -> Result<Ia5String, Error> {
    Ia5String::try_from(text).map_err(|error| seal::Error::from(error).into())
}

/// Whether a name is valid by RFC 1123, with underscores, which real hosts have, and without
/// wildcards, which name no client.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn is_email(address: &str) -> bool {
    address.is_ascii()
        && address.len() <= 254
        && !address.contains([' ', ',', ';', '<', '>', '"'])
        && !address.chars().any(is_bad_character)
        && address
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && is_host_name(domain))
}
