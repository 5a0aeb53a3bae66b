//! What stands in PKCS#12 files, and what is refused.

use super::*;
use crate::pki::keystore::{Error, Profile, generate_password, pkcs12};

pub(super) const PASSWORD: &str = "pass word \\ \"'$~!";

/// A client's keystore on a bench, as `alice.p12`, with its password as programs want to read it.
pub(super) fn keystore(profile: Profile, key_type: KeyType) -> (Bench, PrivateKey, Certificate) {
    let authority = authority();
    let key = PrivateKey::generate(key_type).unwrap();
    let leaf = leaf::issue(&authority, &request(), key.public_key_der(), NOW, [6; 20]).unwrap();
    let chain = [authority.certificate().clone()];
    let p12 = pkcs12(&key, &leaf, &chain, PASSWORD, "Alice Müller", profile).unwrap();
    let bench = Bench::new();
    bench
        .write("alice.p12", p12)
        .write("password", format!("{PASSWORD}\n"))
        .write("java-password", PASSWORD);
    (bench, key, leaf)
}

#[test]
fn the_profiles_use_the_algorithms_that_they_promise() {
    for (profile, mac, encryption) in [
        (
            Profile::Modern,
            "MAC: sha256, Iteration 10000",
            "PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256",
        ),
        (
            Profile::Compat,
            "MAC: sha1, Iteration 10000",
            "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 10000",
        ),
    ] {
        let (bench, ..) = keystore(profile, KeyType::P256);
        let arguments = words("pkcs12 -in alice.p12 -passin file:password -info -noout");
        let said =
            String::from_utf8_lossy(&bench.output("openssl", &arguments).stderr).into_owned();
        assert!(said.contains(mac), "{said}");
        assert_eq!(said.matches(encryption).count(), 2, "{said}");
    }
}

#[test]
fn a_wrong_password_opens_nothing() {
    let (bench, ..) = keystore(Profile::Modern, KeyType::P256);
    let opened = bench.output(
        "openssl",
        &words("pkcs12 -in alice.p12 -passin pass:wrong -nodes"),
    );
    assert!(!opened.status.success());
}

#[test]
fn passwords_and_names_that_programs_read_differently_are_refused() {
    let authority = authority();
    let (key, leaf) = client(&authority);
    let write =
        |key, password, name| pkcs12(key, &leaf, &[], password, name, Profile::Modern).map(|_| ());
    assert_eq!(write(&key, "", "alice"), Err(Error::EmptyPassword));
    for password in ["pässword", "a\n", "a\tb", "\u{7f}"] {
        assert_eq!(write(&key, password, "alice"), Err(Error::Password));
    }
    for name in ["", "😀", "a\nb"] {
        assert_eq!(write(&key, "secret", name), Err(Error::Alias));
    }
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    assert!(matches!(
        write(&other, "secret", "alice"),
        Err(Error::KeyMismatch { .. })
    ));
}

#[test]
fn generated_passwords_use_every_unambiguous_character_equally_often() {
    let mut next = 0u8;
    let mut counting = || {
        let bytes = [0; 48].map(|_: u8| {
            next = next.wrapping_add(1);
            next
        });
        Ok::<_, Error>(bytes)
    };
    let mut counts = std::collections::BTreeMap::new();
    // The generator asks for 48 bytes at a time and keeps 24 of those below 228.
    for _ in 0..57 * 16 {
        let password = generate_password(&mut counting).unwrap();
        assert_eq!(password.len(), 24);
        for character in password.chars() {
            *counts.entry(character).or_insert(0u32) += 1;
        }
    }
    assert_eq!(counts.len(), 57);
    assert!(
        "0O1Il"
            .chars()
            .all(|ambiguous| !counts.contains_key(&ambiguous))
    );
}
