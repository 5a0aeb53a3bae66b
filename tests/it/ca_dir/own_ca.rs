//! A CA that somebody put into the directory.

use rcgen::{IsCa, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::{Offline, ca, openssl};

#[test]
fn a_users_own_ca_signs_and_stays_as_it_is() {
    let own = ca(|_| ());
    let offline = Offline::with_ca(&own);
    offline.issue(&["alice"]).exits(0);
    assert_eq!((offline.read("ca/ca.crt"), offline.read("ca/ca.key")), own);
    let verified = openssl(
        offline.0.path(),
        &["verify", "-CAfile", "ca/ca.crt", "alice.crt"],
    );
    assert_eq!(verified, "alice.crt: OK\n");
}

#[test]
fn a_ca_that_must_not_sign_is_refused() {
    let good = ca(|_| ());
    let key_of_another = KeyPair::generate().unwrap().serialize_pem();
    let certificate = || good.0.clone();
    let cases = [
        ((certificate(), key_of_another), "does not belong"),
        (
            ca(|params| params.not_after = OffsetDateTime::now_utc() - Duration::HOUR),
            "expired",
        ),
        (
            ca(|params| params.not_before = OffsetDateTime::now_utc() + Duration::HOUR),
            "check this machine's clock",
        ),
        (
            ca(|params| params.is_ca = IsCa::ExplicitNoCa),
            "not a CA certificate",
        ),
        (
            ca(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
            "keyCertSign",
        ),
        ((certificate(), "not a key".to_owned()), "key"),
        (
            ("not a certificate".to_owned(), good.1.clone()),
            "certificate",
        ),
        ((String::new(), String::new()), "ca.crt"),
    ];
    for (ca, words) in cases {
        Offline::with_ca(&ca).refuses(&["alice"], words);
    }
}

#[test]
fn an_encrypted_ca_key_is_refused_and_what_takes_one_is_told() {
    let own = ca(|_| ());
    let offline = Offline::with_ca(&own);
    let folder = offline.path("ca");
    openssl(
        &folder,
        &[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:x",
            "-in",
            "ca.key",
            "-out",
            "ca.enc",
        ],
    );
    std::fs::rename(folder.join("ca.enc"), folder.join("ca.key")).unwrap();
    offline.refuses(&["alice"], "private key is encrypted; decrypt it with");
    offline.refuses(
        &["alice"],
        "`kubectl mtls issue-client --ca-cert FILE --ca-key FILE`",
    );
    offline.write("password", "x\n");
    let told =
        "issue-client alice --ca-cert ca/ca.crt --ca-key ca/ca.key --ca-key-password-file password";
    let told: Vec<&str> = told.split(' ').collect();
    offline.run(&told).exits(0);
}

#[test]
fn a_ca_key_that_cannot_be_read_is_refused() {
    let (certificate, _) = ca(|_| ());
    let offline = Offline::new();
    // A folder in its place cannot be read by anybody, not even by root.
    std::fs::create_dir_all(offline.path("ca/ca.key")).unwrap();
    offline.write("ca/ca.crt", &certificate);
    offline.refuses(&["alice"], "ca.key");
}

#[test]
fn half_a_ca_is_refused_and_not_completed() {
    let (certificate, key) = ca(|_| ());
    for (name, content) in [("ca/ca.crt", certificate), ("ca/ca.key", key)] {
        let offline = Offline::new();
        std::fs::create_dir(offline.path("ca")).unwrap();
        offline.write(name, &content);
        offline.refuses(&["alice"], "nothing was changed");
    }
}
