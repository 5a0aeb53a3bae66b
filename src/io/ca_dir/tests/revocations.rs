//! Revocations of clients of an authority in a directory.

use super::*;
use crate::plan::revoke_client::{self, Which};

/// Two clients of a CA that somebody made share the serial number 0, as in Kyma's tutorial; the revoked one ends first.
#[test]
fn a_revocation_of_a_cas_shared_serial_number_outlives_the_certificate_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = ca(time::Duration::days(900));
    put(folder.path(), &own.certificate().pem(), &own.key().to_pem());
    issue(folder.path(), "carol").unwrap();
    let key = rcgen::KeyPair::from_pem(&own.key().to_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&own.certificate().der().into(), key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0]));
    params.not_before = crate::io::clock::now();
    params.not_after = params.not_before + time::Duration::days(1);
    let key = rcgen::KeyPair::generate().unwrap();
    let short = params.signed_by(&key, &issuer).unwrap();
    let short = Certificate::from_der(short.der()).unwrap();
    revoke(folder.path(), Which::Certificates(vec![short]), 0);
    revoke(
        folder.path(),
        Which::Names(vec!["carol".parse().unwrap()]),
        2,
    );
    let list = fs::read(folder.path().join("ca.crl")).unwrap();
    let list = crate::pki::crl::Crl::many_from_pem(list).unwrap().remove(0);
    let mut serials = list.revoked().iter().map(|one| one.serial.to_string());
    assert!(serials.any(|serial| serial == "00"), "{list:?}");
}

/// Revokes clients of the authority in a folder, so many days from now.
fn revoke(folder: &Path, which: Which, days: i64) {
    let request = revoke_client::Request {
        authority: "kyma-mtls".to_owned(),
        directory: Some(folder.display().to_string()),
        which,
        reason: crate::pki::crl::Reason::Unspecified,
        confirmed: true,
        close_connections: false,
        dry_run: crate::plan::DryRun::None,
        timeout: std::time::Duration::from_secs(1),
        connect_to: None,
        force_conflicts: false,
    };
    let directory = CaDir::new(folder);
    let mut terminal = Terminal::new(Color::Never, true);
    let mut live = Live::new(Store::Directory(&directory), &mut terminal);
    let later = time::Duration::days(days);
    let run = live.run(|observed, now| revoke_client::reconcile(&request, observed, now + later));
    futures::executor::block_on(run).unwrap();
}
