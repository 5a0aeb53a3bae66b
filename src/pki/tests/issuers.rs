//! Random names of CAs, with repeated and joined attributes in every string type: OpenSSL reads the same bytes in the issuer.

use super::{properties::config, *};
use proptest::prelude::*;

/// `/OU=a+UID=b/OU=c` for `-subj`.
fn name() -> impl Strategy<Value = String> {
    let text = "[a-zA-Z0-9äöüß ,\"<>;#.=-]{0,12}[a-zA-Z0-9äé]";
    let attribute = prop_oneof![
        (
            prop::sample::select(vec!["CN", "O", "OU", "L", "ST", "UID"]),
            text
        ),
        (Just("DC"), "[a-z0-9-]{1,10}"),
        (Just("C"), "[A-Z]{2}"),
        (Just("emailAddress"), "[a-z]{1,8}@[a-z]{1,8}"),
    ];
    let part = (prop::bool::weighted(0.2), attribute);
    prop::collection::vec(part, 1..7).prop_map(|parts| {
        let written = parts
            .iter()
            .enumerate()
            .map(|(index, (joined, (kind, value)))| {
                let start = if *joined && index > 0 { '+' } else { '/' };
                format!("{start}{kind}={value}")
            });
        written.collect()
    })
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn a_clients_issuer_is_the_cas_subject_to_the_last_byte(
        name in name(),
        strings in prop::sample::select(vec!["utf8only", "nombstr", "default", "pkix"]),
        serial: [u8; 20],
    ) {
        let bench = Bench::new();
        bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key");
        bench.write("ca.cnf", format!(
            "[req]\ndistinguished_name=dn\nstring_mask={strings}\n[dn]\n[ext]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\nkeyUsage=keyCertSign\n"
        ));
        bench.run("openssl", &[
            "req", "-x509", "-config", "ca.cnf", "-extensions", "ext", "-utf8", "-multivalue-rdn", "-days", "365", "-key", "ca.key",
            "-subj", &name, "-out", "ca.crt",
        ]);
        let ca = Certificate::from_pem(bench.read("ca.crt")).unwrap();
        let now = ca.not_before() + Duration::SECOND;
        let authority = Authority::load(bench.read("ca.crt"), bench.read("ca.key"), now).unwrap();
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let leaf = leaf::issue(&authority, &request(), key.public_key_der(), now, serial).unwrap();
        bench.write("leaf.crt", leaf.pem());
        let (accepted, said) = bench.verifies(now, "-CAfile ca.crt leaf.crt");
        prop_assert!(accepted, "{}: {}", name, said);
        let bytes = "-nameopt dump_all,dump_der,oid,sep_comma_plus";
        let issuer = bench.openssl(&format!("x509 -in leaf.crt -noout -issuer {bytes}"));
        let subject = bench.openssl(&format!("x509 -in ca.crt -noout -subject {bytes}"));
        prop_assert_eq!(issuer.strip_prefix("issuer="), subject.strip_prefix("subject="));
        prop_assert_eq!(leaf.aki_hex(), ca.ski_hex());
    }
}
