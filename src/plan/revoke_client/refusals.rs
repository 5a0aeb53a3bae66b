//! Authorities whose clients cannot be revoked.

use time::OffsetDateTime;

use super::Request;
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::commit::Standing;
use crate::plan::witness::Fault;

/// Refuses to revoke while external CAs are trusted: with CRLs for the authority's CAs alone,
/// gateways would reject the clients of every other CA.
pub(super) fn refuse_foreign(found: &Standing<'_>, now: OffsetDateTime) -> Result<(), Failure> {
    let foreign = found.published.foreign(Some(&found.state));
    let foreign: Vec<&Certificate> = foreign.filter(|ca| !ca.is_expired(now)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let failure = Failure::refused(
        "the gateway also trusts a CA that does not belong to this authority: with a revocation list, it would reject all clients of that CA",
    );
    let lines = foreign.iter().map(|ca| {
        format!(
            "`{}`, SHA-256 {}: `kubectl mtls ca-rotate --finish --drop-external {}` removes this CA, once its clients have certificates of this authority",
            ca.subject(),
            ca.fingerprint(),
            ca.fingerprint()
        )
    });
    Err(failure.hints(lines).hint(
        "until then `kubectl mtls expose SERVICE --allow NAME` lets only the named clients call a host",
    ))
}

/// The refusal because of revocation lists that cannot be read.
pub(super) fn unreadable_lists(request: &Request) -> Failure {
    match &request.directory {
        Some(folder) => Failure::refused(format!("`{folder}/ca.crl` cannot be read"))
            .hint("restore the file from a backup: it holds what was revoked"),
        None => Fault::ListsEdited.refusal(&request.authority),
    }
}
