//! Whom the gateway will trust: the name of the client-CA Secret, and what stands in it.

use time::OffsetDateTime;

use super::target::Target;
use super::view::View;
use super::{Report, Request};
use crate::error::Failure;
use crate::plan::authority::establish;
use crate::plan::{DryRun, Seen, Step, TryOut, World, Write};
use crate::resources::Object;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{MutualGateway, kept_client_ca_field};

/// Something that is known, or the step that will tell it.
pub(super) enum Answer<T> {
    Known(T),
    Ask(Step<Report>),
}

/// The client-CA Secret's name: the Gateway's own where it exists; else the CRD decides, by a server-side dry run.
pub(super) fn client_ca_name(
    target: &Target,
    view: &View<'_>,
    world: &World,
) -> Result<Answer<String>, Failure> {
    if let Some((_, server)) = &target.existing {
        return Ok(Answer::Known(server.client_ca_secret()));
    }
    let fail_closed = target.names.fail_closed_client_ca();
    if view.client_ca(&fail_closed).is_some() {
        return Ok(Answer::Known(fail_closed));
    }
    let reference = target.gateway.reference();
    let Some(answer) = world.tried(&reference) else {
        let write = Write::Apply(gateway(target, Some(&fail_closed)));
        return Ok(Answer::Ask(Step::TryOut(TryOut {
            write,
            strict: false,
        })));
    };
    match answer {
        Seen::Found(stored) if kept_client_ca_field(stored) => Ok(Answer::Known(fail_closed)),
        Seen::Found(_) => Ok(Answer::Known(target.names.derived_client_ca())),
        other => Err(Failure::failed(format!(
            "the API server would not take {reference}: {}",
            other
                .unknown()
                .unwrap_or_else(|| "its namespace does not exist".to_owned())
        ))),
    }
}

/// Our Gateway's manifest.
pub(super) fn gateway(target: &Target, client_ca: Option<&str>) -> Object {
    MutualGateway {
        name: &target.gateway,
        host: &target.gateway_host,
        selector: &target.selector,
        credential: target.names.credential(),
        client_ca,
    }
    .object()
}

/// The client-CA Secret as it is, or as it will be once its missing parts are written.
pub(super) struct Trust {
    pub object: Object,
    pub client_ca: ClientCa,
    pub state: Option<AuthorityState>,
}

/// Takes the existing client-CA Secret as it is, never changing it; makes it, and the authority, where they are missing.
pub(super) fn client_ca(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    name: &str,
    world: &World,
    now: OffsetDateTime,
) -> Result<Answer<Trust>, Failure> {
    let existing = view
        .client_cas
        .iter()
        .find(|(object, _)| object.name() == name);
    let Some((object, state)) = &view.state else {
        if let Some((object, client_ca)) = existing {
            return Ok(Answer::Known(Trust {
                object: (*object).clone(),
                client_ca: client_ca.clone(),
                state: None,
            }));
        }
        if request.dry_run != DryRun::None {
            return Err(Failure::refused(
                "there is no client CA yet, so there is nothing to show for it",
            )
            .hint("`kubectl mtls issue-client NAME` makes one, with the first client"));
        }
        let new = request.new_authority(&target.names.authority);
        let step = establish(&target.names, &new, Some((&target.gateway, name)), world)?;
        return Ok(Answer::Ask(step));
    };
    let state = state.clone();
    let trust = match existing {
        Some((object, client_ca)) => Trust {
            object: (*object).clone(),
            client_ca: client_ca.clone(),
            state: Some(state.clone()),
        },
        None => projected(target, &state, name, now)?,
    };
    if state.gateway.is_none() && request.dry_run == DryRun::None {
        let taken = state
            .serving(&target.gateway, name)
            .object()
            .replacing(object);
        return Ok(Answer::Ask(Step::Write(Write::Replace(taken))));
    }
    Ok(Answer::Known(trust))
}

fn projected(
    target: &Target,
    state: &AuthorityState,
    name: &str,
    now: OffsetDateTime,
) -> Result<Trust, Failure> {
    let object =
        client_ca::project(name, state, Some(&target.gateway), None, now).map_err(|error| {
            Failure::refused(format!(
                "the authority `{}` has no CA to publish",
                state.authority
            ))
            .caused_by(error)
        })?;
    let client_ca = ClientCa::read(&object).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Trust {
        object,
        client_ca,
        state: Some(state.clone()),
    })
}
