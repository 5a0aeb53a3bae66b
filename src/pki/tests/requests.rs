//! Signing requests of OpenSSL's.

use super::*;
use crate::pki::csr::{Csr, Error};
use crate::pki::pem_text;
use crate::pki::seal::Signer;

/// A request over a key of that kind, with these lines in its extension section.
fn request(bench: &Bench, key: &str, more: &str, extensions: &str) -> Result<Csr, Error> {
    bench.openssl(&format!("genpkey {key} -out key.pem"));
    bench.write(
        "csr.cnf",
        format!("[req]\ndistinguished_name=dn\nreq_extensions=ext\n[dn]\n[ext]\n{extensions}\n"),
    );
    bench.openssl(&format!(
        "req -new -config csr.cnf -key key.pem {more} -subj /O=Example/OU=a/OU=b/CN=alice -out csr.pem"
    ));
    Csr::from_pem(bench.read("csr.pem"))
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";

#[test]
fn requests_of_every_usual_kind_are_read_with_their_names() {
    let bench = Bench::new();
    let extensions = "subjectAltName=URI:urn:a,DNS:a.example.com,email:a@example.com,IP:10.0.0.1\nkeyUsage=keyAgreement\n1.2.3.4=ASN1:UTF8String:x";
    for (key, more) in [
        (P256, ""),
        (P256, "-sha384"),
        (P256, "-sha512"),
        (P384, "-sha256"),
        (P384, "-sha512"),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "-sha384"),
    ] {
        let csr = request(&bench, key, more, extensions).unwrap();
        let key = PrivateKey::from_pem(bench.read("key.pem")).unwrap();
        assert_eq!(csr.public_key_der(), key.public_key_der());
        let subject = csr.subject().unwrap();
        assert_eq!(subject.to_string(), "CN=alice,OU=b,OU=a,O=Example");
        let sans = csr.sans().unwrap();
        assert_eq!(sans.uris, ["urn:a"]);
        assert_eq!(sans.dns, ["a.example.com"]);
        assert_eq!(sans.emails, ["a@example.com"]);
        assert_eq!(sans.ips, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    }
}

#[test]
fn a_subject_that_is_taken_over_stays_as_it_was_asked_for_to_the_last_byte() {
    let authority = authority();
    for subject in [
        "/DC=com/OU=a/OU=b/CN=x+UID=7",
        "/businessCategory=Private/O=Köln AG/CN=q",
        "/C=DE/L=x/L=y/CN=alice",
    ] {
        let bench = Bench::new();
        bench.openssl(&format!("genpkey {P256} -out key.pem"));
        let arguments = [
            "req", "-new", "-utf8", "-key", "key.pem", "-subj", subject, "-out", "csr.pem",
        ];
        bench.run("openssl", &arguments);
        let csr = Csr::from_pem(bench.read("csr.pem")).unwrap();
        let wanted = LeafRequest {
            subject: csr.subject().unwrap(),
            ..super::request()
        };
        let leaf = leaf::issue(&authority, &wanted, csr.public_key_der(), NOW, [5; 20]).unwrap();
        bench.write("leaf.crt", leaf.pem());
        let bytes = "-noout -subject -nameopt dump_all,dump_der,oid,sep_comma_plus";
        let asked = bench.openssl(&format!("req -in csr.pem {bytes}"));
        assert_eq!(bench.openssl(&format!("x509 -in leaf.crt {bytes}")), asked);
        assert_eq!(wanted.subject.to_string(), leaf.subject());
    }
}

#[test]
fn a_subject_of_nothing_or_of_control_characters_is_not_taken_over() {
    let bench = Bench::new();
    bench.openssl(&format!("genpkey {P256} -out key.pem"));
    bench.run(
        "openssl",
        &[
            "req",
            "-new",
            "-key",
            "key.pem",
            "-subj",
            "/",
            "-out",
            "empty.pem",
        ],
    );
    let empty = Csr::from_pem(bench.read("empty.pem")).unwrap();
    assert!(empty.subject().unwrap().is_empty());
    let hidden = "/CN=a\u{202e}b";
    bench.run(
        "openssl",
        &[
            "req",
            "-new",
            "-utf8",
            "-key",
            "key.pem",
            "-subj",
            hidden,
            "-out",
            "hidden.pem",
        ],
    );
    let refused = Csr::from_pem(bench.read("hidden.pem")).unwrap().subject();
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("control characters")
    );
}

#[test]
fn keys_that_gateways_refuse_are_refused() {
    let bench = Bench::new();
    for key in [
        "-algorithm ED25519",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
    ] {
        let error = request(&bench, key, "", "").unwrap_err();
        assert!(
            matches!(error, Error::Key(_) | Error::Pss),
            "{key}: {error}"
        );
    }
    let pss = "-sigopt rsa_padding_mode:pss";
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    assert_eq!(request(&bench, rsa, pss, ""), Err(Error::Pss));
}

#[test]
fn a_request_for_a_ca_is_refused() {
    let bench = Bench::new();
    let asked = request(&bench, P256, "", "basicConstraints=critical,CA:TRUE");
    assert_eq!(asked, Err(Error::AsksForCa));
    assert!(request(&bench, P256, "", "basicConstraints=CA:FALSE").is_ok());
}

#[test]
fn a_san_of_another_kind_matters_only_when_sans_are_taken_over() {
    let bench = Bench::new();
    let csr = request(&bench, P256, "", "subjectAltName=otherName:1.2.3;UTF8:x").unwrap();
    assert_eq!(csr.sans(), Err(Error::San));
}

#[test]
fn damaged_and_foreign_requests_are_named() {
    let bench = Bench::new();
    request(&bench, P256, "", "").unwrap();
    let pem = bench.read("csr.pem");
    assert!(matches!(
        Csr::from_pem(&pem[..pem.len() / 2]),
        Err(Error::Pem(_))
    ));
    bench.openssl("req -in csr.pem -outform DER -out csr.der");
    let der = bench.read("csr.der");
    let as_pem = |der: &[u8]| pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der));
    assert!(matches!(
        Csr::from_pem(as_pem(&der[..der.len() - 9])),
        Err(Error::Damaged(_))
    ));
    // One letter of the subject: the signature is over another request.
    let mut other = der.clone();
    let at = other.windows(5).position(|part| part == b"alice").unwrap();
    other[at] = b'A';
    assert_eq!(Csr::from_pem(as_pem(&other)), Err(Error::Signature));
    assert!(matches!(
        Csr::from_pem(bench.read("key.pem")),
        Err(Error::NotARequest(_))
    ));
    assert!(matches!(
        Csr::from_pem(vec![b'x'; 1 << 20]),
        Err(Error::TooLong(_))
    ));
}

/// A name of one common name, whose value has this tag and these bytes.
fn name_of(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    let value = [&[tag, length][..], value].concat();
    let wrapped =
        |tag: u8, inner: &[u8]| [&[tag, u8::try_from(inner.len()).unwrap()][..], inner].concat();
    let pair = [&[0x06, 3, 0x55, 4, 3][..], &value].concat();
    wrapped(0x30, &wrapped(0x31, &wrapped(0x30, &pair)))
}

/// A request with such a name, signed by its own key.
fn with_name(key: &PrivateKey, name: &[u8]) -> String {
    let signer = Signer {
        name,
        key_id: Vec::new(),
        key,
    };
    let der = signer
        .request(&rcgen::CertificateParams::default())
        .unwrap();
    (*pem_text::encode("CERTIFICATE REQUEST", &der)).clone()
}

#[test]
fn a_subject_that_openssl_would_not_read_or_would_write_otherwise_is_not_taken_over() {
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let subject = |tag: u8, value: &[u8]| {
        let csr = Csr::from_pem(with_name(&key, &name_of(tag, value))).ok()?;
        csr.subject().ok()
    };
    let malformed: [(u8, &[u8]); 12] = [
        (0x0c, b"a\xff"),
        (0x0c, b"\xed\xa0\x80"),
        (0x13, b"a@b"),
        (0x13, b"a\xe9"),
        (0x16, b"a\xe9"),
        (0x12, b"1a"),
        (0x1a, b"a"),
        (0x1e, b"\0a\0"),
        (0x1e, b"\xd8\x00"),
        (0x1c, b"\0\0\0a\0"),
        (0x04, b"a"),
        (0x02, b"1"),
    ];
    for (tag, value) in malformed {
        assert_eq!(subject(tag, value), None, "{tag:#x} {value:?}");
    }
    let good: [(u8, &[u8]); 6] = [
        (0x0c, "Jürgen".as_bytes()),
        (0x13, b"a-b 1"),
        (0x16, b"a@b"),
        (0x14, b"J\xfcrgen"),
        (0x1e, b"\0J\0\xfc"),
        (0x1c, b"\0\0\0J"),
    ];
    for (tag, value) in good {
        assert!(subject(tag, value).is_some(), "{tag:#x} {value:?}");
    }
}

#[test]
fn whatever_subject_is_taken_over_is_read_by_openssl_in_the_request_and_in_the_certificate() {
    let bench = Bench::new();
    let authority = authority();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    // Knuth's generator: any bytes will do, and the same ones each time.
    let mut state = 20_260_728_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let mut taken = 0;
    for round in 0..400 {
        let tag = [0x0c, 0x13, 0x16, 0x12, 0x1a, 0x14, 0x1e, 0x1c, 0x04, 0x03][round % 10];
        let length = usize::from(random() % 9);
        let ascii = random() % 4 > 0;
        let value: Vec<u8> = (0..length)
            .map(|_| {
                if ascii {
                    random() % 0x5f + 0x20
                } else {
                    random()
                }
            })
            .collect();
        let request = with_name(&key, &name_of(tag, &value));
        let Some(subject) = Csr::from_pem(&request)
            .ok()
            .and_then(|csr| csr.subject().ok())
        else {
            continue;
        };
        if taken > 60 || subject.is_empty() {
            continue;
        }
        taken += 1;
        let wanted = LeafRequest {
            subject,
            ..super::request()
        };
        let leaf = leaf::issue(&authority, &wanted, key.public_key_der(), NOW, [5; 20]).unwrap();
        bench.write("csr.pem", request);
        bench.write("leaf.crt", leaf.pem());
        let shown = "-noout -subject -nameopt utf8,sep_comma_plus,dump_unknown";
        let asked = bench.openssl(&format!("req -in csr.pem {shown}"));
        assert_eq!(bench.openssl(&format!("x509 -in leaf.crt {shown}")), asked);
        assert!(asked.contains("CN"), "{tag:#x} {value:?}: {asked}");
    }
    assert!(taken > 20, "{taken}");
}

#[test]
fn names_that_no_tls_library_takes_are_refused_however_they_were_asked_for() {
    let many = |count: usize| LeafRequest {
        dns: (0..count)
            .map(|host| format!("host-{host}.example.com"))
            .collect(),
        ..super::request()
    };
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let issued = |request: &LeafRequest| {
        leaf::issue(&authority(), request, key.public_key_der(), NOW, [5; 20])
    };
    assert!(issued(&many(500)).is_ok());
    assert!(matches!(
        issued(&many(2_000)),
        Err(leaf::Error::TooManyNames(_))
    ));
    let mut subject = crate::pki::names::Subject::default();
    for unit in 0..2_000 {
        let unit = format!("unit-{unit}");
        let attribute = crate::pki::names::Attribute::OrganizationalUnit;
        subject = subject.with(attribute, unit).unwrap();
    }
    let long = LeafRequest {
        subject,
        ..super::request()
    };
    assert!(matches!(issued(&long), Err(leaf::Error::TooManyNames(_))));
    for dns in ["spiffe://kyma-mtls-clients/bob", "SPIFFE://a", "a/b"] {
        let request = LeafRequest {
            dns: vec![dns.to_owned()],
            ..super::request()
        };
        assert!(matches!(issued(&request), Err(leaf::Error::San { .. })));
    }
}
