//! Authorities made elsewhere: which are used, which are refused, and that their names are kept.

use super::*;
use crate::pki::{authority::Error, key};

const CA: &[&str] = &[
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier=hash",
];
const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// What using a CA of OpenSSL's with these extensions ends in, one second after its notBefore.
fn used(extensions: &[&str]) -> Result<Authority, Error> {
    let bench = Bench::new();
    let ca = bench.foreign_ca("ca", P256, "/CN=Foreign", extensions);
    Authority::load(
        bench.read("ca.crt"),
        bench.read("ca.key"),
        ca.not_before() + Duration::SECOND,
    )
}

#[test]
fn clients_of_any_real_world_ca_verify_and_name_their_issuer_bit_by_bit() {
    let cas = [
        (
            "rsa",
            "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            "/O=Kyma/CN=kyma-mtls",
            CA,
        ),
        (
            "repeats",
            P256,
            "/DC=com/DC=example/OU=a/OU=b/OU=c/CN=Repeats",
            CA,
        ),
        ("multi", P256, "/O=Example/CN=Multi+UID=17/L=Köln", CA),
        (
            "p384",
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            "/C=DE/CN=P-384",
            CA,
        ),
        (
            "p521",
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
            "/C=DE/CN=P-521",
            CA,
        ),
        ("ed25519", "-algorithm ED25519", "/C=DE/CN=Ed", CA),
        // The tutorial's CA has no keyUsage, and this one no key identifier either.
        (
            "bare",
            P256,
            "/CN=Bare",
            &[
                "basicConstraints=critical,CA:TRUE",
                "subjectKeyIdentifier=none",
            ],
        ),
    ];
    for (name, key, subject, extensions) in cas {
        let bench = Bench::new();
        let ca = bench.foreign_ca("ca", key, subject, extensions);
        let now = ca.not_before() + Duration::SECOND;
        let authority = Authority::load(bench.read("ca.crt"), bench.read("ca.key"), now).unwrap();
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let leaf = leaf::issue(&authority, &request(), key.public_key_der(), now, [3; 20]).unwrap();
        assert_eq!(leaf.issuer_der(), ca.subject_der(), "{name}");
        assert!(leaf.is_signed_by(&ca), "{name}");
        assert!(ca.is_self_signed(), "{name}");
        // OpenSSL's strict mode wants a key identifier in the CA itself.
        let strict = if name == "bare" {
            "-no-CApath"
        } else {
            "-x509_strict"
        };
        bench.write("leaf.crt", leaf.pem());
        bench.openssl(&format!(
            "verify {strict} -purpose sslclient -attime {} -CAfile ca.crt leaf.crt",
            now.unix_timestamp()
        ));
    }
}

#[test]
fn an_authority_whose_clients_every_verifier_refuses_is_not_used() {
    assert!(matches!(
        used(&["basicConstraints=CA:FALSE"]),
        Err(Error::NotACa { .. })
    ));
    assert!(matches!(
        used(&["subjectKeyIdentifier=hash"]),
        Err(Error::NotACa { .. })
    ));
    let no_cert_sign = [
        "basicConstraints=CA:TRUE",
        "keyUsage=digitalSignature,cRLSign",
    ];
    assert!(matches!(used(&no_cert_sign), Err(Error::MayNotSign { .. })));
    let servers_only = ["basicConstraints=CA:TRUE", "extendedKeyUsage=serverAuth"];
    assert!(matches!(
        used(&servers_only),
        Err(Error::NotForClients { .. })
    ));
    assert!(used(CA).is_ok());
}

#[test]
fn an_expired_authority_and_one_of_the_future_are_not_used() {
    let ca = authority();
    let load = |now| {
        Authority::load(ca.certificate().pem(), ca.key().to_pem().as_bytes(), now).map(|_| ())
    };
    let (first, last) = (ca.certificate().not_before(), ca.certificate().not_after());
    assert_eq!(load(first), Ok(()));
    assert_eq!(load(last - Duration::SECOND), Ok(()));
    assert!(matches!(
        load(first - Duration::SECOND),
        Err(Error::NotYetValid { .. })
    ));
    assert!(matches!(load(last), Err(Error::Expired { .. })));
}

#[test]
fn a_key_that_is_not_the_authoritys_is_named_as_such() {
    let ca = authority();
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    let refused = Authority::load(ca.certificate().pem(), other.to_pem().as_bytes(), NOW);
    let message = refused.unwrap_err().to_string();
    assert_eq!(
        message,
        "the private key does not belong to the CA `CN=Test client CA,OU=b,OU=a,O=Example`; every certificate it signed would be refused"
    );
}

#[test]
fn an_encrypted_or_damaged_file_says_which_of_the_two_it_is() {
    let ca = authority();
    let bench = Bench::new();
    bench.write("ca.key", ca.key().to_pem().as_bytes());
    bench.openssl("pkey -in ca.key -aes256 -passout pass:secret -out encrypted.key");
    bench.openssl("ec -in ca.key -aes256 -passout pass:secret -out old.key");
    for file in ["encrypted.key", "old.key"] {
        let refused = Authority::load(ca.certificate().pem(), bench.read(file), NOW);
        assert_eq!(
            refused.unwrap_err(),
            Error::Key(key::Error::Encrypted),
            "{file}"
        );
    }
    let refused = Authority::load(ca.certificate().pem(), "hello", NOW);
    assert!(matches!(refused, Err(Error::Key(key::Error::Pem(_)))));
    let refused = Authority::load(
        ca.key().to_pem().as_bytes(),
        ca.key().to_pem().as_bytes(),
        NOW,
    );
    assert!(matches!(refused, Err(Error::Certificate(_))));
    let refused = Authority::load("", ca.key().to_pem().as_bytes(), NOW);
    assert!(matches!(refused, Err(Error::Certificate(_))));
}

#[test]
fn no_two_generations_of_an_authority_share_a_subject() {
    use crate::pki::authority::default_subject;
    let one = default_subject("kyma-mtls", [0, 1, 2, 3]).unwrap();
    let two = default_subject("kyma-mtls", [0, 1, 2, 4]).unwrap();
    assert_eq!(one.to_string(), "CN=kyma-mtls client CA 00010203");
    assert_ne!(one, two);
    assert!(default_subject(&"a".repeat(63), [0; 4]).is_ok());
}

#[test]
fn lifetimes_that_no_certificate_can_hold_are_refused() {
    for ttl in [
        Duration::ZERO,
        Duration::days(-1),
        Duration::days(366 * 8000),
        Duration::MAX,
    ] {
        let request = CaRequest {
            subject: Subject::common_name("x").unwrap(),
            ttl,
            key_type: KeyType::P256,
        };
        assert_eq!(
            Authority::generate(&request, NOW, [0; 20]).unwrap_err(),
            Error::Ttl,
            "{ttl}"
        );
    }
}

#[test]
fn nothing_that_is_printed_for_debugging_holds_the_key() {
    let ca = authority();
    let shown = format!("{ca:?} {ca:#?}");
    let pem = ca.key().to_pem();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!shown.contains(secret));
    assert!(shown.contains("P-256"));
}

#[test]
fn a_ca_with_a_critical_extension_that_gateways_do_not_know_signs_no_client() {
    let bench = Bench::new();
    let with = |name: &str, critical: &str| {
        let extensions = [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=keyCertSign,cRLSign",
            &format!("1.2.3.4={critical}ASN1:UTF8String:x"),
        ];
        let key = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
        bench.foreign_ca(name, key, "/CN=Outside", &extensions)
    };
    let (known, unknown) = (with("a", ""), with("b", "critical,"));
    let check =
        |ca: &Certificate| crate::pki::authority::check(ca, ca.not_before() + Duration::SECOND);
    assert_eq!(check(&known), Ok(()));
    assert!(matches!(
        check(&unknown),
        Err(crate::pki::authority::Error::CriticalExtension { oid, .. }) if oid == "1.2.3.4"
    ));
}
