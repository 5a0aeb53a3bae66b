//! The CA certificates that a gateway sends with its own.

use time::OffsetDateTime;

use super::{Finding, Severity, check};
use crate::pki::chain::above;
use crate::pki::inspect::Certificate;
use crate::pki::server::is_self_made;

/// The facts about a server certificate's issuer.
pub(super) struct Issuer<'a> {
    /// Whether the issuer is an ACME server: those sign with intermediate CAs.
    pub is_acme: bool,
    /// The CAs seen in other handshakes.
    pub known: &'a [Certificate],
}

/// The finding on the CAs above a certificate; `called` is its name, `remedy` the command that
/// renews it.
pub(super) fn fault(
    server: &Certificate,
    shown: &[Certificate],
    issuer: &Issuer<'_>,
    called: &str,
    remedy: &str,
    now: OffsetDateTime,
) -> Option<Finding> {
    let path = above(server, shown);
    if let Some(place) = path.iter().position(|ca| ca.is_expired(now)) {
        let ca = &path[place];
        let finding = Finding::new(
            &check::SERVER_CERTIFICATE_CHAIN_EXPIRED,
            format!(
                "the CA `{}` above {called} expired on {}",
                ca.subject(),
                ca.not_after().date()
            ),
            remedy,
        );
        // Clients may know a later certificate of a CA further up (RFC 4158, section 2.3).
        if place == 0 || ca.is_self_signed() {
            return Some(finding);
        }
        let why = "clients that know no other certificate of this CA refuse the gateway";
        return Some(finding.graded(Severity::Warning).because(why));
    }
    if !path.is_empty() || server.is_self_signed() || is_self_made(server) {
        return None;
    }
    let is_intermediate = |ca: &Certificate| !ca.is_self_signed() && server.is_signed_by(ca);
    let is_incomplete = !shown.is_empty()
        || issuer.is_acme
        || server.is_publicly_trusted()
        || issuer.known.iter().any(is_intermediate);
    let finding = Finding::new(
        &check::SERVER_CERTIFICATE_CHAIN_INCOMPLETE,
        format!(
            "the gateway shows {called} without the certificate of its issuer `{}`",
            server.issuer()
        ),
        remedy,
    );
    if is_incomplete {
        return Some(finding);
    }
    // A root that signs servers itself needs no certificate between; whoever tells where to get the issuer's may think of another.
    let note = || {
        finding
            .graded(Severity::Note)
            .because("clients that do not know this issuer refuse the gateway")
    };
    server.has_issuer_address().then(note)
}
