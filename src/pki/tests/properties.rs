//! Random requests, compared with what OpenSSL reads back; random damage, which must be noticed.

use super::*;
use crate::pki::{bundle::Bundle, crl::Crl, names::Attribute};
use proptest::{prelude::*, test_runner::RngSeed};
use std::{net::IpAddr, sync::OnceLock};

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
                subject: subject_of(attributes),
                uris,
                dns,
                emails,
                ips,
                ttl: Duration::seconds(seconds),
            },
        )
}

/// A CA, the time at which it is made, and how long it lives: dates before and after 2050 are encoded differently (RFC 5280,
/// 4.1.2.5).
fn ca() -> impl Strategy<Value = (CaRequest, OffsetDateTime)> {
    let key_type = prop_oneof![
        4 => Just(KeyType::P256),
        3 => Just(KeyType::P384),
        1 => Just(KeyType::Rsa2048),
    ];
    (
        prop::collection::vec(attribute(), 1..6),
        key_type,
        3_600i64..60 * 365 * 86_400,
        0i64..50 * 365 * 86_400,
    )
        .prop_map(|(attributes, key_type, life, later)| {
            let request = CaRequest {
                subject: subject_of(attributes),
                ttl: Duration::seconds(life),
                key_type,
            };
            (request, NOW + Duration::seconds(later))
        })
}

fn subject_of(attributes: Vec<(Attribute, String)>) -> Subject {
    attributes
        .into_iter()
        .fold(Subject::default(), |subject, (attribute, value)| {
            subject.with(attribute, value).unwrap()
        })
}

/// A key of every type, made once.
fn key(key_type: KeyType) -> &'static PrivateKey {
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        KeyType::ALL
            .into_iter()
            .map(|key_type| PrivateKey::generate(key_type).unwrap())
            .collect()
    });
    let at = KeyType::ALL.into_iter().position(|one| one == key_type);
    &keys[at.unwrap()]
}

/// A point in time as OpenSSL prints it.
fn printed_time(at: OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[month repr:short] [day padding:space] [hour]:[minute]:[second] [year] GMT"
    );
    at.format(&format).unwrap()
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
    fn what_was_asked_for_is_what_openssl_reads(
        request in leaf_request(),
        (ca, now) in ca(),
        key_type in prop::sample::select(&KeyType::ALL[..]),
        part_of_life in 0i64..=1_000,
        serial: [u8; 20],
    ) {
        let authority = Authority::generate(&ca, now, serial).unwrap();
        let life = Duration::seconds(ca.ttl.whole_seconds() / 1_000 * part_of_life);
        let request = LeafRequest { ttl: life.max(Duration::MINUTE), ..request };
        let key = key(key_type);
        let leaf = leaf::issue(&authority, &request, key.public_key_der(), now, serial).unwrap();
        let bench = Bench::new();
        bench.write("ca.crt", authority.certificate().pem()).write("leaf.crt", leaf.pem());
        for at in [now, now + request.ttl - Duration::SECOND] {
            let (accepted, said) = bench.verifies(at, "-CAfile ca.crt leaf.crt");
            prop_assert!(accepted, "{}", said);
        }
        let read = bench.openssl(
            "x509 -in leaf.crt -noout -subject -issuer -dates -serial -pubkey -nameopt RFC2253,utf8,-esc_msb -ext subjectAltName,keyUsage,extendedKeyUsage,basicConstraints,authorityKeyIdentifier",
        );
        bench.write("public.der", key.public_key_der());
        let public = bench.openssl("pkey -pubin -inform DER -in public.der -pubout");
        let aki: Vec<String> = authority.certificate().key_id().iter().map(|byte| format!("{byte:02X}")).collect();
        for expected in [
            format!("subject={}\n", request.subject),
            format!("issuer={}\n", ca.subject),
            format!("notBefore={}\n", printed_time(now - Duration::minutes(5))),
            format!("notAfter={}\n", printed_time(now + request.ttl)),
            format!("serial={}\n", leaf.serial_hex().to_uppercase()),
            public,
            format!("X509v3 Subject Alternative Name: \n    {}\n", printed_sans(&request)),
            "X509v3 Key Usage: critical\n    Digital Signature\n".to_owned(),
            "X509v3 Extended Key Usage: \n    TLS Web Client Authentication\n".to_owned(),
            "CA:FALSE".to_owned(),
            aki.join(":"),
        ] {
            prop_assert!(read.contains(&expected), "no {:?} in {}", expected, read);
        }
        prop_assert_eq!(leaf.subject().parse::<Subject>().unwrap(), request.subject.clone());
        prop_assert_eq!(leaf.uri_sans(), &request.uris);
        prop_assert_eq!(leaf.dns_sans(), &request.dns);
        prop_assert_eq!(leaf.emails(), &request.emails);
        prop_assert_eq!(leaf.ips(), &request.ips);
        prop_assert_eq!(leaf::lifetime(&leaf), request.ttl);
        prop_assert_eq!(KeyType::of(leaf.public_key_der()), Some(key_type));
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
        let subject = subject_of(attributes);
        prop_assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
    }
}
