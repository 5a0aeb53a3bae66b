//! Revocation lists as OpenSSL reads and applies them.

use super::*;
use crate::pki::{
    crl::{Crl, Error, Reason, Revoked},
    serial::Serial,
};

fn revoked(certificate: &Certificate, reason: Reason) -> Revoked {
    Revoked {
        serial: certificate.serial().clone(),
        at: NOW,
        reason,
    }
}

#[test]
fn a_revoked_client_is_refused_and_the_others_are_not() {
    let authority = authority();
    let (_, bob) = client(&authority);
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let alice = leaf::issue(&authority, &request(), key.public_key_der(), NOW, [5; 20]).unwrap();
    let entries = [revoked(&bob, Reason::KeyCompromise)];
    let crl = Crl::sign(&authority, 1, &entries, None, NOW).unwrap();
    let bench = Bench::new();
    bench
        .write("ca.crt", authority.certificate().pem())
        .write("crl.pem", crl.pem())
        .write("alice.crt", alice.pem())
        .write("bob.crt", bob.pem());
    let checked = "-crl_check -CAfile ca.crt -CRLfile crl.pem";
    let (accepted, said) = bench.verifies(NOW, &format!("{checked} alice.crt"));
    assert!(accepted, "{said}");
    let (accepted, said) = bench.verifies(NOW, &format!("{checked} bob.crt"));
    assert!(!accepted && said.contains("certificate revoked"), "{said}");
    // To the very end of the CA.
    let last = authority.certificate().not_after() - Duration::SECOND;
    let (_, said) = bench.verifies(last, &format!("{checked} alice.crt"));
    assert!(!said.contains("CRL"), "{said}");
}

#[test]
fn a_list_of_any_authority_verifies_and_reads_back() {
    for (key, subject) in [
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            "/DC=com/DC=example/OU=a/OU=b/CN=Repeats",
        ),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "/CN=RSA"),
        ("-algorithm ED25519", "/CN=Ed"),
    ] {
        let bench = Bench::new();
        let extensions = [
            "basicConstraints=critical,CA:TRUE",
            "subjectKeyIdentifier=hash",
        ];
        let ca = bench.foreign_ca("ca", key, subject, &extensions);
        let now = ca.not_before() + Duration::SECOND;
        let authority = Authority::load(bench.read("ca.crt"), bench.read("ca.key"), now).unwrap();
        let crl = Crl::sign(&authority, 258, &[], None, now).unwrap();
        bench.write("crl.pem", crl.pem());
        bench.openssl("crl -in crl.pem -verify -CAfile ca.crt -noout");
        let printed = bench.openssl("crl -in crl.pem -noout -crlnumber -fingerprint");
        assert!(printed.starts_with("crlNumber=0x0102"), "{printed}");
        assert_eq!(crl.number(), Some(258));
        assert_eq!(crl.issuer(), ca.subject());
        assert_eq!(crl.aki_hex(), ca.ski_hex());
        assert_eq!(crl.next_update(), Some(ca.not_after()));
        assert!(crl.revoked().is_empty());
        assert!(crl.is_signed_by(&ca));
        assert!(!crl.is_signed_by(super::authority().certificate()));
    }
}

#[test]
fn entries_read_back_with_time_and_reason() {
    let authority = authority();
    let entries: Vec<Revoked> = Reason::ALL
        .into_iter()
        .enumerate()
        .map(|(index, reason)| Revoked {
            serial: Serial::from_be_bytes(&[u8::try_from(index).unwrap()]),
            at: NOW - Duration::days(1),
            reason,
        })
        .collect();
    let crl = Crl::sign(&authority, 1, &entries, None, NOW).unwrap();
    let read = Crl::many_from_pem(crl.pem() + &crl.pem()).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1].revoked(), entries);
}

#[test]
fn each_list_is_newer_than_the_one_before_and_never_of_the_future() {
    let authority = authority();
    let mut previous = None;
    for number in 1..4 {
        let crl = Crl::sign(&authority, number, &[], previous, NOW).unwrap();
        assert!(Some(crl.this_update()) > previous);
        assert!(crl.this_update() <= NOW - Duration::minutes(59));
        assert!(crl.is_current_at(NOW));
        previous = Some(crl.this_update());
    }
    let refused = Crl::sign(&authority, 9, &[], Some(NOW + Duration::MINUTE), NOW);
    assert!(matches!(refused, Err(Error::Ahead { .. })));
}

#[test]
fn an_authority_that_may_not_sign_lists_signs_none() {
    let bench = Bench::new();
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let extensions = [
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,keyCertSign",
    ];
    let ca = bench.foreign_ca("ca", p256, "/CN=x", &extensions);
    let now = ca.not_before() + Duration::SECOND;
    let authority = Authority::load(bench.read("ca.crt"), bench.read("ca.key"), now).unwrap();
    assert!(matches!(
        Crl::sign(&authority, 1, &[], None, now),
        Err(Error::MayNotSign { .. })
    ));
    let late = ca.not_after() + Duration::SECOND;
    assert!(matches!(
        Crl::sign(&authority, 1, &[], None, late),
        Err(Error::Authority(_))
    ));
}

#[test]
fn reasons_have_the_names_of_the_standard() {
    for reason in Reason::ALL {
        assert_eq!(reason.to_string().to_lowercase().parse(), Ok(reason));
    }
    assert!(
        "lost"
            .parse::<Reason>()
            .unwrap_err()
            .to_string()
            .contains("keyCompromise")
    );
}

/// A CRL without a number, as others write it.
pub(crate) fn unnumbered(authority: &Authority) -> Crl {
    let bench = Bench::new();
    let settings = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ndefault_md = sha256\n\
                    default_crl_days = 30\ncrl_extensions = extensions\n\
                    [extensions]\nauthorityKeyIdentifier = keyid\n";
    bench
        .write("ca.crt", authority.certificate().pem())
        .write("ca.key", authority.key().to_pem().as_bytes())
        .write("ca.cnf", settings)
        .write("index.txt", "");
    bench.openssl("ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.crt -out crl.pem");
    let mut lists = Crl::many_from_pem(String::from_utf8(bench.read("crl.pem")).unwrap()).unwrap();
    lists.remove(0)
}
