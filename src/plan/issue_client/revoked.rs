//! Clients that are revoked while a certificate for them is being issued.
//!
//! An entry is reserved before the authority is read again, and `revoke-client` lists the inventory after it has committed: so either this
//! run sees the revocation, or `revoke-client` sees the entry.

use super::entry::{self, Own};
use super::{Request, Standing};
use crate::error::Failure;
use crate::plan::command_line::on_clients;
use crate::plan::{Observed, Reconciled};
use crate::resources::inventory::{Entry, EntryState};

/// Refuses to renew a certificate that is revoked, and to issue another one for a client that was revoked since this run began. The
/// reserved entry becomes void first.
pub(super) fn check(
    request: &Request,
    own: Option<&Own<'_>>,
    standing: &Standing,
    observed: &Observed,
) -> Reconciled<()> {
    let Some(revoked) = revoked(request, own, standing, observed)? else {
        return Ok(());
    };
    if let Some(Own { entry, written }) = own
        && entry.state == EntryState::Reserved
    {
        return Err(entry::restate(
            entry,
            EntryState::Void,
            &written.object,
            observed,
        )?);
    }
    Err(refused(&revoked).into())
}

/// A revoked certificate of the client because of which the new one is not delivered.
fn revoked(
    request: &Request,
    own: Option<&Own<'_>>,
    standing: &Standing,
    observed: &Observed,
) -> Reconciled<Option<Entry>> {
    let numbers = request.numbers();
    if let Some(number) = request.renews {
        let Some(renewed) = numbers.numbered(number, observed)? else {
            return Ok(None);
        };
        let is_revoked =
            renewed.state == EntryState::Revoked || standing.revoked()?.contains(&renewed);
        if is_revoked {
            return Ok(Some(renewed));
        }
    }
    if let Some(Own { entry, .. }) = own
        && entry.state == EntryState::Revoked
    {
        return Ok(Some(entry.clone()));
    }
    let Some(began) = standing.began() else {
        return Ok(None);
    };
    let (before, now) = (began.revoked()?, standing.revoked()?);
    let is_new = |entry: &Entry| now.contains(entry) && !before.contains(entry);
    if let Some(Own { entry, .. }) = own
        && is_new(entry)
    {
        return Ok(Some(entry.clone()));
    }
    if request.renews.is_some() {
        return Ok(None);
    }
    let end = match own {
        Some(own) => own.entry.number,
        None => numbers.first_free(observed)?,
    };
    numbers.newest_below(end, observed, is_new)
}

fn refused(entry: &Entry) -> Failure {
    let Entry { name, number, .. } = entry;
    Failure::refused(format!(
        "certificate {number} of `{name}` was revoked; no new one was issued"
    ))
    .hint("to issue one nevertheless, run:")
    .hint(issue_another(entry))
}

/// The error on a certificate that was revoked after its files had been written.
pub(super) fn delivered(entry: &Entry) -> Failure {
    let Entry { name, number, .. } = entry;
    Failure::refused(format!(
        "certificate {number} of `{name}` was revoked while it was being issued"
    ))
    .hint("the files of this certificate were written and are of no use: delete them")
    .hint("to issue another certificate, run:")
    .hint(issue_another(entry))
}

fn issue_another(entry: &Entry) -> String {
    let command = "issue-client --another";
    format!(
        "  {}",
        on_clients(command, &[&entry.name], &entry.authority)
    )
}
