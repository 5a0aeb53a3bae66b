//! Harmless variants, without a finding.

use super::*;

#[test]
fn harmless_variants_of_a_bundle_are_no_fault() {
    let variants: [fn(&str) -> String; 4] = [
        |pem| pem.replace('\n', "\r\n"),
        |pem| format!("\u{feff}{pem}"),
        |pem| pem.repeat(2),
        |pem| format!("subject=CN = x\n{pem}the end\n"),
    ];
    for variant in variants {
        let ca = Ca::made(|_| {});
        let mut cluster = by_hand(&variant(&ca.pem()), Some(&variant(&ca.list(-1, 30))));
        only(&mut cluster, "client-ca/external", Severity::Note);
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
