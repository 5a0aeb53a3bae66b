//! Certificates that an outside CA (OpenSSL) signed for a request made here.

use super::*;
use crate::pki::{
    csr,
    foreign::{Error, check},
};

const CLIENT: &str =
    "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:a";

/// A request made here, signed by OpenSSL with these extensions; and a second of its life.
fn signed(key_type: KeyType, extensions: &str) -> (Bench, PrivateKey, Certificate, OffsetDateTime) {
    let bench = Bench::new();
    let key = PrivateKey::generate(key_type).unwrap();
    bench.write("csr.pem", csr::make(&request(), &key).unwrap());
    let ca = [
        "basicConstraints=critical,CA:TRUE",
        "subjectKeyIdentifier=hash",
    ];
    bench.foreign_ca("ca", "-algorithm ED25519", "/OU=a/OU=b/CN=Outside", &ca);
    bench.write("ext.cnf", format!("{extensions}\n"));
    bench.openssl(
        "x509 -req -in csr.pem -CA ca.crt -CAkey ca.key -days 30 -extfile ext.cnf -out leaf.crt",
    );
    let leaf = Certificate::from_pem(bench.read("leaf.crt")).unwrap();
    let now = leaf.not_before() + Duration::SECOND;
    (bench, key, leaf, now)
}

fn refusal(extensions: &str) -> Option<Error> {
    let (_, _, leaf, now) = signed(KeyType::P256, extensions);
    check(&leaf, now).err()
}

#[test]
fn openssl_verifies_requests_made_here_and_reads_their_names() {
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let bench = Bench::new();
        let key = PrivateKey::generate(key_type).unwrap();
        let wanted = LeafRequest {
            subject: "CN=alice,OU=b,OU=a,DC=example,DC=com".parse().unwrap(),
            dns: vec!["a.example.com".to_owned()],
            emails: vec!["a@example.com".to_owned()],
            ips: vec!["10.0.0.1".parse().unwrap()],
            ..request()
        };
        bench.write("csr.pem", csr::make(&wanted, &key).unwrap());
        let said = bench.output(
            "openssl",
            &words("req -in csr.pem -verify -noout -text -nameopt RFC2253"),
        );
        assert!(said.status.success());
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        for part in [
            "verify OK",
            "Subject: CN=alice,OU=b,OU=a,DC=example,DC=com\n",
            "URI:spiffe://kyma-mtls-clients/alice, DNS:a.example.com, email:a@example.com, IP Address:10.0.0.1",
            "Digital Signature",
            "TLS Web Client Authentication",
        ] {
            assert!(said.contains(part), "{key_type}: no {part} in {said}");
        }
        let read = csr::Csr::from_pem(bench.read("csr.pem")).unwrap();
        assert_eq!(read.public_key_der(), key.public_key_der());
        assert_eq!(read.subject().unwrap().to_der(), wanted.subject.to_der());
    }
}

#[test]
fn a_certificate_that_an_outside_ca_signed_for_a_request_is_taken() {
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa3072] {
        let (bench, key, leaf, now) = signed(key_type, CLIENT);
        assert_eq!(check(&leaf, now), Ok(()));
        assert!(key.matches(&leaf));
        let ca = Certificate::from_pem(bench.read("ca.crt")).unwrap();
        assert!(leaf.is_signed_by(&ca));
    }
    // Neither usage is said: both are allowed.
    assert_eq!(refusal("subjectAltName=URI:urn:a"), None);
}

#[test]
fn a_certificate_that_gateways_refuse_is_refused_with_the_reason() {
    assert!(matches!(
        refusal("basicConstraints=CA:TRUE"),
        Some(Error::IsCa(_))
    ));
    for (extensions, lacking) in [
        ("extendedKeyUsage=serverAuth", "clientAuth"),
        ("extendedKeyUsage=anyExtendedKeyUsage", "clientAuth"),
        ("keyUsage=keyEncipherment", "digitalSignature"),
    ] {
        let refusal = refusal(extensions);
        assert!(
            matches!(refusal, Some(Error::Purpose { usage, .. }) if usage == lacking),
            "{refusal:?}"
        );
    }
    let unknown = refusal("1.2.3.4=critical,ASN1:UTF8String:x");
    assert_eq!(
        unknown,
        Some(Error::CriticalExtension("1.2.3.4".to_owned()))
    );
    assert_eq!(refusal("1.2.3.4=ASN1:UTF8String:x"), None);
    for dns in ["spiffe://kyma-mtls-clients/bob", "SPIFFE://x"] {
        assert_eq!(
            refusal(&format!("{CLIENT},DNS:{dns}")),
            Some(Error::Impersonates(dns.to_owned()))
        );
    }
    let many: Vec<String> = (0..6_000)
        .map(|host| format!("DNS:host-{host}.example.com"))
        .collect();
    assert!(matches!(
        refusal(&format!("{CLIENT},{}", many.join(","))),
        Some(Error::TooLarge(_))
    ));
    let (_, _, leaf, _) = signed(KeyType::P256, CLIENT);
    assert!(matches!(
        check(&leaf, leaf.not_after()),
        Err(Error::Expired(_))
    ));
    assert!(matches!(
        check(&leaf, leaf.not_before() - Duration::SECOND),
        Err(Error::NotYetValid(_))
    ));
}

#[test]
fn a_certificate_of_a_key_that_gateways_refuse_is_refused() {
    let bench = Bench::new();
    for key in [
        "-algorithm ED25519",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:1024",
    ] {
        let leaf = bench.foreign_ca("leaf", key, "/CN=alice", &["basicConstraints=CA:FALSE"]);
        let refused = check(&leaf, leaf.not_before());
        assert!(
            matches!(refused, Err(Error::Key(leaf::Error::KeyKind { .. }))),
            "{key}"
        );
    }
}
