//! `--restore` of an authority that is what it was: because this run restored it, or an earlier one, or because nothing was lost.

use time::OffsetDateTime;

use super::acts::Act;
use super::{Answer, Report, Request, Restore, Run, forecast};
use crate::error::Failure;
use crate::plan::{DryRun, World, commit, revocations};
use crate::resources::names::CredentialNames;

/// The next step; the report once every gateway was seen to have loaded it.
pub(super) fn work(
    request: &Request,
    restore: &Restore,
    names: &CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Report> {
    if request.dry_run != DryRun::None {
        return forecast::work(request, names.clone(), world, now);
    }
    let standing = commit::standing(&request.authority, request.force_conflicts, world, now)?;
    let run = Run {
        request,
        standing: commit::witnessed(standing, false, world)?,
        names: names.clone(),
        world,
        now,
    };
    let is_untouched = world.change_of(&names.state()).is_none();
    if is_untouched {
        run.refuse_more(restore)?;
        run.renew_lists()?;
    }
    run.prove()?;
    let mut report = run.done()?;
    if !run.acts().contains(&Act::Restored) {
        report.notes.push(format!(
            "the authority `{}` is what it was: there was nothing to restore",
            names.authority
        ));
    }
    Ok(report)
}

impl Run<'_> {
    /// Refuses CAs of others that are not trusted: nothing but a restoration lets them in.
    fn refuse_more(&self, restore: &Restore) -> Answer<()> {
        let admitted = self.standing.state.admitted();
        let Some(ca) = restore.external.iter().find(|ca| !admitted.contains(ca)) else {
            return Ok(());
        };
        Err(Failure::refused(format!(
            "the authority `{}` is what it was: there is nothing to restore, and `{}` is none of its CAs",
            self.names.authority,
            ca.subject()
        ))
        .hint("nothing was changed")
        .into())
    }

    /// Gives every revocation list a canary, by which gateways are seen to have loaded it: an earlier run may have ended before.
    fn renew_lists(&self) -> Answer<()> {
        let state = &self.standing.state;
        if state.crls.is_empty() {
            return Ok(());
        }
        let signers = state.trusted.iter().map(|ca| self.signer(ca));
        let signers = signers.collect::<Answer<Vec<_>>>()?;
        revocations::make_canaries(&state.authority, &signers, self.world, self.now)?;
        let end = |_: &str, _: &crate::pki::serial::Serial| None;
        let next = revocations::renewed(state, &signers, &[], end, self.world, self.now)?;
        Err(self.commit(next, Act::Relisted)?)
    }
}
