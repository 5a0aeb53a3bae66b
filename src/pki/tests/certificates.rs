//! Client certificates as OpenSSL reads them, and what is refused.

use super::*;
use crate::pki::leaf::Error;

#[test]
fn every_key_type_under_every_authority_passes_openssls_strict_check_for_clients() {
    let types = [KeyType::P256, KeyType::P384, KeyType::Rsa2048];
    for ca_type in types {
        let bench = Bench::new();
        let authority = authority_of(ca_type);
        bench.write("ca.crt", authority.certificate().pem());
        for leaf_type in types {
            let key = PrivateKey::generate(leaf_type).unwrap();
            let leaf =
                leaf::issue(&authority, &request(), key.public_key_der(), NOW, [4; 20]).unwrap();
            bench.write("leaf.crt", leaf.pem());
            let (accepted, said) = bench.verifies(NOW, "-CAfile ca.crt leaf.crt");
            assert!(accepted, "{leaf_type} under {ca_type}: {said}");
            assert!(key.matches(&leaf));
            assert!(!key.matches(authority.certificate()));
        }
    }
}

#[test]
fn a_client_certificate_says_what_a_gateway_needs_and_no_more() {
    let (_, leaf) = client(&authority());
    let bench = Bench::new();
    bench.write("leaf.crt", leaf.pem());
    let text = bench.openssl(
        "x509 -in leaf.crt -noout -ext basicConstraints,keyUsage,extendedKeyUsage,subjectAltName",
    );
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "X509v3 Subject Alternative Name:",
            "URI:spiffe://kyma-mtls-clients/alice",
            "X509v3 Key Usage: critical",
            "Digital Signature",
            "X509v3 Extended Key Usage:",
            "TLS Web Client Authentication",
            "X509v3 Basic Constraints: critical",
            "CA:FALSE",
        ]
    );
    assert_eq!(leaf.not_before(), NOW - Duration::minutes(5));
    assert_eq!(leaf.not_after(), NOW + Duration::days(90));
    assert!(leaf.allows_client_auth());
    assert!(!leaf.may_be_anchor());
    assert_eq!(leaf.version(), 3);
    assert_eq!(leaf.serial_hex().len(), 40);
}

#[test]
fn leafs_point_at_their_authoritys_key() {
    let authority = authority();
    let (_, leaf) = client(&authority);
    let ca = authority.certificate();
    assert!(leaf.ski_hex().is_some());
    assert_eq!(leaf.aki_hex(), ca.ski_hex());
    assert!(leaf.is_signed_by(ca));
    assert!(!leaf.is_self_signed());
    assert!(ca.is_self_signed());
    assert!(ca.may_sign_certificates() && ca.may_sign_crls() && ca.is_ca());
    assert_eq!(ca.not_before(), NOW - Duration::HOUR);
    assert_eq!(ca.not_after(), NOW + Duration::days(365));
}

#[test]
fn a_twin_authority_of_the_same_name_did_not_sign() {
    let (_, leaf) = client(&authority());
    assert!(!leaf.is_signed_by(super::authority().certificate()));
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let authority = authority();
    let issue = |ttl| {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let request = LeafRequest { ttl, ..request() };
        let issued = leaf::issue(&authority, &request, key.public_key_der(), NOW, [0; 20]);
        issued.map(|certificate| certificate.not_after())
    };
    let before = Duration::days(365) - Duration::SECOND;
    assert_eq!(issue(before), Ok(NOW + before));
    let end = authority.certificate().not_after();
    assert_eq!(end, NOW + Duration::days(365));
    for beyond in [Duration::days(365) + Duration::SECOND, Duration::MAX] {
        assert_eq!(issue(beyond), Ok(end));
    }
    for nothing in [
        Duration::ZERO,
        Duration::days(-1),
        Duration::milliseconds(500),
    ] {
        assert_eq!(issue(nothing), Err(Error::Ttl));
    }
}

#[test]
fn a_certificate_is_not_valid_before_its_authority() {
    let authority = authority();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let now = authority.certificate().not_before() + Duration::SECOND;
    let leaf = leaf::issue(&authority, &request(), key.public_key_der(), now, [0; 20]).unwrap();
    assert_eq!(leaf.not_before(), authority.certificate().not_before());
}

#[test]
fn an_identity_that_could_be_forged_is_not_certified() {
    let authority = authority();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let refused = |change: &dyn Fn(&mut LeafRequest)| {
        let mut request = request();
        change(&mut request);
        leaf::issue(&authority, &request, key.public_key_der(), NOW, [0; 20]).unwrap_err()
    };
    assert_eq!(refused(&|r| r.uris.clear()), Error::NoUri);
    assert_eq!(
        refused(&|r| r.subject = Subject::default()),
        Error::NoSubject
    );
    let uri = |uri: &str| refused(&|r| r.uris.push(uri.to_owned()));
    assert!(matches!(
        uri("spiffe://cluster.local/ns/a/sa/b"),
        Error::Name(_)
    ));
    assert!(matches!(uri("urn:a,b"), Error::Name(_)));
    for dns in [
        "",
        "*.example.com",
        "a b",
        "-a.example.com",
        "ü.example",
        "a..b",
        "a\0b",
    ] {
        assert!(
            matches!(refused(&|r| r.dns.push(dns.to_owned())), Error::San { .. }),
            "{dns}"
        );
    }
    for email in [
        "",
        "alice",
        "@example.com",
        "a@b,c@d",
        "ü@example.com",
        "a@b\n",
    ] {
        assert!(
            matches!(
                refused(&|r| r.emails.push(email.to_owned())),
                Error::San { .. }
            ),
            "{email}"
        );
    }
}

#[test]
fn keys_that_gateways_refuse_are_not_certified() {
    let authority = authority();
    let bench = Bench::new();
    for (key, name) in [
        ("-algorithm ED25519", "Ed25519"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "P-521"),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "elliptic curve 1.3.132.0.10",
        ),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "RSA 1024"),
        (
            "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
            "RSA-PSS",
        ),
    ] {
        bench.openssl(&format!("genpkey {key} -out key.pem"));
        bench.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
        let refused = leaf::issue(
            &authority,
            &request(),
            &bench.read("public.der"),
            NOW,
            [0; 20],
        );
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!(
                "a client's key may not be {name}; gateways accept P-256, P-384, and RSA of 2048 to 8192 bits"
            )
        );
    }
    let mut off_curve = PrivateKey::generate(KeyType::P256)
        .unwrap()
        .public_key_der()
        .to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    for damaged in [off_curve, b"hello".to_vec(), Vec::new()] {
        let refused = leaf::issue(&authority, &request(), &damaged, NOW, [0; 20]);
        assert_eq!(refused.unwrap_err(), Error::DamagedKey);
    }
}

#[test]
fn what_may_stand_for_a_client_is_what_openssl_lets() {
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    for (extension, expected) in [
        ("basicConstraints=CA:FALSE", true),
        ("extendedKeyUsage=clientAuth", true),
        ("extendedKeyUsage=serverAuth,clientAuth", true),
        ("extendedKeyUsage=serverAuth", false),
        ("extendedKeyUsage=anyExtendedKeyUsage", false),
        ("keyUsage=digitalSignature", true),
        ("keyUsage=keyEncipherment", false),
    ] {
        let bench = Bench::new();
        let certificate = bench.foreign_ca("x", p256, "/CN=x", &[extension]);
        let purposes = bench.openssl("x509 -in x.crt -noout -purpose");
        assert_eq!(
            purposes.contains("SSL client : Yes"),
            expected,
            "{extension}: {purposes}"
        );
        assert_eq!(certificate.allows_client_auth(), expected, "{extension}");
    }
}

#[test]
fn a_server_certificate_covers_the_hosts_that_openssl_says_it_covers() {
    let bench = Bench::new();
    let names =
        "subjectAltName=DNS:*.mtls.example.com,DNS:plain.example.com,IP:192.0.2.1,IP:2001:db8::1";
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let certificate = bench.foreign_ca("x", p256, "/CN=only-in-cn.example.com", &[names]);
    for host in [
        "a.mtls.example.com",
        "a.b.mtls.example.com",
        "mtls.example.com",
        "plain.example.com",
        "PLAIN.example.com",
        "only-in-cn.example.com",
        "x.plain.example.com",
    ] {
        let said = bench.openssl(&format!("x509 -in x.crt -noout -checkhost {host}"));
        assert_eq!(
            certificate.covers_host(host),
            !said.contains("NOT"),
            "{host}: {said}"
        );
    }
    assert!(certificate.covers_host("2001:db8::1") && certificate.covers_host("[2001:db8::1]"));
    assert!(!certificate.covers_host("192.0.2.2"));
}

#[test]
fn facts_read_from_a_certificate_are_those_that_openssl_prints() {
    let (_, leaf) = client(&authority());
    let bench = Bench::new();
    bench.write("leaf.crt", leaf.pem());
    let printed = bench
        .openssl("x509 -in leaf.crt -noout -serial -fingerprint -sha256")
        .to_lowercase();
    let values: Vec<String> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value.replace(':', ""))
        .collect();
    assert_eq!(values, [leaf.serial_hex(), leaf.fingerprint()]);
    assert_eq!(bench.openssl("x509 -in leaf.crt"), leaf.pem());
    assert_eq!(leaf.key_description(), "P-256");
}

#[test]
fn files_with_other_than_one_certificate_say_so() {
    use crate::pki::inspect::Error;
    let (key, leaf) = client(&authority());
    let two = leaf.pem() + &leaf.pem();
    assert_eq!(
        Certificate::from_pem(&two),
        Err(Error::Several { count: 2 })
    );
    assert_eq!(Certificate::many_from_pem(&two).unwrap().len(), 2);
    let label = "PRIVATE KEY".to_owned();
    assert_eq!(
        Certificate::from_pem(key.to_pem().as_bytes()),
        Err(Error::NotACertificate { label })
    );
    assert!(matches!(Certificate::from_pem(""), Err(Error::Pem(_))));
    let longer = [leaf.der(), b"x"].concat();
    assert!(matches!(
        Certificate::from_der(&longer),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn the_tutorials_hand_made_certificates_are_understood() {
    let bench = Bench::new();
    bench.openssl("req -x509 -sha256 -nodes -days 365 -newkey rsa:2048 -subj /O=Kyma/CN=kyma-mtls -keyout ca.key -out ca.crt");
    bench.openssl(
        "req -nodes -newkey rsa:2048 -subj /O=Kyma/CN=client -keyout client.key -out client.csr",
    );
    bench.openssl("x509 -req -sha256 -days 365 -CA ca.crt -CAkey ca.key -set_serial 0 -in client.csr -out client.crt");
    bench.openssl("x509 -req -sha256 -days 365 -signkey client.key -in client.csr -out root.crt");
    let read = |name| Certificate::from_pem(bench.read(name)).unwrap();
    let (ca, client, root) = (read("ca.crt"), read("client.crt"), read("root.crt"));
    assert!(ca.is_ca() && ca.may_sign_certificates() && ca.may_sign_crls());
    assert_eq!((client.version(), client.serial_hex().as_str()), (1, "00"));
    assert!(client.is_signed_by(&ca) && client.allows_client_auth());
    assert!(client.uri_sans().is_empty() && !client.may_be_anchor());
    // A gateway takes a self-signed certificate of version 1 for a CA.
    assert_eq!(root.version(), 1);
    assert!(root.is_self_signed() && root.may_be_anchor() && !root.is_ca());
    let now = ca.not_before() + Duration::SECOND;
    assert!(Authority::load(bench.read("ca.crt"), bench.read("ca.key"), now).is_ok());
}
