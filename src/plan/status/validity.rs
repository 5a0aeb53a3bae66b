//! How a certificate is named, and when its end is near.

use time::{Duration, OffsetDateTime};

use crate::pki::inspect::Certificate;

/// How long before its end a certificate is reported: `at_most`, and a third of its life where that is shorter.
pub(super) fn soon(begin: OffsetDateTime, end: OffsetDateTime, at_most: Duration) -> Duration {
    at_most.min((end - begin) / 3)
}

/// A certificate as text for comparison with another one.
pub(super) fn identify(certificate: &Certificate) -> String {
    format!(
        "SHA-256 {}, serial {}, {}",
        certificate.fingerprint(),
        certificate.serial_hex(),
        certificate.subject()
    )
}
