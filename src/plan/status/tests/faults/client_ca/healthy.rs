//! Harmless variants, without a finding.

use super::*;

/// What differs in the text only, not in what it means.
const VARIANTS: [fn(&str) -> String; 3] = [
    |pem| pem.replace('\n', "\r\n"),
    |pem| pem.repeat(2),
    |pem| format!("subject=CN = x\n{pem}the end\n"),
];

#[test]
fn harmless_variants_of_the_authoritys_own_bundle_and_lists_are_no_fault() {
    let mut healthy = kyma();
    healthy.issue("bob");
    healthy.revoke(1);
    for variant in VARIANTS {
        for key in ["ca.crt", "ca.crl"] {
            let mut cluster = healthy.clone();
            edit(&mut cluster, key, variant);
            assert_eq!(findings(&mut cluster), [], "{key}");
        }
    }
}

#[test]
fn harmless_variants_of_a_bundle_are_no_fault() {
    for variant in VARIANTS {
        let ca = Ca::made(|_| {});
        let mut cluster = by_hand(&variant(&ca.pem()), Some(&variant(&ca.list(-1, 30))));
        only(&mut cluster, "client-ca/external", Severity::Note);
    }
}

/// Envoy skips a block that does not begin its line: the CA is not trusted, and no client gets past a list that is not read.
#[test]
fn a_byte_order_mark_or_text_on_the_line_of_a_ca_or_list_is_a_fault() {
    let variants: [fn(&str) -> String; 2] =
        [|pem| format!("\u{feff}{pem}"), |pem| format!("CA: {pem}")];
    let error = Severity::Error;
    for variant in variants {
        let ca = Ca::made(|_| {});
        let (pem, list) = (ca.pem(), ca.list(-1, 30));
        only_by_hand(
            &pem,
            Some(&variant(&list)),
            "client-ca/crl-unreadable",
            error,
        );
        for (key, id) in [
            ("ca.crt", "client-ca/unreadable"),
            ("ca.crl", "client-ca/crl-unreadable"),
        ] {
            let mut cluster = kyma();
            cluster.issue("bob");
            cluster.revoke(1);
            edit(&mut cluster, key, variant);
            let finding = only(&mut cluster, id, error);
            is_restored(&mut cluster, &finding);
        }
    }
}

#[test]
fn an_authority_after_a_revocation_or_in_a_rotation_is_no_fault() {
    let mut cluster = kyma();
    cluster.issue("bob");
    cluster.revoke(1);
    assert_eq!(findings(&mut cluster), []);
    for _ in 0..2 {
        cluster.run(&super::super::rotate()).unwrap();
        assert_eq!(findings(&mut cluster), []);
    }
}
