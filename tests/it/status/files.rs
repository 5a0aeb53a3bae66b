//! Variants of a client-CA file: what the real proxies take without harm is no finding, and what they do not take is one.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sandbox::{Caller, Reply};

use super::*;
use crate::lab::call;

type Variant = fn(&str) -> String;

const VARIANTS: [(&str, Variant); 7] = [
    ("as OpenSSL writes it", str::to_owned),
    ("line ends of Windows", |pem| pem.replace('\n', "\r\n")),
    ("a byte order mark", |pem| format!("\u{feff}{pem}")),
    ("a byte order mark and text", |pem| {
        format!("\u{feff}subject=CN = x\n{pem}")
    }),
    ("the CA twice", |pem| pem.repeat(2)),
    ("text around", |pem| {
        format!("subject=CN = x\n\n{pem}\nthe end\n")
    }),
    ("no last line end", |pem| pem.trim_end().to_owned()),
];

/// A client's certificate and key, signed by a CA.
fn client(ca: &str, key: &str) -> [String; 2] {
    let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(key).unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "theirs");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    [certificate.pem(), key.serialize_pem()]
}

impl Exposed {
    /// Adds a route to a Gateway made by hand.
    fn routed_by_hand(self) -> Self {
        let namespace = &self.desk.namespace;
        let headers = json!({
            "X-CLIENT-SSL-CN": "%DOWNSTREAM_PEER_SUBJECT%",
            "X-CLIENT-SSL-ISSUER": "%DOWNSTREAM_PEER_ISSUER%",
            "X-CLIENT-SSL-SAN": "%DOWNSTREAM_PEER_URI_SAN%",
        });
        let rule = json!({
            "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
            "metadata": {"name": "by-hand", "namespace": namespace},
            "spec": {
                "hosts": [self.host], "gateway": format!("{namespace}/by-hand"),
                "service": {"name": "httpbin", "port": 8000},
                "rules": [{
                    "path": "/*", "methods": ["GET"], "noAuth": true,
                    "request": {"headers": headers},
                }],
            },
        });
        self.desk.instance.create(vec![rule]).unwrap();
        self
    }

    /// Whether every proxy lets the client in, sooner or later.
    fn lets_in(&self, [certificate, key]: &[String; 2]) -> bool {
        let root = self.desk.instance.stand_ins().root_certificate();
        let replicas = self.desk.instance.replicas().iter();
        let mut callers = replicas.map(|replica| {
            let caller = Caller::new(replica.tls().to_string(), &root);
            caller.with_certificate(certificate, key)
        });
        callers.all(|caller| {
            (0..100).any(|_| {
                let reply = call(&caller, &self.host, &[]);
                let is_in = matches!(reply, Reply::Answered { status: 200, .. });
                if !is_in {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                is_in
            })
        })
    }
}

#[test]
fn a_file_that_the_proxies_take_is_no_finding_and_one_that_they_do_not_is_one() {
    let (ca, key) = company_ca(in_a_year());
    let client = client(&ca, &key);
    let mut usual = None;
    for (what, variant) in VARIANTS {
        // A name that no proxy has seen: what it has loaded is this file or nothing.
        let exposed = Exposed::by_hand("variant", &variant(&ca)).routed_by_hand();
        let is_let_in = exposed.lets_in(&client);
        let (_, findings) = exposed.findings();
        let ids: Vec<String> = findings
            .iter()
            .map(|finding| finding["id"].as_str().unwrap().to_owned())
            .collect();
        let usual: &Vec<String> = usual.get_or_insert(ids.clone());
        if is_let_in {
            assert_eq!(&ids, usual, "{what}: {findings:#?}");
        } else {
            let is_it = |finding: &Value| finding["severity"] == "error";
            assert!(findings.iter().any(is_it), "{what}: {findings:#?}");
        }
    }
}
