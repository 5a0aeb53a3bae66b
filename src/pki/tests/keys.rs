//! Private keys in every form in which they are found.

use super::*;
use crate::pki::key::Error;

#[test]
fn openssl_reads_and_checks_every_key_that_is_generated() {
    for (key_type, name) in [
        (KeyType::P256, "prime256v1"),
        (KeyType::P384, "secp384r1"),
        (KeyType::Rsa2048, "2048 bit"),
        (KeyType::Rsa3072, "3072 bit"),
    ] {
        let bench = Bench::new();
        let key = PrivateKey::generate(key_type).unwrap();
        bench.write("key.pem", key.to_pem().as_bytes());
        let text = bench.openssl("pkey -in key.pem -check -text");
        assert!(
            text.contains("Key is valid") && text.contains(name),
            "{key_type}: {text}"
        );
        bench.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
        assert_eq!(bench.read("public.der"), key.public_key_der());
    }
}

#[test]
fn the_usual_forms_of_a_key_file_are_one_key() {
    let bench = Bench::new();
    bench.openssl("ecparam -name prime256v1 -genkey -out sec1.pem");
    bench.openssl("pkcs8 -topk8 -nocrypt -in sec1.pem -out pkcs8.pem");
    bench.openssl("genrsa -traditional -out pkcs1.pem 2048");
    bench.openssl("pkcs8 -topk8 -nocrypt -in pkcs1.pem -out rsa8.pem");
    assert!(
        bench
            .read("sec1.pem")
            .starts_with(b"-----BEGIN EC PARAMETERS")
    );
    for (one, other) in [("sec1.pem", "pkcs8.pem"), ("pkcs1.pem", "rsa8.pem")] {
        let key = |name| PrivateKey::from_pem(bench.read(name)).unwrap();
        assert_eq!(key(one).to_pem(), key(other).to_pem(), "{one}");
        assert_eq!(key(one).public_key_der(), key(other).public_key_der());
    }
    let combined = [
        client(&authority()).1.pem().into_bytes(),
        bench.read("pkcs8.pem"),
    ]
    .concat();
    assert!(PrivateKey::from_pem(combined).is_ok());
    for algorithm in ["ED25519", "EC -pkeyopt ec_paramgen_curve:P-521"] {
        bench.openssl(&format!("genpkey -algorithm {algorithm} -out ca.pem"));
        assert!(
            PrivateKey::from_pem(bench.read("ca.pem")).is_ok(),
            "{algorithm}"
        );
    }
}

#[test]
fn what_is_no_usable_key_is_refused_with_its_reason() {
    let bench = Bench::new();
    let refused = |name| PrivateKey::from_pem(bench.read(name)).unwrap_err();
    for (algorithm, reason) in [
        (
            "RSA -pkeyopt rsa_keygen_bits:1024",
            "RSA of less than 2048 bits",
        ),
        ("RSA-PSS -pkeyopt rsa_keygen_bits:2048", "RSA-PSS"),
        ("EC -pkeyopt ec_paramgen_curve:secp256k1", "elliptic curve"),
        ("X25519", "X25519"),
        ("ED448", "Ed448"),
    ] {
        bench.openssl(&format!("genpkey -algorithm {algorithm} -out key.pem"));
        assert_eq!(refused("key.pem"), Error::Unsupported(reason.to_owned()));
    }
    bench.openssl("genpkey -algorithm ED25519 -aes256 -pass pass:x -out encrypted.pem");
    assert_eq!(refused("encrypted.pem"), Error::Encrypted);
    bench.write("certificate.pem", client(&authority()).1.pem());
    let label = "CERTIFICATE".to_owned();
    assert_eq!(refused("certificate.pem"), Error::NotAKey { label });
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    bench.write(
        "two.pem",
        [key.to_pem().as_bytes(), key.to_pem().as_bytes()].concat(),
    );
    assert_eq!(refused("two.pem"), Error::Several { count: 2 });
    bench.write("cut.pem", &key.to_pem()[..90]);
    assert!(matches!(refused("cut.pem"), Error::Pem(_)));
    bench.write(
        "zeros.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    assert_eq!(refused("zeros.pem"), Error::Damaged);
    bench.write("empty.pem", "");
    assert!(matches!(refused("empty.pem"), Error::Pem(_)));
}

#[test]
fn key_types_have_the_names_of_the_flag() {
    for key_type in KeyType::ALL {
        assert_eq!(key_type.to_string().parse(), Ok(key_type));
    }
    assert_eq!(
        "ed25519".parse::<KeyType>().unwrap_err().to_string(),
        "unknown key type `ed25519`; one of p256, p384, rsa2048, rsa3072, rsa4096"
    );
}

#[test]
fn encrypted_keys_are_read_from_openssl_and_read_by_it() {
    let bench = Bench::new();
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.pem");
    let key = PrivateKey::from_pem(bench.read("plain.pem")).unwrap();
    for scheme in [
        "-v2 aes-256-cbc",
        "-v2 aes-128-cbc -v2prf hmacWithSHA512",
        "-scrypt",
    ] {
        bench.openssl(&format!(
            "pkcs8 -topk8 {scheme} -in plain.pem -passout pass:secret -out encrypted.pem"
        ));
        let pem = bench.read("encrypted.pem");
        assert_eq!(PrivateKey::from_pem(&pem).unwrap_err(), Error::Encrypted);
        let read = PrivateKey::from_encrypted_pem(&pem, "secret").unwrap();
        assert_eq!(read.pkcs8_der(), key.pkcs8_der(), "{scheme}");
        let wrong = PrivateKey::from_encrypted_pem(&pem, "other").unwrap_err();
        assert_eq!(wrong, Error::WrongPassword, "{scheme}");
    }
    let ours = key.to_encrypted_pem("secret", [7; 32]).unwrap();
    bench.write("ours.pem", ours.as_bytes());
    bench.openssl("pkey -in ours.pem -passin pass:secret -out back.pem");
    assert_eq!(bench.read("back.pem"), key.to_pem().as_bytes());
    let wrong = bench.output("openssl", &words("pkey -in ours.pem -passin pass:x -noout"));
    assert!(!wrong.status.success());
}
