//! The authority: its state, made when there is none, and its client-CA Secret, brought up to it.

use time::OffsetDateTime;

use super::{Report, Request, check_client_ca, check_files};
use crate::error::Failure;
use crate::plan::authority::establish;
use crate::plan::{Seen, Step, World, Write};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::names::CredentialNames;

/// Something that is known, or the step that will tell it.
pub(super) enum Answer<T> {
    Known(T),
    Ask(Step<Report>),
}

/// The authority's state. Where there is neither a state nor a client-CA Secret, an authority is made.
pub(super) fn state(
    request: &Request,
    names: &CredentialNames,
    world: &World,
) -> Result<Answer<AuthorityState>, Failure> {
    if let Some(object) = world.required(&names.state())? {
        let state = AuthorityState::read(object);
        return state
            .map(Answer::Known)
            .map_err(|error| Failure::refused(error.to_string()).hint("nothing was changed"));
    }
    for name in [names.fail_closed_client_ca(), names.derived_client_ca()] {
        let secret = client_ca::reference(&name);
        if world.required(&secret)?.is_some() {
            return Err(Failure::refused(format!(
                "{secret} holds CAs whose keys are not in this cluster"
            ))
            .hint("`kubectl mtls ca-rotate` adds a CA of ours beside them, which can then issue")
            .hint("`--ca-dir DIR` issues with a CA of your own"));
        }
    }
    super::check_lifetime(request.ttl, &request.new_authority)?;
    check_files(&request.held)?;
    check_client_ca(&request.held, None)?;
    establish(names, &request.new_authority, None, world).map(Answer::Ask)
}

/// Completes a projection that lags: a run was interrupted between the state and the Secret that shows it.
pub(super) fn catch_up(
    state: &AuthorityState,
    world: &World,
    now: OffsetDateTime,
) -> Result<Option<Step<Report>>, Failure> {
    let Some(name) = &state.client_ca_secret else {
        return Ok(None);
    };
    let secret = client_ca::reference(name);
    let seen = world.seen(&secret);
    let Seen::Found(object) = seen else {
        return Ok(None);
    };
    let existing = ClientCa::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    let shown = existing.revision.unwrap_or(u64::MAX);
    if shown >= state.revision {
        return Ok(None);
    }
    let gateway = state.gateway.as_deref().and_then(|text| text.parse().ok());
    let projected = client_ca::project(name, state, gateway.as_ref(), Some(&existing), now)
        .map_err(|error| {
            Failure::refused(format!("{secret} cannot be brought up to date")).caused_by(error)
        })?;
    Ok(Some(Step::Write(Write::Replace(
        projected.replacing(object),
    ))))
}
