//! Intermediates of OpenSSL's: found in whatever order they stand, checked up to the root.

use super::*;
use crate::pki::{authority::Error, chain, key};

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const KEY_ID: &str = "subjectKeyIdentifier=hash";
const ROOT: &[&str] = &[
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=keyCertSign",
    KEY_ID,
];

/// A root, an intermediate below it (its extensions as given), and a CA below that.
fn three(root: &[&str], intermediate: &str) -> Bench {
    let bench = Bench::new();
    bench.foreign_ca("root", P256, "/O=Example/OU=a/OU=b/CN=Root", root);
    below(&bench, "root", "middle", intermediate);
    below(&bench, "middle", "ca", "basicConstraints=critical,CA:TRUE");
    bench
}

fn below(bench: &Bench, issuer: &str, name: &str, extension: &str) {
    bench.openssl(&format!("genpkey {P256} -out {name}.key"));
    bench.openssl(&format!(
        "req -new -key {name}.key -subj /DC=com/DC=example/CN={name} -out {name}.csr"
    ));
    bench.write(
        "ext.cnf",
        format!("{extension}\n{KEY_ID}\nkeyUsage=keyCertSign\n"),
    );
    bench.openssl(&format!(
        "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -days 30 -extfile ext.cnf -out {name}.crt"
    ));
}

fn load(bench: &Bench, files: &[&str]) -> Result<Authority, Error> {
    let all: Vec<u8> = files
        .iter()
        .flat_map(|name| bench.read(&format!("{name}.crt")))
        .collect();
    let now = Certificate::from_pem(bench.read("ca.crt"))
        .unwrap()
        .not_before();
    Authority::load(all, bench.read("ca.key"), now + Duration::SECOND)
}

#[test]
fn the_ca_of_the_key_signs_and_those_above_it_follow_in_whatever_order_they_were_given() {
    let bench = three(ROOT, "basicConstraints=critical,CA:TRUE");
    for order in [["ca", "middle", "root"], ["root", "ca", "middle"]] {
        let authority = load(&bench, &order).unwrap();
        assert_eq!(authority.certificate().subject(), "CN=ca,DC=example,DC=com");
        let subjects: Vec<&str> = authority.chain().iter().map(Certificate::subject).collect();
        assert_eq!(
            subjects,
            ["CN=middle,DC=example,DC=com", "CN=Root,OU=b,OU=a,O=Example"]
        );
        assert_eq!(chain::without_root(authority.chain()).count(), 1);
        let now = authority.certificate().not_before() + Duration::SECOND;
        let key = PrivateKey::generate(KeyType::P384).unwrap();
        let leaf = leaf::issue(
            &authority,
            &LeafRequest {
                ttl: Duration::days(1),
                ..request()
            },
            key.public_key_der(),
            now,
            [9; 20],
        )
        .unwrap();
        bench.write("leaf.crt", leaf.pem());
        bench.write(
            "chain.crt",
            [bench.read("ca.crt"), bench.read("middle.crt")].concat(),
        );
        let (accepted, said) =
            bench.verifies(now, "-CAfile root.crt -untrusted chain.crt leaf.crt");
        assert!(accepted, "{said}");
    }
}

#[test]
fn a_certificate_outlives_none_of_the_cas_above_it() {
    let bench = three(ROOT, "basicConstraints=critical,CA:TRUE");
    let authority = load(&bench, &["ca", "middle", "root"]).unwrap();
    let ends = authority.chain().iter().map(Certificate::not_after);
    let first = ends
        .chain([authority.certificate().not_after()])
        .min()
        .unwrap();
    assert_eq!(authority.not_after(), first);
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let issued = leaf::issue(
        &authority,
        &request(),
        key.public_key_der(),
        first - Duration::days(1),
        [9; 20],
    );
    assert_eq!(issued.unwrap().not_after(), first);
}

#[test]
fn a_chain_that_no_verifier_would_follow_is_refused() {
    let narrow = three(ROOT, "basicConstraints=critical,CA:TRUE,pathlen:0");
    let refused = load(&narrow, &["ca", "middle", "root"]).unwrap_err();
    assert!(
        matches!(&refused, Error::PathLength { limit: 0, subject } if subject.starts_with("CN=middle")),
        "{refused}"
    );
    // What is not given cannot be checked, and a CA of pathlen:0 may sign leafs.
    assert!(load(&narrow, &["ca"]).is_ok());
    let top = ["basicConstraints=critical,CA:TRUE,pathlen:1", KEY_ID];
    let refused = load(
        &three(&top, "basicConstraints=critical,CA:TRUE"),
        &["ca", "middle", "root"],
    )
    .unwrap_err();
    assert!(
        matches!(refused, Error::PathLength { limit: 1, .. }),
        "{refused}"
    );
    let leaf_above = three(ROOT, "basicConstraints=CA:FALSE");
    assert!(matches!(
        load(&leaf_above, &["ca", "middle"]),
        Err(Error::NotACa { .. })
    ));
}

#[test]
fn a_certificate_that_is_not_above_the_ca_is_not_dropped_silently() {
    let bench = three(ROOT, "basicConstraints=critical,CA:TRUE");
    bench.foreign_ca("other", P256, "/CN=Other", ROOT);
    for files in [["ca", "middle", "other"], ["other", "ca", "middle"]] {
        let refused = load(&bench, &files).unwrap_err();
        assert!(
            matches!(&refused, Error::Unrelated { subject, .. } if subject == "CN=Other"),
            "{refused}"
        );
    }
    // Above it, but not joined to it.
    assert!(matches!(
        load(&bench, &["ca", "root"]),
        Err(Error::Unrelated { .. })
    ));
    // The key is none of theirs.
    assert!(matches!(
        load(&bench, &["middle", "root"]),
        Err(Error::KeyMismatch { .. })
    ));
    let nothing = Authority::among(
        Vec::new(),
        PrivateKey::generate(key::KeyType::P256).unwrap(),
        NOW,
    );
    assert!(matches!(nothing, Err(Error::Certificate(_))));
}
