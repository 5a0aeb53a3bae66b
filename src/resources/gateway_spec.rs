//! The spec of Istio's Gateway, as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The fields of a Gateway.
#[derive(Deserialize)]
pub(super) struct Spec {
    #[serde(default)]
    pub(super) selector: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) servers: Vec<SpecServer>,
}

/// One server of a Gateway.
#[derive(Deserialize)]
pub(super) struct SpecServer {
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    pub(super) port: SpecPort,
    pub(super) tls: Option<SpecTls>,
    #[serde(default)]
    pub(super) bind: String,
}

/// The port of a server.
#[derive(Deserialize)]
pub(super) struct SpecPort {
    #[serde(default)]
    pub(super) name: String,
    pub(super) number: u16,
    #[serde(default)]
    pub(super) protocol: String,
}

/// The TLS settings of a server.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpecTls {
    #[serde(default)]
    pub(super) mode: String,
    #[serde(default)]
    pub(super) credential_name: String,
    #[serde(default)]
    pub(super) ca_cert_credential_name: String,
    #[serde(default)]
    pub(super) https_redirect: bool,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
    #[serde(default)]
    pub(super) credential_names: Vec<String>,
    #[serde(default)]
    pub(super) subject_alt_names: Vec<String>,
    #[serde(default)]
    pub(super) verify_certificate_hash: Vec<String>,
    #[serde(default)]
    pub(super) verify_certificate_spki: Vec<String>,
    #[serde(default)]
    pub(super) min_protocol_version: String,
    #[serde(default)]
    pub(super) max_protocol_version: String,
    #[serde(default)]
    pub(super) cipher_suites: Vec<String>,
}

impl SpecTls {
    /// The fields that accept only certificates with certain hashes or names.
    pub(super) fn pins(&self) -> Vec<&'static str> {
        let fields = [
            ("subjectAltNames", &self.subject_alt_names),
            ("verifyCertificateHash", &self.verify_certificate_hash),
            ("verifyCertificateSpki", &self.verify_certificate_spki),
        ];
        let set = fields.into_iter().filter(|(_, values)| !values.is_empty());
        set.map(|(field, _)| field).collect()
    }

    /// The fields that exclude TLS 1.2 or 1.3, which a gateway supports without them.
    pub(super) fn limits(&self) -> Vec<&'static str> {
        let is_narrower = |said: &str, default: &[&str]| !default.contains(&said);
        let (least, most) = (&self.min_protocol_version, &self.max_protocol_version);
        let default = ["", "TLS_AUTO", "TLSV1_2"];
        let fields = [
            ("minProtocolVersion", is_narrower(least, &default)),
            (
                "maxProtocolVersion",
                is_narrower(most, &["", "TLS_AUTO", "TLSV1_3"]),
            ),
            ("cipherSuites", !self.cipher_suites.is_empty()),
        ];
        let set = fields.into_iter().filter(|(_, is_set)| *is_set);
        set.map(|(field, _)| field).collect()
    }
}
