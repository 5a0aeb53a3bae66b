//! The end of a restoration: every gateway proxy is probed, and then the witness is updated.
//!
//! Until then `unproven` in the state equals the revision of the witness, which marks a restoration that was interrupted.

use std::sync::Arc;

use time::OffsetDateTime;

use super::super::{Report, Request, Run};
use super::lists::relisted;
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::plan::commit::{self, Standing};
use crate::plan::{DryRun, Observed, Reconciled, signers, witness};
use crate::resources::audit::RotationStep;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::CredentialNames;
use crate::resources::witness::{Witness, reference};

/// Finishes when the authority is intact: restored by this run or an interrupted one, or never damaged.
pub(super) fn work(
    request: &Request,
    names: &CredentialNames,
    (state, heard): (&AuthorityState, Option<&Witness>),
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    if !is_under_way(names, (state, heard), observed) {
        return Err(Failure::refused(format!(
            "the authority `{}` is intact: there is nothing to restore",
            names.authority
        ))
        .into());
    }
    if request.dry_run != DryRun::None {
        return planned(request, names, state, observed, now);
    }
    let run = Run {
        request,
        standing: commit::standing(&request.authority, request.force_conflicts, observed, now)?,
        names: names.clone(),
        observed,
        now,
    };
    if !is_of_this_run(names, observed) {
        return run.restore_again();
    }
    run.prove()?;
    let report = run.done()?;
    witness::catch_up(&names.authority, observed)?;
    Ok(report)
}

/// Whether this run restored the authority, or an interrupted one.
pub(super) fn is_under_way(
    names: &CredentialNames,
    (state, heard): (&AuthorityState, Option<&Witness>),
    observed: &Observed,
) -> bool {
    is_of_this_run(names, observed) || is_unfinished(state, heard)
}

fn is_of_this_run(names: &CredentialNames, observed: &Observed) -> bool {
    let has_written = |object| observed.change_of(&object).is_some();
    has_written(names.state()) || has_written(reference(&names.authority))
}

/// Whether the authority was restored, and no run has verified that at every gateway proxy yet.
fn is_unfinished(state: &AuthorityState, heard: Option<&Witness>) -> bool {
    let is_of_then = |heard: &Witness| state.unproven == Some(heard.revision);
    heard.is_some_and(|heard| is_of_then(heard) && heard.revision < state.revision)
}

fn planned(
    request: &Request,
    names: &CredentialNames,
    state: &AuthorityState,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let published = ClientCa::of(state).map_err(|error| {
        Failure::refused(format!("the authority `{}` trusts nobody", names.authority))
            .caused_by(error)
            .hint("restore the authority from a backup")
    })?;
    let object = state.object();
    let run = Run {
        request,
        standing: Standing::preview(&object, state.clone(), published),
        names: names.clone(),
        observed,
        now,
    };
    let mut report = run.report()?;
    report.next = None;
    report.planned = vec![
        "publish the authority again: its restoration was interrupted".to_owned(),
        "probe every gateway until it has loaded the change".to_owned(),
    ];
    Ok(report)
}

impl Run<'_> {
    /// Publishes the authority once more, with revocation lists that canaries of this run can
    /// verify.
    fn restore_again(&self) -> Reconciled<Report> {
        let state = &self.standing.state;
        let next = if state.crls.is_empty() {
            state.clone()
        } else {
            relisted(state, &self.able()?, &[], Some(self.observed), self.now)?
        };
        Err(self.commit(next, RotationStep::AuthorityRestored)?)
    }

    /// The trusted CAs that can sign.
    fn able(&self) -> Reconciled<Vec<Arc<Authority>>> {
        let state = &self.standing.state;
        let Some(keys) = self.keys()? else {
            return Ok(Vec::new());
        };
        let unexpired = state.trusted.iter().filter(|ca| !ca.is_expired(self.now));
        let able = unexpired.filter_map(|ca| signers::signer(ca, &keys, state, self.now).ok());
        Ok(able.collect())
    }
}
