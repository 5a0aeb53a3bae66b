//! Whom the gateway will trust: the name of the client-CA Secret, and what stands in it.

use time::OffsetDateTime;

use super::target::Target;
use super::view::View;
use super::workload::is_missing;
use super::{Answer, Request, fail_closed};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::plan::authority::establish;
use crate::plan::{DryRun, Seen, Step, TryOut, World, Write};
use crate::resources::Object;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{MutualGateway, kept_client_ca_field};

/// The client-CA Secret's name.
pub(super) struct Name {
    pub name: String,
    /// Why it was not asked whether the Gateway's kind can name it.
    pub unchecked: Option<String>,
}

/// The client-CA Secret's name: what the authority says, else what the Gateway says; for a new Gateway, its kind decides.
pub(super) fn client_ca_name(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    world: &World,
) -> Answer<Name> {
    if request.fail_closed {
        return fail_closed::name(target, world);
    }
    let known = |name: &str| {
        Ok(Name {
            name: name.to_owned(),
            unchecked: None,
        })
    };
    let recorded = view
        .state
        .as_ref()
        .and_then(|(_, state)| state.client_ca_secret.as_deref());
    if let Some(existing) = &target.existing {
        let in_force = existing.server.client_ca_secret();
        return match recorded {
            Some(recorded) if recorded != in_force && !existing.gateway.is_ours => {
                Err(Failure::refused(format!(
                    "the Gateway `{}` reads its client CA from `{in_force}`, the authority `{}` publishes it in `{recorded}`",
                    target.gateway, target.names.authority
                ))
                .hint("`--fail-closed` lets the Gateway name a Secret of the authority; `--gateway` chooses another Gateway")
                .into())
            }
            Some(recorded) => known(recorded),
            None => known(&in_force),
        };
    }
    let derived = target.names.derived_client_ca();
    let fail_closed = target.names.fail_closed_client_ca();
    let is_prepared_by_hand =
        view.client_ca(&derived).is_some() && view.client_ca(&fail_closed).is_none();
    if recorded == Some(derived.as_str()) || (recorded.is_none() && is_prepared_by_hand) {
        return known(&derived);
    }
    if is_missing(&target.gateway.namespace, world) {
        return Ok(Name {
            name: fail_closed,
            unchecked: Some("its namespace does not exist yet".to_owned()),
        });
    }
    match tried_gateway(target, &fail_closed, world)? {
        Seen::Found(stored) if kept_client_ca_field(stored) => known(&fail_closed),
        Seen::Found(_) if recorded.is_some() => Err(Failure::refused(format!(
            "this cluster's Gateway CRD has no `caCertCredentialName`, by which the authority `{}` is published",
            target.names.authority
        ))
        .hint("bring Istio's CRDs up to date")
        .into()),
        Seen::Found(_) => known(&derived),
        other => {
            let reason = other.unknown().unwrap_or_else(|| "its namespace does not exist".to_owned());
            if request.dry_run == DryRun::Client {
                return Ok(Name {
                    name: fail_closed,
                    unchecked: Some(reason),
                });
            }
            let refused = format!("the API server would not take {}: {reason}", target.gateway.reference());
            Err(Failure::refused(refused).hint("`kubectl mtls rbac expose` prints the Roles that `expose` needs").into())
        }
    }
}

fn tried_gateway<'a>(
    target: &Target,
    client_ca: &str,
    world: &'a World,
) -> Answer<&'a Seen<Object>> {
    // An apply of a field that the kind does not have is an error of the API server, whatever it is told to ignore.
    let write = Write::Create(gateway(target, client_ca));
    let answer = world.tried(&target.gateway.reference(), false);
    answer.ok_or_else(|| {
        Step::TryOut(TryOut {
            write,
            strict: false,
        })
        .into()
    })
}

/// Our Gateway's manifest; it names the client-CA Secret unless istiod derives that very name.
pub(super) fn gateway(target: &Target, client_ca: &str) -> Object {
    let derived = target.names.derived_client_ca();
    MutualGateway {
        name: &target.gateway,
        host: &target.gateway_host,
        selector: &target.selector,
        credential: target.names.credential(),
        client_ca: Some(client_ca).filter(|name| *name != derived),
    }
    .object()
}

/// The client-CA Secret as it is, or as it will be once its missing parts are written.
pub(super) struct Trust {
    pub name: Name,
    pub object: Object,
    pub client_ca: ClientCa,
    /// The authority whose CA it holds; none where only foreign CAs are trusted.
    pub state: Option<AuthorityState>,
    pub exists: bool,
    /// The authority's state as it tells of another client-CA Secret than before.
    pub moved: Option<Object>,
}

/// Takes the existing client-CA Secret as it is, never changing it; makes it, and the authority, where they are missing.
pub(super) fn client_ca(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    name: &Name,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Trust> {
    let existing = view.client_ca(&name.name);
    if let Some(given) = &request.client_ca {
        return given_client_ca(given, target, existing, name);
    }
    let trust =
        |object: &Object, client_ca: &ClientCa, state: Option<&AuthorityState>, exists| Trust {
            name: Name {
                name: name.name.clone(),
                unchecked: name.unchecked.clone(),
            },
            object: object.clone(),
            client_ca: client_ca.clone(),
            state: state.cloned(),
            exists,
            moved: None,
        };
    let source = fail_closed::source(request, target, view, name);
    if let (Some((object, held)), Some(source)) = (existing, source) {
        fail_closed::check_same(object, held, source, now)?;
    }
    let theirs = |state: Option<&AuthorityState>| match existing {
        Some((object, client_ca)) => Ok(trust(object, client_ca, state, true)),
        None => {
            let object = fail_closed::copy(source, target, name, now)?;
            let client_ca = ClientCa::read(&object);
            let client_ca = client_ca.map_err(|error| Failure::failed(error.to_string()))?;
            Ok(trust(&object, &client_ca, state, false))
        }
    };
    let state = match (&view.state, existing.or(source)) {
        (None, Some(_)) => return theirs(None),
        // An authority that nobody serves yet, beside a Secret of others: it stays theirs.
        (Some((_, state)), Some((_, client_ca)))
            if state.gateway.is_none() && !publishes(client_ca, state) =>
        {
            return theirs(None);
        }
        (Some(state), _) => state,
        (None, None) => return Err(new_authority(request, target, &name.name, world)?),
    };
    let (object, state) = state;
    if state.gateway.is_none() && request.dry_run == DryRun::None {
        let serving = state.clone().serving(&target.gateway, &name.name);
        return Err(Step::Write(Write::Replace(serving.object().replacing(object))).into());
    }
    let is_moved = request.fail_closed && state.client_ca_secret.as_ref() != Some(&name.name);
    let moved = is_moved.then(|| {
        let serving = state.clone().serving(&target.gateway, &name.name);
        serving.object().changing(object)
    });
    if let Some((object, client_ca)) = existing {
        return Ok(Trust {
            moved,
            ..trust(object, client_ca, Some(state), true)
        });
    }
    let held = source.map(|(_, held)| held);
    let object = client_ca::project(&name.name, state, Some(&target.gateway), held, now).map_err(
        |error| {
            Failure::refused(format!(
                "the authority `{}` has no CA to publish",
                state.authority
            ))
            .caused_by(error)
        },
    )?;
    let client_ca = ClientCa::read(&object).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Trust {
        moved,
        ..trust(&object, &client_ca, Some(state), false)
    })
}

/// Trusts the CAs that the user names. Another bundle in its place is a conflict: its clients would be shut out.
fn given_client_ca(
    given: &Bundle,
    target: &Target,
    existing: Option<&(&Object, ClientCa)>,
    name: &Name,
) -> Answer<Trust> {
    let object = match existing {
        Some((object, client_ca)) => {
            let same = client_ca
                .bundle
                .certificates()
                .iter()
                .all(|ca| given.contains(ca))
                && given
                    .certificates()
                    .iter()
                    .all(|ca| client_ca.bundle.contains(ca));
            if !same {
                return Err(Failure::refused(format!(
                    "{} trusts other CAs than `--client-ca` names",
                    object.reference()
                ))
                .hint("its clients would be shut out; leave `--client-ca` out to keep them")
                .into());
            }
            (*object).clone()
        }
        None => client_ca::given(&name.name, given, &target.gateway),
    };
    let client_ca = ClientCa::read(&object).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Trust {
        name: Name {
            name: name.name.clone(),
            unchecked: name.unchecked.clone(),
        },
        object,
        client_ca,
        state: None,
        exists: existing.is_some(),
        moved: None,
    })
}

/// Whether the Secret holds the CA that issues.
fn publishes(client_ca: &ClientCa, state: &AuthorityState) -> bool {
    state
        .issuing_ca()
        .is_none_or(|ca| client_ca.bundle.contains(ca))
}

fn new_authority(
    request: &Request,
    target: &Target,
    secret: &str,
    world: &World,
) -> Result<crate::plan::Stop<super::Report>, Failure> {
    if request.dry_run != DryRun::None {
        return Err(Failure::refused(
            "there is no client CA yet, so there is nothing to show for it",
        )
        .hint("`kubectl mtls issue-client NAME` makes one, with the first client")
        .hint("`--client-ca FILE` trusts a CA that you have"));
    }
    let new = request.new_authority(&target.names.authority);
    let step: Step<super::Report> =
        establish(&target.names, &new, Some((&target.gateway, secret)), world)?;
    Ok(step.into())
}
