//! The extensions that decide about trust and identity (RFC 5280, 4.2).

use std::net::IpAddr;
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
};

/// The extensions that may be critical (`BoringSSL`, `x509_vfy.cc`, `X509_supported_extension`).
const KNOWN_CRITICAL: [&str; 10] = [
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.32",
    "2.5.29.33",
    "2.5.29.36",
    "2.5.29.37",
    "2.5.29.54",
    "2.16.840.1.113730.1.1",
];

/// The list of signed certificate timestamps (RFC 6962, 3.3).
const TIMESTAMPS: &str = "1.3.6.1.4.1.11129.2.4.2";
/// `id-ad-caIssuers`.
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

#[derive(Clone, Copy)]
pub(super) struct KeyUsage {
    pub(super) digital_signature: bool,
    pub(super) key_cert_sign: bool,
    pub(super) crl_sign: bool,
}

#[derive(Clone, Default)]
pub(super) struct Extensions {
    pub(super) is_ca: bool,
    /// The number of intermediate CAs that may be between this CA and a leaf.
    pub(super) path_length: Option<u32>,
    pub(super) key_usage: Option<KeyUsage>,
    /// Whether extendedKeyUsage, if there is one, holds clientAuth.
    pub(super) client_auth: Option<bool>,
    /// Whether extendedKeyUsage, if there is one, holds serverAuth or `anyExtendedKeyUsage`.
    pub(super) server_auth: Option<bool>,
    pub(super) ski: Option<Vec<u8>>,
    pub(super) aki: Option<Vec<u8>>,
    pub(super) uris: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) ips: Vec<IpAddr>,
    /// Whether the certificate holds signed timestamps of Certificate Transparency logs (RFC 6962,
    /// 3.3).
    pub(super) has_timestamps: bool,
    /// Whether the certificate names the address of its issuer's certificate (`id-ad-caIssuers`;
    /// RFC 5280, 4.2.2.1).
    pub(super) has_issuer_address: bool,
    /// A critical extension that `BoringSSL` does not support, as its dotted object identifier.
    pub(super) unknown_critical: Option<String>,
}

impl Extensions {
    /// Reads the extensions; fails on a repeated or unreadable one of a kind that [`matters`].
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Result<Self, X509Error> {
        let constraints = certificate.basic_constraints()?;
        let mut facts = Self {
            is_ca: constraints
                .as_ref()
                .is_some_and(|constraints| constraints.value.ca),
            path_length: constraints
                .as_ref()
                .and_then(|constraints| constraints.value.path_len_constraint),
            key_usage: certificate.key_usage()?.map(|usage| KeyUsage {
                digital_signature: usage.value.digital_signature(),
                key_cert_sign: usage.value.key_cert_sign(),
                crl_sign: usage.value.crl_sign(),
            }),
            client_auth: certificate
                .extended_key_usage()?
                .map(|usage| usage.value.client_auth),
            server_auth: certificate
                .extended_key_usage()?
                .map(|usage| usage.value.server_auth || usage.value.any),
            ..Self::default()
        };
        for extension in certificate.extensions() {
            let oid = extension.oid.to_id_string();
            facts.has_timestamps |= oid == TIMESTAMPS;
            if extension.critical && !KNOWN_CRITICAL.contains(&oid.as_str()) {
                facts.unknown_critical.get_or_insert(oid);
            }
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => facts.ski = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    facts.aki = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    let mut methods = access.accessdescs.iter();
                    facts.has_issuer_address =
                        methods.any(|access| access.access_method.to_id_string() == CA_ISSUERS);
                }
                // The accessors above take an unreadable extension for an absent one, which would allow everything.
                ParsedExtension::ParseError { .. } if matters(&extension.oid.to_id_string()) => {
                    return Err(X509Error::InvalidExtensions);
                }
                _ => {}
            }
        }
        if let Some(names) = certificate.subject_alternative_name()? {
            for name in &names.value.general_names {
                facts.add(name);
            }
        }
        Ok(facts)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::DNSName(dns) => self.dns.push((*dns).to_owned()),
            GeneralName::RFC822Name(email) => self.emails.push((*email).to_owned()),
            GeneralName::IPAddress(octets) => self.ips.extend(ip(octets)),
            _ => {}
        }
    }
}

/// Whether an extension is one of key identifiers, key usage, SAN, basic constraints, extended key
/// usage.
fn matters(oid: &str) -> bool {
    ["14", "15", "17", "19", "35", "37"]
        .map(|last| format!("2.5.29.{last}"))
        .iter()
        .any(|known| known == oid)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}
