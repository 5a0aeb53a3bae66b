//! Random requests, compared with what OpenSSL reads back; random damage, which must be noticed.

use super::*;
use crate::pki::{bundle::Bundle, crl::Crl, names::Attribute};
use proptest::{prelude::*, test_runner::RngSeed};
use std::net::IpAddr;

#[expect(
    clippy::disallowed_methods,
    reason = "proptest itself reads this variable"
)]
/// The same cases on every run; with `PROPTEST_CASES=<number>` that many, and other ones each time.
pub(super) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(1),
        ..default
    }
}

fn attribute() -> impl Strategy<Value = (Attribute, String)> {
    use Attribute as A;
    let text = "[a-zA-Z0-9äöüß日本 ,+\"\\\\<>;=#/.-]{1,20}";
    prop_oneof![
        // OpenSSL leaves a lone `#` unescaped, which RFC 4514, 2.4 does not.
        (
            prop::sample::select(vec![
                A::CommonName,
                A::Organization,
                A::OrganizationalUnit,
                A::Locality,
                A::StateOrProvince,
                A::UserId,
                A::Title,
                A::GivenName,
                A::Surname
            ]),
            text.prop_filter("lone #", |text| text != "#")
        ),
        (Just(A::Country), "[A-Z]{2}"),
        (Just(A::DomainComponent), "[a-z0-9-]{1,10}"),
        (Just(A::EmailAddress), "[a-z]{1,8}@[a-z]{1,8}"),
        (Just(A::SerialNumber), "[A-Za-z0-9 ()+,./:=?-]{1,12}"),
    ]
}

fn leaf_request() -> impl Strategy<Value = LeafRequest> {
    (
        prop::collection::vec(attribute(), 1..6),
        prop::collection::vec(
            "[a-z]{2,6}:[a-zA-Z0-9/._~:@!$&'()+;=%]{0}[a-z0-9/]{1,20}",
            1..4,
        ),
        prop::collection::vec("[a-z0-9]{1,10}(\\.[a-z0-9_]{1,10}){0,3}", 0..3),
        prop::collection::vec("[a-z0-9.+]{1,10}@[a-z0-9]{1,10}\\.example", 0..3),
        prop::collection::vec(any::<IpAddr>(), 0..3),
        60i64..365 * 86_400,
    )
        .prop_map(
            |(attributes, uris, dns, emails, ips, seconds)| LeafRequest {
                subject: attributes
                    .into_iter()
                    .fold(Subject::default(), |subject, (attribute, value)| {
                        subject.with(attribute, value).unwrap()
                    }),
                uris,
                dns,
                emails,
                ips,
                ttl: Duration::seconds(seconds),
            },
        )
}

fn key_type() -> impl Strategy<Value = KeyType> {
    prop_oneof![4 => Just(KeyType::P256), 3 => Just(KeyType::P384), 1 => Just(KeyType::Rsa2048)]
}

/// `-ext subjectAltName` as OpenSSL prints it.
fn printed_sans(request: &LeafRequest) -> String {
    let ips = request.ips.iter().map(|ip| match ip {
        IpAddr::V4(v4) => format!("IP Address:{v4}"),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6
                .segments()
                .iter()
                .map(|group| format!("{group:X}"))
                .collect();
            format!("IP Address:{}", groups.join(":"))
        }
    });
    let named = |kind: &'static str, values: &[String]| {
        values
            .iter()
            .map(|value| format!("{kind}:{value}"))
            .collect::<Vec<_>>()
    };
    named("URI", &request.uris)
        .into_iter()
        .chain(named("DNS", &request.dns))
        .chain(named("email", &request.emails))
        .chain(ips)
        .collect::<Vec<_>>()
        .join(", ")
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn what_was_asked_for_is_what_openssl_reads(request in leaf_request(), key_type in key_type(), ca_type in key_type(), serial: [u8; 20]) {
        let authority = authority_of(ca_type);
        let key = PrivateKey::generate(key_type).unwrap();
        let leaf = leaf::issue(&authority, &request, key.public_key_der(), NOW, serial).unwrap();
        let bench = Bench::new();
        bench.write("ca.crt", authority.certificate().pem()).write("leaf.crt", leaf.pem());
        let (accepted, said) = bench.verifies(NOW, "-CAfile ca.crt leaf.crt");
        prop_assert!(accepted, "{}", said);
        let subject = bench.openssl("x509 -in leaf.crt -noout -subject -nameopt RFC2253,utf8,-esc_msb");
        prop_assert_eq!(subject.trim_end_matches('\n'), format!("subject={}", request.subject));
        prop_assert_eq!(leaf.subject(), request.subject.to_string());
        prop_assert_eq!(leaf.subject().parse::<Subject>().unwrap(), request.subject.clone());
        let sans = bench.openssl("x509 -in leaf.crt -noout -ext subjectAltName");
        prop_assert_eq!(sans.lines().nth(1).unwrap().trim(), printed_sans(&request));
        prop_assert_eq!(leaf.uri_sans(), &request.uris);
        prop_assert_eq!(leaf.dns_sans(), &request.dns);
        prop_assert_eq!(leaf.emails(), &request.emails);
        prop_assert_eq!(leaf.ips(), &request.ips);
        prop_assert_eq!(leaf.not_after(), NOW + request.ttl);
        prop_assert_eq!(leaf.key_description(), key.kind().to_string());
        prop_assert_eq!(leaf.issuer_der(), authority.certificate().subject_der());
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn no_damaged_certificate_passes_for_a_signed_one(at: prop::sample::Index, bit in 0u8..8) {
        let authority = authority();
        let (_, leaf) = client(&authority);
        let mut der = leaf.der().to_vec();
        let at = at.index(der.len());
        der[at] ^= 1 << bit;
        if let Ok(damaged) = Certificate::from_der(&der) {
            prop_assert!(!damaged.is_signed_by(authority.certificate()), "byte {}", at);
        }
    }

    #[test]
    fn no_damaged_list_passes_for_a_signed_one(at: prop::sample::Index, bit in 0u8..8) {
        let authority = authority();
        let crl = Crl::sign(&authority, 1, &[], None, NOW).unwrap();
        let mut der = crl.der().to_vec();
        let at = at.index(der.len());
        der[at] ^= 1 << bit;
        if let Ok(damaged) = Crl::from_der(&der) {
            prop_assert!(!damaged.is_signed_by(authority.certificate()), "byte {}", at);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_crash(bytes: Vec<u8>, text in "(-----BEGIN [A-Z ]{0,12}-----\n)?[a-zA-Z0-9+/=\n:,-]{0,80}(-----END [A-Z ]{0,12}-----\n)?") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            let _ = Certificate::from_der(input);
            let _ = Certificate::many_from_pem(input);
            let _ = PrivateKey::from_pem(input);
            let _ = PrivateKey::from_pkcs8(input);
            let _ = Bundle::parse(input);
            let _ = Crl::many_from_pem(input);
            let _ = leaf::check_public_key(input);
        }
        let _ = text.parse::<Subject>();
    }

    #[test]
    fn subjects_read_back_from_their_text(attributes in prop::collection::vec(attribute(), 1..6)) {
        let subject = attributes.into_iter().fold(Subject::default(), |subject, (attribute, value)| {
            subject.with(attribute, value).unwrap()
        });
        prop_assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
    }
}
